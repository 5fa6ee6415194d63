/** The default window on a link with a long round trip. */

import { runBulk } from "./bulk_run.ts";
import type { Form } from "./ours.ts";
import { type Figure, OURS } from "./report.ts";
import { LINK_MS, type Servers } from "./servers.ts";
import { PEERS, TARGETS } from "./targets.ts";

/** The default of `inflight`. */
const WINDOW = 20;
/** Times the link is measured, one after the other. */
const PINGS = 21;

/** What {@linkcode measureLink} is told. */
export interface LinkOptions {
  readonly servers: Servers;
  readonly dir: string;
  readonly form: Form;
  readonly runs: number;
  /** Messages of each run: so many that the round trip at its end does not matter. */
  readonly messages: number;
  readonly signal: AbortSignal;
}

/** Measures all runs at once: none of them has much to do. */
export async function measureLink(
  { servers, dir, form, runs, messages, signal }: LinkOptions,
): Promise<Figure[]> {
  const allowed: number[] = [];
  for (let turn = 0; turn < PINGS; turn++) allowed.push(WINDOW * 1000 / await servers.ping());
  const rates = await Promise.all(
    Array.from({ length: runs }, async (_, number) => {
      const { perS } = await runBulk({
        form,
        server: servers.link,
        paths: servers.paths,
        messages,
        inflight: WINDOW,
        durability: "power",
        state: `${dir}/state-link-${number}`,
        id: `bench-link-${number}`,
        signal,
      });
      return perS;
    }),
  );
  return [{
    id: "link",
    what: `window ${WINDOW}, round trip of ${LINK_MS} ms`,
    unit: "messages/s",
    samples: { [OURS]: rates, [PEERS.allowed]: allowed },
    targets: TARGETS.link,
  }];
}
