/** Time since the machine was started, in whole seconds. */

import type { Reading } from "../core/message.ts";
import { askDeno, below, readIfThere } from "./host.ts";

/** Parses /proc/uptime; empty when it is malformed. */
export function parseUptime(text: string): Reading[] {
  const match = /^(\d{1,12})\.\d+ /.exec(text);
  return match === null ? [] : [{ name: "uptime_seconds", value: Number(match[1]) }];
}

/**
 * Reads the uptime.
 *
 * @param root Root of /proc, or null to ask Deno.
 * @throws {UserError} When it must not be read.
 */
export function readUptime(root: string | null = "/"): Reading[] {
  if (root === null) {
    return [{
      name: "uptime_seconds",
      value: askDeno("osUptime", Deno.osUptime),
    }];
  }
  return parseUptime(readIfThere(below(root, "/proc/uptime")) ?? "");
}
