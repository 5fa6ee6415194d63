/**
 * The log: one line an event on stderr, as text or JSON. The only file that imports `@std/log`.
 *
 * `@std/log`'s ConsoleHandler is not used: it writes to stdout, which is for data. Fields never hold key material. A
 * closed, full or unread stderr never stops the program; lost lines are counted and reported.
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

/** Fields of an event; undefined ones are left out. */
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Logs events. No method throws. */
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
  /** Takes a line without its end; may return how many lines were lost before it. */
  readonly write: (line: string) => number | void;
  /** @default {false} */
  readonly colour?: boolean;
  /** systemd's journal reads the lines: it wants a priority and adds the time itself. @default {false} */
  readonly isJournal?: boolean;
}

/** Opens a log. */
export function openLog(options: LogOptions): Logger {
  const { format, level, write, isJournal } = options;
  const levelName = level.toUpperCase() as LevelName;
  const handler = new LineHandler(levelName, {
    write(line) {
      const lost = write(line);
      if (lost) std.warn("warning", { cause: `log lines that could not be written: ${lost}` });
    },
    line(record) {
      const line = format === "json" ? jsonLine(record) : textLine(record, options);
      return isJournal ? forJournal(PRIORITIES[record.levelName] ?? 3, line) : line;
    },
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
      // stderr is closed (EPIPE) or its disk full: publishing goes on without a log.
    }
  }
}

/** The journal's priorities; every other level is an error, 3. */
const PRIORITIES: Readonly<Record<string, number>> = { DEBUG: 7, INFO: 6, WARN: 4 };
/** Terminal colours: yellow and red. */
const COLOURS: Readonly<Record<string, number>> = { WARN: 33, ERROR: 31 };

function fieldsOf(record: LogRecord): Fields {
  return (record.args[0] ?? {}) as Fields;
}

function jsonLine(record: LogRecord): string {
  return JSON.stringify({
    time: record.datetime.toISOString(),
    level: record.levelName.toLowerCase(),
    event: record.msg,
    ...fieldsOf(record),
  });
}

function textLine(
  record: LogRecord,
  { colour, isJournal }: Pick<LogOptions, "colour" | "isJournal">,
): string {
  const fields = Object.entries(fieldsOf(record)).map(([name, value]) =>
    value === undefined ? "" : ` ${name}=${plainOrQuoted(value)}`
  );
  const word = record.levelName.padEnd(5);
  const paint = COLOURS[record.levelName];
  const shown = colour && paint ? coloured(paint, word) : word;
  const time = isJournal ? "" : `${record.datetime.toISOString()} `;
  return `${time}${shown} ${record.msg}${fields.join("")}`;
}

function plainOrQuoted(value: string | number | boolean): string {
  const text = String(value);
  return /^[^\s"=\p{C}]+$/u.test(text) ? text : oneLine(JSON.stringify(text));
}

/** Milliseconds between two lines of one kind. */
export const REPEAT_MS = 60_000;

/** Limits lines of one kind to one every {@linkcode REPEAT_MS}. */
export interface Repeats {
  /** Whether a line of this kind may be logged now; if so, it counts as logged. */
  due(key: string): boolean;
  /** Forgets every kind. */
  reset(): void;
}

/** Makes a limit that has seen no line yet. */
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
