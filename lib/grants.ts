/**
 * What a process needs to be permitted for given settings, as flags of Deno. Pure: the one place for it, whether the
 * flags go to `deno run` or into an executable.
 */

import { CONFIG_PATHS } from "./load.ts";
import type { Settings } from "./settings.ts";
import { sourcePaths, sourceSysKinds } from "./sources/mod.ts";
import { TRUST_VARIABLES } from "./transport.ts";

/** What may be done; everything else is refused. */
export interface Grants {
  /** `host:port`. */
  readonly net: readonly string[];
  readonly read: readonly string[];
  readonly write: readonly string[];
  /** Names, or prefixes with `*`. */
  readonly env: readonly string[];
  readonly sys: readonly string[];
}

/** Variables that are looked at only to refuse or warn. */
export const WARNED_VARIABLES = [
  "SSLKEYLOGFILE",
  "NODE_TLS_REJECT_UNAUTHORIZED",
  "MQTTJS_SOCKS_PROXY",
] as const;

/**
 * The grants that these settings need: one endpoint, the certificates, the state directory, the sources.
 *
 * @param configPath The settings file in use, if any.
 */
export function grantsOf(settings: Settings, configPath: string | undefined): Grants {
  const { endpoint, port, certs, ca, cert, key, keyPassphraseFile, state } = settings;
  const files = [ca, cert, key, keyPassphraseFile].filter((path) => path !== undefined);
  const host = endpoint.includes(":") ? `[${endpoint}]` : endpoint;
  return {
    net: endpoint === "" ? [] : [`${host}:${port}`],
    read: unique([
      ...(configPath === undefined ? CONFIG_PATHS : [configPath]),
      certs,
      ...files,
      ...files.map(folderOf),
      ...(settings.durability === "none" ? [] : [state]),
      ...sourcePaths(settings.source),
    ]),
    write: settings.durability === "none" ? [] : [state],
    env: ["MQTT443_*", "NO_COLOR", ...TRUST_VARIABLES, ...WARNED_VARIABLES],
    sys: unique(["hostname", "uid", ...sourceSysKinds(settings.source)]),
  };
}

/**
 * The grants as flags: no prompt, no subprocess, no native code, an environment that reads as empty.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { grantFlags } from "./grants.ts";
 *
 * const grants = { net: ["gw.example:443"], read: ["./a,b"], write: [], env: ["MQTT443_*"], sys: [] };
 * assertEquals(grantFlags(grants), [
 *   "--no-prompt",
 *   "--ignore-env",
 *   "--allow-env=MQTT443_*",
 *   "--allow-net=gw.example:443",
 *   "--allow-read=./a,,b",
 * ]);
 * ```
 */
export function grantFlags({ net, read, write, env, sys }: Grants): string[] {
  // In a list, Deno reads two commas as one that belongs to the name.
  const flag = (name: string, values: readonly string[]) =>
    values.length === 0
      ? []
      : [`--allow-${name}=${values.map((value) => value.replaceAll(",", ",,")).join(",")}`];
  return [
    "--no-prompt",
    "--ignore-env",
    ...flag("env", env),
    ...flag("net", net),
    ...flag("read", read),
    ...flag("write", write),
    ...flag("sys", sys),
  ];
}

/** The folder of a secret is looked at too: who may write there could replace the file. */
function folderOf(path: string): string {
  return path.includes("/") ? path.replace(/\/[^/]*$/, "") || "/" : ".";
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
