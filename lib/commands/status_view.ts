/** The status as text of 80 columns: link, rates of the last minute, queue against its limits, what hinders. Pure. */

import type { World } from "../core/process.ts";
import { oneLine, roundSize, wrap } from "../core/text.ts";
import type { StatusDocument } from "../publisher/mod.ts";

/** A status, and how old it is. */
export interface Seen {
  readonly status: StatusDocument;
  readonly ageMs: number;
}

/** Columns of a terminal. */
const COLUMNS = 80;
/** Columns of a label, and of a gauge. */
const LABEL = 12;
const GAUGE = 20;
const BARS = "▁▂▃▄▅▆▇█";

/**
 * The text, without a line break at its end.
 *
 * @param paint Colours the state of the link.
 */
export function statusText(
  { status, ageMs }: Seen,
  paint: NonNullable<World["paintOut"]> = (_status, text) => text,
): string {
  const now = Date.parse(status.updatedAt);
  const since = (time: string | null) => time === null ? "never" : ago(now - Date.parse(time));
  const { link, pubackMs, certificate, limits } = status;
  const isUp = link.state === "connected";
  const through = status.proxy === null ? "" : ` through ${status.proxy}`;
  const next = link.nextAttemptAt === null
    ? ""
    : `, next attempt in ${span(Date.parse(link.nextAttemptAt) - now)}`;
  const how = isUp ? "" : `${link.attempt === 0 ? "" : `, attempt ${link.attempt}`}${next}`;
  const rows: [label: string, text: string][] = [
    ["link", `${link.state} for ${since(link.since)}${how}`],
    ["", `${status.endpoint}${through}`],
    ...hindrances(status).flatMap(([what, todo]) => [
      row("hinders", what),
      ...(todo === undefined ? [] : [row("to do", todo)]),
    ]),
    ["publishes", `as ${status.clientId} to ${status.topic}`],
    ["last minute", rates(status.lastMinute)],
    [
      "sent",
      `${status.published} published, ${status.acknowledged} acknowledged, ` +
      `${counted(status.reconnects, "reconnect")}`,
    ],
    ...(pubackMs === null ? [] : [row(
      "PUBACK",
      `half of them within ${pubackMs.p50} ms, 99 % within ${pubackMs.p99} ms`,
    )]),
    ["queue", gauge(status.waiting, limits.messages, counted(status.waiting, "message"))],
    ["", gauge(status.bytes, limits.bytes, roundSize(status.bytes), roundSize(limits.bytes))],
    ...(status.oldest === null
      ? []
      : [row("", `the oldest was sampled ${since(status.oldest)} ago`)]),
    [
      "lost",
      `${status.dropped} dropped, ${status.quarantined} quarantined, ${status.refused} refused`,
    ],
    ...(certificate === null ? [] : [row(
      "certificate",
      `${counted(certificate.daysLeft, "day")} left: ${certificate.subject}, to ` +
        `${certificate.notAfter.slice(0, 10)}`,
    )]),
    ...status.sources.map(({ name, lastOk, failed }, at) =>
      row(
        at === 0 ? "sources" : "",
        `${name}: read ${lastOk === null ? "never" : `${since(lastOk)} ago`}` +
          `${failed === 0 ? "" : `, failed ${counted(failed, "time")}`}`,
      )
    ),
  ];
  const head = `mqtt443 ${status.version}, process ${status.pid}, running for ${
    since(status.startedAt)
  }; this is ${span(ageMs)} old`;
  const [first, ...others] = rows.flatMap(([label, text]) => lines(label, text));
  const painted = first!.replace(link.state, (state) => paint(isUp ? "ok" : "fail", state));
  return [oneLine(head), "", painted, ...others].join("\n");
}

function row(label: string, text: string): [string, string] {
  return [label, text];
}

/** What is not as it should be, and what to do about it. */
function hindrances({ link, diskState, waiting, limits, certificate }: StatusDocument) {
  const found: [what: string, todo: string | undefined][] = [];
  if (link.state !== "connected" && link.lastFailure !== null) {
    found.push([link.lastFailure.cause, link.lastFailure.hint ?? undefined]);
  }
  if (diskState === "failing") {
    found.push(["the disk takes no messages; new ones wait in memory", "see the log, and `df -h`"]);
  }
  if (waiting >= limits.messages) {
    found.push(["the queue is full", "raise queueMaxMessages, or see what keeps the link down"]);
  }
  if (certificate !== null && certificate.daysLeft < 30) {
    found.push(["the certificate expires soon", "put a renewed one in its place"]);
  }
  return found;
}

function lines(label: string, text: string): string[] {
  const [first = "", ...others] = wrap(oneLine(text), COLUMNS - LABEL);
  return [`${label.padEnd(LABEL)}${first}`, ...others.map((line) => " ".repeat(LABEL) + line)];
}

/** A bar for each 5 s, and the sum. */
function rates(lastMinute: readonly number[]): string {
  const most = Math.max(1, ...lastMinute);
  const bars = lastMinute.map((count) => BARS[Math.ceil(count / most * (BARS.length - 1))]).join(
    "",
  );
  const sum = lastMinute.reduce((total, count) => total + count, 0);
  return `|${bars}| ${counted(sum, "message")}`;
}

/** How full the queue is by one of its limits. */
function gauge(value: number, most: number, words: string, of = String(most)): string {
  const share = Math.min(1, value / most);
  const filled = "█".repeat(Math.ceil(share * GAUGE));
  return `|${filled.padEnd(GAUGE, "░")}| ${words} of ${of}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function ago(ms: number): string {
  return span(Math.max(0, ms));
}

/** In the two largest units: `3 h 12 min`. */
function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3600) % 24} h`;
}
