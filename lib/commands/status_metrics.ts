/** The status in Prometheus' text format, for the textfile collector of node_exporter. Pure. */

import { UserError } from "../core/errors.ts";
import type { StatusDocument } from "../publisher/mod.ts";
import type { Seen } from "./status_view.ts";

type Value = number | null | readonly (readonly [labels: Labels, value: number | null])[];
type Labels = Readonly<Record<string, string>>;

/** The text. Without a publisher, it says just that. */
export function prometheusText(seen: Seen | UserError): string {
  const isUp = !(seen instanceof UserError);
  const metrics = [
    metric("up", "Whether a publisher runs", isUp ? 1 : 0),
    ...(isUp ? metricsOf(seen) : []),
  ];
  return metrics.filter((text) => text !== "").join("");
}

function metricsOf({ status, ageMs }: Seen): string[] {
  const { link, limits, pubackMs, certificate, sources } = status;
  const { version, endpoint, clientId } = status;
  const now = Date.parse(status.updatedAt);
  const ageS = (time: string | null) => time === null ? null : (now - Date.parse(time)) / 1000;
  const eachSource = (of: (source: StatusDocument["sources"][number]) => number | null) =>
    sources.map((source) => [{ source: source.name }, of(source)] as const);
  return [
    metric("info", "The publisher", [[{ version, endpoint, client_id: clientId }, 1]]),
    metric("status_age_seconds", "Age of this status", ageMs / 1000),
    metric("start_time_seconds", "When the publisher started", Date.parse(status.startedAt) / 1000),
    metric("connected", "Whether it has a session", link.state === "connected" ? 1 : 0),
    metric("reconnects_total", "Sessions after the first one", status.reconnects),
    metric("published_total", "Messages delivered", status.published),
    metric("acknowledged_total", "Messages with a PUBACK", status.acknowledged),
    metric("dropped_total", "Messages dropped", status.dropped),
    metric("quarantined_total", "Messages set aside", status.quarantined),
    metric("refused_total", "Lines handed in that were not taken", status.refused),
    metric("queue_messages", "Messages that wait", status.waiting),
    metric("queue_bytes", "Their bytes", status.bytes),
    metric("queue_max_messages", "Most messages that may wait", limits.messages),
    metric("queue_max_bytes", "Most bytes that may wait", limits.bytes),
    metric("queue_oldest_seconds", "Age of the oldest message", ageS(status.oldest) ?? 0),
    metric("disk_failing", "Whether the disk takes no messages", +(status.diskState === "failing")),
    metric("puback_p50_seconds", "Median time to PUBACK", pubackMs && pubackMs.p50 / 1000),
    metric("puback_p99_seconds", "99 % of PUBACKs came within", pubackMs && pubackMs.p99 / 1000),
    metric("certificate_days_left", "Days left", certificate && certificate.daysLeft),
    metric("source_failures_total", "Failed reads", eachSource(({ failed }) => failed)),
    metric("source_age_seconds", "Since the last read", eachSource(({ lastOk }) => ageS(lastOk))),
  ];
}

/** One metric with its samples; empty if nothing is known of it. */
function metric(name: string, help: string, value: Value): string {
  const samples = (Array.isArray(value) ? value : [[{}, value]]) as [Labels, number | null][];
  const known = samples.filter(([, value]) => value !== null);
  if (known.length === 0) return "";
  const full = `mqtt443_${name}`;
  return [
    `# HELP ${full} ${help}`,
    `# TYPE ${full} ${name.endsWith("_total") ? "counter" : "gauge"}`,
    ...known.map(([labels, value]) => `${full}${labelsText(labels)} ${value}`),
    "",
  ].join("\n");
}

function labelsText(labels: Labels): string {
  const escaped = (text: string) =>
    text.replace(/[\\"\n]/g, (letter) => letter === "\n" ? "\\n" : `\\${letter}`);
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
