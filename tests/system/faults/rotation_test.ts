/** Certificates renewed below a real process, again and again, with SIGHUP as the only word about it. */

import { assertEquals, assertLess } from "@std/assert";
import { type Child, startChild } from "../../support/children.ts";
import {
  firsts,
  flagsFor,
  makeRig,
  pki,
  range,
  type Rig,
  seqsOf,
  writeIdentity,
} from "../../support/publishing.ts";
import { startProxy } from "../../support/scripted_proxy.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** The time in which the endpoint must see a new certificate. */
const MOST_MS = 5000;

/** Renews the certificate; returns how long it took until the endpoint saw it, in ms. */
async function renew(rig: Rig, child: Child, name: string): Promise<number> {
  const device = await pki.authority.issue(name);
  await writeIdentity(`${rig.folder}/new`, { ca: pki.ca, device });
  for (const file of ["cert.pem", "key.pem"]) {
    await Deno.rename(`${rig.folder}/new/${file}`, `${rig.folder}/certs/${file}`);
  }
  const startMs = performance.now();
  Deno.kill(child.pid, "SIGHUP");
  const isSeen = () => rig.endpoint.connects.at(-1)?.certName === name;
  await rig.endpoint.until(isSeen, { what: name, deadlineMs: 2 * MOST_MS });
  return performance.now() - startMs;
}

async function rotate(rig: Rig, child: Child, rounds: number): Promise<void> {
  try {
    await rig.endpoint.waitFor(3, { deadlineMs: 30_000 });
    for (let round = 1; round <= rounds; round++) {
      assertLess(await renew(rig, child, `gw-7 in year ${round}`), MOST_MS);
      await rig.endpoint.waitFor(rig.endpoint.counts.received + 3);
    }
    assertEquals(await stop(child), { code: 0, words: "" });
    const seqs = seqsOf(rig.endpoint.received);
    const first = firsts(seqs);
    assertEquals(first, range(1, first.length), "none lost, in order");
    assertEquals(seqs.length, first.length, "and none sent twice");
    assertEquals(rig.endpoint.connects.length, rounds + 1);
    assertEquals(child.events("retrying"), []);
  } finally {
    await stop(child);
    await child.kill();
  }
}

/** Stops it, through its launcher if it has one: killed, that would leave the program behind. */
async function stop(child: Child): Promise<{ code: number; words: string }> {
  const kill = setTimeout(() => void child.kill(), 10_000);
  try {
    Deno.kill(child.pid, "SIGTERM");
  } catch { /* it has ended */ }
  return await child.ended.finally(() => clearTimeout(kill));
}

/** The launcher needs more than what it starts. */
const TASK = [Deno.execPath(), "run", "-A", "--frozen", `${Deno.cwd()}/tools/publish.ts`];
const TICKS = ["--source", "clock", "--interval", "100ms"];

Deno.test("a process under load uses each of five renewed certificates within 5 s of SIGHUP, with none lost (X3)", async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 30 } });
  const flags = flagsFor(rig.folder, rig.endpoint.port);
  await rotate(rig, startChild(["publish", ...flags, ...TICKS]), 5);
});

Deno.test("a process under load uses each of five renewed certificates through a proxy, with none lost (X3)", async () => {
  await using rig = await makeRig({ faults: { pubackDelayMs: 30 } });
  await using proxy = await startProxy();
  const flags = [...flagsFor(rig.folder, rig.endpoint.port), "--proxy", proxy.url];
  await rotate(rig, startChild(["publish", ...flags, ...TICKS]), 5);
  assertEquals(proxy.asked.length, 6);
});

Deno.test("a process with scoped permissions, below its launcher, uses a renewed certificate on SIGHUP (X3)", async () => {
  await using rig = await makeRig();
  const flags = flagsFor(rig.folder, rig.endpoint.port);
  await rotate(rig, startChild([...flags, ...TICKS], { command: TASK }), 1);
});
