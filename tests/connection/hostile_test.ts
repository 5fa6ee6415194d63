/** A server with a good certificate that says what it should not (S5). The long run is in tests/system/faults. */

import {
  assertEquals,
  assertGreater,
  assertLess,
  assertLessOrEqual,
  assertMatch,
} from "@std/assert";
import { Buffer } from "node:buffer";
import mqtt from "mqtt-packet";
import { openConnection } from "../../lib/connection/open.ts";
import { atRest, reasonOf, settingsFor, transportOver } from "../support/connecting.ts";
import { meetHostile } from "../support/hostile.ts";

Deno.test("connection survives 300 hostile streams, each told or overcome (S5)", async () => {
  const report = await meetHostile({ seed: 1, count: 300, deadlineMs: 60_000 });
  assertEquals([report.attempts, report.wrong], [300, []]);
  assertEquals(report.refused + report.ended + report.wentOn, 300);
  for (const seen of [report.refused, report.ended, report.wentOn]) assertGreater(seen, 30);
  assertLessOrEqual(report.fds[1], report.fds[0], "open files");
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
