/** `watch`: prints the messages that arrive on a topic, until stopped. */

import { place } from "../core/endpoint.ts";
import type { Command } from "./arguments.ts";
import {
  checkEnvironment,
  checkGrants,
  type Connection,
  Connector,
  targetOf,
  warnOfProxyVariable,
} from "../connection/mod.ts";
import { EXIT, type ExitCode, settingsError, UserError } from "../core/errors.ts";
import { sleep } from "../core/wait.ts";
import { currentStatus } from "../queue/mod.ts";
import {
  type EffectiveSettings,
  loadSettings,
  MAX_CLIENT_ID_BYTES,
  type Settings,
} from "../settings/mod.ts";
import { filterProblem, matchesFilter, utf8Bytes } from "../core/message.ts";
import { Outage } from "../publisher/mod.ts";
import { CONTROL, oneLine, quote } from "../core/text.ts";
import type { World } from "../core/process.ts";
import { openLogOf } from "./open_log.ts";

/** Prints `TIME TOPIC PAYLOAD`, one line a message, and reconnects when the link is lost. */
export async function watchCommand(command: Command, world: World): Promise<ExitCode> {
  const settings = ownClient(loadSettings(command, world, { needEndpoint: true }));
  const filter = command.operands[0]!;
  const problem = filterProblem(filter);
  if (problem !== undefined) {
    throw settingsError(
      "wrong-command-line",
      `Cannot watch ${quote(filter)}: a topic filter ${problem}`,
      "type `mqtt443 watch 'a/+/b'` or `mqtt443 watch 'a/#'`",
    );
  }
  const log = openLogOf(settings, world);
  checkEnvironment(world.env, log);
  warnOfProxyVariable(world.env, settings, log);
  checkGrants(settings);
  const connector = new Connector(settings, world, log);
  const target = targetOf(settings, connector.identity());
  const outage = new Outage({ ...world, settings, target, log });
  const over = new AbortController();
  const done = world.onSignals(["SIGTERM", "SIGINT"], () => over.abort());
  let left = settings.count ?? Infinity;
  let broken: unknown;
  const print = (topic: string, payload: Uint8Array) => {
    if (left <= 0) return;
    left--;
    try {
      const time = world.now().toISOString();
      world.out(`${time} ${oneLine(topic)} ${printable(new TextDecoder().decode(payload))}\n`);
    } catch (error) {
      broken = error;
      over.abort();
    }
    if (left <= 0) over.abort();
  };
  try {
    while (!over.signal.aborted) {
      outage.connecting();
      try {
        const connection = await connector.connect(over.signal);
        outage.connected(connection);
        const startMs = world.monotonicMs();
        const stray = (topic: string) => strayTopic(topic, filter, place(settings));
        const signal = over.signal;
        const tell = (topic: string, bytes: number) =>
          log.warn("warning", {
            code: "packet-too-large",
            cause: `a message of ${bytes} bytes on ${quote(topic)} is not shown: it is too long`,
            hint: "give a narrower filter, or none that matches it",
          });
        const reason = await watchSession(connection, { filter, print, stray, tell, signal });
        if (reason === undefined) break;
        const ms = world.monotonicMs() - startMs;
        await sleep(outage.ended(reason, { ms, delivered: 1, inFlight: 0 }), over.signal);
      } catch (error) {
        if (over.signal.aborted) break;
        if (!(error instanceof UserError) || error.exitCode === EXIT.refused) throw error;
        await sleep(outage.failed(error), over.signal);
      }
    }
    if (broken !== undefined) throw broken;
    return EXIT.ok;
  } finally {
    done();
  }
}

/**
 * The settings with a client id of its own, as two sessions with one id disconnect each other: the one on the command
 * line, or the publisher's with `-watch` appended.
 *
 * @throws {UserError} With exit code 64 if the id on the command line belongs to the publisher that runs here.
 */
function ownClient({ settings, origins }: EffectiveSettings): Settings {
  const { clientId, state } = settings;
  const watchId = watchIdOf(clientId);
  if (origins.clientId?.origin !== "flag") return { ...settings, clientId: watchId };
  if (currentStatus(state)?.clientId !== clientId) return settings;
  throw new UserError(
    `Cannot watch with client id ${quote(clientId)}: the publisher that runs on state directory ` +
      `${quote(state)} uses it, and would be disconnected`,
    {
      code: "watch-id-in-use",
      hint: `leave --client-id out (watch then uses ${quote(watchId)}), or give it another one`,
      exitCode: EXIT.usage,
      step: "settings",
    },
  );
}

const WATCH_SUFFIX = "-watch";

/** A client id with {@linkcode WATCH_SUFFIX}, cut to fit. */
function watchIdOf(clientId: string): string {
  const letters = [...clientId];
  while (utf8Bytes(letters.join("")) > MAX_CLIENT_ID_BYTES - WATCH_SUFFIX.length) letters.pop();
  return `${letters.join("")}${WATCH_SUFFIX}`;
}

function strayTopic(topic: string, filter: string, from: string): UserError {
  return new UserError(
    `${from} does not speak MQTT as it should: it sent a message on ${quote(topic)}, which does ` +
      `not match ${quote(filter)}`,
    {
      code: "stray-topic",
      hint: "ask who runs the broker whether it rewrites topics; `mqtt443 watch '#'` takes any",
      exitCode: EXIT.unavailable,
      step: "mqtt",
    },
  );
}

/** Prints until the session ends; returns why it ended, or undefined if we ended it. */
async function watchSession(
  connection: Connection,
  { filter, print, stray, tell, signal }: {
    filter: string;
    print: (topic: string, payload: Uint8Array) => void;
    stray: (topic: string) => UserError;
    tell: (topic: string, bytes: number) => void;
    signal: AbortSignal;
  },
): Promise<UserError | undefined> {
  const onStop = () => void connection.end();
  signal.addEventListener("abort", onStop, { once: true });
  if (signal.aborted) onStop();
  let isStray = false;
  try {
    await connection.subscribe(filter, (topic, payload) => {
      isStray ||= !matchesFilter(filter, topic);
      if (isStray) connection.abort(stray(topic));
      else print(topic, payload);
    }, ({ topic, bytes }) => tell(topic, bytes));
    return await connection.closed;
  } finally {
    signal.removeEventListener("abort", onStop);
    connection.abort();
  }
}

/** A payload on one line: tabs stay, other control characters are replaced. */
function printable(text: string): string {
  return text.replace(
    CONTROL,
    (character) => character === "\n" ? "\\n" : character === "\t" ? "\t" : "\uFFFD",
  );
}
