/** `version`: the program, its runtime, ALPN, and what the process is permitted to do. */

import { BUILD, BUILT_AT, type Grants, VERSION } from "../core/build.ts";
import type { Command } from "./arguments.ts";
import { EXIT, type ExitCode, UserError } from "../core/errors.ts";
import { allGrants, grantsOf, loadSettings } from "../settings/mod.ts";
import type { World } from "../core/process.ts";

const PERMISSIONS = ["net", "read", "write", "env", "sys", "run", "ffi", "import"] as const;

/** First version of Deno whose client sends ALPN; 2.4.2 silently left it out (measured). */
const ALPN_SINCE = [2, 5, 7] as const;

const SCOPES = {
  site: "one site: nothing but what is permitted below",
  general: "any endpoint of AWS IoT Core, with its files in the usual places",
} as const;

const RUNTIMES = {
  deno: "deno run",
  denort: "executable made by deno compile",
  npm: "executable with Deno from npm, unpacked at its first start",
} as const;

/** Prints them. */
export function versionCommand(command: Command, world: World): ExitCode {
  const document = documentOf(command, world);
  world.out(
    command.switches.has("json") ? `${JSON.stringify(document, null, 2)}\n` : textOf(document),
  );
  return EXIT.ok;
}

function documentOf(command: Command, world: World) {
  return {
    version: VERSION,
    commit: BUILD?.commit ?? null,
    built: BUILD ? BUILT_AT.toISOString() : null,
    runtime: runtimeOf(world),
    scope: BUILD?.scope ?? null,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    target: Deno.build.target,
    tls: ["TLSv1.2", "TLSv1.3"],
    alpn: isSince(Deno.version.deno, ALPN_SINCE),
    permissions: permitted(allGrants(BUILD?.grants ?? wantedGrants(command, world))),
    baked: BUILD?.grants ?? null,
  };
}

function runtimeOf(world: Pick<World, "env">): keyof typeof RUNTIMES {
  if (Deno.build.standalone) return "denort";
  // The self-extracting executable sets the variable.
  return BUILD && world.env.get("MQTT443_RUNTIME") === "npm" ? "npm" : "deno";
}

/** `all`, or which of the wanted grants this process has: Deno does not list its permissions. */
function permitted(grants: Grants): Record<string, "all" | readonly string[]> {
  return Object.fromEntries(PERMISSIONS.map((name) => {
    if (isGranted({ name } as Deno.PermissionDescriptor)) return [name, "all"];
    const wanted = descriptorsOf(name, grants).filter(([, descriptor]) => isGranted(descriptor));
    return [name, wanted.map(([what]) => what)];
  }));
}

function descriptorsOf(
  name: (typeof PERMISSIONS)[number],
  grants: Grants,
): [string, Deno.PermissionDescriptor][] {
  switch (name) {
    case "net":
      // A wildcard or a network cannot be queried; a name or address in it can.
      return grants.net.map((text) => {
        return [text, { name, host: text.replace("*", "any").replace(/\/\d+/, "") }];
      });
    case "read":
    case "write":
      return grants[name].map((path) => [path, { name, path }]);
    case "env":
      return grants.env.map((text) => [text, { name, variable: text.replace("*", "ENDPOINT") }]);
    case "sys":
      return grants.sys.map((kind) => [kind, { name, kind: kind as "hostname" }]);
    default:
      return [];
  }
}

function isGranted(descriptor: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(descriptor).state === "granted";
}

/** The grants that the settings need. Wrong settings do not keep `version` from answering. */
function wantedGrants(command: Command, world: World): Grants {
  try {
    const { settings, configPath } = loadSettings(command, world, { needEndpoint: false });
    return grantsOf(settings, configPath);
  } catch (error) {
    if (!(error instanceof UserError || error instanceof Deno.errors.NotCapable)) throw error;
    return { net: [], read: [], write: [], env: ["MQTT443_*"], sys: ["hostname"] };
  }
}

function isSince(version: string, since: readonly number[]): boolean {
  const parts = version.split(".").map(Number);
  for (const [index, least] of since.entries()) {
    if ((parts[index] ?? 0) !== least) return (parts[index] ?? 0) > least;
  }
  return true;
}

function textOf(document: ReturnType<typeof documentOf>): string {
  const { version, commit, built, scope, runtime, baked } = document;
  const byAddress = baked?.net.some((host) => host.includes("/"))
    ? "; a proxy by its address alone"
    : "";
  const permissions = Object.entries(document.permissions).map(([name, what], index) => {
    const list = what === "all" ? "all" : what.join(" ") || "none";
    return `${index === 0 ? "permitted" : "         "}    ${name.padEnd(6)} ${list}`;
  });
  return [
    `mqtt443      ${version}${commit === null ? "" : ` (commit ${commit}, built ${built})`}`,
    `runtime      ${RUNTIMES[runtime]}`,
    ...(scope === null ? [] : [`built for    ${SCOPES[scope]}${byAddress}`]),
    `Deno         ${document.deno} (V8 ${document.v8}, ${document.target})`,
    `TLS          ${document.tls.join(", ")}`,
    `ALPN         ${
      document.alpn ? "yes" : `no: this Deno leaves it out; use ${ALPN_SINCE.join(".")} or later`
    }`,
    ...permissions,
    "",
  ].join("\n");
}
