/**
 * The command line: from arguments to a {@linkcode Command}, or an error that says what was typed wrong.
 *
 * Pure, and the only file that imports `@std/cli`. What the help says is in help.ts; what a value may be is the
 * settings table's business.
 */

import { parseArgs } from "@std/cli/parse-args";
import { EXIT, UserError } from "../core/errors.ts";
import { flagOf, type Layer, SETTINGS } from "../settings/mod.ts";
import { didYouMean, quote } from "../core/text.ts";

/** Names of the commands, in the order of the help. */
export const COMMANDS = [
  "publish",
  "doctor",
  "watch",
  "queue",
  "settings",
  "version",
  "send",
  "help",
] as const;

/** Name of a command. */
export type CommandName = (typeof COMMANDS)[number];

/** What is to be done. */
export interface Command {
  readonly name: CommandName;
  /** `--help` was given, or the command is `help`: about what. */
  readonly help: string | undefined;
  /** Positional arguments after the command's name. */
  readonly operands: readonly string[];
  /** Flags without value that were given, without dashes. */
  readonly switches: ReadonlySet<string>;
  /** `--config`. */
  readonly config: string | undefined;
  /** Flags with a value that only `doctor` has. */
  readonly doctor?: Readonly<Partial<Record<DoctorFlag, string>>>;
  /** Flags with a value that only `send` has. */
  readonly valued?: Readonly<Partial<Record<(typeof SEND_FLAGS)[number], string>>>;
  /** The settings given as flags. */
  readonly flags: Layer;
}

/** Flags of `doctor` with a value that are no settings. */
export const DOCTOR_FLAGS = ["policy-file", "region", "account"] as const;

/** One of them. */
export type DoctorFlag = (typeof DOCTOR_FLAGS)[number];

/** Those of `send`. */
const SEND_FLAGS = ["timeout"] as const;

/** Flags of mosquitto_pub, mosquitto_sub and other clients, and what they are here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "-h": "--endpoint HOST",
  "--host": "--endpoint HOST",
  "-p": "--port PORT",
  "-t": "--topic TOPIC; `watch` takes TOPIC without a flag",
  "-m": "--message TEXT",
  "-l": "--source stdin",
  "-i": "--client-id ID",
  "--id": "--client-id ID",
  "-q": "--qos QOS",
  "-k": "--keep-alive DURATION, as 60s",
  "-V": "--mqtt-version VERSION",
  "-C": "--count N",
  "-d": "--log-level debug",
  "--debug": "--log-level debug",
  "--cafile": "--ca FILE",
  "--capath": "--certs DIR",
  "--tls-alpn": "--alpn NAME",
};

interface CommandShape {
  /** Flags without a value. */
  readonly switches: readonly string[];
  /** Least and most operands. */
  readonly operands: readonly [number, number];
  /** Usage line after the command's name. */
  readonly usage: string;
}

/** What each command takes. */
export const SHAPES: Readonly<Record<CommandName, CommandShape>> = {
  publish: { switches: ["dry-run"], operands: [0, 0], usage: "[--dry-run] [SETTINGS]" },
  doctor: {
    switches: ["offline", "json", "policy"],
    operands: [0, 0],
    usage: "[FLAGS] [SETTINGS]",
  },
  watch: { switches: [], operands: [1, 1], usage: "TOPIC [SETTINGS]" },
  queue: {
    switches: ["json", "yes"],
    operands: [0, 1],
    usage: "[clear [--yes]] [--json] [SETTINGS]",
  },
  settings: {
    switches: ["json", "schema"],
    operands: [0, 0],
    usage: "[--json | --schema] [SETTINGS]",
  },
  version: { switches: ["json"], operands: [0, 0], usage: "[--json] [SETTINGS]" },
  send: {
    switches: ["json"],
    operands: [0, 1],
    usage: "[MESSAGE] [FLAGS] [SETTINGS]",
  },
  help: { switches: [], operands: [0, 1], usage: "[COMMAND | settings]" },
};

/**
 * Parses the arguments after the program's name.
 *
 * @throws {UserError} With exit code 64 if they cannot be understood.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseCommand } from "./arguments.ts";
 *
 * const command = parseCommand(["publish", "--endpoint", "localhost", "--port=8443"]);
 * assertEquals(command.flags.values, { endpoint: "localhost", port: "8443" });
 * ```
 */
export function parseCommand(args: readonly string[]): Command {
  const [name, ...rest] = args;
  if (name === undefined) {
    throw usageError("Cannot run: no command given", "type `mqtt443 publish`, or `mqtt443 help`");
  }
  if (name === "--help") return parseCommand(["help", ...rest]);
  if (name === "-h" && rest.length === 0) return helpCommand(undefined);
  if (name === "--version") return parseCommand(["version", ...rest]);
  const known = COMMANDS.find((command) => command === name);
  if (known === undefined) {
    if (name.startsWith("-")) {
      throw usageError(
        `Cannot run ${quote(name)}: the command comes first`,
        "type `mqtt443 publish --endpoint HOST`, or `mqtt443 help`",
      );
    }
    throw usageError(
      `Cannot run ${quote(name)}: unknown command${didYouMean(name, COMMANDS)}`,
      `the commands are ${COMMANDS.join(", ")}`,
    );
  }
  return parseRest(known, rest);
}

function parseRest(name: CommandName, rest: readonly string[]): Command {
  const shape = SHAPES[name];
  const takesSettings = name !== "help";
  const keys = takesSettings ? SETTINGS.map(({ key }) => key) : [];
  const valued = [
    ...keys.map((key) => flagOf(key).slice(2)),
    ...(takesSettings ? ["config"] : []),
    ...(name === "doctor" ? DOCTOR_FLAGS : []),
    ...(name === "send" ? SEND_FLAGS : []),
  ];
  const switches = [...shape.switches, "help"];
  // With every flag a collected string, a value stays what was typed and a flag given twice is seen.
  const { tied, empty, unknown } = checkForm(rest, valued, switches);
  const parsed = parseArgs(tied, {
    string: [...valued, "_"],
    boolean: switches,
    collect: valued,
  });
  if (parsed.help && (unknown.length === 0 || rest.includes("--help"))) return helpCommand(name);
  if (unknown.length > 0) throw unknownFlags([...new Set(unknown)], [...valued, ...switches], name);
  const operands = parsed._.map(String);
  const [least, most] = shape.operands;
  if (operands.length < least || operands.length > most) {
    const found = operands.length > most
      ? `unexpected ${quote(operands[most])}`
      : "TOPIC is missing";
    throw usageError(`Cannot run ${name}: ${found}`, `usage: mqtt443 ${name} ${shape.usage}`);
  }
  const single = (flag: string) =>
    empty.has(flag) ? "" : (parsed[flag] as string[] | undefined)?.[0];
  const values = keys.map((key) => [key, single(flagOf(key).slice(2))] as const);
  return {
    name,
    help: name === "help" ? operands[0] ?? "" : undefined,
    operands,
    switches: new Set(switches.filter((flag) => Boolean(parsed[flag]))),
    config: single("config"),
    ...(name === "doctor" && {
      doctor: Object.fromEntries(
        DOCTOR_FLAGS.flatMap((flag) => parsed[flag] === undefined ? [] : [[flag, single(flag)!]]),
      ),
    }),
    ...(name === "send" && parsed.timeout !== undefined && {
      valued: { timeout: single("timeout")! },
    }),
    flags: {
      origin: "flag",
      name: "",
      values: Object.fromEntries(values.filter(([, value]) => value !== undefined)),
    },
  };
}

/**
 * Finds what parseArgs would silently make something else of: flags given twice, a flag without its value, a switch
 * with one, flags of one letter, of which only `-h` without a value is one of ours. Returns the arguments with each
 * value tied to its flag by `=`, and apart from them the flags with an empty value, which parseArgs does not know as
 * such, and those that are unknown.
 */
function checkForm(
  rest: readonly string[],
  valued: readonly string[],
  switches: readonly string[],
): { tied: string[]; empty: ReadonlySet<string>; unknown: string[] } {
  const seen = new Set<string>();
  const empty = new Set<string>();
  const unknown: string[] = [];
  const tied: string[] = [];
  const tie = (flag: string, value: string) => {
    if (value === "") empty.add(flag);
    else tied.push(`--${flag}=${value}`);
  };
  for (let i = 0; i < rest.length; i++) {
    const argument = rest[i]!;
    if (argument === "--") {
      tied.push(...rest.slice(i));
      break;
    }
    if (/^-[^-]/.test(argument)) {
      const hasValue = rest[i + 1] !== undefined && !rest[i + 1]!.startsWith("-");
      if (argument === "-h" && !hasValue) tied.push("--help");
      else unknown.push(argument);
      // Its value is no operand.
      if (hasValue) i++;
      continue;
    }
    const [, flag, equals] = /^--([^=]+)(=?)/.exec(argument) ?? [];
    if (flag === undefined) {
      tied.push(argument);
      continue;
    }
    if (!valued.includes(flag) && !switches.includes(flag)) {
      unknown.push(argument);
      continue;
    }
    if (seen.has(flag)) {
      throw usageError(`Cannot use --${flag} twice`, "give it once");
    }
    seen.add(flag);
    if (switches.includes(flag)) {
      if (equals === "=") {
        throw usageError(
          `Cannot use ${quote(argument)}: --${flag} takes no value`,
          `type --${flag}`,
        );
      }
      tied.push(argument);
    } else if (equals === "=") {
      tie(flag, argument.slice(argument.indexOf("=") + 1));
    } else {
      const value = rest[++i];
      if (value === undefined || value.startsWith("--")) {
        throw usageError(`Cannot use --${flag}: its value is missing`, `type --${flag}=VALUE`);
      }
      tie(flag, value);
    }
  }
  return { tied, empty, unknown };
}

function helpCommand(about: string | undefined): Command {
  return {
    name: "help",
    help: about ?? "",
    operands: [],
    switches: new Set(["help"]),
    config: undefined,
    flags: { origin: "flag", name: "", values: {} },
  };
}

function unknownFlags(
  unknown: readonly string[],
  known: readonly string[],
  name: string,
): UserError {
  const flags = known.map((flag) => `--${flag}`);
  return new UserError(`Cannot run ${name}: unknown flag`, {
    code: "wrong-command-line",
    problems: unknown.map((flag) => {
      const bare = /^(-[^-]|[^=]*)/.exec(flag)![0];
      const meant = ELSEWHERE[bare];
      if (bare === "-h") return `"-h" is help here; for a host type ${meant}`;
      return `${quote(bare)}${meant ? ` (here it is ${meant})` : didYouMean(bare, flags)}`;
    }),
    hint: `\`mqtt443 help ${name}\` lists the flags`,
    exitCode: EXIT.usage,
  });
}

function usageError(message: string, hint: string): UserError {
  return new UserError(message, { code: "wrong-command-line", hint, exitCode: EXIT.usage });
}
