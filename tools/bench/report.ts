/** The figures: as a table for people, as one JSON line for programs. Pure. */

import { median } from "./process.ts";

/** Ours, among those who are measured. */
export const OURS = "mqtt443";

/** What was measured of ours and of others. */
export interface Figure {
  /** Its name for programs. */
  readonly id: string;
  readonly what: string;
  readonly unit: string;
  /** One value a run, by who it is of. */
  readonly samples: Readonly<Record<string, readonly number[]>>;
  readonly targets?: readonly Target[] | undefined;
}

/** What has to hold for our median, alone or beside somebody else's. */
export interface Target {
  readonly is: "at most" | "at least";
  readonly value: number;
  /** Whom ours is compared with; without it our figure itself counts. */
  readonly of?: string;
  /** How it is compared. @default "ratio" */
  readonly as?: "ratio" | "difference";
}

/** A target and what came of it; `measured` is absent where there was nothing to compare with. */
export interface Verdict {
  readonly target: Target;
  readonly measured?: number;
  readonly met?: boolean;
}

/** What came of each target of a figure. */
export function verdictsOf({ samples, targets = [] }: Figure): Verdict[] {
  const ours = median(samples[OURS] ?? []);
  return targets.map((target) => {
    const measured = compared(ours, target, samples);
    if (Number.isNaN(measured)) return { target };
    const met = target.is === "at most" ? measured <= target.value : measured >= target.value;
    return { target, measured, met };
  });
}

function compared(ours: number, { of, as }: Target, samples: Figure["samples"]): number {
  if (of === undefined) return ours;
  const theirs = median(samples[of] ?? []);
  return as === "difference" ? ours - theirs : ours / theirs;
}

/** The targets that were missed, each as a line. */
export function missedBy(figures: readonly Figure[]): string[] {
  return figures.flatMap((figure) =>
    verdictsOf(figure).filter(({ met }) => met === false).map(({ target, measured = NaN }) =>
      `${figure.what}: ${shown(measured)}${unitOf(figure, target)}, wanted ${wordsOf(target)}`
    )
  );
}

/** The targets that could not be judged, each as a line. */
export function unjudgedBy(figures: readonly Figure[]): string[] {
  return figures.flatMap((figure) =>
    verdictsOf(figure).filter(({ met }) => met === undefined)
      .map(({ target }) => `${figure.what}: wanted ${wordsOf(target)}, which was not measured`)
  );
}

/** The table: each figure with ours and the others' below it, and what is wanted of it. */
export function tableOf(figures: readonly Figure[], { judge }: { judge: boolean }): string {
  const cells = [
    ["figure", "median", "ours/theirs", "target", judge ? "" : undefined],
    ...figures.flatMap((figure) => rowsOf(figure, judge)),
  ].map((row) => row.filter((cell) => cell !== undefined));
  const widths = cells[0]!.map((_, column) =>
    Math.max(...cells.map((row) => row.length === 1 ? 0 : row[column]!.length))
  );
  return cells.map((row) =>
    row.map((cell, column) =>
      column === 1 || column === 2 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)
    ).join("  ").trimEnd()
  ).join("\n");
}

function rowsOf(figure: Figure, judge: boolean): (string | undefined)[][] {
  const { what, unit, samples } = figure;
  const verdicts = verdictsOf(figure);
  const named = (who: string) => verdicts.filter(({ target }) => (target.of ?? OURS) === who);
  const others = Object.keys(samples).filter((who) => who !== OURS);
  const absent = verdicts.map(({ target }) => target.of ?? OURS)
    .filter((who) => who !== OURS && !others.includes(who));
  return [
    [`${what}, ${unit}`],
    ...[OURS, ...others, ...new Set(absent)].flatMap((who) => {
      const theirs = median(samples[who] ?? []);
      const ratio = who === OURS ? "" : shown(median(samples[OURS] ?? []) / theirs);
      const first = [`  ${who}`, shown(theirs), ratio];
      const wanted = named(who);
      if (wanted.length === 0) return [[...first, "", judge ? "" : undefined]];
      return wanted.map((verdict, index) => [
        ...(index === 0 ? first : ["", "", ""]),
        wordsOf(verdict.target),
        judge ? verdictWord(verdict) : undefined,
      ]);
    }),
  ];
}

function verdictWord({ met, target, measured = NaN }: Verdict): string {
  if (met === undefined) return "not measured";
  const is = target.as === "difference" ? `: ${shown(measured)} more` : "";
  return met ? `met${is}` : `MISSED${is}`;
}

function wordsOf({ is, value, of, as }: Target): string {
  if (of === undefined) return `${is} ${shown(value)}`;
  return as === "difference" ? `${is} ${value} more than ${of}` : `${is} ${value} of ${of}`;
}

function unitOf({ unit }: Figure, { of, as }: Target): string {
  return of === undefined ? ` ${unit}` : as === "difference" ? ` ${unit} more` : "";
}

/** The JSON line. */
export function jsonOf(
  figures: readonly Figure[],
  about: Readonly<Record<string, unknown>>,
): string {
  return JSON.stringify({
    ...about,
    figures: figures.map((figure) => ({
      id: figure.id,
      what: figure.what,
      unit: figure.unit,
      values: Object.fromEntries(
        Object.entries(figure.samples).map(([who, values]) => [who, {
          median: digits(median(values)),
          least: digits(Math.min(...values)),
          most: digits(Math.max(...values)),
          runs: values.length,
        }]),
      ),
      targets: verdictsOf(figure).map(({ target, measured, met }) => ({
        ...target,
        ...(measured !== undefined && { measured: digits(measured), met }),
      })),
    })),
  });
}

function digits(value: number): number {
  return Number(value.toPrecision(4));
}

/** Three digits that matter, thousands apart. */
export function shown(value: number): string {
  if (Number.isNaN(value)) return "-";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2);
}
