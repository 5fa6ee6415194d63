/**
 * `deno task demo`: the main job, seen from outside, without any account.
 *
 * Makes throw-away certificates, starts the local endpoint, and publishes this machine's telemetry to it with only the
 * permissions that the settings need, as `deno task publish` does. Then it cuts the link, shows the queue fill and drain,
 * and counts at the end. Exit code 1 if a message was lost.
 */

import { DENO_VERSION } from "./build/targets.ts";
import { type Endpoint, makePki, startEndpoint, writeCerts } from "./endpoint/mod.ts";
import { ENVIRONMENT } from "./publish.ts";
import { grantsFor, runArguments } from "./shared/scoped.ts";

/** Milliseconds from message to message. */
const INTERVAL_MS = 500;
/** Messages before the cut, and in the queue when the link comes back. */
const BEFORE = 6;
const DURING = 8;
const AFTER = 6;
/** Longest wait for any of it. */
const PATIENCE_MS = 30_000;

const CLIENT_ID = "demo-gateway";

if (import.meta.main) Deno.exit(await demo(Deno.args));

async function demo(args: readonly string[]): Promise<number> {
  if (args.length > 0) {
    say("usage: deno task demo");
    return args[0] === "--help" ? 0 : 64;
  }
  const directory = Deno.makeTempDirSync({ prefix: "mqtt443-demo-" });
  try {
    return await show(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

async function show(directory: string): Promise<number> {
  const certs = `${directory}/certs`;
  const state = `${directory}/state`;
  say("1. Making throw-away certificates: a CA, a server, a device …");
  const pki = await makePki({ device: CLIENT_ID });
  await writeCerts(certs, pki);
  for (const { name } of Deno.readDirSync(certs)) {
    if (name.includes(".")) say(`     ${certs}/${name}`);
  }
  await using endpoint = await startEndpoint({ certificates: pki });
  say(`2. Started a local stand-in for AWS IoT Core: localhost:${endpoint.port}`);
  say(
    "     it wants a client certificate (mutual TLS) and ALPN x-amzn-mqtt-ca, as port 443 of AWS does",
  );
  const publishArgs = [
    ...["publish", "--endpoint", "localhost", "--port", String(endpoint.port)],
    ...["--certs", certs, "--state", state, "--client-id", CLIENT_ID],
    ...["--interval", `${INTERVAL_MS}ms`, "--backoff-max", "3s"],
  ];
  say("3. Publishing this machine's telemetry; the program's own log is behind the bar:");
  say(`     mqtt443 ${publishArgs.join(" ")}`);
  await using publisher = startPublisher(publishArgs);
  const until = (enough: () => boolean, what: string) =>
    endpoint.until(enough, { deadlineMs: PATIENCE_MS, what });
  const received = () => endpoint.received.length;
  await until(() => received() >= BEFORE, "first messages");
  say(`4. ${received()} messages have arrived. The last one:`);
  say(`     ${endpoint.received.at(-1)!.topic}`);
  say(`     ${endpoint.received.at(-1)!.payload}`);
  say("5. Cutting the link: the port is closed, as if the site had lost its uplink");
  endpoint.pause();
  endpoint.cut("rst");
  await queueFills(state);
  say("6. The link is back; the queue drains, oldest first");
  const atReturn = received();
  await endpoint.resume();
  await until(() => received() >= atReturn + DURING, "the backlog");
  await queueDrains(state);
  await until(() => received() >= atReturn + DURING + AFTER, "new messages");
  say(`     arrived since the link is back: ${received() - atReturn}`);
  say("7. Stopping it with SIGTERM");
  return summary(endpoint, await publisher.stop());
}

/** Shows the queue as `mqtt443 queue` sees it, until enough waits in it. */
async function queueFills(state: string): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (let last = -1; last < DURING && performance.now() < deadlineMs;) {
    const now = await waiting(state);
    if (now !== last) say(`     waiting on disk: ${now} ${"#".repeat(now)}`);
    last = now;
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}

/** Shows the queue until it is empty, but for a message that is just on its way. */
async function queueDrains(state: string): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (let now = Infinity; now > 1 && performance.now() < deadlineMs;) {
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS / 2));
    now = await waiting(state);
    say(`     waiting on disk: ${now}`);
  }
}

async function waiting(state: string): Promise<number> {
  const args = ["queue", "--json", "--state", state];
  const { stdout } = await command(args, "inherit").output();
  return JSON.parse(new TextDecoder().decode(stdout)).waiting;
}

function summary(endpoint: Endpoint, code: number): number {
  const seqs = endpoint.received.map(({ payload }) => JSON.parse(payload).seq as number);
  const distinct = new Set(seqs);
  const last = Math.max(...seqs);
  const lost = last - distinct.size;
  say("");
  say(`published  ${last}`);
  say(`received   ${distinct.size}`);
  say(`repeated   ${seqs.length - distinct.size}`);
  say(`lost       ${lost}`);
  say("");
  say(
    "To use a real endpoint: put the files of the AWS IoT console into ./certs (see certs.example) and type",
  );
  say(
    `  npx -y deno@${DENO_VERSION} task publish --endpoint PREFIX-ats.iot.REGION.amazonaws.com --client-id THING`,
  );
  if (lost > 0) say("error: messages were lost; please report it");
  return lost > 0 || code !== 0 ? 1 : 0;
}

/** The program, with the grants of its settings. */
function command(args: readonly string[], stderr: "piped" | "inherit"): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: runArguments(args, grantsFor(args)),
    env: ENVIRONMENT,
    stdout: "piped",
    stderr,
  });
}

/** Starts it, and shows its log; it ends with the demo. */
function startPublisher(args: readonly string[]): AsyncDisposable & { stop(): Promise<number> } {
  const child = command(args, "piped").spawn();
  const ended = Promise.all([child.status, child.stdout.cancel(), showLog()]);
  async function showLog(): Promise<void> {
    let rest = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) say(`     | ${line}`);
    }
  }
  const stop = async () => {
    try {
      child.kill();
    } catch { /* it has ended */ }
    const [{ code }] = await ended;
    return code;
  };
  return { stop, [Symbol.asyncDispose]: async () => void await stop() };
}

function say(line: string): void {
  console.log(line);
}
