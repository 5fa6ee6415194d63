/** The permissions that a process needs, and the Deno flags for them: for `deno run` and for executables. Pure. */

import type { Grants } from "../core/build.ts";
import { place, proxyOf } from "../core/endpoint.ts";
import { SOCKET_PATH } from "../core/socket_guard.ts";
import { settingsError, type UserError } from "../core/errors.ts";
import { USERS_PATH } from "../core/file_guard.ts";
import {
  CERTS_PATHS,
  CONFIG_PATHS,
  LISTEN_VARIABLES,
  NOTIFY_PATH,
  NOTIFY_VARIABLES,
  PROXY_VARIABLES,
  STATUS_PATH,
  TRUST_VARIABLES,
  WARNED_VARIABLES,
} from "./places.ts";
import type { Settings } from "./table.ts";
import { HOST_VIEW, sourcePaths, sourceSysKinds, TIMESYNC } from "../sources/mod.ts";
import { quote } from "../core/text.ts";

/** Environment variables that the program may read. */
const VARIABLES = [
  "MQTT443_*",
  "NO_COLOR",
  "TZ",
  "JOURNAL_STREAM",
  ...TRUST_VARIABLES,
  ...WARNED_VARIABLES,
  ...LISTEN_VARIABLES,
  ...PROXY_VARIABLES,
];

/** Where an executable for any endpoint keeps its queue: in the working directory, or as a service. */
const STATE_PATHS = ["./state", "/var/lib/mqtt443"] as const;

/**
 * The grants of an executable for any endpoint of AWS IoT Core, with its files in the standard directories.
 *
 * Of /proc only the files that the sources read: /proc/self/root leads to every file.
 *
 * @param proxyPorts Ports of a proxy at a private address. @default none: no proxy can be reached
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
      TIMESYNC,
      ...sourcePaths(["system", "clock"]),
    ]),
    write: STATE_PATHS,
    env: VARIABLES,
    sys: unique(["hostname", "uid", ...sourceSysKinds(["system"])]),
    notify: NOTIFY_PATH,
    listen: SOCKET_PATH,
    status: STATUS_PATH,
  };
}

/** RFC 1918 and loopback: where a site has its proxy. Deno matches networks with addresses only, not with names. */
const PRIVATE_NETWORKS = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8"];

/** Where systemd puts the files of `LoadCredential=` for our unit. */
const CREDENTIALS = "/run/credentials/mqtt443.service";

/**
 * The grants of an executable for one site.
 *
 * @param isCertsGiven Whether its settings file names the certificate directory; else both standard ones are granted.
 * @param isStatusGiven Whether it says where the status file goes, or that there is none; else the default is granted.
 */
export function siteGrants(
  settings: Settings,
  isCertsGiven: boolean,
  isStatusGiven = false,
): Grants {
  // Where systemd listens, `send` is to reach it.
  const listen = settings.listen === "systemd" ? { listen: SOCKET_PATH } : {};
  const status = isStatusGiven ? {} : { status: STATUS_PATH };
  const grants = { ...grantsOf(settings, undefined), notify: NOTIFY_PATH, ...listen, ...status };
  return isCertsGiven ? grants : { ...grants, read: unique([...grants.read, ...CERTS_PATHS]) };
}

/**
 * The grants that these settings need: one endpoint, the certificates, the state directory, the sources.
 *
 * The folder of a named file is not granted: Deno (2.9.6, measured) lets a process stat a folder only if it may read
 * all files in it, however the path is written, and `--deny-read` has no exceptions. So tools/publish.ts, which starts
 * this process, checks who may write to that folder; see file_guard.ts.
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
      // For `status`, whoever types it.
      settings.statusFile ?? STATUS_PATH,
      TIMESYNC,
      ...sourcePaths(settings.source),
    ]),
    write: settings.durability === "none" ? [] : [state],
    env: VARIABLES,
    sys: unique(["hostname", "uid", ...sourceSysKinds(settings.source)]),
    ...(settings.listen?.startsWith("/") && { listen: settings.listen }),
    ...(settings.statusFile !== undefined && { status: settings.statusFile }),
  };
}

/** The only address to connect to: through a proxy the endpoint's name is not even looked up. */
function netOf(settings: Settings): string[] {
  const hop = proxyOf(settings.proxy) ?? settings;
  return hop.endpoint === "" ? [] : [place(hop)];
}

/**
 * The grants with what the two sockets and the status file take. Deno wants a socket both as an address and as a file,
 * which it only writes to where it is told something, and reads too where it listens or awaits an answer. The status file
 * is made beside its place and renamed; its folder is not granted, see grantsOf.
 */
export function allGrants(
  { notify, listen, status, ...grants }: Grants,
): Omit<Grants, "notify" | "listen" | "status"> {
  const sockets = [notify, listen].filter((path) => path !== undefined);
  const files = status === undefined ? [] : [status, newStatusPath(status)];
  return {
    ...grants,
    net: [...grants.net, ...sockets.map((path) => `unix:${path}`)],
    read: unique([...grants.read, ...(listen === undefined ? [] : [listen]), ...files]),
    write: unique([...grants.write, ...sockets, ...files]),
    env: notify === undefined ? grants.env : [...grants.env, ...NOTIFY_VARIABLES],
  };
}

/** Where the status file is made before it goes to its place. */
export function newStatusPath(path: string): string {
  return `${path}.new`;
}

/** The grants as flags: no prompt, no subprocess, no native code; every other variable reads as unset. */
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

/** Deno 2.9.6 splits permission lists at commas and has no way to escape one. */
function holdsComma(path: string): UserError {
  return settingsError(
    "wrong-settings",
    `Cannot grant ${quote(path)}: a path that is granted must hold no comma`,
    "rename it, or name another one in the settings",
  );
}
