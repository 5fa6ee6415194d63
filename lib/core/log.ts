/**
 * The log: one line an event on stderr, as text or JSON. The only file that imports `@std/log`.
 *
 * stdout stays free for data, so `@std/log`'s ConsoleHandler (which writes there) is not used. Fields never hold
 * key material: callers pass names and numbers. A closed, full or unread stderr never stops the program; what it cost
 * is told when lines can be written again.
 */

import { BaseHandler } from "@std/log/base-handler";
import type { LevelName } from "@std/log/levels";
import { Logger as StdLogger, type LogRecord } from "@std/log/logger";
import { coloured, forJournal, oneLine } from "./text.ts";

/** Events that scripts may wait for. */
export type Event =
  | "start"
  | "connecting"
  | "connected"
  | "queued"
  | "accepted"
  | "published"
  | "disconnected"
  | "retrying"
  | "draining"
  | "drained"
  | "dropped"
  | "quarantined"
  | "source-failed"
  | "warning"
  | "stopping"
  | "stopped";

/** What is said of an event; undefined is left out. */
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Says what happened. Every method takes an event and its fields, and never throws. */
export interface Logger {
  debug(event: Event, fields?: Fields): void;
  info(event: Event, fields?: Fields): void;
  warn(event: Event, fields?: Fields): void;
  error(event: Event, fields?: Fields): void;
}

/** Options of {@linkcode openLog}. */
export interface LogOptions {
  readonly format: "text" | "json";
  readonly level: "debug" | "info" | "warn" | "error";
  /** Takes a whole line without its end; may say how many lines before it were lost. */
  readonly write: (line: string) => number | void;
  /** Whether the text may be coloured. @default {false} */
  readonly colour?: boolean;
  /** Whether systemd's journal reads the lines: it wants their priority, and gives a time itself. @default {false} */
  readonly isJournal?: boolean;
}

/** Opens a log. */
export function openLog(options: LogOptions): Logger {
  const { format, level, write, colour = false, isJournal = false } = options;
  const line = (record: LogRecord) =>
    format === "json" ? jsonLine(record) : textLine(record, { colour, isJournal });
  const levelName = level.toUpperCase() as LevelName;
  const handler = new LineHandler(levelName, {
    write(line) {
      const lost = write(line);
      if (lost) std.warn("warning", { cause: `log lines that could not be written: ${lost}` });
    },
    line: isJournal ? (record) => forJournal(priorityOf(record), line(record)) : line,
  });
  const std = new StdLogger("mqtt443", levelName, { handlers: [handler] });
  return {
    debug: (event, fields) => void std.debug(event, fields),
    info: (event, fields) => void std.info(event, fields),
    warn: (event, fields) => void std.warn(event, fields),
    error: (event, fields) => void std.error(event, fields),
  };
}

class LineHandler extends BaseHandler {
  readonly #write: (line: string) => void;
  readonly #line: (record: LogRecord) => string;

  constructor(
    level: LevelName,
    { write, line }: { write: (line: string) => void; line: (record: LogRecord) => string },
  ) {
    super(level);
    this.#write = write;
    this.#line = line;
  }

  override format(record: LogRecord): string {
    return this.#line(record);
  }

  override log(line: string): void {
    try {
      this.#write(line);
    } catch {
      // stderr closed (EPIPE) or its disk full: telemetry goes on without words.
    }
  }
}

function fieldsOf(record: LogRecord): Fields {
  return (record.args[0] ?? {}) as Fields;
}

function jsonLine(record: LogRecord): string {
  // It leaves out what is undefined.
  return JSON.stringify({
    time: record.datetime.toISOString(),
    level: levelWord(record).toLowerCase(),
    event: record.msg,
    ...fieldsOf(record),
  });
}

function textLine(
  record: LogRecord,
  { colour, isJournal }: { colour: boolean; isJournal: boolean },
): string {
  const fields = Object.entries(fieldsOf(record)).map(([name, value]) =>
    value === undefined ? "" : ` ${name}=${plainOrQuoted(value)}`
  );
  const word = levelWord(record).padEnd(5);
  // Yellow and red.
  const paint = { WARN: 33, ERROR: 31 }[word.trim()];
  const shown = colour && paint ? coloured(paint, word) : word;
  const time = isJournal ? "" : `${record.datetime.toISOString()} `;
  return `${time}${shown} ${record.msg}${fields.join("")}`;
}

function priorityOf(record: LogRecord): number {
  return { DEBUG: 7, INFO: 6, WARN: 4 }[levelWord(record)] ?? 3;
}

function levelWord(record: LogRecord): string {
  return record.levelName === "CRITICAL" ? "ERROR" : record.levelName;
}

function plainOrQuoted(value: string | number | boolean): string {
  const text = String(value);
  return /^[^\s"=\p{C}]+$/u.test(text) ? text : oneLine(JSON.stringify(text));
}

/** Milliseconds between two lines that say the same. */
export const REPEAT_MS = 60_000;

/** Remembers what was said when. */
export interface Repeats {
  /** Whether this may be said now; if so, it counts as said. */
  due(key: string): boolean;
  /** Forgets what was said. */
  reset(): void;
}

/** Makes a memory of what was said, with {@linkcode REPEAT_MS} between two of a kind. */
export function createRepeats(monotonicMs: () => number): Repeats {
  const saidMs = new Map<string, number>();
  return {
    due(key) {
      const nowMs = monotonicMs();
      if (nowMs - (saidMs.get(key) ?? -Infinity) < REPEAT_MS) return false;
      saidMs.set(key, nowMs);
      return true;
    },
    reset: () => saidMs.clear(),
  };
}
