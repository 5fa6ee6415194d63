/**
 * `parseArgs` of the `@std/cli` stand-in (see mod.ts).
 *
 * It parses as the real one does, oddities included: an option whose value
 * begins with `-` gets none, `--no-NAME=VALUE` sets NAME, numbers become
 * numbers unless the name is in `string`, `a.b` is nested. The one thing left
 * out is in the types: nested names (with a dot) in the options are refused.
 *
 * @module
 */

type Name = string | undefined;
type Flag = boolean | string | undefined;
type Fields = Record<string, unknown>;
type Aliases = Partial<Record<string, string | ReadonlyArray<string>>>;

/** What was parsed when the options say nothing of the names. */
// deno-lint-ignore no-explicit-any
type Anything = Record<string, any>;

/** Makes one readable object type of an intersection. */
type Flat<T> = { [K in keyof T]: T[K] };

type Text<T> = Extract<T, string>;

/**
 * `T`, or false too when the name can be negated, or undefined too when any
 * text is a name.
 */
type Value<K, N, T> =
  | T
  | (K extends N ? false : never)
  | (string extends K ? undefined : never);

/** The options by what they hold: text, true or false, lists of these. */
type Held<B, S, C, N> =
  & { [K in Exclude<Text<S>, C>]?: Value<K, N, string> }
  & { [K in Extract<Text<S>, C>]: Value<K, N, string[]> }
  & { [K in Exclude<Text<B>, C>]: Value<K, undefined, boolean> }
  & { [K in Extract<Text<B>, C>]: Value<K, undefined, boolean[]> }
  & { [K in Exclude<Text<C>, S | B>]: Value<K, N, unknown[]> };

/** An option with a default is always there. */
type WithDefaults<T, D> = D extends undefined ? T
  :
    & Omit<T, keyof D>
    & {
      [K in keyof D]: K extends keyof T ? D[K] | NonNullable<T[K]> : unknown;
    };

/** An option is there under its aliases too. */
type WithAliases<T, A> = {
  [K in keyof T as K | (K extends keyof A ? AliasOf<A[K]> : never)]: T[K];
};

type AliasOf<A> = A extends ReadonlyArray<infer E> ? E & string
  : A extends string ? string extends A ? never : A
  : never;

/** Without names in the options nothing is known of the result. */
type Values<B, S, C, N, D, A> = undefined extends (false extends B ? undefined : B) & S & C
  ? Anything
  : Fields & WithAliases<WithDefaults<Held<B, S, C, N>, D>, A>;

/** The options' type when a name in them has a dot: one nobody can fulfil. */
type Undotted<T> = Extract<T, `${string}.${string}`> extends never ? unknown
  : { "names with a dot are left out of this stand-in": never };

interface DoubleDash {
  /** Everything after `--`, as it is. */
  "--"?: Array<string>;
}

/** What {@linkcode parseArgs} returns. */
export type Args<
  TArgs extends Fields = Anything,
  TDoubleDash extends boolean | undefined = undefined,
> = Flat<
  & TArgs
  & {
    /** Everything that belongs to no option; numbers are numbers. */
    _: Array<string | number>;
  }
  & (boolean extends TDoubleDash ? DoubleDash
    : true extends TDoubleDash ? Required<DoubleDash>
    : unknown)
>;

/** Options for {@linkcode parseArgs}. */
export interface ParseOptions<
  TBooleans extends Flag = Flag,
  TStrings extends Name = Name,
  TCollectable extends Name = Name,
  TNegatable extends Name = Name,
  TDefault extends Fields | undefined = Fields | undefined,
  TAliases extends Aliases | undefined = Aliases | undefined,
  TDoubleDash extends boolean | undefined = boolean | undefined,
> {
  /**
   * Whether what follows `--` goes to `["--"]` instead of `_`.
   *
   * @default {false}
   */
  "--"?: TDoubleDash;
  /**
   * Other names of options.
   *
   * @default {{}}
   */
  alias?: TAliases;
  /**
   * Names that are true or false, false if not given; `true` means every
   * `--NAME` without `=`.
   *
   * @default {false}
   */
  boolean?: TBooleans | ReadonlyArray<Extract<TBooleans, string>>;
  /**
   * Values of options that are not given.
   *
   * @default {{}}
   */
  default?: TDefault;
  /**
   * Whether everything after the first positional is positional too.
   *
   * @default {false}
   */
  stopEarly?: boolean;
  /**
   * Names whose values stay text; without a value it is `""`.
   *
   * @default {[]}
   */
  string?: TStrings | ReadonlyArray<Extract<TStrings, string>>;
  /**
   * Names whose values are gathered in an array; of others the last counts.
   *
   * @default {[]}
   */
  collect?: TCollectable | ReadonlyArray<Extract<TCollectable, string>>;
  /**
   * Names that `--no-NAME` sets to false.
   *
   * @default {[]}
   */
  negatable?: TNegatable | ReadonlyArray<Extract<TNegatable, string>>;
  /**
   * Called for a positional, and for an option that no other setting names;
   * if it returns false, that is left out of the result.
   */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/**
 * Parses command line arguments.
 *
 * @throws {TypeError} If an alias is undefined.
 */
export function parseArgs<
  TArgs extends Values<
    TBooleans,
    TStrings,
    TCollectable,
    TNegatable,
    TDefaults,
    TAliases
  >,
  TDoubleDash extends boolean | undefined = undefined,
  TBooleans extends Flag = undefined,
  TStrings extends Name = undefined,
  TCollectable extends Name = undefined,
  TNegatable extends Name = undefined,
  TDefaults extends Fields | undefined = undefined,
  const TAliases extends Aliases | undefined = undefined,
>(
  args: readonly string[],
  options?:
    & ParseOptions<
      TBooleans,
      TStrings,
      TCollectable,
      TNegatable,
      TDefaults,
      TAliases,
      TDoubleDash
    >
    & Undotted<TBooleans | TStrings | TCollectable | keyof TDefaults>,
): Args<TArgs, TDoubleDash> {
  const end = args.indexOf("--");
  const parsed = new Parser(options ?? {});
  parsed.parse(end < 0 ? args : args.slice(0, end));
  parsed.finish(end < 0 ? [] : args.slice(end + 1));
  return parsed.result as Args<TArgs, TDoubleDash>;
}

/** One run: the names of the options, and the result as it grows. */
class Parser {
  readonly result: Fields & { _: Array<string | number> } = { _: [] };
  readonly #options: ParseOptions;
  readonly #aliases = new Map<string, string[]>();
  readonly #booleans: Set<string>;
  readonly #strings: Set<string>;
  readonly #lists: Set<string>;
  readonly #negatable: Set<string>;

  constructor(options: ParseOptions) {
    this.#options = options;
    for (const [key, given] of Object.entries(options.alias ?? {})) {
      if (given === undefined) {
        throw new TypeError("Alias value must be defined");
      }
      const names = [...new Set([key, ...[given].flat() as string[]])];
      for (const name of names) {
        this.#aliases.set(name, names.filter((other) => other !== name));
      }
    }
    this.#booleans = this.#names(options.boolean);
    this.#strings = this.#names(options.string);
    this.#lists = this.#names(options.collect);
    this.#negatable = this.#names(options.negatable);
  }

  /** Takes everything that stands before `--`. */
  parse(args: readonly string[]): void {
    for (let i = 0; i < args.length; i++) {
      const arg = args[i]!;
      if (/^--./s.test(arg)) {
        if (this.#long(arg, args[i + 1])) i++;
      } else if (/^-./s.test(arg)) {
        if (this.#short(arg, args[i + 1])) i++;
      } else {
        this.#positional(arg);
        if (!this.#options.stopEarly) continue;
        this.result._.push(...args.slice(i + 1));
        return;
      }
    }
  }

  /** Adds what follows `--`, and what was not given. */
  finish(rest: readonly string[]): void {
    for (const [key, value] of Object.entries(this.#options.default ?? {})) {
      if (has(this.result, key)) continue;
      for (const name of [key, ...this.#aliases.get(key) ?? []]) {
        put(this.result, name, value);
      }
    }
    for (const key of this.#booleans) {
      if (has(this.result, key)) continue;
      put(this.result, key, this.#lists.has(key) ? [] : false);
    }
    for (const key of this.#strings) {
      if (!this.#lists.has(key) || has(this.result, key)) continue;
      put(this.result, key, []);
    }
    if (this.#options["--"]) this.result["--"] = [...rest];
    else this.result._.push(...rest);
  }

  /** The names in an option of ours, with their aliases. */
  #names(given: Flag | readonly string[]): Set<string> {
    const names = [given].flat().filter((name) =>
      typeof name === "string" && name !== ""
    ) as string[];
    return new Set(
      names.flatMap((name) => [name, ...this.#aliases.get(name) ?? []]),
    );
  }

  #positional(arg: string): void {
    if (this.#options.unknown?.(arg) === false) return;
    this.result._.push(this.#strings.has("_") ? arg : numberIfAny(arg));
  }

  /** Takes `--NAME`; returns whether it took `next` as its value. */
  #long(arg: string, next: string | undefined): boolean {
    const [, no, name, value] = /^--(no-)?(.+?)(?:=(.*))?$/s.exec(arg)!;
    let key = name!;
    if (value !== undefined) {
      this.#set(key, this.#booleans.has(key) ? value !== "false" : value, arg);
      return false;
    }
    if (no && this.#negatable.has(key)) {
      this.#set(key, false, arg, false);
      return false;
    }
    if (no) key = `no-${key}`;
    const isValue = this.#options.boolean !== true && !next?.startsWith("-");
    return this.#setFromNext(key, arg, next, isValue);
  }

  /** Takes `-abc`; returns whether it took `next` as its value. */
  #short(arg: string, next: string | undefined): boolean {
    for (let i = 1; i < arg.length - 1; i++) {
      const key = arg[i]!;
      const rest = arg.slice(i + 1);
      if (rest === "-") {
        this.#set(key, rest, arg);
        continue;
      }
      const value = joinedValue(key, rest);
      this.#set(key, value ?? this.#bare(key), arg);
      if (value !== undefined) return false;
    }
    const key = arg.at(-1)!;
    if (key === "-") return false;
    const isValue = next !== undefined && !/^--?[^-]/.test(next);
    return this.#setFromNext(key, arg, next, isValue);
  }

  #setFromNext(
    key: string,
    arg: string,
    next: string | undefined,
    isValue: boolean,
  ): boolean {
    if (next && isValue && !this.#isBoolean(key)) {
      this.#set(key, next, arg);
      return true;
    }
    if (next === "true" || next === "false") {
      this.#set(key, next === "true", arg);
      return true;
    }
    this.#set(key, this.#bare(key), arg);
    return false;
  }

  /** The value of an option that has none. */
  #bare(key: string): "" | true {
    return this.#strings.has(key) ? "" : true;
  }

  #isBoolean(key: string): boolean {
    return [key, ...this.#aliases.get(key) ?? []].some((name) => this.#booleans.has(name));
  }

  #isKnown(key: string, arg: string): boolean {
    return this.#booleans.has(key) || this.#strings.has(key) ||
      this.#aliases.has(key) || this.#lists.has(key) ||
      this.#options.boolean === true && /^--[^=]+$/.test(arg);
  }

  #set(
    key: string,
    given: string | boolean,
    arg: string,
    mayCollect = true,
  ): void {
    if (
      !this.#isKnown(key, arg) &&
      this.#options.unknown?.(arg, key, given) === false
    ) return;
    const value = typeof given === "string" && !this.#strings.has(key) ? numberIfAny(given) : given;
    const isList = mayCollect && this.#lists.has(key);
    for (const name of [key, ...this.#aliases.get(key) ?? []]) {
      put(this.result, name, value, isList);
    }
  }
}

/** The value that stands right behind a one-letter option, if one does. */
function joinedValue(key: string, rest: string): string | undefined {
  if (rest === "=") return "";
  if (/[A-Za-z]/.test(key)) {
    const assigned = /=(.+)/.exec(rest)?.[1];
    if (assigned !== undefined) return assigned;
    if (/-?\d+(\.\d*)?(e-?\d+)?$/.test(rest)) return rest;
  }
  return rest.length > 1 && /\W/.test(rest[0]!) ? rest : undefined;
}

function numberIfAny(text: string): string | number {
  const number = Number(text);
  return /\S/.test(text) && Number.isFinite(number) ? number : text;
}

/** Whether a dotted name is in an object. */
function has(object: Fields, name: string): boolean {
  let at: unknown = object;
  return name.split(".").every((key) => {
    if (!Object.hasOwn(at as Fields, key)) return false;
    at = (at as Fields)[key];
    return true;
  });
}

/** Sets a dotted name in an object, or adds to the list there. */
function put(object: Fields, name: string, value: unknown, isList = false) {
  const keys = name.split(".");
  const last = keys.pop()!;
  let at = object;
  for (const key of keys) {
    if (isPrototype(at, key)) return;
    at = (at[key] ??= {}) as Fields;
  }
  if (isPrototype(at, last)) return;
  const old = at[last];
  if (!isList) at[last] = value;
  else if (Array.isArray(old)) old.push(value);
  else at[last] = old ? [old, value] : [value];
}

/** Whether setting this key would reach into what all objects share. */
function isPrototype(object: Fields, key: string): boolean {
  return key === "__proto__" ||
    key === "constructor" && typeof object[key] === "function";
}
