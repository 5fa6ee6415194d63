/** `send`: hands messages to the running publisher, and says when they are on disk. */

import type { Command } from "./arguments.ts";
import { EXIT, type ExitCode, UserError } from "../core/errors.ts";
import { SOCKET_PATH } from "../core/socket_guard.ts";
import { quote } from "../core/text.ts";
import type { World } from "../core/process.ts";
import { type Answer, handIn } from "../intake/mod.ts";
import { duration, loadSettings } from "../settings/mod.ts";
import { readLines } from "../sources/mod.ts";

/** Longest line that is sent: the publisher refuses what is longer than 128 KiB in its own words. */
const MAX_LINE_BYTES = 1024 * 1024;
/** Lines that were not taken and are told one by one. */
const MOST_TOLD = 10;
/** Characters of such a line that are shown. */
const SHOWN = 60;

/** Sends MESSAGE, or the lines of standard input. */
export async function sendCommand(command: Command, world: World): Promise<ExitCode> {
  const { settings } = loadSettings(command, world, { needEndpoint: false });
  const { listen } = settings;
  const topic = command.flags.values.topic as string | undefined;
  const tally = new Tally(world, command.switches.has("json"));
  await handIn(
    linesOf(command.operands[0], world, (line, number) => tally.send(lineFor(line, topic), number)),
    {
      path: listen?.startsWith("/") ? listen : SOCKET_PATH,
      timeoutMs: timeoutOf(command.values.timeout ?? "10s"),
      onAnswer: (answer, receipt) => tally.answer(answer, receipt),
    },
  );
  return tally.code();
}

/** Counts what was sent and what became of it. */
class Tally {
  readonly #world: World;
  readonly #isJson: boolean;
  /** Lines that have no receipt yet, from `#first` on. */
  #waiting: [line: string, number: number][] = [];
  #first = 0;
  /** Lines that have one. */
  #answered = 0;
  #refused = 0;
  #postponed = 0;

  constructor(world: World, isJson: boolean) {
    this.#world = world;
    this.#isJson = isJson;
  }

  send(line: string, number: number): string {
    this.#waiting.push([line, number]);
    return line;
  }

  answer(answer: Answer, receipt: string): void {
    const [line, number] = this.#waiting[this.#first++]!;
    if (this.#first === this.#waiting.length) {
      this.#waiting = [];
      this.#first = 0;
    }
    this.#answered++;
    if (this.#isJson) this.#world.out(`${receipt}\n`);
    if (typeof answer === "number") return;
    if (answer.retry) this.#postponed++;
    else this.#refused++;
    if (this.#refused + this.#postponed > MOST_TOLD) return;
    const shown = quote(line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line);
    this.#world.err(`warn: line ${number} is not taken: ${answer.error}: ${shown}`);
  }

  /** @throws {UserError} Unless all lines were taken. */
  code(): ExitCode {
    const failed = this.#refused + this.#postponed;
    if (failed === 0) return EXIT.ok;
    const isLater = this.#refused === 0;
    throw new UserError(`${failed} of ${this.#answered} lines were not taken`, {
      code: "line-refused",
      hint: isLater
        ? "send them again later: the queue is full, its storage fails, or the publisher stops"
        : "correct them; all others are taken",
      exitCode: isLater ? EXIT.kept : EXIT.usage,
      step: "listen",
    });
  }
}

async function* linesOf(
  message: string | undefined,
  world: World,
  prepared: (line: string, number: number) => string,
): AsyncGenerator<readonly string[]> {
  if (message !== undefined) {
    if (message.trim() === "") throw usage("MESSAGE is empty", "give a text or a JSON object");
    return yield [prepared(message, 1)];
  }
  let number = 0;
  for await (const lines of readLines(world.input(), { maxBytes: MAX_LINE_BYTES })) {
    const wanted: string[] = [];
    for (const line of lines) {
      number++;
      if (typeof line !== "string") {
        throw usage(`line ${number} has ${line.bytes} bytes`, "send smaller messages");
      }
      // The publisher passes over an empty one, and answers none.
      if (line.trim() !== "") wanted.push(prepared(line, number));
    }
    if (wanted.length > 0) yield wanted;
  }
}

/**
 * A message as a line of the socket; with a topic, as an envelope around it. No number is written anew.
 *
 * @throws {UserError} If it names a topic of its own.
 */
export function lineFor(message: string, topic: string | undefined): string {
  const object = objectIn(message);
  const hasBreak = /[\n\r]/.test(message);
  // Outside its strings, which hold none, a line end is white space.
  const text = object === undefined && (hasBreak || topic !== undefined)
    ? JSON.stringify({ text: message })
    : message.replace(/[\n\r]+/g, " ").trim();
  if (topic === undefined) {
    return object === undefined && hasBreak ? `{"metrics":${text}}` : text;
  }
  if (object === undefined || !isEnvelope(object)) {
    return `{"topic":${JSON.stringify(topic)},"metrics":${text}}`;
  }
  if ("topic" in object) throw usage("it names a topic itself", "leave out --topic");
  return `{"topic":${JSON.stringify(topic)},${text.slice(1)}`;
}

function objectIn(message: string): object | undefined {
  if (!/^\s*\{/.test(message)) return undefined;
  try {
    return JSON.parse(message);
  } catch {
    return undefined;
  }
}

function isEnvelope(object: object): boolean {
  const keys = Object.keys(object);
  return keys.every((key) => ["metrics", "payload", "topic", "time"].includes(key)) &&
    keys.includes("metrics") !== keys.includes("payload");
}

function timeoutOf(text: string): number {
  try {
    return duration("100ms", "24h").parse(text);
  } catch (error) {
    throw usage(`--timeout ${(error as RangeError).message}`, "for example --timeout 10s");
  }
}

function usage(why: string, hint: string): UserError {
  return new UserError(`Cannot send: ${why}`, {
    code: "wrong-command-line",
    hint,
    exitCode: EXIT.usage,
  });
}
