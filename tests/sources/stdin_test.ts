import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Line, LineSplitter, readLines } from "../../lib/sources/mod.ts";

const encoder = new TextEncoder();

function streamOf(
  chunks: readonly (string | Uint8Array)[],
): ReadableStream<Uint8Array> {
  return ReadableStream.from(
    chunks.map((chunk) => typeof chunk === "string" ? encoder.encode(chunk) : chunk),
  );
}

async function linesOf(
  chunks: readonly (string | Uint8Array)[],
  maxBytes?: number,
): Promise<Line[]> {
  const lines: Line[] = [];
  const options = maxBytes === undefined ? {} : { maxBytes };
  for await (const batch of readLines(streamOf(chunks), options)) {
    lines.push(...batch);
  }
  return lines;
}

Deno.test("readLines yields a batch for each chunk that ends a line", async () => {
  const batches: (readonly Line[])[] = [];
  for await (const batch of readLines(streamOf(["a\nb\nc", "d", "e\nf\n"]))) {
    batches.push(batch);
  }
  assertEquals(batches, [["a", "b"], ["cde", "f"]]);
});

Deno.test("readLines keeps a last line without its end", async () => {
  assertEquals(await linesOf(["a\nb"]), ["a", "b"]);
});

Deno.test("readLines yields empty lines, so that lines can be counted, and takes CR LF for a line end", async () => {
  assertEquals(await linesOf(["\n\r\na\r\n\r\n\nb\r\n"]), ["", "", "a", "", "", "b"]);
  assertEquals(await linesOf(["\n\na\n\nb"], 2), ["", "", "a", "", "b"]);
});

Deno.test("line splitter passes over empty lines where they are not asked for", () => {
  assertEquals(new LineSplitter().push(encoder.encode("\n\r\na\r\n\n")), ["a"]);
});

Deno.test("readLines takes CR LF apart at a chunk's end for a line end", async () => {
  assertEquals(await linesOf(["a\r", "\nb\r", "c\r", "\n"]), ["a", "b\rc"]);
});

Deno.test("readLines strips a byte order mark at the start alone", async () => {
  assertEquals(await linesOf(["\ufeffa\n\ufeffb\n"]), ["a", "\ufeffb"]);
});

Deno.test("readLines strips a byte order mark that comes byte by byte", async () => {
  const bytes = Array.from(
    encoder.encode("\ufeffa\n"),
    (byte) => Uint8Array.of(byte),
  );
  assertEquals(await linesOf(bytes), ["a"]);
});

Deno.test("readLines keeps characters that chunks cut apart", async () => {
  const bytes = Array.from(
    encoder.encode("grün 温度 🌡\nß\n"),
    (byte) => Uint8Array.of(byte),
  );
  assertEquals(await linesOf(bytes), ["grün 温度 🌡", "ß"]);
});

Deno.test("readLines replaces what is not UTF-8 by U+FFFD, within its line (X7)", async () => {
  assertEquals(await linesOf([Uint8Array.of(0xe6, 10, 0x61, 0xff, 0x62, 10)]), [
    "\ufffd",
    "a\ufffdb",
  ]);
});

Deno.test("readLines gives nothing for an empty stream", async () => {
  assertEquals(await linesOf([]), []);
  assertEquals(await linesOf(["\ufeff"]), []);
});

for (const size of [1, 2, 3, 7, 1000]) {
  Deno.test(`readLines reports lines that are too long in chunks of ${size} (P7)`, async () => {
    const text = "1234\r\n12345\r\n123456789\nok\n12345678";
    const bytes = encoder.encode(text);
    const chunks: Uint8Array[] = [];
    for (let i = 0; i < bytes.length; i += size) {
      chunks.push(bytes.slice(i, i + size));
    }
    assertEquals(await linesOf(chunks, 4), [
      "1234",
      { tooLong: true, bytes: 5 },
      { tooLong: true, bytes: 9 },
      "ok",
      { tooLong: true, bytes: 8 },
    ]);
  });
}

Deno.test("readLines counts a byte order mark to no line", async () => {
  assertEquals(await linesOf(["\ufeff1234\n"], 4), ["1234"]);
});

Deno.test("readLines asks for no chunk before the lines of the last one are taken", async () => {
  let pulled = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++;
      controller.enqueue(encoder.encode(`${pulled}\n`));
    },
  }, { highWaterMark: 0 });
  const lines = readLines(stream);
  assertEquals((await lines.next()).value, ["1"]);
  assertEquals(pulled, 1);
  assertEquals((await lines.next()).value, ["2"]);
  assertEquals(pulled, 2);
  await lines.return();
});

Deno.test("readLines cancels the stream when the loop is left early", async () => {
  let cancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(encoder.encode("a\n")),
    cancel: () => void (cancelled = true),
  });
  for await (const _ of readLines(stream)) break;
  assert(cancelled);
});

Deno.test("readLines ends at once when its signal is aborted, without half a line", async () => {
  const abort = new AbortController();
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(encoder.encode("a\nhalf")),
  });
  const lines = readLines(stream, { signal: abort.signal });
  assertEquals((await lines.next()).value, ["a"]);
  const waiting = lines.next();
  abort.abort();
  assertEquals(await waiting, { done: true, value: undefined });
});

Deno.test("readLines reads nothing when its signal was aborted before", async () => {
  const lines = readLines(streamOf(["a\n"]), { signal: AbortSignal.abort() });
  assertEquals((await lines.next()).done, true);
});

Deno.test("readLines fails as its stream fails, after the lines before", async () => {
  let pulled = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (pulled++ === 0) controller.enqueue(encoder.encode("a\n"));
      else controller.error(new Error("broken pipe"));
    },
  });
  const lines = readLines(stream);
  assertEquals((await lines.next()).value, ["a"]);
  await assertRejects(() => lines.next(), Error, "broken pipe");
});
