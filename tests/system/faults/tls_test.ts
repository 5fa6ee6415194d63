/** The publisher before servers that are wrong, silent or rude in the handshake: what they learn, and how it goes on. */

import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { openConnection } from "../../../lib/connection/open.ts";
import {
  type EndpointOptions,
  type Faults,
  makeAuthority,
  startEndpoint,
} from "../../../tools/endpoint/mod.ts";
import { openFiles } from "../../../tools/bench/process.ts";
import {
  assertAllClosed,
  failureOf,
  identityOf,
  settingsFor,
  start,
} from "../../support/connecting.ts";
import {
  countsOf,
  inputOf,
  makeRig,
  numbered,
  openInput,
  pki,
  replaced,
  seqsOf,
} from "../../support/publishing.ts";
import { hasProgram } from "../../support/queueing.ts";
import { announcedWaits, arrivals, assertPace } from "./pace.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const names = ["localhost"];
const elsewhere = await makeAuthority({ commonName: "another CA" });

interface Refusal {
  readonly name: string;
  readonly endpoint: EndpointOptions;
  readonly step: string;
  readonly cause: RegExp;
  readonly hint: RegExp;
  /** What the server is told; for these node:tls says too little, and each attempt asks rustls besides. */
  readonly alert?: RegExp;
  /** Whether TLS itself is completed. */
  readonly handshakes?: boolean;
}

const REFUSALS: readonly Refusal[] = [
  {
    name:
      "publisher sends nothing to a server whose certificate is from another CA, keeps its pace, and delivers once it is mended (T1; Device Advisor TLS_Unsecure_Server_Cert)",
    endpoint: { server: await elsewhere.issue("localhost", { names }) },
    step: "tls",
    cause: /is not signed by the configured CA \(".*\/certs\/ca\.pem"\)$/,
    hint: /--ca PATH/,
    alert: /UnknownCA/i,
  },
  {
    name:
      "publisher says certificate and policy when the server hangs up after the handshake, keeps its pace, and delivers once it is mended (T6)",
    endpoint: { clientCert: "closes-after-finished" },
    step: "mqtt",
    cause: /^localhost:\d+ hung up before CONNACK$/,
    hint: /certificate is active .* iot:Connect/,
    handshakes: true,
  },
];

for (const { name, endpoint, step, cause, hint, alert, handshakes } of REFUSALS) {
  const isAsked = alert !== undefined;
  Deno.test(name, async () => {
    await using rig = await makeRig(endpoint);
    const flags = [...replaced(rig.flags, { "--backoff-max": "3s" }), "--source", "stdin"];
    const { stream, write } = openInput();
    const run = rig.runHere(["publish", ...flags], { input: stream, random: () => 0.25 });
    for (const line of numbered(1, 3)) write(line);
    const times = await arrivals(rig.endpoint, isAsked ? 6 : 3);
    await run.said("retrying", ({ attempt }) => Number(attempt) === 4);
    // 1 s + a quarter of 1 s, of 2 s and of 2 s, where the cap is.
    assertEquals(announcedWaits(run), [1300, 1500, 1500]);
    // Every other connection asks rustls.
    assertPace(isAsked ? times.filter((_, at) => at % 2 === 0) : times, announcedWaits(run));
    const told = await run.said("retrying");
    assertEquals([told.level, told.step], ["warn", step]);
    assertMatch(String(told.cause), cause);
    assertMatch(String(told.hint), hint);
    assertEquals(rig.endpoint.connects, []);
    if (!handshakes) assertEquals(rig.endpoint.counts.handshakes, 0);
    if (alert) {
      await rig.endpoint.until(() => rig.endpoint.tlsErrors.length >= 3, { what: "three alerts" });
      for (const { message } of rig.endpoint.tlsErrors) assertMatch(message, alert);
    }
    assertEquals(await countsOf(rig), { waiting: 3, quarantined: 0 });
    await rig.endpoint.close();
    await using mended = await startEndpoint({ certificates: pki, port: rig.endpoint.port });
    await mended.waitFor(3);
    assertEquals(seqsOf(mended.received), [1, 2, 3]);
    run.signal();
    assertEquals(await run.code, 0);
  });
}

Deno.test("publisher waits for a server certificate that is not valid yet, and says that the clock may be wrong (T4)", async () => {
  const validFrom = new Date(Math.ceil(Date.now() / 1000 + 3) * 1000);
  const server = await pki.authority.issue("localhost", { names, validFrom });
  await using rig = await makeRig({ server });
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 3)) });
  const told = await run.said("retrying");
  assertMatch(String(told.cause), /the clock is probably wrong$/);
  assert(String(told.cause).includes(validFrom.toISOString()), String(told.cause));
  assertEquals(await run.code, 0);
  assert(Date.now() >= validFrom.getTime());
  assertEquals(seqsOf(rig.endpoint.received), [1, 2, 3]);
  assertEquals(rig.endpoint.counts.handshakes, 1);
});

for (const version of ["1.2", "1.3"]) {
  Deno.test({
    name:
      `connection says to OpenSSL's alert over TLS ${version} that the device certificate was refused (T6; needs openssl)`,
    ignore: !hasProgram("openssl"),
    async fn() {
      const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
      await Deno.writeTextFile(`${folder}/cert.pem`, pki.server.cert);
      await Deno.writeTextFile(`${folder}/key.pem`, pki.server.key);
      await Deno.writeTextFile(`${folder}/ca.pem`, elsewhere.cert);
      const server = new Deno.Command("openssl", {
        args: [
          ...["s_server", "-accept", "127.0.0.1:0", "-quiet", `-tls${version.replace(".", "_")}`],
          ...["-cert", `${folder}/cert.pem`, "-key", `${folder}/key.pem`],
          ...["-Verify", "1", "-verify_return_error", "-CAfile", `${folder}/ca.pem`],
          ...["-alpn", "x-amzn-mqtt-ca"],
        ],
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
      try {
        const port = await listeningPort(server.pid);
        const attempt = openConnection(settingsFor(port), identityOf(pki));
        const { message, hint, exitCode } = await failureOf(attempt);
        assertMatch(message, /refused the device certificate \(TLS alert UnknownCA\)$/);
        assertMatch(hint, /registered and active/);
        assertEquals(exitCode, 77);
      } finally {
        server.kill("SIGKILL");
        await server.status;
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

/** The port on which a process listens, once it does. */
async function listeningPort(pid: number): Promise<number> {
  for (let look = 0; look < 500; look++) {
    const files = new Set(
      [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) => linkOf(`/proc/${pid}/fd/${name}`)),
    );
    const [socket] = tcpSockets(({ state, inode }) =>
      state === LISTEN && files.has(`socket:[${inode}]`)
    );
    if (socket !== undefined) return socket.localPort;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Process ${pid} does not listen`);
}

/** A line of /proc/net/tcp. */
interface TcpSocket {
  readonly localPort: number;
  readonly remotePort: number;
  readonly state: string;
  readonly inode: string;
}

const SYN_SENT = "02";
const LISTEN = "0A";

function tcpSockets(isWanted: (socket: TcpSocket) => boolean): TcpSocket[] {
  const portOf = (address = "") => parseInt(address.split(":")[1] ?? "0", 16);
  return Deno.readTextFileSync("/proc/net/tcp").trim().split("\n").slice(1).map((line) => {
    const fields = line.trim().split(/\s+/);
    const [, local, remote, state = ""] = fields;
    const inode = fields[9] ?? "";
    return { localPort: portOf(local), remotePort: portOf(remote), state, inode };
  }).filter(isWanted);
}

function linkOf(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return "";
  }
}

/** Hang-ups in the handshake. */
const RUDE: Readonly<Record<string, Partial<Faults>>> = {
  "a reset at accept": { resetAtAccept: true },
  "a reset after ClientHello": { cutHandshake: true },
  "a reset within the certificate": { cutHandshake: true, handshakeBytes: 300 },
  "an end within the handshake": { cutHandshake: true, handshakeEnd: "fin", handshakeBytes: 300 },
};

for (const [what, faults] of Object.entries(RUDE)) {
  Deno.test(`200 attempts that meet ${what} end within a second each and leave no descriptor open (T9)`, async () => {
    await using endpoint = await start({ certificates: pki, faults });
    const attempt = () => failureOf(openConnection(settingsFor(endpoint.port), identityOf(pki)));
    for (let round = 0; round < 10; round++) await attempt();
    await assertAllClosed(endpoint);
    const before = openFiles();
    let longestMs = 0;
    for (let round = 0; round < 200; round++) {
      const startMs = performance.now();
      const { exitCode } = await attempt();
      assertEquals(exitCode, 69);
      longestMs = Math.max(longestMs, performance.now() - startMs);
    }
    await assertAllClosed(endpoint);
    assertLess(longestMs, 1000);
    // Some are still on their way out; a leak would be of hundreds.
    assertLess(openFiles(), before + 20);
  });
}

Deno.test("publisher waits a second and more after each hang-up in the handshake (T9)", async () => {
  await using rig = await makeRig({ faults: { cutHandshake: 2, resetAtAccept: 1 } });
  const run = rig.publish(["--source", "stdin"], { input: inputOf(numbered(1, 2)) });
  const times = await arrivals(rig.endpoint, 4);
  assertPace(times, announcedWaits(run));
  assertEquals(await run.code, 0);
  assertEquals(seqsOf(rig.endpoint.received), [1, 2]);
});

Deno.test("connection whose first packet is dropped ends at its deadline, and leaves nothing open (T10)", async () => {
  const hole = await openHole();
  const settings = settingsFor(hole.port, { connectTimeout: 1000 });
  const pending = () =>
    tcpSockets(({ state, remotePort }) => state === SYN_SENT && remotePort === hole.port).length;
  for (let round = 0; round < 2; round++) {
    const startMs = performance.now();
    const { message, step } = await failureOf(openConnection(settings, identityOf(pki)));
    const ms = performance.now() - startMs;
    assertMatch(message, /no answer within 1 s$/);
    assertEquals(step, "tcp");
    assert(ms >= 1000 && ms < 2000, `${ms} ms`);
    for (let look = 0; look < 100 && pending() > 0; look++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assertEquals(pending(), 0);
  }
  hole.close();
});

Deno.test("publisher goes on after each kind of silence, and delivers when it is over (T10)", async () => {
  const hole = await openHole();
  await using rig = await makeRig();
  const flags = replaced(rig.flags, { "--port": String(hole.port) });
  const input = inputOf(numbered(1, 3));
  const run = rig.run(
    ["publish", ...flags, "--source", "stdin", "--connect-timeout", "1s"],
    { input },
  );
  await run.said("retrying", ({ step }) => step === "tcp");
  hole.close();
  const faults = { silentAtAccept: 1, noConnack: 1 };
  await using endpoint = await startEndpoint({ certificates: pki, port: hole.port, faults });
  assertEquals(await run.code, 0);
  const steps = run.log.filter(({ event }) => event === "retrying").map(({ step }) => step);
  assertEquals(new Set(steps), new Set(["tcp", "tls", "mqtt"]));
  assertEquals(seqsOf(endpoint.received), [1, 2, 3]);
});

/** A port whose first packets are dropped: it listens, and its queue of connections is full. */
async function openHole(): Promise<{
  readonly port: number;
  close(): void;
}> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 0 });
  const { port } = listener.addr;
  const filler = await Deno.connect({ hostname: "127.0.0.1", port });
  return {
    port,
    close() {
      filler.close();
      listener.close();
    },
  };
}
