/**
 * The base class of log handlers, of the `@std/log` stand-in (see mod.ts).
 *
 * @module
 */

import { getLevelByName, getLevelName, type LevelName, type LogLevel } from "./levels.ts";
import type { LogRecord } from "./logger.ts";

export type { LevelName, LogLevel, LogRecord };

/** Makes the text of a record. */
export type FormatterFunction = (logRecord: LogRecord) => string;

/** Options for {@linkcode BaseHandler}. */
export interface BaseHandlerOptions {
  /**
   * Makes the text of a record.
   *
   * @default {"LEVEL message"}
   */
  formatter?: FormatterFunction;
}

/** Takes records of its level and above, and writes their text somewhere. */
export abstract class BaseHandler {
  #level: LogLevel;

  /** Makes the text of a record. */
  formatter: FormatterFunction;

  /** Makes a handler for records of a level and above. */
  constructor(levelName: LevelName, options?: BaseHandlerOptions) {
    this.#level = getLevelByName(levelName);
    this.formatter = options?.formatter ??
      ((record) => `${record.levelName} ${record.msg}`);
  }

  /** The least level this handler takes. */
  get level(): LogLevel {
    return this.#level;
  }

  set level(level: LogLevel) {
    getLevelName(level);
    this.#level = level;
  }

  /** The name of the least level this handler takes. */
  get levelName(): LevelName {
    return getLevelName(this.#level);
  }

  set levelName(levelName: LevelName) {
    this.#level = getLevelByName(levelName);
  }

  /** Writes a record, unless it is below this handler's level. */
  handle(logRecord: LogRecord): void {
    if (logRecord.level >= this.level) this.log(this.format(logRecord));
  }

  /** The text of a record. */
  format(logRecord: LogRecord): string {
    return this.formatter(logRecord);
  }

  /** Writes one text. */
  abstract log(msg: string): void;

  /** Gets ready; here there is nothing to do. */
  setup(): void {}

  /** Lets go of what it holds; here there is nothing to do. */
  destroy(): void {}

  /** Calls {@linkcode BaseHandler.destroy}, for `using`. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}
