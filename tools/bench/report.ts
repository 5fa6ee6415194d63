/** The figures: as a table for people, as one JSON line for programs. Pure. */

/** One figure of each client that has it. */
export interface Row {
  readonly what: string;
  readonly unit: string;
  /** By client; `mqtt443` is ours. */
  readonly values: Readonly<Record<string, number>>;
  /** Ours, as a multiple of something that is named. */
  readonly ratio?: { readonly of: string; readonly value: number };
  /** What must hold on every machine. */
  readonly wanted?: Wanted;
}

/** A criterion: on the ratio, or on our figure. */
export type Wanted = { readonly ratioAtLeast: number } | { readonly below: number };

/** Ours divided by a peer's, if both are there. */
export function ratioTo(
  peer: string,
  values: Readonly<Record<string, number>>,
): Pick<Row, "ratio"> {
  const { mqtt443 } = values;
  const other = values[peer];
  return mqtt443 === undefined || other === undefined
    ? {}
    : { ratio: { of: peer, value: mqtt443 / other } };
}

/** The table. */
export function tableOf(rows: readonly Row[]): string {
  const clients = [...new Set(rows.flatMap(({ values }) => Object.keys(values)))];
  const cells = [
    ["what", "unit", ...clients, "ratio", "wanted"],
    ...rows.map((row) => [
      row.what,
      row.unit,
      ...clients.map((client) =>
        row.values[client] === undefined ? "" : figure(row.values[client])
      ),
      row.ratio === undefined ? "" : `${row.ratio.value.toFixed(2)} of ${row.ratio.of}`,
      row.wanted === undefined ? "" : `${wordsOf(row.wanted)}: ${isMet(row) ? "yes" : "NO"}`,
    ]),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const isNumber = (column: number) => column > 1 && column < 2 + clients.length;
  return cells.map((row) =>
    row.map((cell, column) =>
      isNumber(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)
    ).join("  ").trimEnd()
  ).join("\n");
}

/** The criteria that do not hold, each as a line. */
export function missedBy(rows: readonly Row[]): string[] {
  return rows.filter((row) => row.wanted !== undefined && !isMet(row)).map((row) => {
    const is = "below" in row.wanted!
      ? `${figure(row.values.mqtt443 ?? NaN)} ${row.unit}`
      : ratioOf(row);
    return `${row.what.trim()}: wanted ${wordsOf(row.wanted!)}, is ${is}`;
  });
}

function isMet({ wanted, ratio, values: { mqtt443 = NaN } }: Row): boolean {
  if (wanted === undefined) return true;
  return "below" in wanted ? mqtt443 < wanted.below : (ratio?.value ?? NaN) >= wanted.ratioAtLeast;
}

function wordsOf(wanted: Wanted): string {
  return "below" in wanted ? `below ${wanted.below}` : `ratio at least ${wanted.ratioAtLeast}`;
}

function ratioOf({ ratio }: Row): string {
  return (ratio?.value ?? NaN).toFixed(2);
}

/** The JSON line. */
export function jsonOf(rows: readonly Row[], about: Readonly<Record<string, unknown>>): string {
  const rounded = rows.map((row) => ({
    ...row,
    values: Object.fromEntries(
      Object.entries(row.values).map(([client, value]) => [client, Number(value.toPrecision(4))]),
    ),
    ...(row.ratio && { ratio: { ...row.ratio, value: Number(row.ratio.value.toPrecision(3)) } }),
  }));
  return JSON.stringify({ ...about, rows: rounded });
}

/** Three digits that matter, thousands apart. */
function figure(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 10 ? 1 : 2);
}
