/** Lost samples, bytes on the wire, start-up and memory beside others, as bars in an SVG that reads well on light and on dark ground. Pure. */

import { median } from "./process.ts";
import { type Figure, OURS, shown } from "./report.ts";

const WIDTH = 720;
/** Where bars begin, and the room right of the longest for its value. */
const LEFT = 170;
const RIGHT = 100;
const ROW = 26;
const BAR = 16;
const PANEL = 64;

/** One bar: the whole, and a part of it. */
interface Bar {
  readonly name: string;
  readonly value: number;
  readonly part?: number;
}

/** Draws the chart. */
export function chartOf(figures: readonly Figure[]): string {
  const values = (id: string) =>
    Object.entries(figures.find((figure) => figure.id === id)?.samples ?? {})
      .map(([name, samples]) => ({ name, value: median(samples) }));
  const whatOf = (id: string) => figures.find((figure) => figure.id === id)?.what ?? "";
  const privates = new Map(values("private").map(({ name, value }) => [name, value]));
  const start = sorted(values("start"));
  // Without our other forms.
  const shownThere = new Set(start.map(({ name }) => name));
  const memory = sorted(
    values("rss").filter(({ name }) => shownThere.has(name))
      .map(({ name, value }) => ({ name, value, part: privates.get(name) ?? 0 })),
  );
  const drawn = [
    {
      bars: sorted(values("outage, lost")),
      title: "Samples lost when the link is cut and the publisher killed",
      unit: whatOf("outage, lost").replace(": lost", ""),
    },
    {
      bars: sorted(values("month, wire")),
      title: "Bytes on the wire in a month at one sample a second",
      unit: "MB of TCP payload, both ways",
    },
    { bars: start, title: "From the start of the process to the first PUBACK", unit: "ms" },
    {
      bars: memory,
      title: "Memory at one message a second",
      unit: "MiB, resident / private, which is the first part of each bar",
    },
  ].filter(({ bars }) => bars.length > 0);
  let height = 0;
  const panels = drawn.map(({ bars, title, unit }) => {
    const panel = panelOf(bars, height, title, unit);
    height += PANEL + bars.length * ROW + 24;
    return panel;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>Lost samples, bytes on the wire, start-up and memory of mqtt443 beside other MQTT clients</title>
<style>
text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.unit { fill: #57606a }
.end { text-anchor: end }
.ours { font-weight: 700 }
.bar { fill: #a9b4c0 } .part { fill: #6e7b88 }
.bar.ours { fill: #54a3f0 } .part.ours { fill: #1f6fc4 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .unit { fill: #9aa5b1 }
  .bar { fill: #4b5661 } .part { fill: #7d8996 }
  .bar.ours { fill: #2f6fb3 } .part.ours { fill: #6cb6ff }
}
</style>
${panels.join("\n")}
</svg>
`;
}

function sorted<T extends Bar>(bars: readonly T[]): T[] {
  return bars.toSorted((a, b) => a.value - b.value);
}

function panelOf(bars: readonly Bar[], top: number, title: string, unit: string): string {
  const most = Math.max(1, ...bars.map(({ value }) => value));
  const px = (value: number) => (value / most * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const rows = bars.map(({ name, value, part }, index) => {
    const y = top + PANEL + index * ROW;
    // Packed too.
    const ours = name.startsWith(OURS) ? " ours" : "";
    const label = part === undefined ? shown(value) : `${shown(value)} / ${shown(part)}`;
    const bar = (kind: string, length: number) =>
      `<rect class="${kind}${ours}" x="${LEFT}" y="${y}" width="${px(length)}" height="${BAR}"/>`;
    return [
      `<text class="end${ours}" x="${LEFT - 10}" y="${y + 13}">${escaped(name)}</text>`,
      bar("bar", value),
      ...(part === undefined ? [] : [bar("part", part)]),
      `<text class="value${ours}" x="${LEFT + Number(px(value)) + 8}" y="${
        y + 13
      }">${label}</text>`,
    ].join("\n");
  });
  return [
    `<text class="title" x="12" y="${top + 28}">${title}</text>`,
    `<text class="unit" x="12" y="${top + 48}">${unit}</text>`,
    ...rows,
  ].join("\n");
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
