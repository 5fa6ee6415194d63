/** Starts the process that meets hostile servers. */

import { assertEquals } from "@std/assert";
import { V8_FLAGS } from "../../tools/build/v8_flags.ts";
import type { HostileReport } from "./hostile_process.ts";

/**
 * Meets so many scripts in a process of its own.
 *
 * @param deadlineMs After it the process is killed, and the test fails.
 */
export async function meetHostile(
  { seed, count, deadlineMs }: { seed: number; count: number; deadlineMs: number },
): Promise<HostileReport> {
  // With all permissions, as Deno lets no other process count its own files in /proc.
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--frozen", "--no-check", `${V8_FLAGS},--expose-gc`],
      ...[`${import.meta.dirname}/hostile_process.ts`, `${seed}`, `${count}`],
    ],
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), deadlineMs);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const said = new TextDecoder().decode(stderr);
  assertEquals([code, said], [0, ""], "the process ended badly");
  return JSON.parse(new TextDecoder().decode(stdout));
}
