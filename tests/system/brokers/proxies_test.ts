/** Through squid, tinyproxy and microsocks to HAProxy and mosquitto. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { programCommand } from "../../support/program.ts";
import { hasProgram, isRoot } from "../../support/queueing.ts";
import { type Brokers, freePorts, startBrokers, started } from "./brokers.ts";
import { spawn } from "./child.ts";
import { type LogEvent, runProgram } from "./program.ts";
import {
  type RealOptions,
  type RealProxy,
  startMicrosocks,
  startSquid,
  startTinyproxy,
} from "./proxies.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const AUTH = "gw:pass word";

async function secret(brokers: Brokers, text: string, name = "proxy-auth"): Promise<string> {
  const path = `${brokers.dir}/${name}`;
  await Deno.writeTextFile(path, text, { mode: 0o600 });
  return path;
}

/** Publishes one message; the exit code, and the last failure. */
async function publishOnce(
  brokers: Brokers,
  flags: readonly string[],
  to = brokers.front,
): Promise<{ code: number; failure: LogEvent | undefined; log: LogEvent[] }> {
  await using program = runProgram(brokers, [
    ...["publish", "--message", "hello", "--topic", "a/b", "--give-up-after", "2s"],
    ...["--durability", "none", ...flags],
  ], { to });
  const code = await program.ended;
  const log = program.log();
  return { code, log, failure: log.findLast(({ event }) => event === "retrying") };
}

const KINDS: Record<string, (options: RealOptions) => Promise<RealProxy>> = {
  squid: startSquid,
  tinyproxy: startTinyproxy,
  microsocks: startMicrosocks,
};

for (const [name, start] of Object.entries(KINDS)) {
  Deno.test(`publish goes through ${name} to HAProxy and mosquitto, with user and password`, async () => {
    await using brokers = await startBrokers();
    // tinyproxy takes no space in a password.
    const auth = name === "tinyproxy" ? "gw:password" : AUTH;
    const ports = [brokers.front.port];
    await using proxy = await start({ dir: brokers.dir, auth, ports });
    await using witness = await brokers.witness();
    const file = await secret(brokers, auth);
    const flags = ["--proxy", proxy.url, "--proxy-auth-file", file];
    const good = await publishOnce(brokers, flags);
    assertEquals(good.code, 0, `${JSON.stringify(good.failure)} ${proxy.log()}`);
    const connected = good.log.find(({ event }) => event === "connected");
    assertEquals([connected?.tls, connected?.alpn], ["TLSv1.3", "x-amzn-mqtt-ca"]);
    await witness.until((seen) => seen.length === 1, "the message");

    await secret(brokers, "gw:wrong");
    const wrong = await publishOnce(brokers, flags);
    assertEquals([wrong.code, wrong.failure?.step], [77, "proxy"]);
    assertMatch(String(wrong.failure?.cause), /refuses the user and password in ".*proxy-auth"$/);
    const none = await publishOnce(brokers, flags.slice(0, 2));
    assertEquals(none.code, 77);
    assertMatch(String(none.failure?.cause), /wants a user and password/);
    assertEquals(witness.seen().length, 1);
  });
}

for (const [name, start] of Object.entries(KINDS).slice(0, 2)) {
  Deno.test(`publish says that ${name} allows no tunnel to that port, or cannot reach it`, async () => {
    await using brokers = await startBrokers();
    const [nobody] = freePorts(1) as [number];
    await using proxy = await start({ dir: brokers.dir, ports: [nobody] });
    const flags = ["--proxy", proxy.url];
    const forbidden = await publishOnce(brokers, flags);
    assertEquals(forbidden.code, 69);
    assertMatch(String(forbidden.failure?.cause), /does not allow a tunnel to localhost:\d+ \(403/);
    assertMatch(String(forbidden.failure?.hint), /most proxies allow port 443 alone/);
    const dead = await publishOnce(brokers, flags, { endpoint: "localhost", port: nobody });
    assertEquals(dead.code, 69);
    assertMatch(String(dead.failure?.cause), /cannot reach localhost:\d+ \(5\d\d/);
  });
}

Deno.test("publish refuses the certificate of a squid that inspects TLS, and doctor names it", async () => {
  await using brokers = await startBrokers();
  const ca = `${brokers.dir}/inspector.pem`;
  const made = await new Deno.Command("openssl", {
    args: [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9"],
      ...["-subj", "/CN=Plant 7 TLS inspection", "-keyout", `${ca}.key`, "-out", ca],
    ],
  }).output();
  assert(made.success);
  await Deno.writeTextFile(ca, await Deno.readTextFile(`${ca}.key`), { append: true });
  await using proxy = await startSquid({ dir: brokers.dir, ports: [brokers.front.port], ca });
  const flags = ["--proxy", proxy.url];
  const { code, failure } = await publishOnce(brokers, flags);
  assertEquals([code, failure?.step], [69, "tls"], proxy.log());
  assertMatch(String(failure?.cause), /not signed by the configured CA/);
  await using doctor = runDoctor(brokers, [...flags, "--json"]);
  assertEquals(await doctor.ended, 69);
  const { checks } = JSON.parse(doctor.stdout.all.join("\n"));
  const tls = checks.find(({ name }: { name: string }) => name === "tls");
  assertEquals(tls.status, "fail");
  assertMatch(tls.saw, /issuer "CN=Plant 7 TLS inspection"/);
});

function runDoctor(brokers: Brokers, flags: readonly string[], within: readonly string[] = []) {
  const { words: [program, ...words], env } = programCommand([
    ...["doctor", "--endpoint", brokers.front.endpoint, "--port", `${brokers.front.port}`],
    ...["--certs", brokers.certs, "--client-id", "gw-7", "--state", `${brokers.dir}/state`],
    ...["--source", "clock", ...flags],
  ], { within, cwd: brokers.dir });
  return spawn(program, words, { cwd: brokers.dir, env });
}

Deno.test({
  name: "publish talks to the proxy alone, and asks no name server",
  ignore: !hasProgram("strace"),
  async fn() {
    await using brokers = await startBrokers();
    await using proxy = await startSquid({ dir: brokers.dir, ports: [brokers.front.port] });
    const trace = `${brokers.dir}/trace`;
    const strace = [
      "strace",
      "-f",
      "-qq",
      "-e",
      "trace=connect,sendto,sendmsg,sendmmsg",
      "-o",
      trace,
    ];
    await using program = runProgram(brokers, [
      ...["publish", "--message", "hello", "--proxy", proxy.url],
    ], { to: brokers.front, within: strace });
    assertEquals(await program.ended, 0);
    const peers = [...(await Deno.readTextFile(trace)).matchAll(
      /sin6?_port=htons\((\d+)\).*?"([\d.:a-f]+)"/g,
    )].map(([, port, address]) => `${address}:${port}`);
    assertEquals(new Set(peers), new Set([`127.0.0.1:${proxy.port}`]));
  },
});

/** A network in which only the machine around it can be reached, at one address. */
async function startNamespace(): Promise<
  AsyncDisposable & { readonly host: string; readonly within: readonly string[] }
> {
  const keeper = new Deno.Command("unshare", {
    args: ["--net", "cat"],
    stdin: "piped",
    stdout: "null",
  }).spawn();
  const name = `m443-${crypto.randomUUID().slice(0, 6)}`;
  const third = 1 + Math.floor(Math.random() * 250);
  const net = `10.213.${third}`;
  const inside = ["nsenter", "--target", `${keeper.pid}`, "--net"];
  const dispose = async () => {
    await keeper.stdin.close();
    await keeper.status;
  };
  const sh = async (...words: [string, ...string[]]) => {
    const { success, stderr } = await new Deno.Command(words[0], { args: words.slice(1) }).output();
    if (!success) throw new Error(`${words.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  };
  try {
    // The namespace is there when its loopback is another than ours.
    const own = Deno.readLinkSync("/proc/self/ns/net");
    for (let tries = 0; Deno.readLinkSync(`/proc/${keeper.pid}/ns/net`) === own; tries++) {
      if (tries > 500) throw new Error("no network namespace");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await sh(
      "ip",
      "link",
      "add",
      name,
      "type",
      "veth",
      "peer",
      "name",
      "up0",
      "netns",
      `${keeper.pid}`,
    );
    await sh("ip", "address", "add", `${net}.1/30`, "dev", name);
    await sh("ip", "link", "set", name, "up");
    await sh("nsenter", ...inside.slice(1), "ip", "address", "add", `${net}.2/30`, "dev", "up0");
    await sh("nsenter", ...inside.slice(1), "ip", "link", "set", "up0", "up");
    await sh("nsenter", ...inside.slice(1), "ip", "link", "set", "lo", "up");
  } catch (error) {
    await dispose();
    throw error;
  }
  return { host: `${net}.1`, within: inside, [Symbol.asyncDispose]: dispose };
}

Deno.test({
  name:
    "a gateway whose only way out is squid: doctor is well, and of 10,000 messages none is lost over six deaths of the proxy (Q1)",
  ignore: !isRoot || !["ip", "nsenter", "unshare"].every(hasProgram),
  async fn() {
    await using network = await startNamespace();
    await using brokers = await startBrokers();
    const { host, within } = network;
    const ports = [brokers.front.port];
    await using proxy = await startSquid({ dir: brokers.dir, ports, host, auth: AUTH });
    const file = await secret(brokers, AUTH);
    const through = ["--proxy", proxy.url, "--proxy-auth-file", file];

    await using doctor = runDoctor(brokers, [...through, "--json"], within);
    assertEquals(await doctor.ended, 0, doctor.stdout.all.join("\n"));
    const { checks } = JSON.parse(doctor.stdout.all.join("\n"));
    assertEquals(
      checks.filter(({ status }: { status: string }) => status !== "ok")
        .map(({ name, saw }: { name: string; saw: string }) => [name, saw]),
      [["listen", "none is set"]],
    );

    await using witness = await brokers.witness({ persistent: true });
    const numbers = () =>
      witness.seen().map(({ payload }) => Number(JSON.parse(payload).metrics.n));
    // A hundred lines a tick, so that each death finds some in flight.
    const feed = `i=0; while [ $i -lt 10000 ]; do i=$((i+1)); echo "{\\"n\\":$i}"; ` +
      `[ $((i % 100)) = 0 ] && sleep 0.05; done`;
    await using program = runProgram(brokers, [
      ...[
        "publish",
        "--source",
        "stdin",
        "--topic",
        "a/b",
        "--backoff-max",
        "1s",
        "--log-level",
        "debug",
        ...through,
      ],
    ], { to: brokers.front, within: ["sh", "-c", `(${feed}) | "$@"`, "sh", ...within] });
    for (let death = 1; death <= 6; death++) {
      await witness.until((seen) => seen.length > death * 1200, `${death * 1200} messages`);
      await proxy.kill();
      await proxy.start();
      const before = witness.seen().length;
      await witness.until((seen) => seen.length > before, "a message after the death");
    }
    assertEquals(await program.ended, 0);
    await witness.until(
      (seen) => new Set(seen.map(({ payload }) => payload)).size >= 10_000,
      "all",
    );
    const distinct = [...new Set(numbers())].toSorted((a, b) => a - b);
    assertEquals(distinct, Array.from({ length: 10_000 }, (_, index) => index + 1));
    assertEquals(program.log().at(-1)?.dropped, 0);
    assert(program.log().filter(({ event }) => event === "disconnected").length >= 6);

    // Without the proxy there is no way, and the proxy that the environment names is told.
    const direct = runProgram(brokers, [
      ...["publish", "--message", "x", "--give-up-after", "1s"],
    ], { to: brokers.front, within: [...within, "env", `HTTPS_PROXY=${proxy.url}`] });
    await using _ = direct;
    assertEquals(await direct.ended, 75);
    const failure = await direct.event("retrying");
    assertEquals(failure.step, "tcp");
    assert(
      String(failure.hint).includes(
        `HTTPS_PROXY is set in the environment; it has no effect here: ` +
          `to go through that proxy pass --proxy ${proxy.url}`,
      ),
      String(failure.hint),
    );
  },
});

Deno.test("publish and doctor connect to mosquitto with a user name and password, and no certificate", async () => {
  await using brokers = await startBrokers();
  const [port] = freePorts(1) as [number];
  const server = `${brokers.certs}/endpoint/server`;
  const users = `${brokers.dir}/users`;
  const made = await new Deno.Command("mosquitto_passwd", {
    args: ["-b", "-c", users, "gw", "pass word"],
  }).output();
  assert(made.success);
  const config = `${brokers.dir}/passwords.conf`;
  await Deno.writeTextFile(
    config,
    `user root
log_dest stderr
listener ${port} 127.0.0.1
allow_anonymous false
password_file ${users}
certfile ${server}.pem
keyfile ${server}.key
`,
  );
  await using _ = await started(
    spawn("/usr/sbin/mosquitto", ["-c", config]),
    /mosquitto version \S+ running/,
  );
  const certs = `${brokers.dir}/only-ca`;
  await Deno.mkdir(certs);
  await Deno.copyFile(`${brokers.certs}/AmazonRootCA1.pem`, `${certs}/ca.pem`);
  const file = await secret(brokers, "pass word", "password");
  const to = { endpoint: "localhost", port };
  const publish = async () => {
    await using program = runProgram(brokers, [
      ...["publish", "--message", "hello", "--give-up-after", "1s", "--durability", "none"],
      ...["--alpn", "none", "--username", "gw", "--password-file", file],
    ], { to, certs });
    return { code: await program.ended, log: program.log() };
  };
  assertEquals((await publish()).code, 0);
  await Deno.writeTextFile(file, "wrong");
  const wrong = await publish();
  assertEquals(wrong.code, 77);
  assertMatch(
    JSON.stringify(wrong.log),
    /--username NAME and --password-file FILE|not authorized/i,
  );
});
