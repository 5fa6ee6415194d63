/** From a command line to a {@linkcode Command}, or an error that says what was typed wrong. Pure. */

import { parseArgs } from "@std/cli/parse-args";
import { EXIT, UserError } from "../core/errors.ts";
import { didYouMean, quote } from "../core/text.ts";
import { flagOf, type Layer, SETTINGS } from "../settings/mod.ts";
import { COMMAND_TABLE, type CommandName, COMMANDS } from "./table.ts";

/** A parsed command line. */
export interface Command {
  readonly name: CommandName;
  /** For command `help`, which `--help` is too: what about. */
  readonly help: string | undefined;
  /** Positional arguments after the command's name. */
  readonly operands: readonly string[];
  /** Flags without a value that were given, without dashes. */
  readonly switches: ReadonlySet<string>;
  /** Flags with a value that are no settings, without dashes. */
  readonly values: Readonly<Record<string, string>>;
  /** `--config`. */
  readonly config: string | undefined;
  /** The settings given as flags. */
  readonly flags: Layer;
}

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
  if (name === "-h" && rest.length === 0) return helpCommand("");
  if (name === "--version") return parseCommand(["version", ...rest]);
  const known = COMMANDS.find((command) => command === name);
  if (known !== undefined) return parseRest(known, rest);
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

function parseRest(name: CommandName, rest: readonly string[]): Command {
  const { flags, operands: [least, most], usage, isBare } = COMMAND_TABLE[name];
  const settings = isBare ? [] : SETTINGS.map(({ key }) => [key, flagOf(key).slice(2)]);
  const own = Object.keys(flags).map((flag) => flag.split(" "));
  const ownValued = own.filter(([, placeholder]) => placeholder).map(([flag]) => flag!);
  const switches = [
    ...own.filter(([, placeholder]) => !placeholder).map(([flag]) => flag!),
    "help",
  ];
  const valued = [
    ...settings.map(([, flag]) => flag!),
    ...(isBare ? [] : ["config"]),
    ...ownValued,
  ];
  // With every flag a collected string, a value stays what was typed.
  const { tied, empty, unknown } = checkForm(rest, valued, switches);
  const parsed = parseArgs(tied, {
    string: [...valued, "_"],
    boolean: switches,
    collect: valued,
  });
  if (parsed.help && (unknown.length === 0 || rest.includes("--help"))) return helpCommand(name);
  if (unknown.length > 0) throw unknownFlags([...new Set(unknown)], [...valued, ...switches], name);
  const operands = parsed._.map(String);
  if (operands.length < least || operands.length > most) {
    const found = operands.length > most
      ? `unexpected ${quote(operands[most])}`
      : `${usage.split(" ")[0]} is missing`;
    throw usageError(`Cannot run ${name}: ${found}`, `usage: mqtt443 ${name} ${usage}`);
  }
  const given = (flag: string) =>
    empty.has(flag) ? "" : (parsed[flag] as string[] | undefined)?.[0];
  const valuesOf = (keys: readonly (readonly string[])[]) =>
    Object.fromEntries(
      keys.map(([key, flag]) => [key!, given(flag!)!] as const).filter(([, value]) =>
        value !== undefined
      ),
    );
  return {
    name,
    help: name === "help" ? operands[0] ?? "" : undefined,
    operands,
    switches: new Set(switches.filter((flag) => Boolean(parsed[flag]))),
    values: valuesOf(ownValued.map((flag) => [flag, flag])),
    config: given("config"),
    flags: { origin: "flag", name: "", values: valuesOf(settings) },
  };
}

/**
 * Refuses what parseArgs would silently misread: flags given twice, a flag without its value, a switch with one.
 *
 * @returns The arguments with each value tied to its flag by `=`; apart from them the flags with an empty value, which
 * parseArgs drops, and the unknown ones, among them every flag of one letter but `-h`.
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
      // Its value is not an operand.
      if (hasValue) i++;
      continue;
    }
    const [, flag, after] = /^--([^=]+)(?:=([^]*))?$/.exec(argument) ?? [];
    const isSwitch = switches.includes(flag!);
    if (flag === undefined) tied.push(argument);
    else if (!isSwitch && !valued.includes(flag)) unknown.push(argument);
    else if (seen.has(flag)) throw usageError(`Cannot use --${flag} twice`, "give it once");
    else if (!isSwitch) {
      const value = after ?? rest[++i];
      if (value === undefined || (after === undefined && value.startsWith("--"))) {
        throw usageError(`Cannot use --${flag}: its value is missing`, `type --${flag}=VALUE`);
      }
      if (value === "") empty.add(flag);
      else tied.push(`--${flag}=${value}`);
    } else if (after === undefined) tied.push(argument);
    else {
      const message = `Cannot use ${quote(argument)}: --${flag} takes no value`;
      throw usageError(message, `type --${flag}`);
    }
    if (flag !== undefined) seen.add(flag);
  }
  return { tied, empty, unknown };
}

function helpCommand(about: string): Command {
  return {
    name: "help",
    help: about,
    operands: [],
    switches: new Set(["help"]),
    values: {},
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
