/** The command lines of `deno task compile` and `deno task kit`, by the same rules. Pure; what a value names is not looked at. */

import { parseArgs } from "@std/cli/parse-args";
import { EXIT, UserError } from "../../lib/core/errors.ts";
import { didYouMean, quote } from "../../lib/core/text.ts";

const RUNTIMES = ["auto", "npm", "denort"] as const;

/** What runs the bundle: `auto` is denort where it can be had, else Deno from npm. */
export type RuntimeChoice = (typeof RUNTIMES)[number];

/** What a task takes besides the flags of both. */
export interface TaskFlags {
  readonly task: "compile" | "kit";
  /** A flag that may be given many times. */
  readonly list: string;
  /** A flag without a value. */
  readonly toggle: string;
}

/** What was asked for; undefined where it was not. */
export interface Flags {
  readonly settings: string | undefined;
  readonly runtime: RuntimeChoice | undefined;
  readonly denort: readonly string[];
  readonly out: string | undefined;
  /** Ports of proxies that an executable for any endpoint may reach. */
  readonly proxyPorts: readonly number[];
  readonly list: readonly string[];
  readonly isToggled: boolean;
}

/**
 * Reads a command line.
 *
 * @throws {UserError} If it is wrong.
 */
export function parseFlags(
  args: readonly string[],
  { task, list, toggle }: TaskFlags,
): Flags | "help" {
  const names = [list, "settings", "runtime", "denort", "out", "proxy-ports"];
  const flags = parseArgs(args[0] === "--" ? args.slice(1) : [...args], {
    string: names,
    collect: names,
    boolean: [toggle, "help"],
    unknown: (argument) => {
      const name = argument.replace(/^--?|=.*/g, "");
      const isFlag = argument.startsWith("-");
      throw usageError(
        task,
        isFlag
          ? `Unknown flag ${quote(argument)}${didYouMean(name, [...names, toggle, "help"])}`
          : `Unexpected ${quote(argument)}`,
      );
    },
  }) as Record<string, unknown>;
  if (flags.help === true) return "help";
  const all = (name: string) => flags[name] as string[];
  const one = (name: "settings" | "runtime" | "out") => {
    const [value, ...more] = all(name);
    if (more.length > 0) throw usageError(task, `Cannot use --${name}: it is given more than once`);
    if (value === "") throw usageError(task, `Cannot use --${name}: a value is required`);
    return value;
  };
  const asked = one("runtime");
  const runtime = RUNTIMES.find((name) => name === asked);
  if (asked !== undefined && runtime === undefined) {
    throw usageError(task, `Unknown runtime ${quote(asked)}${didYouMean(asked, RUNTIMES)}`);
  }
  const denort = all("denort");
  if (runtime === "npm" && denort.length > 0) {
    throw usageError(task, "Cannot use --denort with --runtime npm");
  }
  const proxyPorts = all("proxy-ports").flatMap((ports) => ports.split(",")).map(Number);
  if (!proxyPorts.every((port) => Number.isInteger(port) && port > 0 && port < 65_536)) {
    throw usageError(task, "Cannot use --proxy-ports: must be ports, as 3128,8080");
  }
  if (proxyPorts.length > 0 && one("settings") !== undefined) {
    throw usageError(
      task,
      "Cannot use --proxy-ports with --settings: the settings name the one proxy",
    );
  }
  return {
    ...{ runtime, denort, settings: one("settings"), out: one("out"), proxyPorts },
    ...{ list: all(list), isToggled: flags[toggle] === true },
  };
}

/** An error of a task's command line. */
export function usageError(task: TaskFlags["task"], message: string): UserError {
  return new UserError(message, {
    code: "tool-failed",
    hint: `see \`deno task ${task} --help\``,
    exitCode: EXIT.usage,
  });
}
