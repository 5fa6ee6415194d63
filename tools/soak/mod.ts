/**
 * `deno task soak --minutes N [--seed S] [--json]`: the real program on real TLS, in trouble all the time.
 *
 * Load and troubles come at random from the seed. In the first third of the time the program is killed now and then too;
 * after that one process has to last. At the end every message that it reported as queued must have arrived, in order
 * (but for those that were lost three times in a row), with few repeats, and the process must be as large as it was. Exit code 1 if anything is not so.
 */

import { parseArgs } from "@std/cli/parse-args";
import { sleep } from "../../lib/core/wait.ts";
import { makePki, startEndpoint } from "../endpoint/mod.ts";
import { startForwarder } from "../endpoint/forwarder.ts";
import { seeded } from "../shared/seeded.ts";
import { growthOf, openAccount, weigh, type Weight } from "./account.ts";
import { type Device, startDevice } from "./device.ts";
import { type Site, TROUBLES } from "./troubles.ts";

const MINUTE_MS = 60_000;
const INFLIGHT = 20;
/** What is left may take so long to be delivered at the end, in ms. */
const DRAIN_MS = 60_000;
/** Least messages queued and lost sessions in a minute: below them nothing was tried. */
const LEAST_A_MINUTE = { queued: 500, sessions: 4 };
/** Garbage collection alone moves resident memory by some MiB. */
const MOST_GROWTH_MIB = 12;
/** A session more or less in the moment of weighing. */
const MOST_FDS_MORE = 3;

if (import.meta.main) Deno.exit(await soak(Deno.args));

async function soak(args: readonly string[]): Promise<number> {
  const { minutes, seed, json, _: rest, ...others } = parseArgs([...args], {
    string: ["minutes", "seed"],
    boolean: ["json"],
  });
  const forMs = Number(minutes ?? 10) * MINUTE_MS;
  const chosen = seed === undefined ? Date.now() % 2 ** 31 : Number(seed);
  const isSound = rest.length === 0 && Object.keys(others).length === 0 && Number.isInteger(chosen);
  if (!isSound || !(forMs >= MINUTE_MS / 2 && forMs <= 7 * 1440 * MINUTE_MS)) {
    console.error("usage: deno task soak [--minutes 0.5-10080] [--seed N] [--json]");
    return 64;
  }
  console.error(`seed ${chosen}, ${forMs / MINUTE_MS} minutes`);
  const over = new AbortController();
  const onSignal = () => over.abort();
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-soak-" });
  try {
    const outcome = await run(folder, forMs, chosen, over.signal);
    if (over.signal.aborted) return 130;
    tell(outcome, json);
    return outcome.violations.length === 0 ? 0 : 1;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

interface Outcome {
  readonly figures: Readonly<Record<string, number>>;
  readonly troubles: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
}

function tell({ figures, troubles, violations }: Outcome, json: boolean): void {
  if (json) return console.log(JSON.stringify({ figures, troubles, violations }));
  const rows = [...Object.entries(troubles), ["", ""], ...Object.entries(figures)];
  for (const [name, value] of rows) console.log(`${String(name).padEnd(30)} ${value}`);
  console.log(violations.length === 0 ? "\nall accounted for" : `\n${violations.join("\n")}`);
}

async function run(
  folder: string,
  forMs: number,
  seed: number,
  signal: AbortSignal,
): Promise<Outcome> {
  const random = seeded(seed);
  const pause = (ms: number) => sleep(ms, signal);
  const account = openAccount();
  const pki = await makePki();
  const certs = `${folder}/certs`;
  await Deno.mkdir(certs, { mode: 0o700 });
  await Deno.writeTextFile(`${certs}/ca.pem`, pki.ca);
  await Deno.writeTextFile(`${certs}/cert.pem`, pki.device.cert);
  await Deno.writeTextFile(`${certs}/key.pem`, pki.device.key, { mode: 0o600 });
  await using endpoint = await startEndpoint({
    certificates: pki,
    keep: "counts",
    onMessage: ({ payload }) => account.take(JSON.parse(payload).seq),
  });
  await using link = await startForwarder(endpoint.port);
  const device = startDevice([
    ...["publish", "--source", "stdin", "--endpoint", "localhost", "--port", `${link.port}`],
    ...["--client-id", "gw-7", "--certs", certs, "--state", `${folder}/state`],
    ...["--inflight", `${INFLIGHT}`, "--ack-timeout", "2s", "--connect-timeout", "3s"],
    ...["--backoff-max", "3s", "--give-up-after", "1m", "--log-format", "json"],
    ...["--log-level", "debug"],
  ]);
  try {
    const endMs = performance.now() + forMs;
    const killsUntilMs = performance.now() + forMs / 3;
    const isOn = () => performance.now() < endMs && !signal.aborted;
    const weights: Weight[] = [];
    const troubles: Record<string, number> = {};
    const site: Site = { device, endpoint, link, pki, certs, random: seeded(seed + 1), pause };
    const load = giveLoad(device, random, isOn, pause);
    const weighing = weighOn(device, weights, () => performance.now() > killsUntilMs, isOn, pause);
    while (isOn()) {
      await pause(300 + 4000 * site.random());
      const mayKill = performance.now() < killsUntilMs;
      const names = [...Object.keys(TROUBLES), ...(mayKill ? ["killed"] : [])];
      const name = names[Math.floor(site.random() * names.length)]!;
      troubles[name] = (troubles[name] ?? 0) + 1;
      if (name === "killed") await device.restart();
      else await TROUBLES[name]!(site);
    }
    await Promise.all([load, weighing]);
    const code = signal.aborted ? 0 : await device.finish(DRAIN_MS);
    return judge({ device, account, weights, troubles, code, minutes: forMs / MINUTE_MS }, {
      sessions: endpoint.counts.connections,
    });
  } finally {
    await device.kill();
  }
}

/** Lines at a random pace: single ones, and now and then many at once. */
async function giveLoad(
  device: Device,
  random: () => number,
  isOn: () => boolean,
  pause: (ms: number) => Promise<void>,
): Promise<void> {
  for (let n = 0; isOn();) {
    const lines = random() < 0.05 ? 500 : Math.ceil(random() * 10);
    await device.write(Array.from({ length: lines }, () => JSON.stringify({ n: ++n })));
    await pause(20 + 200 * random());
  }
}

/** Weighs the process every second from when it has to last. */
async function weighOn(
  device: Device,
  weights: Weight[],
  lasts: () => boolean,
  isOn: () => boolean,
  pause: (ms: number) => Promise<void>,
): Promise<void> {
  while (isOn()) {
    await pause(1000);
    const weight = lasts() ? weigh(device.pid) : undefined;
    if (weight) weights.push(weight);
  }
}

function judge(
  { device, account, weights, troubles, code, minutes }: {
    device: Device;
    account: ReturnType<typeof openAccount>;
    weights: readonly Weight[];
    troubles: Record<string, number>;
    code: number;
    minutes: number;
  },
  { sessions }: { sessions: number },
): Outcome {
  const { queuedSeq } = device;
  const missing = account.missing(queuedSeq);
  const growth = growthOf(weights);
  // A kill can take what was acknowledged in the same turn too.
  const mostRepeats = 2 * INFLIGHT * sessions;
  // A message with which three sessions in a row were lost lets the next one by.
  const mostPassedOver = Math.floor(sessions / 3);
  const checks: [boolean, string][] = [
    [code === 0, `the program ended with exit code ${code}`],
    [missing.length === 0, `${missing.length} messages are missing, the first is ${missing[0]}`],
    [
      account.outOfOrder <= mostPassedOver,
      `${account.outOfOrder} messages came out of order, at most ${mostPassedOver} expected`,
    ],
    [account.repeats <= mostRepeats, `${account.repeats} repeats, at most ${mostRepeats} expected`],
    [growth.rssMiB <= MOST_GROWTH_MIB, `memory grew by ${growth.rssMiB.toFixed(1)} MiB`],
    [growth.fds <= MOST_FDS_MORE, `${growth.fds} more file descriptors`],
    [queuedSeq >= LEAST_A_MINUTE.queued * minutes, `only ${queuedSeq} messages were queued`],
    [sessions >= LEAST_A_MINUTE.sessions * minutes, `only ${sessions} connections were made`],
    [device.wrong.length === 0, `the log says: ${device.wrong.slice(0, 5).join("\n")}`],
  ];
  const last = weights.at(-1);
  return {
    troubles,
    figures: {
      "messages queued": queuedSeq,
      "messages arrived": account.arrived,
      missing: missing.length,
      "out of order": account.outOfOrder,
      repeats: account.repeats,
      connections: sessions,
      processes: device.starts,
      "memory at the end, MiB": Math.round(last?.rssMiB ?? 0),
      "memory growth, MiB": Math.round(growth.rssMiB * 10) / 10,
      "file descriptors at the end": last?.fds ?? 0,
    },
    violations: checks.filter(([holds]) => !holds).map(([, words]) => words),
  };
}
