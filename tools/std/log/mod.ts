/**
 * A stand-in for `jsr:@std/log` 0.224.14, written for this project: see tools/deps.ts.
 *
 * It has records, a logger with a level and handlers, and the base class of handlers.
 *
 * @module
 */

/** A higher number is more urgent. */
const LEVELS = { NOTSET: 0, DEBUG: 10, INFO: 20, WARN: 30, ERROR: 40, CRITICAL: 50 } as const;

/** A level's name. */
export type LevelName = keyof typeof LEVELS;

/** One message on its way to the handlers. */
export class LogRecord {
  readonly msg: string;
  /** What was given besides the message. */
  readonly args: unknown[];
  readonly level: number;
  readonly levelName: string;
  /** When it was made. */
  readonly datetime: Date = new Date();

  /** Makes a record of this moment. */
  constructor(options: { msg: string; args: unknown[]; levelName: LevelName }) {
    this.msg = options.msg;
    this.args = options.args;
    this.level = LEVELS[options.levelName];
    this.levelName = options.levelName;
  }
}

/** Takes records of its level and above, and writes their text somewhere. */
export abstract class BaseHandler {
  readonly #level: number;

  /** Makes a handler for records of a level and above. */
  constructor(levelName: LevelName) {
    this.#level = LEVELS[levelName];
  }

  /** Writes a record, unless it is below this handler's level. */
  handle(record: LogRecord): void {
    if (record.level >= this.#level) this.log(this.format(record));
  }

  /** The text of a record. */
  format(record: LogRecord): string {
    return `${record.levelName} ${record.msg}`;
  }

  /** Writes one text. */
  abstract log(msg: string): void;
}

/** Makes records of messages at its level and above, and hands them to its handlers. */
export class Logger {
  readonly #level: number;
  readonly #handlers: readonly BaseHandler[];

  /** Makes a logger for messages of a level and above; its name is in no record. */
  constructor(_name: string, levelName: LevelName, options: { handlers: BaseHandler[] }) {
    this.#level = LEVELS[levelName];
    this.#handlers = options.handlers;
  }

  /** Logs at level DEBUG. */
  debug(msg: string, ...args: unknown[]): void {
    this.#log("DEBUG", msg, args);
  }

  /** Logs at level INFO. */
  info(msg: string, ...args: unknown[]): void {
    this.#log("INFO", msg, args);
  }

  /** Logs at level WARN. */
  warn(msg: string, ...args: unknown[]): void {
    this.#log("WARN", msg, args);
  }

  /** Logs at level ERROR. */
  error(msg: string, ...args: unknown[]): void {
    this.#log("ERROR", msg, args);
  }

  #log(levelName: LevelName, msg: string, args: unknown[]): void {
    if (LEVELS[levelName] < this.#level) return;
    const record = new LogRecord({ msg, args, levelName });
    for (const handler of this.#handlers) handler.handle(record);
  }
}
