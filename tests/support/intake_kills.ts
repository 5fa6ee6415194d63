/** kill -9 under clients that hand in lines: whatever was answered must arrive, with the `seq` that was answered. */

import { assert, assertEquals } from "@std/assert";
import { startChild } from "./children.ts";
import { FAST, handIn, listening } from "./handing_in.ts";
import { makeRig, replaced, seqsOf } from "./publishing.ts";
import type { seeded } from "../../tools/shared/seeded.ts";

/** Clients at a time. */
const CLIENTS = 12;
/** Lines that every other client writes at once; the others await the receipt of each. */
const PIPELINED = 50;

/** Kills the publisher so many times; returns how many receipts there were. */
export async function killUnderClients(
  rounds: number,
  random: ReturnType<typeof seeded>,
): Promise<number> {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  // Nothing may be dropped by a limit: each receipt is to be found again.
  const limits = ["--queue-max-messages", "10000000", "--queue-max-bytes", "4GiB"];
  const more = [...flags, ...limits, "--inflight", "100"];
  const args = ["publish", ...rig.flags, ...more];
  /** Which line a receipt's `seq` stands for. */
  const answered = new Map<number, string>();
  for (let round = 0; round < rounds; round++) {
    if (round % 3 === 0) rig.endpoint.pause();
    else await rig.endpoint.resume();
    const child = startChild(args, { cwd: rig.folder });
    await child.until(() => child.events("start").length > 0);
    const before = answered.size;
    const enough = before + 1 + Math.floor(random() * 1500);
    const killed = Promise.withResolvers<void>();
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      using connection = await handIn(path);
      const lines = client % 2 === 0 ? 1 : PIPELINED;
      for (let n = 0, told = 0;; n += lines) {
        const ids = Array.from({ length: lines }, (_, at) => `${round}-${client}-${n + at}`);
        if (!await connection.write(ids.map((id) => `{"id":"${id}"}\n`).join(""))) return;
        for (const end = told + lines; told < end;) {
          const receipts = await connection.receipts(told + 1).catch(() => undefined);
          if (receipts === undefined) return;
          for (const receipt of receipts) {
            assert(receipt.ok, JSON.stringify(receipt));
            assert(!answered.has(receipt.seq), `seq ${receipt.seq} was given twice`);
            answered.set(receipt.seq, ids[lines - (end - told++)]!);
          }
          if (answered.size >= enough) killed.resolve();
        }
      }
    });
    await Promise.race([killed.promise, Promise.all(clients)]);
    await child.kill();
    await Promise.all(clients);
    assert(answered.size >= enough);
  }
  await rig.endpoint.resume();
  // A run that ends when all is delivered.
  const quiet = replaced(rig.flags, { "--log-level": "info" });
  const rest = [...limits, "--inflight", "100", "--source", "stdin"];
  const input = ReadableStream.from<Uint8Array>([]);
  const last = rig.run(["publish", ...quiet, ...rest], { input });
  assertEquals(await last.code, 0);
  const { queued, dropped } = await last.said("stopped");
  assertEquals([queued, dropped], [0, 0]);
  const delivered = new Set(seqsOf(rig.endpoint.received));
  const lost = [...answered.keys()].filter((seq) => !delivered.has(seq));
  assertEquals(
    lost.slice(0, 20),
    [],
    `${lost.length} of ${answered.size} receipts without their message`,
  );
  for (const { payload } of rig.endpoint.received) {
    const { seq, metrics } = JSON.parse(payload);
    const id = answered.get(seq);
    if (id !== undefined) assertEquals(metrics.id, id, `seq ${seq}`);
  }
  return answered.size;
}
