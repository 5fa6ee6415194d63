/** What could weaken TLS from outside of this process, or keep it from connecting. */

import { EXIT, UserError } from "../core/errors.ts";
import { place } from "../core/endpoint.ts";
import type { Logger } from "../core/log.ts";
import type { World } from "../core/process.ts";
import { type Settings, TRUST_VARIABLES } from "../settings/mod.ts";
import { explainNotGranted } from "./explain.ts";

/**
 * Looks at the variables that could weaken TLS from outside: refuses the one that writes keys to a file, and says that
 * the others do nothing here.
 *
 * @throws {UserError} If `SSLKEYLOGFILE` is set.
 */
export function checkEnvironment(env: World["env"], log: Logger): void {
  if (env.get("SSLKEYLOGFILE")) {
    throw new UserError(
      "Cannot run with SSLKEYLOGFILE set: it would write the keys of TLS to a file",
      {
        hint: "unset SSLKEYLOGFILE",
        exitCode: EXIT.config,
        step: "settings",
      },
    );
  }
  const ignored = [...TRUST_VARIABLES, "NODE_TLS_REJECT_UNAUTHORIZED", "MQTTJS_SOCKS_PROXY"]
    .filter((name) => env.get(name));
  for (const name of ignored) {
    log.warn("warning", {
      step: "settings",
      cause: `${name} is set in the environment; it has no effect here`,
      hint: `unset ${name}; trust is set with --ca`,
    });
  }
}

/**
 * Looks whether this process may reach the endpoint: nothing can add to its grants while it runs.
 *
 * @throws {UserError} If it may not.
 */
export function checkGrants(settings: Settings): void {
  const { state } = Deno.permissions.querySync({ name: "net", host: place(settings) });
  if (state !== "granted") throw explainNotGranted(settings);
}
