/** `mqtt443 send`: what it hands in, what it says, how it ends. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { lineFor } from "../../lib/commands/send.ts";
import { isRoot } from "../support/queueing.ts";
import { inputOf, makeRig, range, type Rig, seqsOf } from "../support/publishing.ts";
import { FAST, listening } from "../support/handing_in.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** What a run of `send` said. */
interface Sent {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function send(
  rig: Rig,
  args: readonly string[],
  { input, path = `${rig.folder}/in.sock` }: { input?: ReadableStream<Uint8Array>; path?: string } =
    {},
): Promise<Sent> {
  const run = rig.run(["send", "--listen", path, ...args], { ...(input && { input }) });
  const code = await run.code;
  return { code, out: run.out.join(""), err: run.errors.join("\n") };
}

/** A program that listens in the publisher's place, and does with each client what a test wants. */
function pretend(path: string, answer: (connection: Deno.Conn) => Promise<void>): Disposable {
  const listener = Deno.listen({ transport: "unix", path });
  void (async () => {
    for await (const connection of listener) {
      await answer(connection);
      connection.close();
    }
  })();
  return listener;
}

Deno.test("send hands in a message, says nothing, and ends when it is on disk", async () => {
  await using rig = await makeRig(FAST);
  const { flags } = listening(rig);
  await rig.publish([...flags, "--topic-prefix", "dt/gw"]).said("start");
  assertEquals(await send(rig, ["pump started"]), { code: 0, out: "", err: "" });
  assertEquals(await send(rig, ['{"a":1.0}', "--topic", "x/y"]), { code: 0, out: "", err: "" });
  const json = await send(rig, ["on", "--topic", "x", "--json"]);
  assertEquals(json, { code: 0, out: '{"ok":true,"seq":3}\n', err: "" });
  await rig.endpoint.waitFor(3);
  const received = rig.endpoint.received.map(({ topic, payload }) => [
    topic,
    payload.replace(/^.*"metrics":/, ""),
  ]);
  assertEquals(received, [
    ["dt/mqtt443/gw-7/telemetry", '{"text":"pump started"}}'],
    ["dt/gw/x/y", '{"a":1.0}}'],
    ["dt/gw/x", '{"text":"on"}}'],
  ]);
});

Deno.test("send hands in the lines of its input, however many", async () => {
  await using rig = await makeRig(FAST);
  const { flags } = listening(rig);
  await rig.publish([...flags, "--inflight", "100"]).said("start");
  const lines = range(1, 20_000).map((n) => `{"n":${n}}`);
  const { code, out, err } = await send(rig, ["--json"], { input: inputOf(lines) });
  assertEquals([code, err], [0, ""]);
  assertEquals(out.trim().split("\n").map((line) => JSON.parse(line).seq), range(1, 20_000));
  await rig.endpoint.waitFor(20_000, { deadlineMs: 60_000 });
  assertEquals(seqsOf(rig.endpoint.received), range(1, 20_000));
});

Deno.test("send says which line is not taken, takes all others, and ends with 64", async () => {
  await using rig = await makeRig(FAST);
  const { flags } = listening(rig);
  await rig.publish(flags).said("start");
  const input = () => inputOf(["", "one", '{"topic":"a","payload":1}', "three"]);
  const { code, out, err } = await send(rig, [], { input: input() });
  assertEquals([code, out], [64, ""]);
  assertMatch(err, /^warn: line 3 is not taken: topic: .*topicPrefix.*: ".*payload/);
  assertMatch(err, /\nerror: 1 of 3 lines were not taken\nhint: /);
  const json = await send(rig, ["--json"], { input: input() });
  assertEquals(json.out.trim().split("\n").map((line) => JSON.parse(line).ok), [true, false, true]);
  assertEquals((await send(rig, [" "])).code, 64);
  assertEquals((await send(rig, ["x", "--timeout", "never"])).code, 64);
  assertEquals((await send(rig, ['{"topic":"a","payload":1}', "--topic", "b"])).code, 64);
});

Deno.test("send ends with 75 while the queue is full, and with 69 where nobody listens", async () => {
  await using rig = await makeRig(FAST);
  const { path, flags } = listening(rig);
  assertEquals((await send(rig, ["x"])).code, 69);
  rig.endpoint.pause();
  const run = rig.publish([
    ...flags,
    ...["--queue-max-messages", "1", "--queue-full", "drop-newest"],
  ]);
  await run.said("start");
  assertEquals((await send(rig, ["x"])).code, 0);
  const full = await send(rig, ["x"]);
  assertEquals(full.code, 75);
  assertMatch(full.err, /line 1 is not taken: queue: is full/);
  run.signal("SIGKILL");
  await run.code;
  assert(Deno.lstatSync(path).isSocket);
  const { code, err } = await send(rig, ["x"]);
  assertEquals(code, 69);
  assertMatch(err, /hint: start `mqtt443 publish --listen PATH`/);
});

Deno.test("send ends with 75 when no receipt comes, and with 69 when something else answers", async () => {
  await using rig = await makeRig(FAST);
  const places = ["a", "b", "c"].map((name) => `${rig.folder}/${name}.sock`);
  const [silent, short, other] = places as [string, string, string];
  const buffer = new Uint8Array(1024);
  {
    const hold = Promise.withResolvers<void>();
    using _silent = pretend(silent, () => hold.promise);
    const { code, err } = await send(rig, ["x", "--timeout", "100ms"], { path: silent });
    hold.resolve();
    assertEquals(code, 75);
    assertMatch(
      err,
      /did not answer for 1 line: no receipt came for 0.1 s\nhint: hand the same in again/,
    );
  }
  {
    using _short = pretend(short, async (connection) => void await connection.read(buffer));
    const { code, err } = await send(rig, ["x"], { path: short });
    assertEquals(code, 75);
    assertMatch(err, /did not answer for 1 line: it hung up/);
  }
  {
    using _other = pretend(other, async (connection) => {
      await connection.write(new TextEncoder().encode("220 mail.example ESMTP\r\n"));
      await connection.read(buffer);
    });
    const { code, err } = await send(rig, ["x"], { path: other });
    assertEquals(code, 69);
    assertMatch(err, /is no mqtt443/);
  }
});

Deno.test({
  name: "send ends with 77 where this user may not connect (needs root)",
  // From source, that user would have to fill a cache of packages.
  ignore: !isRoot || Deno.env.get("TEST_FORM") !== "bundle",
  async fn() {
    await using rig = await makeRig(FAST);
    const { path, flags } = listening(rig);
    await rig.publish(flags).said("start");
    Deno.chmodSync(rig.folder, 0o755);
    const within = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"];
    const run = rig.run(["send", "--listen", path, "x"], { within });
    assertEquals([await run.code, run.errors.join("\n").split("\n")[0]], [
      77,
      `error: Cannot hand messages to the publisher at "${path}": Permission denied (os error 13)`,
    ]);
  },
});

Deno.test("send makes one line of a message, and an envelope with a topic", () => {
  const lines: [message: string, topic: string | undefined, line: string][] = [
    ["on", undefined, "on"],
    ["two\nlines", undefined, '{"metrics":{"text":"two\\nlines"}}'],
    ['{\n  "a": 1.50\n}\n', undefined, '{   "a": 1.50 }'],
    ["on", "x", '{"topic":"x","metrics":{"text":"on"}}'],
    ['{"a":1.50}', "x", '{"topic":"x","metrics":{"a":1.50}}'],
    ['{"payload":1e2,"time":5}', "x", '{"topic":"x","payload":1e2,"time":5}'],
    ['{"a":', "x", '{"topic":"x","metrics":{"text":"{\\"a\\":"}}'],
  ];
  for (const [message, topic, line] of lines) assertEquals(lineFor(message, topic), line);
});
