/** An outage: the link is cut, in it the publisher is killed and started again. Which samples arrive, and how often? */

import { Feed, Gateway } from "./gateway.ts";
import { delay, waitFor } from "./process.ts";
import { findPublishers, type PublishersOptions } from "./publishers.ts";
import type { Figure } from "./report.ts";
import type { PhaseOptions } from "./servers.ts";
import { Tally } from "./tally.ts";

/** What {@linkcode measureOutage} is told. */
export interface OutageOptions extends PhaseOptions, PublishersOptions {
  /** Before the cut and after it, with samples. */
  readonly aroundMs: number;
  /** The cut; in its middle the publishers are killed. */
  readonly cutMs: number;
  /** How long to wait at most for the first samples, and after the last one for what has not arrived yet. */
  readonly patienceMs: number;
}

/** Between two samples, in ms. */
const EVERY_MS = 200;

/** Cuts everybody's link at once. */
export async function measureOutage(options: OutageOptions): Promise<Figure[]> {
  const { aroundMs, cutMs, patienceMs, signal } = options;
  await using stack = new AsyncDisposableStack();
  const tally = stack.use(await Tally.start(options.servers));
  const { endpoint } = tally;
  const gateways: Gateway[] = [];
  for (const [number, publisher] of findPublishers(options).entries()) {
    gateways.push(
      stack.use(await Gateway.start(publisher, number, tally.server(), options)),
    );
  }
  const feed = stack.use(new Feed(gateways, EVERY_MS));
  const arrivedOf = ({ device }: Gateway) => tally.of(device).samples.size;
  // An interpreter takes its time to start.
  await waitFor(() => gateways.every((gateway) => arrivedOf(gateway) > 0), patienceMs, signal);
  await delay(aroundMs, signal);
  endpoint.pause();
  endpoint.cut("rst");
  await delay(cutMs / 2, signal);
  // Whoever takes a sample when it comes has had the time.
  await feed.between();
  for (const gateway of gateways) gateway.kill();
  await delay(cutMs / 2, signal);
  await endpoint.resume();
  await delay(aroundMs, signal);
  feed[Symbol.dispose]();
  const { last } = feed;
  const lostOf = (gateway: Gateway) => last - arrivedOf(gateway);
  await waitFor(() => gateways.every((gateway) => lostOf(gateway) === 0), patienceMs, signal);
  const repeatedOf = ({ device }: Gateway) =>
    tally.of(device).samples.values().reduce((sum, times) => sum + times - 1, 0);
  const what = `of ${last} samples, link cut for ${cutMs / 1000} s with a kill -9 in it:`;
  const figure = (id: string, value: (gateway: Gateway) => number): Figure => ({
    id: `outage, ${id}`,
    what: `${what} ${id}`,
    unit: "samples",
    samples: Object.fromEntries(
      gateways.map((gateway) => [gateway.publisher.name, [value(gateway)]]),
    ),
  });
  return [figure("lost", lostOf), figure("repeated", repeatedOf)];
}
