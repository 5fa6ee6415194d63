/** Text for people: suggestions for mistyped words, quoting, escaping, durations and sizes. Pure. */

/** The known word nearest to a mistyped one, or undefined if none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  // Longer words are near none, and the distance takes time in proportion to the length.
  if (word.length > 40) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** ` (did you mean "…"?)`, or nothing. */
export function didYouMean(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near === undefined ? "" : ` (did you mean "${near}"?)`;
}

/** A value for an error: quoted, and cut if it is long. */
export function quote(value: unknown): string {
  const text = hideKeys(typeof value === "string" ? value : JSON.stringify(value) ?? String(value));
  return oneLine(JSON.stringify(text.length > 160 ? `${text.slice(0, 157)}...` : text));
}

/** A text with its control characters escaped: they could end a line, move the cursor or reverse the order. */
export function oneLine(text: string): string {
  return hideKeys(text).replace(CONTROL, (character) => {
    const code = character.charCodeAt(0);
    // JSON has short forms (\n) of the low ones and leaves the high ones alone.
    if (code < 0x20) return JSON.stringify(character).slice(1, -1);
    return `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** A word quoted for a shell, for hints that can be pasted. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Hides what follows the beginning of a PEM block: somebody may paste a key where its path is wanted. */
function hideKeys(text: string): string {
  return text.replace(/-----BEGIN (?!\u2026)[^]*/, "-----BEGIN … (not shown)");
}

/** Characters that must not reach a terminal: controls, line and paragraph separators, direction marks. */
export const CONTROL =
  // deno-lint-ignore no-control-regex -- controls are what it looks for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Damerau-Levenshtein: letters to insert, delete, replace or swap with a neighbour. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      row[j] = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j]!, beforeLast[j - 2]! + 1);
      }
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length]!;
}

/**
 * A text in lines of so many columns, broken at spaces alone, and nowhere between backticks: a command that is too long
 * for a line gets one of its own, to be copied whole.
 */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.match(/[^\s`]*`[^`]*`[^\s`]*|\S+/g) ?? []) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** A text in a terminal colour. */
export function coloured(colour: number, text: string): string {
  return `\x1b[${colour}m${text}\x1b[39m`;
}

/** Lines with the journal's priority prefix, sd-daemon(3): 3 error, 4 warning, 6 info, 7 debug. */
export function forJournal(priority: number, text: string): string {
  return text.split("\n").map((line) => `<${priority}>${line}`).join("\n");
}

/** Milliseconds of each unit of a duration. */
export const DURATION_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** Bytes of each unit of a size. */
export const SIZE_BYTES: Record<string, number> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** A duration in the largest unit that is exact: `1500` is `1.5s`, `100001` is `100001ms`. */
export function formatDuration(ms: number): string {
  return ms === 0 ? "0s" : inUnits(ms, DURATION_MS, true);
}

/** A size in the largest unit that is exact: `67108864` is `64MiB`. */
export function formatSize(bytes: number): string {
  return inUnits(bytes, SIZE_BYTES, true);
}

/** A size for people, to two decimals: `1234567` is `1.18MiB`. */
export function roundSize(bytes: number): string {
  return inUnits(bytes, SIZE_BYTES, false);
}

function inUnits(value: number, units: Record<string, number>, isExact: boolean): string {
  const entries = Object.entries(units);
  const rounded = (factor: number) => Number((value / factor).toFixed(2));
  const fits = (factor: number) =>
    value >= factor && (!isExact || rounded(factor) * factor === value);
  const [unit, factor] = entries.findLast(([, factor]) => fits(factor)) ?? entries[0]!;
  return `${rounded(factor)}${unit}`;
}

/** A time without its fraction of a second: `2026-11-23T03:24:45Z`. */
export function toSeconds(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, "Z");
}
