/**
 * The log levels of the `@std/log` stand-in (see mod.ts).
 *
 * @module
 */

/** The number of each level: a higher one is more urgent. */
export const LogLevels = {
  NOTSET: 0,
  DEBUG: 10,
  INFO: 20,
  WARN: 30,
  ERROR: 40,
  CRITICAL: 50,
} as const;

/** A level's name. */
export type LevelName = keyof typeof LogLevels;

/** A level's number. */
export type LogLevel = typeof LogLevels[LevelName];

/** All names, the least urgent first. */
export const LogLevelNames: LevelName[] = Object.keys(
  LogLevels,
) as LevelName[];

/**
 * The number of a level.
 *
 * @throws {Error} If there is no level of that name.
 */
export function getLevelByName(name: LevelName): LogLevel {
  const level = LogLevels[name];
  if (level === undefined) {
    throw new Error(`Cannot get log level: no level named ${name}`);
  }
  return level;
}

/**
 * The name of a level.
 *
 * @throws {Error} If there is no level of that number.
 */
export function getLevelName(level: LogLevel): LevelName {
  const name = LogLevelNames.find((name) => LogLevels[name] === level);
  if (name === undefined) {
    throw new Error(`Cannot get log level: no name for level: ${level}`);
  }
  return name;
}
