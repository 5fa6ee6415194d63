/**
 * Prometheus' text format, read as strictly as promtool does: HELP and TYPE once and before the samples, the samples of a
 * metric together, no sample twice, and the rules of `promtool check metrics` for names.
 */

/** One metric. */
export interface Metric {
  readonly help: string;
  readonly type: string;
  readonly samples: { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = '([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\\\\n]|\\\\[\\\\"n])*)"';

/** Parses it. @throws {Error} With the line that is wrong. */
export function parseMetrics(text: string): Map<string, Metric> {
  const metrics = new Map<string, Metric>();
  const fail = (why: string, line = "") => {
    throw new Error(`no metrics: ${why}: ${line}`);
  };
  if (text !== "" && !text.endsWith("\n")) fail("the last line has no end");
  let current = "";
  let help: string | undefined;
  for (const line of text.split("\n").slice(0, -1)) {
    const [, kind, about, rest] = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line) ?? [];
    if (kind === "HELP") {
      if (metrics.has(about!) || help !== undefined) fail("a second HELP", line);
      [current, help] = [about!, rest];
      continue;
    }
    if (kind === "TYPE") {
      if (about !== current || help === undefined) fail("TYPE without its HELP", line);
      if (!/^(counter|gauge)$/.test(rest!)) fail("another type", line);
      if ((rest === "counter") !== about!.endsWith("_total")) fail("counters end in _total", line);
      if (/_(ms|milliseconds|kb|mib|kib|minutes)(_|$)/.test(about!)) fail("no base unit", line);
      metrics.set(about!, { help: help!, type: rest!, samples: [] });
      help = undefined;
      continue;
    }
    const [, name, labels, value] = new RegExp(
      `^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (\\S+)$`,
    ).exec(line)?.filter((_, at) => at < 3 || at === 7) ?? [];
    if (name === undefined || name !== current || !metrics.has(name)) fail("no sample of it", line);
    if (Number.isNaN(Number(value))) fail("no number", line);
    const { samples } = metrics.get(name!)!;
    const all = Object.fromEntries(
      (labels ?? "").matchAll(new RegExp(LABEL, "g")).map(([, key, escaped]) => [
        key!,
        escaped!.replace(/\\(.)/g, (_, letter) => letter === "n" ? "\n" : letter),
      ]),
    );
    if (samples.some((other) => JSON.stringify(other.labels) === JSON.stringify(all))) {
      fail("a sample twice", line);
    }
    samples.push({ labels: all, value: Number(value) });
  }
  for (const [name, { samples }] of metrics) if (samples.length === 0) fail("without sample", name);
  return metrics;
}
