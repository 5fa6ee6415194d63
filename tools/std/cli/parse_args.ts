/**
 * A stand-in for `jsr:@std/cli` 1.0.32, written for this project: see tools/deps.ts.
 *
 * Of `parseArgs` it has flags, options with text, lists of these, one other name each, and `unknown`. What it has, it has
 * with the real one's behaviour and types. It leaves out numbers, dotted names, negation, defaults, and values joined to
 * one-letter options.
 *
 * @module
 */

/** What the command line may hold; whatever else is in it is `unknown`. */
export interface ParseOptions<B extends string, S extends string, C extends string> {
  /** Names that are true or false. */
  readonly boolean?: readonly B[];
  /** Names with a text; it is empty where none is given. */
  readonly string?: readonly S[];
  /** Those of them whose texts are gathered in a list. */
  readonly collect?: readonly C[];
  /** Another name for a name. */
  readonly alias?: Readonly<Record<string, string>>;
  /** Gets each positional, and each argument with a name that is not above; false leaves it out of the result. */
  readonly unknown?: (arg: string, key?: string) => unknown;
}

/** What was parsed, with all that stands alone under `_`. */
export type Args<B extends string, S extends string, C extends string> =
  & { _: (string | number)[] }
  & { [K in B]: boolean }
  & { [K in Exclude<S, C>]?: string }
  & { [K in C]: string[] }
  & Record<string, unknown>;

/** Parses a command line: `--name`, `--name value`, `--name=value`, `-n`; after `--` nothing is a name. */
export function parseArgs<
  B extends string = never,
  S extends string = never,
  C extends string = never,
>(args: readonly string[], options: ParseOptions<B, S, C>): Args<B, S, C> {
  const { unknown } = options;
  const [flags, texts] = [new Set<string>(options.boolean), new Set<string>(options.string)];
  const lists = new Set<string>(options.collect);
  const aliases = new Map(
    Object.entries(options.alias ?? {}).map(([name, other]) => [other, name]),
  );
  const alone: string[] = [];
  const result: Record<string, unknown> = { _: alone };
  for (const name of flags) result[name] = false;
  for (const name of lists) result[name] = [];

  function set(name: string, value: string | boolean, arg: string): void {
    if (!flags.has(name) && !texts.has(name) && unknown?.(arg, name) === false) return;
    if (lists.has(name)) (result[name] as unknown[]).push(value);
    else result[name] = value;
  }

  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") {
      alone.push(...args.slice(i + 1));
      break;
    }
    const [, long, letters, joined] = /^-(?:-(.+?)|([^-].*?))(?:=(.*))?$/s.exec(arg) ?? [];
    if (long === undefined && letters === undefined) {
      if (unknown?.(arg) !== false) alone.push(arg);
      continue;
    }
    const names = (long === undefined ? [...letters!] : [long])
      .map((name) => aliases.get(name) ?? name);
    const last = names.pop()!;
    for (const name of names) set(name, true, arg);
    const isFlag = flags.has(last);
    const next = args[i + 1];
    if (joined !== undefined) {
      set(last, isFlag ? joined !== "false" : joined, arg);
    } else if (isFlag ? next === "true" || next === "false" : next && !next.startsWith("-")) {
      i++;
      set(last, isFlag ? next === "true" : next!, arg);
    } else {
      set(last, texts.has(last) ? "" : true, arg);
    }
  }
  return result as Args<B, S, C>;
}
