/** Output that is closed, full or unread: the program goes on without words. Real processes, real pipes. */

import { assertEquals, assertLess } from "@std/assert";
import { LineWriter } from "../../lib/core/line_writer.ts";
import { openLog } from "../../lib/core/log.ts";
import { spawnProgram } from "../support/program.ts";
import { flagsFor, makeRig, range, type Rig, seqsOf } from "../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const TICKS = ["--source", "clock", "--interval", "100ms"];

/** Starts the program in a shell that arranges its streams: `"$@"` is the program. */
function startIn(script: string, args: readonly string[], cwd: string): Deno.ChildProcess {
  return spawnProgram(args, { cwd, within: ["sh", "-c", script, "sh"] }, { stdin: "null" });
}

/** Lets go of what is left of a process: streams and all. */
async function release(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch { /* it has ended */ }
  await child.status;
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream.locked) await stream.cancel().catch(() => {});
  }
}

const PUBLISH: [what: string, script: string][] = [
  ["stderr is a full disk", 'exec "$@" 2>/dev/full'],
  ["stderr and stdout were closed before it began", 'exec "$@" >&- 2>&-'],
  // A pipe that is full from the beginning, and a reader that never reads: the process itself.
  [
    "stderr is a full pipe that nobody reads",
    'mkfifo log; exec 3<>log; head -c 65536 /dev/zero >&3; exec "$@" 2>&3',
  ],
];
for (const [what, script] of PUBLISH) {
  Deno.test(`publisher goes on, and ends well, where ${what} (X8)`, async () => {
    await using rig = await makeRig();
    const args = ["publish", ...flagsFor(rig.folder, rig.endpoint.port), ...TICKS];
    const child = startIn(script, args, rig.folder);
    try {
      await rig.endpoint.waitFor(5);
      child.kill("SIGTERM");
      assertEquals((await child.status).code, 0);
      await rig.endpoint.until(() => rig.endpoint.closes.length === 1);
      assertEquals(rig.endpoint.closes[0]?.by, "client");
      const seqs = seqsOf(rig.endpoint.received);
      assertEquals(seqs, range(1, seqs.length));
    } finally {
      await release(child);
    }
  });
}

Deno.test("publisher goes on, and ends well, when the reader of its log goes away (X8)", async () => {
  await using rig = await makeRig();
  const args = ["publish", ...flagsFor(rig.folder, rig.endpoint.port), ...TICKS];
  const child = startIn('exec "$@"', args, rig.folder);
  try {
    const reader = child.stderr.getReader();
    await reader.read();
    await reader.cancel();
    reader.releaseLock();
    await rig.endpoint.waitFor(rig.endpoint.received.length + 5);
    child.kill("SIGTERM");
    assertEquals((await child.status).code, 0);
  } finally {
    await release(child);
  }
});

/** Sends messages until the process has ended, or something else has come about. */
async function sendUntil(rig: Rig, settled: Promise<unknown>): Promise<void> {
  const timer = setInterval(() => rig.endpoint.publish("t", "x"), 20);
  await settled.finally(() => clearInterval(timer));
}

Deno.test("watch ends with 0 when the reader of its output goes away (X8)", async () => {
  await using rig = await makeRig();
  const args = ["watch", "t", ...flagsFor(rig.folder, rig.endpoint.port)];
  const child = startIn('exec "$@" 2>/dev/null', args, rig.folder);
  try {
    const reader = child.stdout.getReader();
    await sendUntil(rig, reader.read());
    await reader.cancel();
    reader.releaseLock();
    await sendUntil(rig, child.status);
    assertEquals((await child.status).code, 0);
  } finally {
    await release(child);
  }
});

Deno.test("watch prints on where the reader of its log goes away (X8)", async () => {
  await using rig = await makeRig();
  const args = ["watch", "t", ...flagsFor(rig.folder, rig.endpoint.port)];
  const child = startIn('exec "$@"', args, rig.folder);
  const log = child.stderr.getReader();
  const out = child.stdout.getReader();
  try {
    await log.read();
    await log.cancel();
    await sendUntil(rig, out.read());
    rig.endpoint.cut();
    await rig.endpoint.until(() => rig.endpoint.connects.length === 2);
    await sendUntil(rig, out.read());
    child.kill("SIGTERM");
    assertEquals((await child.status).code, 0);
  } finally {
    await out.cancel();
    await release(child);
  }
});

/** A sink whose stream takes a batch when the test lets it, and what was written. */
function makeSink() {
  const written: string[] = [];
  let gate = Promise.withResolvers<void>();
  const sink = new LineWriter(async (bytes) => {
    await gate.promise;
    written.push(new TextDecoder().decode(bytes));
    return bytes.length;
  });
  return {
    sink,
    written,
    open: () => gate.resolve(),
    shut: () => void (gate = Promise.withResolvers()),
    fail() {
      gate.promise.catch(() => {});
      gate.reject(new Deno.errors.BrokenPipe("closed"));
    },
  };
}

Deno.test("lines come in order, and whole, though the stream takes a byte at a time", async () => {
  let text = "";
  const sink = new LineWriter((bytes) => {
    text += new TextDecoder("latin1").decode(bytes.subarray(0, 1));
    return Promise.resolve(1);
  });
  for (const line of ["one", "two", "three"]) assertEquals(sink.put(line), 0);
  await sink.flush(10_000);
  assertEquals(text, "one\ntwo\nthree\n");
});

Deno.test("lines that nobody reads are left out and counted, and take no more memory than is allowed (X8)", async () => {
  const { sink, written, open } = makeSink();
  const lines = 10_000;
  for (let n = 0; n < lines; n++) assertEquals(sink.put(`${n} ${"x".repeat(100)}`), 0);
  open();
  await sink.flush(10_000);
  const text = written.join("");
  assertLess(text.length, 300_000);
  const kept = text.split("\n").length - 1;
  assertEquals(sink.put("last"), lines - kept, "how many were lost");
  assertEquals(sink.put("one more"), 0, "is told once");
  await sink.flush(10_000);
});

Deno.test("a flush waits for no reader longer than it was told", async () => {
  const { sink, open } = makeSink();
  sink.put("one");
  await sink.flush(1);
  open();
  await sink.flush(10_000);
});

Deno.test("a log tells how many of its lines were lost once it can be written again (X8)", async () => {
  const { sink, written, open, shut, fail } = makeSink();
  const log = openLog({ format: "json", level: "info", write: (line) => sink.put(line) });
  log.info("start");
  fail();
  await sink.flush(10_000);
  shut();
  log.info("connected");
  open();
  await sink.flush(10_000);
  const said = written.join("").trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(said.map(({ level, event, cause }) => [level, event, cause]), [
    ["info", "connected", undefined],
    ["warn", "warning", "log lines that could not be written: 1"],
  ]);
});
