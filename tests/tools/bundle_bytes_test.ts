/** The bytes that stand for the package `bl` in the bundle: the same as a list of pieces, whatever the pieces are. */

import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import bl from "../../tools/build/stand_ins/bl.cjs";

Deno.test("bytes of the bundle are those that were appended and not consumed", () => {
  const bytes = bl();
  let expected: number[] = [];
  for (let i = 0; i < 200; i++) {
    const piece = Array.from({ length: i % 7 }, (_, at) => (i + at) % 256);
    bytes.append(Buffer.from(piece));
    expected = [...expected, ...piece];
    const gone = i % 5;
    bytes.consume(gone);
    expected = expected.slice(gone);
    assertEquals(bytes.length, expected.length);
    assertEquals([...bytes.slice(1, 9)], expected.slice(1, 9));
    if (expected.length < 5) continue;
    const { buffer } = Uint8Array.from(expected);
    assertEquals(bytes.readUInt8(1), expected[1]);
    assertEquals(bytes.readUInt16BE(1), new DataView(buffer).getUint16(1));
    assertEquals(bytes.readUInt32BE(1), new DataView(buffer).getUint32(1));
    assertEquals(bytes.toString("latin1", 0, 5), String.fromCharCode(...expected.slice(0, 5)));
  }
});

Deno.test("bytes of the bundle leave alone what they handed out", () => {
  const bytes = bl();
  bytes.append(Buffer.from("abc"));
  const first = bytes.slice(0, 3);
  bytes.consume(1);
  bytes.append(Buffer.from("def"));
  const second = bytes.slice(0, 5);
  bytes.consume(5);
  bytes.append(Buffer.from("ghi"));
  bytes.append(Buffer.from("jkl"));
  assertEquals([`${first}`, `${second}`], ["abc", "bcdef"]);
});

Deno.test("bytes of the bundle take a large packet byte by byte without copying it each time", () => {
  const bytes = bl();
  const one = Buffer.from([1]);
  const pieces = new Set<unknown>();
  for (let i = 0; i < 10_000; i++) {
    bytes.append(one);
    pieces.add(bytes.slice(0, 1).buffer);
  }
  assertEquals(bytes.length, 10_000);
  // Each is twice as large as the one before.
  assertEquals(pieces.size < 20, true, `${pieces.size} pieces`);
});
