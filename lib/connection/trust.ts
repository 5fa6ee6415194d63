/** What could weaken TLS from outside of this process, or keep it from connecting. */

import { EXIT, UserError } from "../core/errors.ts";
import { place, proxyOf } from "../core/endpoint.ts";
import type { Logger } from "../core/log.ts";
import type { World } from "../core/process.ts";
import { PROXY_VARIABLES, type Settings, TRUST_VARIABLES } from "../settings/mod.ts";
import { explainNotGranted } from "./explain_tcp.ts";

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
        code: "keylog-set",
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
      code: "environment-ignored",
      cause: `${name} is set in the environment; it has no effect here`,
      hint: `unset ${name}; trust is set with --ca`,
    });
  }
}

/** Says so where the environment names a proxy to other programs, and the settings name none. */
export function warnOfProxyVariable(env: World["env"], settings: Settings, log: Logger): void {
  const found = proxyVariable(env, settings);
  if (found) log.warn("warning", { step: "settings", code: "environment-ignored", ...found });
}

/** The proxy that the environment names to other programs, where the settings name none; and the flag to type. */
export function proxyVariable(
  env: World["env"],
  { proxy }: Pick<Settings, "proxy">,
): { cause: string; hint: string } | undefined {
  const name = PROXY_VARIABLES.find((name) => env.get(name));
  if (name === undefined || proxy !== undefined) return undefined;
  const [, scheme = "http://", user, host] =
    /^(?:(\w+:\/\/))?([^/]*@)?([^/@]*)/.exec(env.get(name)!) ?? [];
  const given = proxyOf(`${scheme}${host}`);
  const flag = given === undefined ? "http://HOST:PORT" : `${given.scheme}://${place(given)}`;
  return {
    cause: `${name} is set in the environment; it has no effect here`,
    hint: `to go through that proxy pass --proxy ${flag}${user ? " --proxy-auth-file FILE" : ""}`,
  };
}

/** A failure to reach the endpoint, with the flag to type where the environment names a proxy. */
export function withProxyHint(error: unknown, env: World["env"], settings: Settings): unknown {
  if (!(error instanceof UserError) || !["dns", "tcp"].includes(error.step ?? "")) return error;
  const found = proxyVariable(env, settings);
  if (found === undefined) return error;
  return error.with({ hint: `${error.hint}; ${found.cause}: ${found.hint}` });
}

/**
 * Looks whether this process may reach the endpoint, or the proxy on the way to it: nothing can add to its grants while
 * it runs.
 *
 * @throws {UserError} If it may not.
 */
export function checkGrants(settings: Settings): void {
  const proxy = proxyOf(settings.proxy);
  const hop = proxy === undefined ? settings : { ...proxy, isProxy: true };
  const { state } = Deno.permissions.querySync({ name: "net", host: place(hop) });
  if (state !== "granted") throw explainNotGranted(hop);
}
