/** A delivery against a server that loses, refuses and acknowledges at random: whatever it does, all ends well. */

import { assertEquals } from "@std/assert";
import { type Connection, PublishRefusedError } from "../../lib/connection/mod.ts";
import { Delivery } from "../../lib/publisher/delivery.ts";
import { Poison } from "../../lib/publisher/poison.ts";
import { createReports } from "../../lib/publisher/reports.ts";
import { seeded } from "../../tools/shared/seeded.ts";
import { TARGET } from "../support/publishing.ts";
import { memoryQueue, message } from "../support/queueing.ts";

type Done = Parameters<Connection["publish"]>[1];

const SEEDS = 100;
/** Sessions of trouble, and those that may be needed after it: each culprit may cost some. */
const [TROUBLED, CALM] = [25, 60];
const [NOT_AUTHORIZED, QUOTA_EXCEEDED] = [0x87, 0x97];
const LOG = { debug() {}, info() {}, warn() {}, error() {} };
const turn = () => new Promise<void>((resolve) => void setImmediate(resolve));

Deno.test(`delivery ends with each message delivered, and each culprit set aside, in ${SEEDS} runs of trouble (P1-P5)`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) await run(seed);
});

async function run(seed: number): Promise<void> {
  const random = seeded(seed);
  const chance = (share: number) => random() < share;
  const queue = memoryQueue();
  const poison = new Poison();
  const reports = createReports(LOG, () => 0);
  const delivered = new Set<number>();
  const culprits = new Map<number, "hangs up" | "refused">();
  let last = 0;
  const put = (count: number, mayBeBad = true) => {
    const first = queue.nextSeq;
    queue.put(Array.from({ length: count }, (_, n) => message({ text: `${first + n}` })));
    for (let n = 0; n < count; n++) {
      last++;
      if (mayBeBad && chance(0.03)) culprits.set(last, chance(0.5) ? "hangs up" : "refused");
    }
  };
  put(5);
  let isDone = false;
  for (let session = 0; session < TROUBLED + CALM && !isDone; session++) {
    const isCalm = session >= TROUBLED;
    // Only where others are accepted is one to blame.
    if (isCalm && queue.waiting.messages > 0) put(1, false);
    const flying: [number, Done][] = [];
    let isLost = false;
    const connection = {
      publish({ payload }: { payload: string }, done: Done) {
        flying.push([Number(payload), done]);
      },
      abort: () => void (isLost = true),
      doings: () => ({ sent: 0, acknowledged: 0, ms: 0 }),
    } as unknown as Connection;
    const delivery = new Delivery({
      ...{ connection, queue, poison, reports, log: LOG, inflight: 20, ackTimeoutMs: 60_000 },
      pacer: { waitMs: () => 0, sent() {} },
      target: TARGET,
      rates: { live: NONE, backlog: NONE },
      onAccepted() {},
      monotonicMs: () => 0,
    });
    // Bounded: in a calm session each step ends one message, or the session.
    for (let step = 0; step < 2000 && !isLost; step++) {
      if (!isCalm && chance(0.2)) {
        put(Math.ceil(random() * 8));
        delivery.wake();
      }
      if (flying.some(([seq]) => culprits.get(seq) === "hangs up" && chance(0.5))) break;
      if (!isCalm && chance(0.05)) break;
      const [[seq, done] = []] = flying.splice(
        chance(0.8) ? 0 : Math.floor(random() * flying.length),
        1,
      );
      if (seq === undefined || done === undefined) {
        await turn();
        isDone = isCalm && delivery.isIdle() && queue.waiting.messages === 0;
        if (isDone || !isCalm) break;
        continue;
      }
      if (culprits.get(seq) === "hangs up") break;
      if (culprits.get(seq) === "refused") done(new PublishRefusedError(NOT_AUTHORIZED, "t"));
      else if (!isCalm && chance(0.05)) done(new PublishRefusedError(QUOTA_EXCEEDED, "t"));
      else {
        delivered.add(seq);
        done();
      }
      if (chance(0.3)) await turn();
    }
    delivery.stop(!isDone);
  }
  const { waiting, quarantined } = queue.stats();
  queue.close();
  assertEquals({ seed, isDone, waiting, quarantined }, {
    ...{ seed, isDone: true, waiting: 0, quarantined: culprits.size },
  });
  assertEquals(delivered.size, last - culprits.size, `seed ${seed}`);
}

const NONE = { messages: undefined, bytes: undefined };
