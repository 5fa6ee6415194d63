/**
 * How a run fares, for people and programs on this machine: the document of the status file, and the readings of the
 * source `self`. Counts are since the start of the process, but for what waits and what is quarantined.
 *
 * Rules: fields of the document are only ever added; what is not known is null; nothing in it is a secret.
 */

import { VERSION } from "../core/build.ts";
import { place, type Target } from "../core/endpoint.ts";
import { failureFields } from "../core/errors.ts";
import type { Reading } from "../core/message.ts";
import { wholeDaysLeft } from "../identity/mod.ts";
import type { Queue } from "../queue/mod.ts";
import type { Settings } from "../settings/mod.ts";
import type { LinkState } from "./reconnect.ts";
import type { Delivered, Reports } from "./reports.ts";

/** The document. Times are ISO 8601 in UTC. */
export interface StatusDocument {
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly updatedAt: string;
  /** `host:port`. */
  readonly endpoint: string;
  readonly proxy: string | null;
  readonly clientId: string;
  readonly topic: string;
  readonly link: {
    readonly state: "connecting" | "connected" | "waiting";
    readonly since: string;
    /** Attempts since the last session. */
    readonly attempt: number;
    readonly nextAttemptAt: string | null;
    readonly lastFailure: {
      readonly step: string | null;
      readonly code: string | null;
      readonly cause: string;
      readonly hint: string | null;
      readonly at: string;
    } | null;
  };
  /** Sessions after the first one. */
  readonly reconnects: number;
  readonly published: number;
  /** Those of them with a PUBACK. */
  readonly acknowledged: number;
  /** Messages published in each 5 s of the last minute, the latest last. */
  readonly lastMinute: readonly number[];
  readonly dropped: number;
  readonly quarantined: number;
  /** Lines handed in that were not taken. */
  readonly refused: number;
  readonly waiting: number;
  readonly bytes: number;
  readonly limits: { readonly messages: number; readonly bytes: number };
  /** When the oldest message that waits was sampled. */
  readonly oldest: string | null;
  /** `none`: with durability none. */
  readonly diskState: "ok" | "failing" | "none";
  /** From PUBLISH to PUBACK, of the last 512. */
  readonly pubackMs: { readonly p50: number; readonly p99: number } | null;
  readonly certificate: {
    readonly subject: string;
    readonly notAfter: string;
    readonly daysLeft: number;
  } | null;
  readonly sources: readonly {
    readonly name: string;
    readonly lastOk: string | null;
    /** How often it failed. */
    readonly failed: number;
  }[];
}

/** Options of {@linkcode RunStatus}. */
export interface RunStatusOptions {
  readonly settings: Settings;
  readonly target: Target;
  readonly queue: Pick<Queue, "stats"> & Pick<StatusDocument, "diskState">;
  readonly reports: Pick<Reports, "totals" | "failures">;
  /** The device certificate in use. */
  readonly certificate: () => { readonly subject: string; readonly validTo: Date } | undefined;
  readonly now: () => Date;
  /** ms of a clock that never jumps. */
  readonly monotonicMs: () => number;
}

/** How often the status is written, and messages are counted for `lastMinute`, in ms. */
export const STATUS_MS = 5000;
/** PUBACKs of which the times are remembered. */
const ANSWERS = 512;

const LINK_WORDS = { connecting: "connecting", open: "connected", waiting: "waiting" } as const;

/** The account of a run for those who look at it. */
export class RunStatus {
  readonly #options: RunStatusOptions;
  readonly #startedAt: Date;
  #link: LinkState = { at: "connecting" };
  /** When the link came to that. Kept as a time of the monotonic clock, so that a wall clock set in between is right. */
  #sinceMs: number;
  #attempt = 1;
  #sessions = 0;
  #lastFailure: StatusDocument["link"]["lastFailure"] = null;
  #acknowledged = 0;
  /** Times from PUBLISH to PUBACK, a ring. */
  readonly #answersMs = new Float64Array(ANSWERS);
  #answers = 0;
  #lastMinute: number[] = Array(60_000 / STATUS_MS).fill(0);
  /** Messages published by the last count. */
  #counted = 0;
  /** When each source gave something last, ms since the epoch. */
  readonly #lastOk = new Map<string, number | undefined>();

  constructor(options: RunStatusOptions) {
    this.#options = options;
    this.#startedAt = options.now();
    this.#sinceMs = options.monotonicMs();
  }

  /** The link has come to another state. */
  link(state: LinkState): void {
    if (state.at === "open") this.#sessions++;
    if (state.at === "connecting") this.#attempt += this.#link.at === "connecting" ? 0 : 1;
    if (state.at === "open") this.#attempt = 0;
    this.#link = state;
    this.#sinceMs = this.#options.monotonicMs();
    if (state.at !== "waiting" || state.reason === undefined) return;
    const { step = null, code = null, cause, hint = null } = failureFields(state.reason);
    this.#lastFailure = { step, code, cause, hint, at: this.#options.now().toISOString() };
  }

  /** The reports of the run, of which it counts what is delivered. */
  counting(reports: Reports): Reports {
    return {
      ...reports,
      published: (message: Delivered) => {
        const before = reports.totals.published;
        reports.published(message);
        if (message.qos === 0) return;
        this.#acknowledged += reports.totals.published - before;
        this.#answersMs[this.#answers++ % ANSWERS] = message.ms;
      },
    };
  }

  /** Sources were read. Of several of one name, one that gave something is enough. */
  read(
    sources: readonly { readonly name: string }[],
    failures: readonly { readonly source: string }[] = [],
  ): void {
    const nowMs = this.#options.now().getTime();
    for (const [name, { length }] of Map.groupBy(sources, ({ name }) => name)) {
      const failed = failures.filter(({ source }) => source === name).length;
      this.#lastOk.set(name, failed < length ? nowMs : this.#lastOk.get(name));
    }
  }

  /** Counts for `lastMinute`; to be called every {@linkcode STATUS_MS}. */
  count(): void {
    const { published } = this.#options.reports.totals;
    this.#lastMinute = [...this.#lastMinute.slice(1), published - this.#counted];
    this.#counted = published;
  }

  /** How it stands now. */
  document(): StatusDocument {
    const { settings, target, queue, reports } = this.#options;
    const { published, dropped, intake } = reports.totals;
    const { quarantined, waiting, bytes, oldestMs } = queue.stats();
    const now = this.#options.now();
    const { facts, daysLeft } = this.#certificate(now);
    return {
      version: VERSION,
      pid: Deno.pid,
      startedAt: this.#startedAt.toISOString(),
      updatedAt: now.toISOString(),
      endpoint: place(target),
      proxy: target.proxy === undefined ? null : place(target.proxy),
      clientId: settings.clientId,
      topic: settings.topic,
      link: this.#linkNow(now),
      reconnects: this.#reconnects,
      published,
      acknowledged: this.#acknowledged,
      lastMinute: this.#lastMinute,
      ...{ dropped, quarantined, refused: intake?.refused ?? 0, waiting, bytes },
      limits: { messages: settings.queueMaxMessages, bytes: settings.queueMaxBytes },
      oldest: timeOf(oldestMs),
      diskState: queue.diskState,
      pubackMs: this.#answerTimes(),
      certificate: facts === undefined ? null : {
        subject: facts.subject,
        notAfter: facts.validTo.toISOString(),
        daysLeft: daysLeft!,
      },
      sources: Array.from(this.#lastOk, ([name, lastOkMs]) => {
        return { name, lastOk: timeOf(lastOkMs), failed: reports.failures.get(name) ?? 0 };
      }),
    };
  }

  /** The readings of the source `self`. */
  readings(): Reading[] {
    const { queue, reports: { totals } } = this.#options;
    const { quarantined, waiting, bytes, oldestMs } = queue.stats();
    const now = this.#options.now();
    const answers = this.#answerTimes();
    const { daysLeft } = this.#certificate(now);
    const ageMs = oldestMs === undefined ? 0 : Math.max(0, now.getTime() - oldestMs);
    const values = {
      queue_messages: waiting,
      queue_bytes: bytes,
      queue_oldest_seconds: Math.round(ageMs / 1000),
      published_total: totals.published,
      dropped_total: totals.dropped,
      quarantined_total: quarantined,
      reconnects_total: this.#reconnects,
      ...(answers && {
        puback_p50_seconds: answers.p50 / 1000,
        puback_p99_seconds: answers.p99 / 1000,
      }),
      ...(daysLeft !== undefined && { certificate_days_left: daysLeft }),
    };
    return Object.entries(values).map(([name, value]) => ({ name, value }));
  }

  get #reconnects(): number {
    return Math.max(0, this.#sessions - 1);
  }

  #linkNow(now: Date): StatusDocument["link"] {
    const at = (ms: number) =>
      new Date(now.getTime() + ms - this.#options.monotonicMs()).toISOString();
    const link = this.#link;
    return {
      state: LINK_WORDS[link.at],
      since: at(this.#sinceMs),
      attempt: this.#attempt,
      nextAttemptAt: link.at === "waiting" ? at(this.#sinceMs + link.ms) : null,
      lastFailure: this.#lastFailure,
    };
  }

  #certificate(now: Date) {
    const facts = this.#options.certificate();
    return { facts, daysLeft: facts && wholeDaysLeft(facts.validTo, now) };
  }

  /** To a tenth of a millisecond. */
  #answerTimes(): StatusDocument["pubackMs"] {
    const times = this.#answersMs.slice(0, Math.min(this.#answers, ANSWERS)).sort();
    const part = (share: number) =>
      Math.round(times[Math.floor((times.length - 1) * share)]! * 10) / 10;
    return times.length === 0 ? null : { p50: part(0.5), p99: part(0.99) };
  }
}

function timeOf(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
