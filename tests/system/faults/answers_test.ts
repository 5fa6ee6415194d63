/** Answers of a broker that end a session: how each is named, how soon the socket is closed, and what comes next. */

import { assert, assertEquals, assertLess, assertMatch, assertNotMatch } from "@std/assert";
import { rssKib } from "../../../tools/bench/process.ts";
import { HUGE_LENGTH } from "../../../tools/endpoint/mod.ts";
import { startChild } from "../../support/children.ts";
import {
  firsts,
  inputOf,
  makeRig,
  numbered,
  openInput,
  replaced,
  type Rig,
  type Run,
  seqsOf,
} from "../../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** The cap of the waits: a refusal waits for three quarters of it, anything else for a second. */
const FLAGS = { "--backoff-max": "4s" };
const WAITS = { refused: "3.0s", transient: "1.0s" };

/** How long after an instant the first session was over, seen from the endpoint. */
function firstEndMs({ endpoint }: Rig, sinceMs: number): number {
  return endpoint.closes[0]!.atMs - sinceMs;
}

function assertNamed(run: Run): void {
  for (const line of run.log) assertNotMatch(JSON.stringify(line), /undefined/);
}

// Each code, and whether it may go away by itself.
const CONNACKS = {
  "3.1.1": { 1: false, 2: false, 3: true, 4: false, 5: false, 7: false, 200: false },
  "5": { 0x80: true, 0x85: false, 0x86: false, 0x87: false, 0x90: false, 0x97: true, 0x9b: false },
} as const;

async function liveThroughConnack(version: string, code: number, isTransient: boolean) {
  await using rig = await makeRig({
    faults: { refuseConnect: 1, connackCode: code, keepRefusedOpen: true },
  });
  const flags = [...replaced(rig.flags, FLAGS), "--mqtt-version", version, "--source", "stdin"];
  const input = inputOf(numbered(1, 2));
  const run = rig.runHere(["publish", ...flags], { input, random: () => 0 });
  const told = await run.said("retrying");
  await rig.endpoint.until(() => rig.endpoint.closes.length > 0, { what: "the socket's end" });
  assertLess(firstEndMs(rig, rig.endpoint.connects[0]!.atMs), 1000);
  const name = version === "5" ? `0x${code.toString(16)}` : `${code}`;
  assertMatch(String(told.cause), new RegExp(`refused the session: CONNACK ${name} \\w{3}`));
  assertEquals(told.in, isTransient ? WAITS.transient : WAITS.refused);
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), [1, 2]);
  assertNamed(run);
}

Deno.test("publisher lives through each refusing CONNACK: closes at once, waits as the code deserves, and delivers (C4)", async () => {
  await Promise.all(
    Object.entries(CONNACKS).flatMap(([version, codes]) =>
      Object.entries(codes).map(([code, isTransient]) =>
        liveThroughConnack(version, Number(code), isTransient)
      )
    ),
  );
});

const DISCONNECTS: readonly (readonly [code: number, name: string, isTransient: boolean])[] = [
  [0x8b, "0x8b server shutting down", true],
  [0x8d, "0x8d keep alive timeout", true],
  [0x8e, "0x8e session taken over", false],
  [0x97, "0x97 quota exceeded", true],
  [0x98, "0x98 administrative action", true],
];

async function liveThroughDisconnect(code: number, name: string, isTransient: boolean) {
  await using rig = await makeRig();
  const { stream, write, end } = openInput();
  const flags = [...replaced(rig.flags, FLAGS), "--source", "stdin"];
  const run = rig.runHere(["publish", ...flags], { input: stream, random: () => 0 });
  write("{}");
  await run.said("published");
  const sinceMs = performance.now();
  rig.endpoint.disconnect(code);
  const told = await run.said("disconnected");
  await rig.endpoint.until(() => rig.endpoint.closes.length > 0, { what: "the socket's end" });
  assertLess(firstEndMs(rig, sinceMs), 1000);
  assertEquals(rig.endpoint.closes[0]!.by, "network", "we closed it, not the endpoint");
  assertEquals(String(told.cause).split("DISCONNECT ")[1], name);
  assertEquals(told.in, isTransient ? WAITS.transient : WAITS.refused);
  write("{}");
  end();
  assertEquals(await run.code, 0);
  assertEquals(firsts(seqsOf(rig.endpoint.received)), [1, 2]);
  assertNamed(run);
}

Deno.test("publisher lives through each DISCONNECT though the socket stays open: names it, closes, and comes back (C7)", async () => {
  await Promise.all(DISCONNECTS.map((one) => liveThroughDisconnect(...one)));
});

/** Connections in which the endpoint breaks the rules: first to warm up, then to be counted. */
const WARM = 10;
const COUNTED = 15;
/** What each connection meets, in turn. */
const BREACHES = 5;
const HEAP = 8 * 1024 * 1024;

Deno.test("a process drops each session that breaks the rules within a second, and grows by less than 10 MB (C5)", async () => {
  const isTurn = (turn: number) => ({ connection }: { connection: number }) =>
    connection <= WARM + COUNTED && connection % BREACHES === turn;
  const flood = new Uint8Array(HUGE_LENGTH.length + HEAP);
  flood.set(HUGE_LENGTH);
  await using rig = await makeRig({
    faults: {
      // Garbage, and a packet of 256 MB of which 8 follow.
      rawAtConnect(about) {
        rig.endpoint.faults.rawBytes = isTurn(0)(about) ? flood : flood.subarray(100);
        return isTurn(0)(about) || isTurn(1)(about);
      },
      secondConnack: isTurn(2),
      publishBeforeConnack: isTurn(3),
      strayPuback: isTurn(4),
    },
  });
  const child = startChild(["publish", ...rig.flags, "--source", "stdin"]);
  try {
    const { endpoint } = rig;
    const ended = (sessions: number) => () => endpoint.closes.length >= sessions;
    await endpoint.until(ended(WARM), { deadlineMs: 60_000, what: "warming up" });
    const before = 1024 * rssKib(child.pid);
    await endpoint.until(ended(WARM + COUNTED), { deadlineMs: 60_000, what: "all breaches" });
    const grownMb = (1024 * rssKib(child.pid) - before) / 1e6;
    for (const { connection, atMs } of endpoint.closes) {
      const connect = endpoint.connects.find((seen) => seen.connection === connection)!;
      assertLess(atMs - connect.atMs, 1000, `connection ${connection}`);
    }
    assertLess(grownMb, 10, `${grownMb} MB`);
    await child.write([...numbered(1, 3)]);
    await endpoint.waitFor(3);
    await child.end();
    assertEquals(await child.ended, { code: 0, words: "" });
    const told = [...child.events("retrying"), ...child.events("disconnected")];
    assert(told.length >= WARM + COUNTED);
    for (const { cause } of told) assertMatch(String(cause), /does not speak MQTT as it should/);
  } finally {
    await child.kill();
  }
});
