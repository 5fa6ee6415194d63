/** Memory and descriptors over hundreds of sessions, and over a week without a link. */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { median } from "../../../tools/bench/process.ts";
import { makeRig, replaced } from "../../support/publishing.ts";
import { V8_FLAGS } from "../../../tools/build/v8_flags.ts";
import type { Weight } from "./wear_process.ts";

/** Garbage collection alone moves resident memory by some MiB. */
const MOST_GROWTH_MIB = 10;
const DEADLINE_MS = 240_000;

async function wear(args: readonly string[]): Promise<Weight[]> {
  // With all permissions, as Deno lets no other process count its own files in /proc.
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--frozen", "--no-check", `${V8_FLAGS},--expose-gc`],
      ...[`${import.meta.dirname}/wear_process.ts`, ...args],
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  const { code, stdout } = await child.output();
  clearTimeout(timer);
  assertEquals(code, 0);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** That the last quarter of a life weighs what the second did; the first is warm-up. */
function assertFlat(weights: readonly Weight[]): void {
  const quarter = Math.floor(weights.length / 4);
  const of = (key: keyof Weight, part: number) => {
    return median(weights.slice(part * quarter, (part + 1) * quarter).map((each) => each[key]));
  };
  const said = JSON.stringify(weights.map(({ rssMiB }) => Math.round(rssMiB)));
  assertLessOrEqual(of("rssMiB", 3) - of("rssMiB", 1), MOST_GROWTH_MIB, said);
  assertLessOrEqual(of("heapMiB", 3), of("heapMiB", 1) * 1.1, said);
  const descriptors = JSON.stringify(weights.map(({ fds }) => fds));
  // One may be an attempt to connect that is under way.
  assertLessOrEqual(of("fds", 3), of("fds", 1) + 1, descriptors);
  assertLessOrEqual(of("timers", 3), of("timers", 1));
}

Deno.test("100,000 messages through 300 lost sessions leave memory, heap, timers and descriptors as they were (R1)", async () => {
  await using rig = await makeRig({ keep: "counts", faults: { closeAfterPublishes: 300 } });
  const weights = await wear([
    ...["sessions", "100000", ...rig.flags, "--source", "stdin", "--queue-max-messages", "2000"],
    // Real time is shorter by the factor that the process plays with.
    ...["--connect-timeout", "2m", "--ack-timeout", "5m", "--give-up-after", "2h"],
  ]);
  assert(rig.endpoint.counts.received >= 100_000, `${rig.endpoint.counts.received} arrived`);
  assert(rig.endpoint.connects.length >= 300, `${rig.endpoint.connects.length} sessions`);
  assertEquals(weights.length, 24);
  assertFlat(weights);
});

Deno.test("two days without a link at one sample a second leaves memory as it was, and the disk within its limit (R2)", async () => {
  await using rig = await makeRig();
  rig.endpoint.pause();
  const mebibyte = 1024 ** 2;
  const weights = await wear([
    ...[
      "offline",
      "172800",
      ...replaced(rig.flags, { "--backoff-max": "2m" }),
      "--source",
      "clock",
      "--interval",
      "1s",
    ],
    ...["--durability", "crash", "--queue-max-bytes", "4MiB"],
  ]);
  assert(weights.length >= 20, `${weights.length} weighings`);
  assertFlat(weights);
  let bytes = 0;
  for (const { name } of Deno.readDirSync(`${rig.folder}/state`)) {
    bytes += Deno.statSync(`${rig.folder}/state/${name}`).size;
  }
  // What SQLite needs around the messages, and its log.
  assertLessOrEqual(bytes, 3 * 4 * mebibyte);
});
