/**
 * Whom TLS may trust: of Deno's default store, nobody but the public roots, and not even those where a CA is configured.
 *
 * A file of its own, for whoever wants the names of the variables and no TLS.
 */

import { grantHint } from "./build.ts";
import { EXIT, UserError } from "./errors.ts";

/** The environment variables through which Deno's trust store can be changed from outside. */
export const TRUST_VARIABLES = ["DENO_TLS_CA_STORE", "DENO_CERT", "NODE_EXTRA_CA_CERTS"] as const;

/**
 * Makes Deno's default trust store empty, or the public roots where no CA is configured. Deno reads these variables at
 * the first use of TLS, so this must come before it.
 *
 * @throws {UserError} If this process was not granted to set them.
 */
export function limitTrust(env: Pick<Deno.Env, "get" | "set" | "delete">, hasCa: boolean): void {
  const store = hasCa ? "" : "mozilla";
  try {
    env.set("DENO_TLS_CA_STORE", store);
    env.delete("DENO_CERT");
    env.delete("NODE_EXTRA_CA_CERTS");
    // With --ignore-env, setting a variable that was not granted does nothing, in silence.
    if (env.get("DENO_TLS_CA_STORE") === store) return;
  } catch (cause) {
    throw cannotLimitTrust(cause);
  }
  throw cannotLimitTrust();
}

function cannotLimitTrust(cause?: unknown): UserError {
  const names = TRUST_VARIABLES.join(",");
  return new UserError(
    `Cannot see to it that only the configured CA vouches for the endpoint: this process may not set ${names}`,
    {
      hint: grantHint(),
      exitCode: EXIT.config,
      step: "settings",
      cause,
    },
  );
}
