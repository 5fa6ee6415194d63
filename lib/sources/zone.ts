/**
 * The zone of the local time, looked up anew each time: one set while the program runs counts from then on.
 *
 * Deno reads the zone once, at its start, and takes a POSIX rule (`CET-1CEST,M3.5.0,M10.5.0/3`) for UTC. So what it knows is
 * used for names of zones alone; rules are followed here (POSIX.1, base definitions, 8.3; RFC 8536 section 3.3.1).
 */

/** The system's zone: a link to a file below `zoneinfo`, or such a file. */
export const LOCALTIME = "/etc/localtime";

/** Local time minus UTC at a time, in minutes. */
export type Zone = (time: Date) => number;

/** From when on a time of the year holds: the day, and the seconds after its midnight. */
interface Change {
  readonly dayOf: (year: number) => number;
  readonly seconds: number;
}

const NAME = "(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)";
const TIME = "[+-]?\\d{1,3}(?::\\d{2}(?::\\d{2})?)?";
const RULE = new RegExp(
  `^${NAME}(${TIME})(?:(${NAME})(${TIME})?(?:,([MJ\\d.]+)(?:/(${TIME}))?,([MJ\\d.]+)(?:/(${TIME}))?)?)?$`,
);
const DAY_MS = 86_400_000;

/**
 * The zone that a POSIX rule says; undefined if the text is none.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { posixZone } from "./zone.ts";
 *
 * const zone = posixZone("CET-1CEST,M3.5.0,M10.5.0/3")!;
 * assertEquals(zone(new Date("2026-01-15T12:00:00Z")), 60);
 * assertEquals(zone(new Date("2026-07-15T12:00:00Z")), 120);
 * ```
 */
export function posixZone(text: string): Zone | undefined {
  const match = RULE.exec(text);
  if (match === null) return undefined;
  const [, offset, summerName, summer, from, fromTime, to, toTime] = match;
  const standardS = 0 - secondsOf(offset!);
  if (summerName === undefined) return () => standardS / 60;
  const summerS = summer === undefined ? standardS + 3600 : -secondsOf(summer);
  // Without its own days a rule has those of the United States, as the C libraries do it.
  const begin = changeOf(from ?? "M3.2.0", fromTime);
  const end = changeOf(to ?? "M11.1.0", toTime);
  if (begin === undefined || end === undefined) return undefined;
  return (time) => {
    const year = new Date(time.getTime() + standardS * 1000).getUTCFullYear();
    const at = (change: Change, offsetS: number) =>
      change.dayOf(year) + (change.seconds - offsetS) * 1000;
    const [beginMs, endMs] = [at(begin, standardS), at(end, summerS)];
    const ms = time.getTime();
    const isSummer = beginMs < endMs ? ms >= beginMs && ms < endMs : ms >= beginMs || ms < endMs;
    return (isSummer ? summerS : standardS) / 60;
  };
}

function changeOf(day: string, time = "2"): Change | undefined {
  const seconds = secondsOf(time);
  const [, month, week, weekday] = /^M(\d{1,2})\.([1-5])\.([0-6])$/.exec(day)?.map(Number) ?? [];
  if (month !== undefined && month >= 1 && month <= 12) {
    return {
      seconds,
      dayOf(year) {
        const first = new Date(Date.UTC(year, month - 1, 1)).getUTCDay();
        const days = new Date(Date.UTC(year, month, 0)).getUTCDate();
        const date = 1 + (weekday! - first + 7) % 7 + (week! - 1) * 7;
        return Date.UTC(year, month - 1, date > days ? date - 7 : date);
      },
    };
  }
  const [, julian, number] = /^(J?)(\d{1,3})$/.exec(day) ?? [];
  if (number === undefined || Number(number) > 365) return undefined;
  const isLeap = (year: number) => new Date(Date.UTC(year, 1, 29)).getUTCMonth() === 1;
  return {
    seconds,
    // J counts from 1 and never the 29th of February; the other form counts from 0, and all.
    dayOf: (year) =>
      Date.UTC(year, 0, 1) +
      DAY_MS * (julian
          ? Number(number) - 1 + (isLeap(year) && Number(number) > 59 ? 1 : 0)
          : Number(number)),
  };
}

function secondsOf(time: string): number {
  const [hours, minutes = 0, seconds = 0] = time.replace(/^[+-]/, "").split(":").map(Number);
  const value = hours! * 3600 + minutes * 60 + seconds;
  return time.startsWith("-") ? -value : value;
}

/** The zone of a name such as `Europe/Berlin`; undefined for one that nobody knows. */
export function namedZone(name: string): Zone | undefined {
  try {
    const format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
    return (time) => {
      const text = format.formatToParts(time).find(({ type }) => type === "timeZoneName")!.value;
      const [, sign, hours, minutes] = /GMT([+-])(\d\d):(\d\d)/.exec(text) ?? [, "+", "0", "0"];
      return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
    };
  } catch {
    return undefined;
  }
}

/** Whether a value of TZ is a rule, or the name of a zone that is known. */
export function isZone(tz: string): boolean {
  const name = tz.replace(/^:/, "");
  return name === "" || posixZone(name) !== undefined || namedZone(name) !== undefined;
}

/**
 * Returns a function that says the zone of now.
 *
 * @param tz The variable TZ, which counts before the system's zone.
 * @param path The system's zone.
 */
export function zoneReader(tz: string | undefined, path: string = LOCALTIME): () => Zone {
  const deno: Zone = (time) => -time.getTimezoneOffset();
  if (tz !== undefined && tz !== "") {
    const name = tz.replace(/^:/, "");
    const zone = posixZone(name) ?? namedZone(name) ?? (() => 0);
    return () => zone;
  }
  let known: { readonly mark: string; readonly zone: Zone } | undefined;
  return () => {
    const mark = markOf(path);
    if (known?.mark !== mark) known = { mark, zone: zoneOf(mark, path) ?? deno };
    return known.zone;
  };
}

/** Where the link leads or, of a file, when it was written; empty where it cannot be read. */
function markOf(path: string): string {
  try {
    const { isSymlink, mtime, size } = Deno.lstatSync(path);
    return isSymlink ? Deno.readLinkSync(path) : `${mtime?.getTime()} ${size}`;
  } catch {
    return "";
  }
}

function zoneOf(mark: string, path: string): Zone | undefined {
  const [, name] = /zoneinfo\/(?:posix\/|right\/)?(.+)$/.exec(mark) ?? [];
  const named = name === undefined ? undefined : namedZone(name);
  if (named !== undefined || mark === "") return named;
  try {
    // A file of version 2 or later ends with the rule for the times after its last entry: now.
    const [, rule] =
      /\n([^\n]*)\n$/.exec(new TextDecoder("latin1").decode(Deno.readFileSync(path))) ??
        [];
    return posixZone(rule ?? "");
  } catch {
    return undefined;
  }
}
