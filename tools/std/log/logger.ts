/**
 * Records and loggers of the `@std/log` stand-in (see mod.ts).
 *
 * @module
 */

import type { BaseHandler } from "./base_handler.ts";
import {
  getLevelByName,
  getLevelName,
  type LevelName,
  type LogLevel,
  LogLevels,
} from "./levels.ts";

/** Any function: as a message it is called to get the real message. */
// deno-lint-ignore no-explicit-any
export type GenericFunction = (...args: any[]) => any;

/** What a {@linkcode LogRecord} is made of. */
export interface LogRecordOptions {
  /** The message. */
  msg: string;
  /** What was given besides the message. */
  args: unknown[];
  /** The level's number. */
  level: LogLevel;
  /** The name of the logger it came from. */
  loggerName: string;
}

/** One message on its way to the handlers; nothing in it can be changed. */
export class LogRecord {
  /** The message. */
  readonly msg: string;
  /** The level's number. */
  readonly level: number;
  /** The level's name. */
  readonly levelName: string;
  /** The name of the logger it came from. */
  readonly loggerName: string;
  readonly #args: unknown[];
  readonly #madeMs = Date.now();

  /** Makes a record of this moment. */
  constructor(options: LogRecordOptions) {
    this.msg = options.msg;
    this.level = options.level;
    this.levelName = getLevelName(options.level);
    this.loggerName = options.loggerName;
    this.#args = [...options.args];
  }

  /** A copy of what was given besides the message. */
  get args(): unknown[] {
    return [...this.#args];
  }

  /** When the record was made, as a new date each time. */
  get datetime(): Date {
    return new Date(this.#madeMs);
  }
}

/** Options for {@linkcode Logger}. */
export interface LoggerOptions {
  /**
   * Who gets the records.
   *
   * @default {[]}
   */
  handlers?: BaseHandler[];
}

/** A message: a value, or a function that is called only if it is logged. */
type Message<T> = (T extends GenericFunction ? never : T) | (() => T);

/**
 * Makes records of messages at its level and above and hands them to its
 * handlers. Each logging method returns the message (for a function what it
 * returned, or `undefined` when it was not called).
 */
export class Logger {
  /** Who gets the records. */
  handlers: BaseHandler[];
  #level: LogLevel;
  readonly #loggerName: string;

  /** Makes a logger for messages of a level and above. */
  constructor(
    loggerName: string,
    levelName: LevelName,
    options: LoggerOptions = {},
  ) {
    this.#loggerName = loggerName;
    this.#level = getLevelByName(levelName);
    this.handlers = options.handlers ?? [];
  }

  /** The least level that is logged. */
  get level(): LogLevel {
    return this.#level;
  }

  set level(level: LogLevel) {
    if (!Object.values(LogLevels).includes(level)) {
      throw new TypeError(`Invalid log level: ${level}`);
    }
    this.#level = level;
  }

  /** The name of the least level that is logged. */
  get levelName(): LevelName {
    return getLevelName(this.#level);
  }

  set levelName(levelName: LevelName) {
    this.#level = getLevelByName(levelName);
  }

  /** The name that records of this logger carry. */
  get loggerName(): string {
    return this.#loggerName;
  }

  /** Logs at level DEBUG. */
  debug<T>(msg: () => T, ...args: unknown[]): T | undefined;
  /** Logs at level DEBUG. */
  debug<T>(msg: T extends GenericFunction ? never : T, ...args: unknown[]): T;
  debug<T>(msg: Message<T>, ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.DEBUG, msg, args);
  }

  /** Logs at level INFO. */
  info<T>(msg: () => T, ...args: unknown[]): T | undefined;
  /** Logs at level INFO. */
  info<T>(msg: T extends GenericFunction ? never : T, ...args: unknown[]): T;
  info<T>(msg: Message<T>, ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.INFO, msg, args);
  }

  /** Logs at level WARN. */
  warn<T>(msg: () => T, ...args: unknown[]): T | undefined;
  /** Logs at level WARN. */
  warn<T>(msg: T extends GenericFunction ? never : T, ...args: unknown[]): T;
  warn<T>(msg: Message<T>, ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.WARN, msg, args);
  }

  /** Logs at level ERROR. */
  error<T>(msg: () => T, ...args: unknown[]): T | undefined;
  /** Logs at level ERROR. */
  error<T>(msg: T extends GenericFunction ? never : T, ...args: unknown[]): T;
  error<T>(msg: Message<T>, ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.ERROR, msg, args);
  }

  /** Logs at level CRITICAL. */
  critical<T>(msg: () => T, ...args: unknown[]): T | undefined;
  /** Logs at level CRITICAL. */
  critical<T>(
    msg: T extends GenericFunction ? never : T,
    ...args: unknown[]
  ): T;
  critical<T>(msg: Message<T>, ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.CRITICAL, msg, args);
  }

  #log<T>(level: LogLevel, msg: Message<T>, args: unknown[]): T | undefined {
    const isLogged = level >= this.level;
    if (msg instanceof Function && !isLogged) return undefined;
    const value = msg instanceof Function ? msg() : msg;
    if (!isLogged) return value;
    const { loggerName } = this;
    const record = new LogRecord({ msg: text(value), args, level, loggerName });
    this.handlers.forEach((handler) => handler.handle(record));
    return value;
  }
}

/** The text of a message: JSON-like for objects, the stack for errors. */
function text(value: unknown): string {
  if (value instanceof Error) return value.stack!;
  if (typeof value === "function") return "undefined";
  if (typeof value !== "object" || value === null) return String(value);
  const fields = Object.entries(value).map(([name, field]) =>
    `"${name}":${typeof field === "string" ? `"${field}"` : text(field)}`
  );
  return `{${fields.join(",")}}`;
}
