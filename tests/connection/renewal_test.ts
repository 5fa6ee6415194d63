/** A certificate renewed while the publisher runs: what SIGHUP does in each state, and what a wrong new pair does not. */

import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { parseCommand } from "../../lib/commands/arguments.ts";
import { Connector } from "../../lib/connection/renewal.ts";
import { UserError } from "../../lib/core/errors.ts";
import { loadSettings } from "../../lib/settings/mod.ts";
import { realWorld } from "../../lib/core/process.ts";
import type { Pair } from "../../tools/endpoint/mod.ts";
import { makeEnv } from "../support/command_line.ts";
import {
  makeRig,
  numbered,
  openInput,
  pki,
  range,
  type Rig,
  type Run,
  seqsOf,
  writeIdentity,
} from "../support/publishing.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const DAY_MS = 86_400_000;
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** Puts a pair in place as a careful person does: by rename, the certificate first. */
async function renew(rig: Rig, device: Pair): Promise<void> {
  await writeIdentity(`${rig.folder}/new`, { ca: pki.ca, device });
  for (const name of ["cert.pem", "key.pem"]) {
    await Deno.rename(`${rig.folder}/new/${name}`, `${rig.folder}/certs/${name}`);
  }
}

function certNames(rig: Rig): (string | undefined)[] {
  return rig.endpoint.connects.map(({ certName }) => certName);
}

/** A publisher of lines whose first session is open. */
async function startConnected(rig: Rig, flags: readonly string[] = []) {
  const { stream, write } = openInput();
  const run = rig.publish(["--source", "stdin", ...flags], { input: stream });
  await run.said("connected");
  return { run, write };
}

/** A publisher of lines whose waits may be as long as is allowed. */
function withLongWaits({ flags }: Rig): string[] {
  return ["publish", "--source", "stdin", ...flags.with(flags.indexOf("--backoff-max") + 1, "1h")];
}

async function stopped(run: Run): Promise<void> {
  run.signal();
  assertEquals(await run.code, 0);
  assertEquals((await run.said("stopped")).queued, 0);
}

Deno.test("publisher goes over to a renewed certificate on SIGHUP, and loses nothing (X3)", async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 20 } });
  const { run, write } = await startConnected(rig);
  await renew(rig, await pki.authority.issue("gw-7 renewed"));
  for (const line of numbered(1, 500)) write(line);
  await rig.endpoint.waitFor(5);
  run.signal("SIGHUP");
  await rig.endpoint.until(() => rig.endpoint.connects.length === 2);
  for (const line of numbered(501, 510)) write(line);
  await rig.endpoint.waitFor(510);
  assertEquals(certNames(rig), ["gw-7", "gw-7 renewed"]);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 510), "each once: what was out was awaited");
  assertMatch(rig.endpoint.closes[0]!.reason, /DISCONNECT/);
  assertLess(rig.endpoint.connects[0]!.publishes, 500, "it sent no more on the old session");
  const { level, cause } = await run.said("disconnected");
  assertEquals(level, "info");
  assertMatch(String(cause), /^planned: /);
  await run.said("start", ({ certificate }) => certificate === "CN=gw-7 renewed");
  assertEquals(run.log.filter(({ event }) => event === "retrying"), []);
  await stopped(run);
});

Deno.test("publisher awaits no PUBACK for ever before it goes over to a renewed certificate (X3)", async () => {
  await using rig = await makeRig({ faults: { forgetPuback: true } });
  const { stream, write } = openInput();
  let aheadMs = 0;
  const run = rig.publishHere(["--source", "stdin", "--ack-timeout", "5m"], {
    input: stream,
    monotonicMs: () => performance.now() + aheadMs,
  });
  await run.said("connected");
  for (const line of numbered(1, 3)) write(line);
  await rig.endpoint.waitFor(3);
  rig.endpoint.faults.forgetPuback = false;
  await renew(rig, await pki.authority.issue("gw-7 renewed"));
  run.signal("SIGHUP");
  await run.said("disconnected");
  assertEquals(rig.endpoint.closes.length, 0, "the PUBACKs are awaited");
  // The 5 s of it, without waiting for them.
  aheadMs = 5000;
  await rig.endpoint.waitFor(6);
  assertEquals(certNames(rig), ["gw-7", "gw-7 renewed"]);
  assertEquals(seqsOf(rig.endpoint.received), [1, 2, 3, 1, 2, 3]);
  await stopped(run);
});

const WRONG: [what: string, says: RegExp, spoil: (certs: string) => Promise<void>][] = [
  ["a key of another certificate", /does not match the certificate/, async (certs) => {
    await Deno.writeTextFile(`${certs}/key.pem`, (await pki.authority.issue("other")).key);
  }],
  ["an expired certificate", /expired on 20/, async (certs) => {
    const validTo = new Date(Date.now() - DAY_MS / 4);
    const { cert, key } = await pki.authority.issue("gw-7", { validTo });
    await Deno.writeTextFile(`${certs}/cert.pem`, cert);
    await Deno.writeTextFile(`${certs}/key.pem`, key);
  }],
  ["a certificate not valid yet", /not valid yet/, async (certs) => {
    const validFrom = new Date(Date.now() + DAY_MS);
    const { cert, key } = await pki.authority.issue("gw-7", { validFrom });
    await Deno.writeTextFile(`${certs}/cert.pem`, cert);
    await Deno.writeTextFile(`${certs}/key.pem`, key);
  }],
  ["a certificate half written", /cut short/, async (certs) => {
    const { cert } = await pki.authority.issue("gw-7");
    await Deno.writeTextFile(`${certs}/cert.pem`, cert.slice(0, cert.length / 2));
  }],
  [
    "a certificate in place, and its key not yet",
    /does not match the certificate/,
    async (certs) => {
      await Deno.writeTextFile(`${certs}/cert.pem`, (await pki.authority.issue("gw-7")).cert);
    },
  ],
  ["no key", /Cannot find the device key/, (certs) => Deno.remove(`${certs}/key.pem`)],
  ["a key that others may read", /mode 0644/, (certs) => Deno.chmod(`${certs}/key.pem`, 0o644)],
  [
    "an empty CA file",
    /no certificate in it/,
    (certs) => Deno.writeTextFile(`${certs}/ca.pem`, ""),
  ],
  ["no CA any more", /public roots/, (certs) => Deno.remove(`${certs}/ca.pem`)],
];
for (const [what, says, spoil] of WRONG) {
  Deno.test(`publisher told to renew to ${what} says so, and its session goes on (X3)`, async () => {
    await using rig = await makeRig();
    const { run, write } = await startConnected(rig);
    await spoil(`${rig.folder}/certs`);
    run.signal("SIGHUP");
    const { level, cause, hint } = await run.said("warning", ({ step }) => step === "files");
    assertEquals(level, "error");
    assertMatch(String(cause), says);
    assert(hint);
    write("{}");
    await rig.endpoint.waitFor(1);
    assertEquals([rig.endpoint.connects.length, rig.endpoint.closes.length], [1, 0]);
    await stopped(run);
  });
}

Deno.test("publisher told to renew to what it has says so in one line, and does not reconnect (X3)", async () => {
  await using rig = await makeRig();
  const { run, write } = await startConnected(rig);
  const before = run.log.length;
  run.signal("SIGHUP");
  await run.until(() => run.log.length > before, "an answer");
  assertEquals(run.log.length, before + 1);
  const { level, event, certificate, cause } = run.log.at(-1)!;
  assertEquals([level, event, certificate], ["info", "start", "CN=gw-7"]);
  assertMatch(String(cause), /read again, and hold what is in use/);
  write("{}");
  await rig.endpoint.waitFor(1);
  assertEquals(rig.endpoint.connects.length, 1);
  await stopped(run);
});

Deno.test("publisher that waits between attempts tries at once on SIGHUP (X3)", async () => {
  await using rig = await makeRig({ faults: { refuseConnect: true, connackCode: 0x87 } });
  const { stream } = openInput();
  const run = rig.run(withLongWaits(rig), { input: stream });
  // After a refusal it would wait for 45 minutes at least.
  await run.said("retrying");
  await renew(rig, await pki.authority.issue("gw-7 renewed"));
  rig.endpoint.faults.refuseConnect = false;
  run.signal("SIGHUP");
  await run.said("connected");
  assertEquals(certNames(rig), ["gw-7", "gw-7 renewed"]);
  await stopped(run);
});

Deno.test("publisher does not hammer, however often SIGHUP comes (X3)", async () => {
  await using rig = await makeRig({ faults: { closeAtConnect: true } });
  const { stream } = openInput();
  const run = rig.runHere(withLongWaits(rig), { input: stream, random: () => 0.99 });
  const storm = setInterval(() => run.signal("SIGHUP"), 5);
  try {
    await rig.endpoint.until(() => rig.endpoint.connects.length === 3);
  } finally {
    clearInterval(storm);
  }
  const times = rig.endpoint.connects.map(({ atMs }) => atMs);
  // A second lies between two attempts, of which the first may be slow; the storm asks every 5 ms.
  for (const [index, atMs] of times.slice(1).entries()) assert(atMs - times[index]! >= 500);
  await stopped(run);
});

Deno.test("publisher goes back to the old certificate where the endpoint takes the new one not (X3)", async () => {
  let isActive = false;
  await using rig = await makeRig({
    faults: { closeAtConnect: ({ certName }) => certName === "gw-7 renewed" && !isActive },
  });
  const { run, write } = await startConnected(rig);
  await renew(rig, await pki.authority.issue("gw-7 renewed"));
  run.signal("SIGHUP");
  const { level, cause } = await run.said("warning");
  assertEquals(level, "error");
  assertMatch(String(cause), /renewed certificate \(CN=gw-7 renewed\).* the old one \(CN=gw-7\)/);
  write("{}");
  await rig.endpoint.waitFor(1);
  assertEquals(certNames(rig), ["gw-7", "gw-7 renewed", "gw-7"]);
  // The operator has activated it: the files are what they were, but not what is in use.
  isActive = true;
  run.signal("SIGHUP");
  await rig.endpoint.until(() => rig.endpoint.connects.length === 4);
  write("{}");
  await rig.endpoint.waitFor(2);
  assertEquals(certNames(rig).slice(3), ["gw-7 renewed"]);
  await stopped(run);
});

Deno.test("a renewed pair and the old one take turns until a session comes about (X3)", async () => {
  await using rig = await makeRig();
  const env = makeEnv();
  const command = parseCommand(["publish", ...rig.flags]);
  const { settings } = loadSettings(command, { env, hostName: () => "gw-7" }, {
    needEndpoint: true,
  });
  const connector = new Connector(settings, { ...realWorld(), env }, SILENT);
  const attempt = async () => {
    const connection = await connector.connect(new AbortController().signal).catch((error) =>
      error
    );
    if (connection instanceof UserError) return connection.exitCode;
    await connection.end();
    return 0;
  };
  rig.endpoint.faults.connackCode = 0x87;
  const codes = [await attempt()];
  await renew(rig, await pki.authority.issue("gw-7 renewed"));
  rig.endpoint.faults.refuseConnect = true;
  for (let n = 0; n < 3; n++) codes.push(await attempt());
  rig.endpoint.faults.refuseConnect = false;
  for (let n = 0; n < 2; n++) codes.push(await attempt());
  const [old, renewed] = ["gw-7", "gw-7 renewed"];
  assertEquals(certNames(rig), [old, renewed, old, renewed, old, renewed]);
  // A refusal is retried at the slow end; but the old one, which was good, is not to wait for that.
  assertEquals(codes, [0, 69, 77, 69, 0, 0]);
});

Deno.test("publisher that is stopping takes no notice of SIGHUP (X1)", async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 100 } });
  const { run, write } = await startConnected(rig);
  write("{}");
  await rig.endpoint.waitFor(1);
  await renew(rig, await pki.authority.issue("gw-7 renewed"));
  run.signal();
  run.signal("SIGHUP");
  assertEquals(await run.code, 0);
  assertEquals((await run.said("stopped")).queued, 0);
  assertEquals(certNames(rig), ["gw-7"]);
});

Deno.test("publisher at a terminal takes SIGHUP for its end: the terminal is gone", async () => {
  await using rig = await makeRig();
  const { stream } = openInput();
  const run = rig.publishHere(["--source", "stdin"], { input: stream, isErrTerminal: true });
  await run.said("connected");
  run.signal("SIGHUP");
  assertEquals(await run.code, 0);
  await run.said("stopped");
});

Deno.test("publisher whose certificate has 29 days left warns at its start, with the date (X4)", async () => {
  await using rig = await makeRig();
  const validTo = new Date(Date.now() + 29.5 * DAY_MS);
  await renew(rig, await pki.authority.issue("gw-7", { validTo }));
  const run = rig.publish(["--message", "x"]);
  assertEquals(await run.code, 0);
  const { level, cause, hint } = await run.said("warning");
  assertEquals(level, "warn");
  const day = validTo.toISOString().slice(0, 10);
  assertMatch(String(cause), new RegExp(`cert\\.pem" expires in 29 days, on ${day}$`));
  assertMatch(String(hint), /make a new certificate/);
});

Deno.test("publisher tells of its certificate's end once while it runs, and not at each attempt (X4)", async () => {
  await using rig = await makeRig();
  const { stream } = openInput();
  let days = 60;
  const now = () => new Date(Date.now() + (90 - days) * DAY_MS);
  const run = rig.publishHere(["--source", "stdin"], { input: stream, now });
  await run.said("connected");
  const expiry = () =>
    run.log.filter(({ cause }) => String(cause).includes("Device certificate"))
      .map(({ level, cause }) => `${level} ${/expires in \d+ days|expired/.exec(String(cause))}`);
  run.tick();
  assertEquals(expiry(), []);
  for (days of [29.5, 28, 6.5, 5, 0.5]) run.tick();
  const told = ["warn expires in 29 days", "warn expires in 6 days", "warn expires in 0 days"];
  assertEquals(expiry(), told);
  days = -1;
  run.tick();
  assertEquals(expiry(), [...told, "error expired"]);
  // Its date does not keep it from trying: the endpoint is who decides.
  rig.endpoint.cut();
  await rig.endpoint.until(() => rig.endpoint.connects.length === 2);
  run.tick();
  assertEquals(expiry().length, 4);
  await stopped(run);
});
