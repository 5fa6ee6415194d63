/**
 * Keeps a session up: attempts, the waits between them, and the planned change to a new identity.
 *
 * Rules: an attempt follows the one before by a second at least, whoever asks for it; a planned change is no failure
 * and waits for no back-off. What is said and how long to wait is outage.ts's business; what a session does is the
 * caller's.
 */

import type { Connection } from "../connection/mod.ts";
import { UserError } from "../core/errors.ts";
import { sleep } from "../core/wait.ts";
import type { Logger } from "../core/log.ts";
import type { Outage, SessionEnd } from "./outage.ts";

/** What a link works with. */
export interface LinkOptions {
  readonly outage: Pick<Outage, keyof Outage>;
  readonly log: Logger;
  /** Opens one session. */
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  /** Uses a session until it has ended; tells why, or that we ended it. */
  readonly use: (
    connection: Connection,
  ) => Promise<SessionEnd & { readonly reason: UserError | undefined }>;
  /** Ends the session in use in good order: what is in flight is acknowledged first, if it can be. */
  readonly handOver: () => void;
  /** An attempt failed, or a session was lost. */
  readonly onFailure: (reason: UserError) => void;
  /** Told of each state it comes to. */
  readonly onLink?: ((state: LinkState) => void) | undefined;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** ms of a clock that never jumps. */
  readonly monotonicMs: () => number;
}

/** What a link does: it has a session, or is to have one, or waits `ms` after a failure. */
export type LinkState =
  | { readonly at: "connecting" | "open" }
  | { readonly at: "waiting"; readonly ms: number; readonly reason: UserError | undefined };

/** A link that is kept up. */
export interface Link {
  /** Settles when the signal has come. Rejects for a bug alone. */
  run(): Promise<void>;
  /**
   * Asks for an attempt now.
   *
   * @param isNew Whether it would say another thing than the session that is open, which ends for it.
   * @param why What for.
   */
  renew(isNew: boolean, why?: string): void;
}

/** Least time between the beginnings of two attempts, in ms: AWS takes one CONNECT a second per client id. */
const LEAST_MS = 1000;

/** Makes a link that is not yet run. */
export function createLink(options: LinkOptions): Link {
  const { outage, log, connect, use, handOver, onFailure, onLink, signal, monotonicMs } = options;
  let state: "waiting" | "connecting" | "open" | "ending" = "waiting";
  let startedMs = -Infinity;
  /** What a new attempt is for that was asked for during one. */
  let stale: string | undefined;
  let endWait = () => {};

  const wait = async (ms: number) => {
    state = "waiting";
    const early = new AbortController();
    endWait = () => early.abort();
    signal.addEventListener("abort", endWait, { once: true });
    await sleep(signal.aborted ? 0 : ms, early.signal);
    signal.removeEventListener("abort", endWait);
    await sleep(startedMs + LEAST_MS - monotonicMs(), signal);
  };
  const endPlanned = (why: string) => {
    state = "ending";
    log.info("disconnected", { cause: `planned: ${why}` });
    handOver();
  };
  /** One attempt, and its session. Returns the ms to wait after it. */
  const turn = async (): Promise<number> => {
    onLink?.({ at: "connecting" });
    outage.connecting();
    state = "connecting";
    stale = undefined;
    startedMs = monotonicMs();
    let connection: Connection;
    try {
      connection = await connect(signal);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (signal.aborted) return 0;
      onFailure(error);
      return toWait(outage.failed(error), error);
    }
    onLink?.({ at: "open" });
    outage.connected(connection);
    if (signal.aborted) connection.abort();
    state = "open";
    const using = use(connection);
    if (stale !== undefined) endPlanned(stale);
    const end = await using;
    if (signal.aborted || end.reason === undefined) return toWait(0, end.reason);
    onFailure(end.reason);
    return toWait(outage.ended(end.reason, end), end.reason);
  };
  const toWait = (ms: number, reason: UserError | undefined): number => {
    onLink?.({ at: "waiting", ms, reason });
    return ms;
  };

  return {
    async run() {
      while (!signal.aborted) await wait(await turn());
    },
    renew(isNew, why = "to connect with the renewed certificate") {
      if (state === "waiting") endWait();
      else if (isNew && state === "connecting") stale = why;
      else if (isNew && state === "open") endPlanned(why);
    },
  };
}
