/**
 * A process that meets hostile servers, attempt after attempt, and tells what came of it on one line of JSON. Nothing
 * that goes wrong is caught but what `openConnection` promises: an uncaught error or rejection, or a timer that stays,
 * ends this process badly or never.
 *
 * Arguments: `seed` and `count`. The server is in memory, beneath MQTT and above TLS.
 */

import { Buffer } from "node:buffer";
import mqtt from "mqtt-packet";
import { openConnection } from "../../lib/connection/open.ts";
import type { Connection } from "../../lib/connection/types.ts";
import { formatError, UserError } from "../../lib/core/errors.ts";
import type { Identity } from "../../lib/identity/parse.ts";
import { median, openFiles } from "../../tools/bench/process.ts";
import { settingsFor, transportOver } from "./connecting.ts";
import { type HostileScript, hostileScript, playTo } from "./hostile_streams.ts";

/** What came of all attempts. */
export interface HostileReport {
  attempts: number;
  /** Attempts that ended with a `UserError` before CONNACK, and in session. */
  refused: number;
  ended: number;
  /** Sessions that went on until we ended them. */
  wentOn: number;
  /** PUBLISH packets that were acknowledged or refused. */
  settled: number;
  /** What must not be, with the number of the script. */
  wrong: string[];
  /** Open files after the first part and at the end. */
  fds: readonly [number, number];
  /** Memory that JavaScript holds after a collection, in MiB: the medians of the second quarter of the run and of the last. */
  held: readonly [number, number];
  /** Resident memory, the same way: with what the allocator keeps for itself, some 20 MiB more or less. */
  rss: readonly [number, number];
}

type Counts = Omit<HostileReport, "fds" | "held" | "rss">;

const IDENTITY = { caPems: [], caFiles: [] } as unknown as Identity;
/** At once. */
const CONCURRENCY = 50;
/** Deadline for CONNACK where the script has none; in memory it needs no time. */
const CONNECT_MS = 300;
/** The same where the script begins with it. */
const LONG_MS = 30_000;
/** No attempt may take as long. */
const HUNG_MS = 60_000;
/** What the server said is taken in by then, in turns of the event loop. */
const TURNS = 5;
/** QoS 1 messages published in each session. */
const MESSAGES = 3;
/** mqtt-packet remembers lengths below it. */
const MOST_BYTES = 16_384;
/** Attempts between two weighings of memory, but for a long run, which has this many of them. */
const PART = 75;
const MOST_PARTS = 20;

if (import.meta.main) {
  const [seed, count] = Deno.args.map(Number);
  console.log(JSON.stringify(await meetAll(seed!, count!)));
}

async function meetAll(seed: number, count: number): Promise<HostileReport> {
  const counts: Counts = { attempts: 0, refused: 0, ended: 0, wentOn: 0, settled: 0, wrong: [] };
  const held: number[] = [];
  const rss: number[] = [];
  rememberLengths();
  let fds = 0;
  let next = 0;
  const parts = Math.min(MOST_PARTS, Math.ceil(count / PART));
  for (let part = 1; part <= parts; part++) {
    const end = Math.round(count * part / parts);
    await Promise.all(Array.from({ length: CONCURRENCY }, async () => {
      while (next < end) await meet(seed, next++, counts);
    }));
    await collectGarbage();
    const memory = Deno.memoryUsage();
    held.push((memory.heapUsed + memory.external) / 1024 ** 2);
    rss.push(memory.rss / 1024 ** 2);
    if (part === 1) fds = await fewestFiles(0);
  }
  const quarter = Math.floor(parts / 4);
  const ofQuarters = (values: readonly number[]) =>
    [
      tenths(median(values.slice(quarter, 2 * quarter))),
      tenths(median(values.slice(-quarter))),
    ] as const;
  return {
    ...counts,
    fds: [fds, await fewestFiles(fds)],
    held: ofQuarters(held),
    rss: ofQuarters(rss),
  };
}

/**
 * Makes mqtt-packet remember every length at once. It keeps the bytes of each that it meets, cut from a slab of 8 KiB
 * that they keep, too: 10 MiB by the end of a long run here, and none in the bundle, which keeps no such bytes.
 */
function rememberLengths(): void {
  const sink = { write: () => true, cork: () => {}, uncork: () => {} };
  const most = Buffer.alloc(MOST_BYTES);
  for (let length = 0; length < MOST_BYTES; length++) {
    const payload = most.subarray(0, length);
    mqtt.writeToStream(
      { cmd: "publish", topic: "t", payload, qos: 0, dup: false, retain: false },
      sink as never,
    );
  }
}

/** Files open once they are as few as wanted, or after a while: what was closed a moment ago is still being closed. */
async function fewestFiles(wanted: number): Promise<number> {
  let fds = Infinity;
  for (let wait = 0; fds > wanted && wait < 20; wait++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    fds = Math.min(fds, openFiles());
  }
  return fds;
}

async function collectGarbage(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}

async function meet(seed: number, index: number, counts: Counts): Promise<void> {
  counts.attempts++;
  const wrong = (what: string) => void counts.wrong.push(`script ${seed}/${index}: ${what}`);
  const script = hostileScript(seed, index);
  const settings = settingsFor(443, {
    clientId: `hostile-${index}`,
    mqttVersion: script.mqttVersion,
    connectTimeout: script.inSession ? LONG_MS : CONNECT_MS,
  });
  const attempt = (async () => {
    let connection: Connection;
    try {
      connection = await openConnection(settings, IDENTITY, {
        open: () => Promise.resolve(transportOver(scripted(script))),
      });
    } catch (error) {
      counts.refused++;
      return check(error, wrong);
    }
    const reason = await use(connection, script, counts, wrong);
    if (reason === undefined) counts.wentOn++;
    else {
      counts.ended++;
      check(reason, wrong);
      if (script.isHarmless) wrong(`it ended without need: ${reason.message}`);
    }
  })();
  const { promise: hung, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    wrong("hung");
    resolve();
  }, HUNG_MS);
  await Promise.race([attempt, hung]);
  clearTimeout(timer);
}

/** Publishes, subscribes, and ends the session where the server does not. */
async function use(
  connection: Connection,
  script: HostileScript,
  counts: Counts,
  wrong: (what: string) => void,
): Promise<UserError | undefined> {
  const settled = Promise.withResolvers<void>();
  let acked = 0;
  for (let n = 1; n <= MESSAGES; n++) {
    let calls = 0;
    connection.publish({ topic: "a/b", payload: `${n}`, qos: 1 }, (refused) => {
      if (++calls > 1) wrong(`message ${n} was settled ${calls} times`);
      if (refused !== undefined) check(refused, wrong);
      counts.settled++;
      if (++acked === MESSAGES) settled.resolve();
    });
  }
  connection.publish({ topic: "a/b", payload: "x", qos: 0 }, () => {});
  connection.subscribe("a/#", () => {}).catch((error) => {
    // Nothing to tell where we ended it.
    if (error !== undefined) check(error, wrong);
  });
  // After what is harmless the server does its duty, and the session must be there to see it.
  if (script.isHarmless) await Promise.race([settled.promise, connection.closed]);
  let isOver = false;
  void connection.closed.then(() => isOver = true);
  for (let turn = 0; turn < TURNS && !isOver; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (!isOver) connection.abort();
  return await connection.closed;
}

/** That an error can be shown: two lines of printable text which say something. */
function check(error: unknown, wrong: (what: string) => void): void {
  if (!(error instanceof UserError)) return wrong(`not told: ${formatError(error)}`);
  const text = formatError(error);
  // deno-lint-ignore no-control-regex -- these are just what must not be there
  const isClean = /^error: [^\u0000-\u001f]+\nhint: [^\u0000-\u001f]+$/.test(text);
  if (!isClean || /undefined|NaN|\[object/.test(text)) wrong(`badly told: ${text}`);
}

/** A TLS connection whose other end plays a script in memory. */
function scripted(script: HostileScript): Deno.TlsConn {
  const waiting: (Uint8Array | "fin" | "rst")[] = [];
  let wake = Promise.withResolvers<void>();
  let closed = false;
  const heard = playTo(script, MESSAGES, (what) => {
    waiting.push(what);
    wake.resolve();
    wake = Promise.withResolvers();
  });
  return {
    remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 443 },
    handshake: () => Promise.resolve({ alpnProtocol: "x-amzn-mqtt-ca" }),
    async read(buffer: Uint8Array) {
      for (;;) {
        if (closed) throw new Deno.errors.BadResource("closed");
        const next = waiting.shift();
        if (next === "fin") return null;
        if (next === "rst") throw new Deno.errors.ConnectionReset("reset");
        if (next !== undefined) {
          buffer.set(next);
          return next.length;
        }
        await wake.promise;
      }
    },
    write(bytes: Uint8Array) {
      if (closed) return Promise.reject(new Deno.errors.BadResource("closed"));
      heard(bytes);
      return Promise.resolve(bytes.length);
    },
    close() {
      closed = true;
      wake.resolve();
    },
  } as unknown as Deno.TlsConn;
}
