/** The local endpoint, counting what arrives of each device. */

import { AWS_ALPN, type Endpoint, readCerts, startEndpoint } from "../endpoint/mod.ts";
import { samplesIn } from "./publishers.ts";
import type { Server, Servers } from "./servers.ts";

/** AWS bills a message for each 5 KiB of topic and payload begun. */
const BILLED_BYTES = 5120;

/** What arrived of one device. */
export interface Arrived {
  /** Messages billed. */
  readonly billed: number;
  /** How often each sample arrived, by its number. */
  readonly samples: ReadonlyMap<number, number>;
}

/** An endpoint that counts. Disposing of it ends it. */
export class Tally implements AsyncDisposable {
  readonly #arrived = new Map<string, { billed: number; readonly samples: Map<number, number> }>();
  readonly endpoint: Endpoint;

  private constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  static async start({ paths }: Servers): Promise<Tally> {
    const tally: Tally = new Tally(
      await startEndpoint({
        certificates: (await readCerts(paths.dir))!,
        keep: "counts",
        onMessage: ({ topic, bytes, payload }) => tally.#count(topic.length + bytes, payload),
      }),
    );
    return tally;
  }

  /** How it is reached, directly or through a relay at that port. */
  server(port = this.endpoint.port): Server {
    return { name: "local endpoint", port, alpn: AWS_ALPN };
  }

  of(device: string): Arrived {
    return this.#arrived.get(device) ?? { billed: 0, samples: new Map() };
  }

  #count(bytes: number, payload: string): void {
    const samples = samplesIn(payload);
    const { device } = samples[0]!;
    let arrived = this.#arrived.get(device);
    if (arrived === undefined) {
      this.#arrived.set(device, arrived = { billed: 0, samples: new Map() });
    }
    arrived.billed += Math.ceil(bytes / BILLED_BYTES);
    for (const { number } of samples) {
      arrived.samples.set(number, (arrived.samples.get(number) ?? 0) + 1);
    }
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.endpoint[Symbol.asyncDispose]();
  }
}
