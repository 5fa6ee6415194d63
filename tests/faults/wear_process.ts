/**
 * What the program weighs as it goes on, measured in a process of its own. One line of JSON at the end.
 *
 * - `sessions PORT SESSIONS MESSAGES FOLDER`: so many sessions one after the other, so many messages in each.
 * - `offline MESSAGES FLAG…`: `publish` with those flags, without an endpoint, in a time that jumps to the next timer as
 *   soon as nothing else is to be done: two days of one sample a second take a minute.
 */

import { app } from "../../lib/app.ts";
import { openConnection } from "../../lib/connection.ts";
import { inspectIdentity } from "../../lib/identity.ts";
import { realWorld } from "../../lib/world.ts";
import { makeEnv } from "../command_line.ts";
import { settingsFor } from "../connecting.ts";

/** What the process weighed at one moment, after garbage collection. */
export interface Weight {
  readonly rssMiB: number;
  readonly heapMiB: number;
  readonly fds: number;
}

/** Weighings in a run. */
const WEIGHINGS = 24;

if (import.meta.main) {
  const [mode, ...args] = Deno.args;
  console.log(JSON.stringify(mode === "offline" ? await offline(args) : await sessions(args)));
  Deno.exit(0);
}

async function sessions(args: readonly string[]): Promise<Weight[]> {
  const [port, count, messages, folder] = args;
  const files = { ca: ["ca.pem"], cert: "cert.pem", key: "key.pem", keyPassphraseFile: undefined };
  const text = (name: string) => Deno.readTextFileSync(`${folder}/${name}`);
  const identity = inspectIdentity(files, {
    ca: [{ path: "ca.pem", text: text("ca.pem") }],
    cert: text("cert.pem"),
    key: text("key.pem"),
    passphrase: undefined,
  });
  const weights: Weight[] = [];
  for (let session = 1; session <= Number(count); session++) {
    const connection = await openConnection(settingsFor(Number(port)), identity);
    await new Promise<void>((resolve) => {
      let left = Number(messages);
      const send = () => {
        const message = { topic: "wear", payload: `{"session":${session},"left":${left}}`, qos: 1 };
        connection.publish(message as { topic: string; payload: string; qos: 1 }, () => {
          if (--left > 0) send();
          else resolve();
        });
      };
      send();
    });
    await connection.end();
    if (session % Math.floor(Number(count) / WEIGHINGS) === 0) weights.push(weigh());
  }
  return weights;
}

async function offline([count, ...flags]: readonly string[]): Promise<Weight[]> {
  const weights: Weight[] = [];
  const messages = Number(count);
  const timeMs = jumpingTime();
  let stop = () => {};
  await app(["publish", ...flags], {
    ...realWorld(),
    env: makeEnv(),
    err(line) {
      const { event, seq } = JSON.parse(line);
      if (event !== "queued") return;
      if (seq >= messages * (weights.length + 1) / WEIGHINGS) weights.push(weigh());
      if (seq >= messages) stop();
    },
    onSignals(_names, listener) {
      stop = listener;
      return () => {};
    },
    monotonicMs: timeMs,
    random: () => 0,
  });
  return weights;
}

function weigh(): Weight {
  for (let round = 0; round < 3; round++) (globalThis as { gc?: () => void }).gc?.();
  const { rss, heapUsed } = Deno.memoryUsage();
  return {
    rssMiB: rss / 1024 ** 2,
    heapMiB: heapUsed / 1024 ** 2,
    fds: [...Deno.readDirSync("/proc/self/fd")].length,
  };
}

/** Makes timers come due as soon as the event loop has nothing else; returns the clock that goes with them. */
function jumpingTime(): () => number {
  let nowMs = 0;
  let lastId = 1_000_000;
  const due = new Map<number, { atMs: number; action: () => void }>();
  const clear = globalThis.clearTimeout;
  Object.assign(globalThis, {
    setTimeout(action: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) {
      const id = ++lastId;
      due.set(id, { atMs: nowMs + Math.max(0, ms), action: () => action(...args) });
      return id;
    },
    clearTimeout(id: number) {
      if (!due.delete(id)) clear(id);
    },
  });
  const turn = () => {
    let next: { id: number; atMs: number; action: () => void } | undefined;
    for (const [id, timer] of due) {
      if (next === undefined || timer.atMs < next.atMs) next = { id, ...timer };
    }
    if (next !== undefined) {
      due.delete(next.id);
      nowMs = Math.max(nowMs, next.atMs);
      next.action();
    }
    setImmediate(turn);
  };
  setImmediate(turn);
  return () => nowMs;
}
