/**
 * The default window on a link with a long round trip.
 *
 * What is judged is against the local endpoint, which answers at once. mosquitto as it is installed holds its second
 * PUBACK back until the first is acknowledged (Nagle's algorithm), which takes a round trip that no client can save.
 */

import { runBulk } from "./bulk_run.ts";
import type { Form } from "./ours.ts";
import type { Peer } from "./peers.ts";
import { type Figure, OURS } from "./report.ts";
import { run } from "./run.ts";
import { LINK_MS, type PhaseOptions, type Server } from "./servers.ts";
import { PEERS, TARGETS } from "./targets.ts";

/** The default of `inflight`. */
const WINDOW = 20;
/** Times the link is measured, one after the other. */
const PINGS = 21;

/** What {@linkcode measureLink} is told. */
export interface LinkOptions extends PhaseOptions {
  readonly form: Form;
  readonly peers: readonly Peer[];
  readonly runs: number;
  /** Messages of each run: so many that the round trip at its end does not matter. */
  readonly messages: number;
}

/** Measures all runs over a link at once: none of them has much to do. */
export async function measureLink(options: LinkOptions): Promise<Figure[]> {
  const { servers: { ping, links: [endpoint, main] }, peers, runs, messages, signal } = options;
  const allowed: number[] = [];
  for (let turn = 0; turn < PINGS; turn++) allowed.push(WINDOW * 1000 / await ping());
  const what = (server: Server) => `window ${WINDOW}, round trip of ${LINK_MS} ms, ${server.name}`;
  const unit = "messages/s";
  const judged: Figure = {
    id: "link",
    what: what(endpoint),
    unit,
    samples: { [OURS]: await rates(endpoint, options), [PEERS.allowed]: allowed },
    targets: TARGETS.link,
  };
  if (main.name === endpoint.name) return [judged];
  const bulk = peers.find(({ name }) => name === PEERS.c)?.bulk;
  const theirs = async () => {
    const { ms } = JSON.parse(await run(bulk!(messages, WINDOW, main.port), { signal }));
    return messages * 1000 / ms;
  };
  return [judged, {
    id: `link, ${main.name}`,
    what: `${what(main)} as it is installed`,
    unit,
    samples: {
      [OURS]: await rates(main, options),
      ...(bulk && { [PEERS.c]: await Promise.all(Array.from({ length: runs }, theirs)) }),
      [PEERS.allowed]: allowed,
    },
  }];
}

function rates(
  server: Server,
  { servers: { paths }, dir, form, runs, messages, signal }: LinkOptions,
): Promise<number[]> {
  return Promise.all(Array.from({ length: runs }, async (_, number) => {
    const { perS } = await runBulk({
      form,
      server,
      paths,
      messages,
      inflight: WINDOW,
      durability: "power",
      state: `${dir}/state-link-${number}`,
      id: `bench-link-${number}`,
      signal,
    });
    return perS;
  }));
}
