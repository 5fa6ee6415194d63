/**
 * What a process needs to be permitted, as flags of Deno: for given settings, or for any endpoint of AWS. Pure: the one
 * place for it, whether the flags go to `deno run` or into an executable.
 */

import type { Grants } from "../core/build.ts";
import { place, proxyOf } from "../core/endpoint.ts";
import { SOCKET_PATH } from "../core/socket_guard.ts";
import { EXIT, UserError } from "../core/errors.ts";
import { USERS_PATH } from "../core/file_guard.ts";
import {
  CERTS_PATHS,
  CONFIG_PATHS,
  LISTEN_VARIABLES,
  NOTIFY_PATH,
  NOTIFY_VARIABLES,
  PROXY_VARIABLES,
  TRUST_VARIABLES,
  WARNED_VARIABLES,
} from "./places.ts";
import type { Settings } from "./table.ts";
import { HOST_VIEW, sourcePaths, sourceSysKinds } from "../sources/mod.ts";
import { quote } from "../core/text.ts";

/** Environment variables that the program may see. */
const VARIABLES = [
  "MQTT443_*",
  "NO_COLOR",
  "JOURNAL_STREAM",
  ...TRUST_VARIABLES,
  ...WARNED_VARIABLES,
  ...LISTEN_VARIABLES,
  ...PROXY_VARIABLES,
];

/** Where an executable for any endpoint keeps its queue: where it is started, or as a service. */
const STATE_PATHS = ["./state", "/var/lib/mqtt443"] as const;

/**
 * The grants of an executable for any endpoint of AWS IoT Core, with everything in the places where it belongs.
 *
 * Of /proc just the files that the sources read: below it lies, by way of /proc/self/root, all that there is.
 *
 * @param proxyPorts Ports at which a proxy may be, at a private address. @default none: no proxy can be reached
 */
export function generalGrants(proxyPorts: readonly number[] = []): Grants {
  const hosts = ["*.amazonaws.com", "*.amazonaws.com.cn"];
  return {
    net: [
      ...hosts.flatMap((host) => [`${host}:443`, `${host}:8883`]),
      ...proxyPorts.flatMap((port) => PRIVATE_NETWORKS.map((network) => `${network}:${port}`)),
    ],
    read: unique([
      ...CONFIG_PATHS,
      ...CERTS_PATHS,
      "/etc/mqtt443",
      CREDENTIALS,
      USERS_PATH,
      ...STATE_PATHS,
      // For `file:/sys/…`, where the unit binds it.
      `${HOST_VIEW}/sys`,
      ...sourcePaths(["system"]),
    ]),
    write: STATE_PATHS,
    env: VARIABLES,
    sys: unique(["hostname", "uid", ...sourceSysKinds(["system"])]),
    notify: NOTIFY_PATH,
    listen: SOCKET_PATH,
  };
}

/** RFC 1918, and this machine: where a site has its proxy. Deno takes networks for addresses alone, not for names. */
const PRIVATE_NETWORKS = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8"];

/** Where systemd puts what `LoadCredential=` names, for our unit. */
const CREDENTIALS = "/run/credentials/mqtt443.service";

/**
 * The grants of an executable for one site: what its settings file needs, read where the device has it.
 *
 * @param isCertsGiven Whether the file names the certificate directory; else both usual places are meant.
 */
export function siteGrants(settings: Settings, isCertsGiven: boolean): Grants {
  // Where systemd listens, `send` is to reach it.
  const listen = settings.listen === "systemd" ? { listen: SOCKET_PATH } : {};
  const grants = { ...grantsOf(settings, undefined), notify: NOTIFY_PATH, ...listen };
  return isCertsGiven ? grants : { ...grants, read: unique([...grants.read, ...CERTS_PATHS]) };
}

/**
 * The grants that these settings need: one endpoint, the certificates, the state directory, the sources.
 *
 * Of a folder in which a named file lies nothing is granted: Deno (2.9.6, measured) looks at a folder only for who may
 * read all that lies in it, whatever form its path has (`FILE/..` and `FOLDER/.` are made plain before they are held
 * against the grants, `--deny-read` knows no "all but", and what is open tells nothing of its folder). So who may write to
 * such a folder is checked by who starts this process (tools/publish.ts); see file_guard.ts.
 *
 * @param configPath The settings file in use, if any.
 */
export function grantsOf(settings: Settings, configPath: string | undefined): Grants {
  const { certs, ca, cert, key, keyPassphraseFile, state } = settings;
  const { passwordFile, proxyAuthFile, proxyCa } = settings;
  const files = [ca, cert, key, keyPassphraseFile, passwordFile, proxyAuthFile, proxyCa]
    .filter((path) => path !== undefined);
  return {
    net: netOf(settings),
    read: unique([
      ...(configPath === undefined ? CONFIG_PATHS : [configPath]),
      certs,
      ...files,
      USERS_PATH,
      ...(settings.durability === "none" ? [] : [state]),
      ...sourcePaths(settings.source),
    ]),
    write: settings.durability === "none" ? [] : [state],
    env: VARIABLES,
    sys: unique(["hostname", "uid", ...sourceSysKinds(settings.source)]),
    ...(settings.listen?.startsWith("/") && { listen: settings.listen }),
  };
}

/** The one place that is connected to: with a proxy not even the endpoint's name is looked up. */
function netOf(settings: Settings): string[] {
  const hop = proxyOf(settings.proxy) ?? settings;
  return hop.endpoint === "" ? [] : [place(hop)];
}

/**
 * The grants with what the two sockets take: Deno wants each both as an address and as a file, which it only writes to
 * where it is told something, and reads too where it listens or awaits an answer.
 */
export function allGrants(
  { notify, listen, ...grants }: Grants,
): Omit<Grants, "notify" | "listen"> {
  const sockets = [notify, listen].filter((path) => path !== undefined);
  return sockets.length === 0 ? grants : {
    ...grants,
    net: [...grants.net, ...sockets.map((path) => `unix:${path}`)],
    read: listen === undefined ? grants.read : unique([...grants.read, listen]),
    write: unique([...grants.write, ...sockets]),
    env: notify === undefined ? grants.env : [...grants.env, ...NOTIFY_VARIABLES],
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
 * const grants = { net: ["gw.example:443"], read: ["./a"], write: [], env: ["MQTT443_*"], sys: [] };
 * assertEquals(grantFlags(grants), [
 *   "--no-prompt",
 *   "--ignore-env",
 *   "--allow-env=MQTT443_*",
 *   "--allow-net=gw.example:443",
 *   "--allow-read=./a",
 * ]);
 * ```
 */
export function grantFlags(grants: Grants): string[] {
  const { net, read, write, env, sys } = allGrants(grants);
  const flag = (name: string, values: readonly string[]) => {
    const split = values.find((value) => value.includes(","));
    if (split !== undefined) throw holdsComma(split);
    return values.length === 0 ? [] : [`--allow-${name}=${values.join(",")}`];
  };
  return [
    ...(grants.notify === undefined ? [] : ["--unstable-net"]),
    "--no-prompt",
    "--ignore-env",
    ...flag("env", env),
    ...flag("net", net),
    ...flag("read", read),
    ...flag("write", write),
    ...flag("sys", sys),
  ];
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}

/** Deno 2.9.6 splits its lists of permissions at each comma, and knows no way to write one that belongs to a name. */
function holdsComma(path: string): UserError {
  return new UserError(`Cannot grant ${quote(path)}: a path that is granted must hold no comma`, {
    code: "wrong-settings",
    hint: "rename it, or name another one in the settings",
    exitCode: EXIT.config,
    step: "settings",
  });
}
