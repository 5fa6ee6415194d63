/** `version`: the program, its runtime, ALPN, and what the process is permitted to do. */

import type { Command } from "../cli.ts";
import { EXIT, type ExitCode } from "../errors.ts";
import { VERSION } from "../version.ts";
import type { World } from "../world.ts";

const PERMISSIONS = ["net", "read", "write", "env", "sys", "run", "ffi", "import"] as const;

/** First version of Deno that sends ALPN as a client; 2.4.2 silently left it out (measured). */
const ALPN_SINCE = [2, 5, 7] as const;

/** Prints them. */
export function versionCommand(command: Command, world: World): ExitCode {
  const document = {
    version: VERSION,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    target: Deno.build.target,
    tls: ["TLSv1.2", "TLSv1.3"],
    alpn: isSince(Deno.version.deno, ALPN_SINCE),
    permissions: Object.fromEntries(PERMISSIONS.map((name) => [name, permission(name)])),
  };
  world.out(
    command.switches.has("json") ? `${JSON.stringify(document, null, 2)}\n` : textOf(document),
  );
  return EXIT.ok;
}

/** `all`, `some` (for named hosts, files or variables) or `none`. */
function permission(name: (typeof PERMISSIONS)[number]): "all" | "some" | "none" {
  const status = Deno.permissions.querySync({ name } as Deno.PermissionDescriptor);
  if (status.state === "granted") return "all";
  return someGranted(name) ? "some" : "none";
}

/** Deno tells of a part of a permission only when asked for that very part, so what we may have been given is tried. */
function someGranted(name: (typeof PERMISSIONS)[number]): boolean {
  const granted = (descriptor: Deno.PermissionDescriptor) =>
    Deno.permissions.querySync(descriptor).state === "granted";
  switch (name) {
    case "env":
      return granted({ name, variable: "MQTT443_ENDPOINT" });
    case "sys":
      return granted({ name, kind: "hostname" });
    case "read":
      return granted({ name, path: "./mqtt443.json" });
    default:
      return false;
  }
}

function isSince(version: string, since: readonly number[]): boolean {
  const parts = version.split(".").map(Number);
  for (const [index, least] of since.entries()) {
    if ((parts[index] ?? 0) !== least) return (parts[index] ?? 0) > least;
  }
  return true;
}

function textOf(document: {
  version: string;
  deno: string;
  v8: string;
  target: string;
  tls: string[];
  alpn: boolean;
  permissions: Record<string, string>;
}): string {
  const permissions = Object.entries(document.permissions).map(([name, what]) => `${name} ${what}`);
  return [
    `mqtt443      ${document.version}`,
    `Deno         ${document.deno} (V8 ${document.v8}, ${document.target})`,
    `TLS          ${document.tls.join(", ")}`,
    `ALPN         ${document.alpn ? "yes" : "no: this Deno leaves it out; use 2.9.5"}`,
    `permissions  ${permissions.join(", ")}`,
    "",
  ].join("\n");
}
