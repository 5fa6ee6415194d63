/** The gateway's post box: its own source, three that hand in, packs, an outage and kills in it. */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { type Child, startChild } from "../../support/children.ts";
import { handIn } from "../../support/handing_in.ts";
import { makeRig, type Rig } from "../../support/publishing.ts";
import { type PutSample, samplesOf } from "../../support/samples.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** As AWS IoT Core, which takes 100 publishes a second. */
const AWS = { limits: { receiveMaximum: 100, maximumPacketSize: 149_504 } };
const CLIENTS = 3;
/** Lines that a client writes at once: a second of its samples. */
const LINES = 50;
/** Seconds of samples of each client. */
const SECONDS = { before: 4, outage: 60, after: 4 } as const;

/** A client that hands in second after second, and again what was not answered. */
class Client {
  readonly #path: string;
  readonly #name: string;
  /** The sample of each receipt, by `seq`. */
  readonly answered: Map<number, string>;
  #seconds = 0;

  constructor(path: string, name: string, answered: Map<number, string>) {
    this.#path = path;
    this.#name = name;
    this.answered = answered;
  }

  /** Goes on up to so many seconds, or until nobody answers. */
  async upTo(seconds: number): Promise<void> {
    using connection = await handIn(this.#path);
    for (let told = 0; this.#seconds < seconds; this.#seconds++, told += LINES) {
      const ids = Array.from({ length: LINES }, (_, n) => `${this.#name}-${this.#seconds}-${n}`);
      const lines = ids.map((id) =>
        JSON.stringify({ topic: this.#name, metrics: { id, temperature_celsius: 21.5 } }) + "\n"
      );
      if (!await connection.write(lines.join(""))) return;
      for (let at = 0; at < LINES;) {
        const receipts = await connection.receipts(told + at + 1).catch(() => undefined);
        if (receipts === undefined) return;
        for (const receipt of receipts) {
          assert(receipt.ok, JSON.stringify(receipt));
          assert(!this.answered.has(receipt.seq), `seq ${receipt.seq} was given twice`);
          this.answered.set(receipt.seq, ids[at++]!);
        }
      }
    }
  }
}

/** The service, which is started again when it was killed. */
async function start(rig: Rig, flags: readonly string[]): Promise<Child> {
  const child = startChild(["publish", ...rig.flags, ...flags], { cwd: rig.folder });
  await child.until(() => child.events("start").length > 0);
  return child;
}

for (const packAs of ["samples", "columns"]) {
  Deno.test(`every receipt's sample arrives in packs of ${packAs}, through an outage and kill -9 in it (I1, K2)`, async () => {
    const arrived = new Set<number>();
    const samples: PutSample[] = [];
    let most = 0;
    await using rig = await makeRig({
      ...AWS,
      keep: "counts",
      onMessage({ payload }) {
        const more = samplesOf(payload);
        most = Math.max(most, more.length);
        samples.push(...more);
        for (const { seq } of more) arrived.add(seq);
      },
    });
    const { endpoint } = rig;
    const path = `${rig.folder}/in.sock`;
    const flags = [
      ...["--listen", path, "--topic-prefix", "dt/gw-7", "--source", "system@60s"],
      ...["--pack", "5KiB", "--pack-as", packAs, "--pack-wait", "1s", "--inflight", "10"],
    ];
    const answered = new Map<number, string>();
    const clients = ["pump", "boiler", "meter"].map((name) => new Client(path, name, answered));
    const upTo = (seconds: number) => Promise.all(clients.map((client) => client.upTo(seconds)));
    let child = await start(rig, flags);
    await upTo(SECONDS.before);
    endpoint.pause();
    endpoint.cut();
    // Half of the outage, a kill while lines come, and the other half.
    const half = SECONDS.before + SECONDS.outage / 2;
    await upTo(half);
    const going = upTo(half + SECONDS.outage / 2);
    await child.until(() => child.events("accepted").length > 0);
    await child.kill();
    await going;
    child = await start(rig, flags);
    await upTo(half + SECONDS.outage / 2);
    const waiting = answered.size;
    await endpoint.resume();
    await endpoint.waitFor(endpoint.counts.received + 10, { deadlineMs: 30_000 });
    await child.kill();
    child = await start(rig, flags);
    await upTo(half + SECONDS.outage / 2 + SECONDS.after);
    const missing = () => [...answered.keys()].filter((seq) => !arrived.has(seq));
    const wait = { deadlineMs: 60_000, what: "the samples of all receipts" };
    await endpoint.until(() => missing().length === 0, wait);
    await child.kill();

    assertLessOrEqual(
      CLIENTS * LINES * (SECONDS.before + SECONDS.outage),
      waiting + CLIENTS * LINES,
    );
    for (const { seq, metrics } of samples) {
      const id = answered.get(seq);
      if (id !== undefined) assertEquals(metrics.id, id, `seq ${seq}`);
    }
    // Its own source spoke at each start.
    assert(samples.filter(({ metrics }) => "uptime_seconds" in metrics).length >= 3);
    const repeats = samples.length - arrived.size;
    // The cut, and two kills.
    assertLessOrEqual(repeats, 3 * 10 * most);
    // What is billed is a fraction of the samples.
    assertLessOrEqual(endpoint.counts.received, samples.length / 3);
  });
}
