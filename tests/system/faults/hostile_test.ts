/** 10,000 hostile streams, and a flood of messages without end (S5). */

import {
  assertEquals,
  assertGreater,
  assertLess,
  assertLessOrEqual,
  assertMatch,
} from "@std/assert";
import { Buffer } from "node:buffer";
import mqtt from "mqtt-packet";
import { openConnection } from "../../../lib/connection/open.ts";
import { atRest, reasonOf, settingsFor, transportOver } from "../../support/connecting.ts";
import { meetHostile } from "../../support/hostile.ts";
import type { HostileReport } from "../../support/hostile_process.ts";

/** MiB by which memory may be more at the end than in the second quarter: 200 bytes an attempt of 10,000. */
const MOST_HELD = 2;
/** The same of the process: what is lost outside JavaScript, in blocks as the allocator has them. */
const MOST_RESIDENT = 40;

function assertUnharmed(report: HostileReport, count: number): void {
  assertEquals([report.attempts, report.wrong], [count, []]);
  assertEquals(report.refused + report.ended + report.wentOn, count);
  for (const seen of [report.refused, report.ended, report.wentOn]) {
    assertGreater(seen, count / 10);
  }
  assertLessOrEqual(report.fds[1], report.fds[0], "open files");
  assertLess(report.held[1] - report.held[0], MOST_HELD, `memory grew: ${report.held}`);
  assertLess(report.rss[1] - report.rss[0], MOST_RESIDENT, `RSS grew: ${report.rss}`);
}

Deno.test("connection survives 10,000 hostile streams without growth (S5)", async () => {
  assertUnharmed(await meetHostile({ seed: 2, count: 10_000, deadlineMs: 600_000 }), 10_000);
});

Deno.test("connection ends when messages flood in and no answer is read (S5)", async () => {
  const publish = mqtt.generate({
    cmd: "publish",
    topic: "a",
    payload: "x",
    qos: 1,
    messageId: 1,
    dup: false,
    retain: false,
  }, { protocolVersion: 5 });
  const flood = Buffer.concat(Array<Buffer>(3000).fill(publish));
  const connack = mqtt.generate(
    { cmd: "connack", sessionPresent: false, reasonCode: 0 },
    { protocolVersion: 5 },
  );
  const stuck = Promise.withResolvers<number>();
  let read = 0;
  let writes = 0;
  const conn = {
    remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 443 },
    handshake: () => Promise.resolve({ alpnProtocol: "x-amzn-mqtt-ca" }),
    async read(buffer: Uint8Array) {
      // As from a socket: not in the same turn.
      await new Promise((resolve) => setTimeout(resolve, 0));
      const bytes = read === 0 ? connack : flood;
      read += bytes.length;
      buffer.set(bytes);
      return bytes.length;
    },
    write: (bytes: Uint8Array) => writes++ === 0 ? Promise.resolve(bytes.length) : stuck.promise,
    close: () => stuck.reject(new Deno.errors.BadResource("closed")),
  } as unknown as Deno.TlsConn;
  const connection = await openConnection(
    settingsFor(443),
    { caPems: [], caFiles: [] } as never,
    { open: () => Promise.resolve(transportOver(conn)) },
  );
  connection.subscribe("a", () => {}).catch(() => {});
  const { message } = await reasonOf(connection);
  await atRest();
  assertMatch(message, /sends messages, and does not read our answers$/);
  assertLess(read, 1024 ** 2);
});
