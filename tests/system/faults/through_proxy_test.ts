/** The program through a proxy: as a process that may reach the proxy alone. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { type ProxyScript, startProxy } from "../../support/scripted_proxy.ts";
import {
  firsts,
  inputOf,
  type Line,
  makeRig,
  numbered,
  openInput,
  range,
  replaced,
  type Rig,
  type Run,
} from "../../support/publishing.ts";
import { startScriptedBroker } from "../../support/scripted_broker.ts";
import { pki } from "../../support/publishing.ts";

const SECRET = "s3cret-marker";
const BASIC = Buffer.from(`gw:${SECRET}`).toString("base64");

/** A file with user and password, which nobody else may read. */
async function secretFile(rig: Rig, text: string, name = "proxy-auth"): Promise<string> {
  const path = `${rig.folder}/${name}`;
  await Deno.writeTextFile(path, text, { mode: 0o600 });
  return path;
}

/** What each message of `numbered` says, in the order of arrival. */
function numbersOf(rig: Rig): number[] {
  return rig.endpoint.received.map(({ payload }) => JSON.parse(payload).metrics.n);
}

function everything(run: Run): string {
  return [...run.out, ...run.errors, ...run.log.map((line) => JSON.stringify(line))].join("\n");
}

Deno.test("publisher goes through a proxy, and may reach nothing else", async () => {
  await using rig = await makeRig();
  await using proxy = await startProxy({ auth: `gw:${SECRET}` });
  const auth = await secretFile(rig, `gw:${SECRET}\nanother line\n`);
  const through = ["--proxy", proxy.url, "--proxy-auth-file", auth];
  const run = rig.publish([...through, "--message", "hello"]);
  assertEquals(await run.code, 0);
  const at = `127.0.0.1:${proxy.port}`;
  for (const event of ["connecting", "connected"]) {
    assertEquals((await run.said(event)).proxy, at, event);
  }
  assertEquals(proxy.asked, [`localhost:${rig.endpoint.port}`]);
  const version = rig.run(["version", "--json", ...rig.flags.slice(0, -2), ...through]);
  assertEquals(await version.code, 0);
  assertEquals(JSON.parse(version.out.join("")).permissions.net, [at]);
});

Deno.test("publisher loses nothing when the proxy dies six times under load (Q1)", async () => {
  await using rig = await makeRig();
  await using proxy = await startProxy();
  const { stream, write, end } = openInput();
  const run = rig.publish(["--proxy", proxy.url, "--source", "stdin"], { input: stream });
  let sent = 0;
  const more = (count: number) => {
    for (const line of numbered(sent + 1, sent + count)) write(line);
    sent += count;
  };
  for (let death = 0; death < 6; death++) {
    more(200);
    await rig.endpoint.until(() => rig.endpoint.received.length > death * 100, { what: "some" });
    await proxy.pause();
    more(50);
    await run.until(() => run.log.filter(({ event }) => event === "disconnected").length > death);
    await proxy.resume();
    await run.until(() => run.log.filter(({ event }) => event === "connected").length > death + 1);
  }
  end();
  assertEquals(await run.code, 0);
  assertEquals(firsts(numbersOf(rig)).toSorted((a, b) => a - b), range(1, sent));
  const lost = await run.said("disconnected");
  assertMatch(
    String(lost.hint),
    /^if this comes again and again: the proxy 127\.0\.0\.1:\d+ may limit how long a tunnel lives.*; if not, the policy may lack iot:Publish on this topic, or another device/,
  );
});

Deno.test("publisher reads user and password for the proxy again before each attempt, and on SIGHUP", async () => {
  await using rig = await makeRig();
  await using proxy = await startProxy({ auth: "gw:new" });
  const auth = await secretFile(rig, "gw:old");
  const { stream, write, end } = openInput();
  const through = ["--proxy", proxy.url, "--proxy-auth-file", auth, "--source", "stdin"];
  const run = rig.publish(through, { input: stream });
  const refused = await run.said("retrying");
  assertEquals([refused.step, refused.proxy], ["proxy", `127.0.0.1:${proxy.port}`]);
  assertMatch(String(refused.cause), /refuses the user and password in ".*proxy-auth"$/);
  await secretFile(rig, "gw:new");
  await run.said("connected");
  write('{"n":1}');
  await rig.endpoint.until(() => rig.endpoint.received.length === 1, { what: "a message" });
  // A file that is no good is told, and the session goes on.
  await secretFile(rig, "no colon");
  run.signal("SIGHUP");
  const bad = await run.said("warning", ({ cause }) => /its first line is not/.test(`${cause}`));
  assertEquals(bad.level, "error");
  write('{"n":2}');
  await rig.endpoint.until(() => rig.endpoint.received.length === 2, { what: "the second" });
  end();
  assertEquals(await run.code, 0);
  assertEquals(new Set(proxy.credentials), new Set(["gw:old", "gw:new"]));
});

/** What the proxy does; whether the next attempt waits for the longest time. */
const PACES: readonly (readonly [what: string, script: ProxyScript, isSlow: boolean])[] = [
  ["refuses with 407", { auth: "gw:other" }, true],
  ["refuses with 401", { answer: "HTTP/1.0 401 No\r\nWWW-Authenticate: Basic\r\n\r\n" }, true],
  ["refuses with 403", { answer: "HTTP/1.1 403 Forbidden\r\n\r\n" }, true],
  [
    "refuses with SOCKS reply 2",
    { scheme: "socks5", answer: Uint8Array.of(5, 2, 0, 1, 0, 0, 0, 0, 0, 0) },
    true,
  ],
  ["refuses the password of SOCKS5", { scheme: "socks5", auth: "gw:other" }, true],
  ["cannot reach the endpoint, 502", { answer: "HTTP/1.1 502 Bad Gateway\r\n\r\n" }, false],
  ["is too busy, 503", { answer: "HTTP/1.1 503 Busy\r\n\r\n" }, false],
  ["shows a log-in page", { answer: "HTTP/1.1 302 Found\r\nLocation: http://a/\r\n\r\n" }, false],
  ["hangs up", { answer: "hang-up" }, false],
];

for (const [what, script, isSlow] of PACES) {
  Deno.test(
    `publisher waits ${isSlow ? "the longest time" : "as after any loss"} where the proxy ${what}`,
    async () => {
      await using rig = await makeRig();
      await using proxy = await startProxy(script);
      const auth = await secretFile(rig, `gw:${SECRET}`);
      const flags = replaced(rig.flags, { "--backoff-max": "1m" });
      const run = rig.run(["publish", ...flags, "--proxy", proxy.url, "--proxy-auth-file", auth]);
      const waits = await waitOf(run);
      if (isSlow) {
        // 75 to 100 % of --backoff-max.
        assert(waits >= 45 && waits <= 60, `${waits} s`);
        assertEquals(proxy.asked.length, 1);
      } else assert(waits >= 1 && waits <= 2, `${waits} s`);
    },
  );
}

Deno.test("publisher waits as after any loss where there is no proxy, and longer and longer", async () => {
  await using rig = await makeRig();
  const proxy = await startProxy();
  await proxy.pause();
  const flags = replaced(rig.flags, { "--backoff-max": "1m" });
  const run = rig.run(["publish", ...flags, "--proxy", proxy.url]);
  assert(await waitOf(run) <= 2);
  // 1 s and a random time up to 2^n s.
  await run.until(() => run.log.filter(({ event }) => event === "retrying").length === 3);
  const waits = run.log.filter(({ event }) => event === "retrying").map(secondsOf);
  assert(waits.every((wait, n) => wait >= 1 && wait <= 1 + 2 ** n), `${waits}`);
});

Deno.test("publisher asks the proxy again at once on SIGHUP, however long it was to wait", async () => {
  await using rig = await makeRig();
  await using proxy = await startProxy({ auth: "gw:new" });
  const auth = await secretFile(rig, "gw:old");
  const flags = replaced(rig.flags, { "--backoff-max": "1h" });
  const through = ["--proxy", proxy.url, "--proxy-auth-file", auth, "--source", "clock"];
  const run = rig.run(["publish", ...flags, ...through]);
  assert(await waitOf(run) >= 2700);
  await secretFile(rig, "gw:new");
  run.signal("SIGHUP");
  await run.said("connected");
  assertEquals(proxy.credentials, ["gw:old", "gw:new"]);
  run.signal();
  assertEquals(await run.code, 0);
});

Deno.test("publisher and doctor name a proxy that does not answer, and --proxy", async () => {
  await using rig = await makeRig();
  // A queue of connections that is full: its SYN gets no answer.
  using full = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 0 });
  using _filler = await Deno.connect({ hostname: "127.0.0.1", port: full.addr.port });
  const at = `127.0.0.1:${full.addr.port}`;
  const flags = [...rig.flags, "--proxy", `http://${at}`, "--connect-timeout", "1s"];
  const run = rig.run(["publish", ...flags]);
  const { step, code, cause, hint, proxy } = await run.said("retrying");
  assertEquals([step, code, proxy], ["tcp", "tcp-timeout", at]);
  assertMatch(String(cause), new RegExp(`the proxy ${at}`));
  assertMatch(String(hint), /^check --proxy; /);
  const doctor = rig.run([
    ...["doctor", "--json", ...rig.flags.slice(0, -4)],
    ...["--proxy", `http://${at}`, "--connect-timeout", "1s"],
  ]);
  assertEquals(await doctor.code, 69);
  const { checks } = JSON.parse(doctor.out.join(""));
  const tcp = checks.find(({ name }: { name: string }) => name === "tcp");
  assertEquals([tcp.status, tcp.code], ["fail", "tcp-timeout"]);
  assertMatch(`${tcp.saw} ${tcp.hint}`, new RegExp(`the proxy ${at}.*--proxy`));
});

Deno.test("program names each variable that may name a proxy, without its password", async () => {
  await using rig = await makeRig();
  for (const name of ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"]) {
    const env = { [name]: `socks5://gw:${SECRET}@proxy.example:1080/` };
    const run = rig.publish(["--message", "x"], { env });
    assertEquals(await run.code, 0);
    const { cause, hint } = await run.said("warning");
    assertEquals(cause, `${name} is set in the environment; it has no effect here`);
    assertEquals(
      hint,
      "to go through that proxy pass --proxy socks5://proxy.example:1080 --proxy-auth-file FILE",
    );
    assert(!everything(run).includes(SECRET));
  }
});

Deno.test("doctor holds the files for the proxy to the rules of the others", async () => {
  await using rig = await makeRig();
  await using proxy = await startProxy({ auth: `gw:${SECRET}` });
  const auth = await secretFile(rig, `gw:${SECRET}`);
  await Deno.chmod(auth, 0o640);
  const flags = [...rig.flags.slice(0, -4), "--proxy", proxy.url, "--proxy-auth-file", auth];
  const doctor = rig.run(["doctor", "--json", ...flags]);
  assertEquals(await doctor.code, 78);
  const { checks } = JSON.parse(doctor.out.join(""));
  const modes = checks.find(({ name }: { name: string }) => name === "file-modes");
  assertEquals([modes.status, modes.code], ["fail", "file-not-safe"]);
  assertMatch(modes.saw, /user and password for the proxy ".*proxy-auth"/);
  assertEquals(modes.hint, `chmod 600 ${auth}`);
  assertEquals(proxy.asked, []);
});

/** The first wait that a run tells, in s. */
async function waitOf(run: Run): Promise<number> {
  return secondsOf(await run.said("retrying"));
}

function secondsOf(line: Line): number {
  return Number(/^([\d.]+)s$/.exec(String(line.in))![1]);
}

Deno.test("publisher takes a renewed certificate through a proxy on SIGHUP", async () => {
  await using rig = await makeRig();
  await using proxy = await startProxy();
  const { stream, write, end } = openInput();
  const run = rig.publish(["--proxy", proxy.url, "--source", "stdin"], { input: stream });
  await run.said("connected");
  const { cert, key } = await pki.authority.issue("gw-renewed");
  await Deno.writeTextFile(`${rig.folder}/certs/cert.pem`, cert);
  await Deno.writeTextFile(`${rig.folder}/certs/key.pem`, key);
  run.signal("SIGHUP");
  await run.until(() => run.log.filter(({ event }) => event === "connected").length === 2);
  write('{"n":1}');
  end();
  assertEquals(await run.code, 0);
  assertEquals(proxy.asked.length, 2);
  assertMatch(String(rig.endpoint.connects.at(-1)?.certName), /gw-renewed/);
});

Deno.test("program says the password for the proxy nowhere, whatever becomes of it (S1)", async () => {
  await using rig = await makeRig();
  await using proxy = await startProxy({ auth: `gw:${SECRET}` });
  await using refusing = await startProxy({ auth: "gw:other" });
  const auth = await secretFile(rig, `gw:${SECRET}`);
  const open = await secretFile(rig, `gw:${SECRET}`, "open");
  await Deno.chmod(open, 0o644);
  const wrong = await secretFile(rig, SECRET, "wrong");
  const through = (url: string, file: string) => ["--proxy", url, "--proxy-auth-file", file];
  const once = ["--message", "hello", "--give-up-after", "1s"];
  const settings = rig.flags.slice(0, -4);
  const cases: [readonly string[], number][] = [
    [["publish", ...rig.flags, ...through(proxy.url, auth), ...once], 0],
    [["publish", ...rig.flags, ...through(refusing.url, auth), ...once], 75],
    [["publish", ...rig.flags, ...through(proxy.url, open), ...once], 78],
    [["publish", ...rig.flags, ...through(proxy.url, wrong), ...once], 78],
    [["publish", ...rig.flags, "--proxy", `http://gw:${SECRET}@127.0.0.1:${proxy.port}`], 78],
    [["publish", ...rig.flags, ...through(proxy.url, `gw:${SECRET}`), ...once], 78],
    [["doctor", ...settings, ...through(proxy.url, auth)], 0],
    [["doctor", ...settings, ...through(refusing.url, auth)], 77],
    [["settings", ...settings, ...through(proxy.url, auth)], 0],
    [["version", ...settings, ...through(proxy.url, auth)], 0],
    [["watch", "t", ...rig.flags, ...through(refusing.url, auth)], 77],
  ];
  const all: string[] = [];
  for (const [args, code] of cases) {
    const run = rig.run(args);
    assertEquals(await run.code, code, everything(run));
    const said = everything(run);
    assert(!said.includes(SECRET) && !said.includes(BASIC), said);
    all.push(said);
  }
  const [, , modes, shape] = all;
  assertMatch(
    modes!,
    /Cannot use user and password for the proxy ".*open": others than its owner may read/,
  );
  assertMatch(shape!, /its first line is not user:password/);
});

Deno.test("watch prints what arrives through a proxy", async () => {
  await using rig = await makeRig();
  await using proxy = await startProxy({ scheme: "socks5" });
  const run = rig.run(["watch", "t/#", ...rig.flags, "--proxy", proxy.url, "--count", "1"]);
  await run.said("connected");
  await rig.endpoint.until(() => rig.endpoint.counts.subscribes > 0, { what: "SUBSCRIBE" });
  rig.endpoint.publish("t/1", "hello");
  assertEquals(await run.code, 0);
  assertMatch(run.out.join(""), / t\/1 hello\n$/);
});

Deno.test("program names the proxy of the environment, with the flag to type, and does not use it", async () => {
  await using rig = await makeRig();
  await using proxy = await startProxy();
  const env = { HTTPS_PROXY: `http://gw:${SECRET}@127.0.0.1:${proxy.port}` };
  const flag = `pass --proxy ${proxy.url} --proxy-auth-file FILE`;
  const run = rig.publish(["--message", "hello"], { env });
  assertEquals(await run.code, 0);
  const warning = await run.said("warning", ({ cause }) => /^HTTPS_PROXY/.test(`${cause}`));
  assertEquals(warning.hint, `to go through that proxy ${flag}`);
  assert(!everything(run).includes(SECRET));
  assertEquals(proxy.asked, []);
  const settings = rig.flags.slice(0, -4);
  await rig.endpoint.close();
  const doctor = rig.run(["doctor", "--json", ...settings], { env });
  assertEquals(await doctor.code, 69);
  const { checks } = JSON.parse(doctor.out.join(""));
  const find = (wanted: string) => checks.find(({ name }: { name: string }) => name === wanted);
  assertEquals(find("settings").status, "warn");
  assertStringIncludes(find("settings").hint, flag);
  assertEquals(find("tcp").status, "fail");
  assertStringIncludes(find("tcp").hint, flag);
  const failing = rig.publish(["--message", "hello", "--give-up-after", "1s"], { env });
  assertEquals(await failing.code, 75);
  assertStringIncludes(String((await failing.said("retrying")).hint), flag);
  // With a proxy set nobody asks for that of the environment.
  const set = rig.publish(["--proxy", proxy.url, "--message", "x", "--give-up-after", "1s"], {
    env,
  });
  assertEquals(await set.code, 75);
  assert(!everything(set).includes("HTTPS_PROXY"));
});

Deno.test("program connects with a user name and password in place of a certificate", async () => {
  await using rig = await makeRig();
  const seen: unknown[] = [];
  await using broker = await startScriptedBroker({ ...pki, isOpen: true }, (packet, send) => {
    if (packet.cmd === "connect") seen.push([packet.username, String(packet.password)]);
    if (packet.cmd === "publish") send({ cmd: "puback", messageId: packet.messageId! });
  });
  const password = await secretFile(rig, `${SECRET}\n`, "password");
  for (const name of ["cert.pem", "key.pem"]) await Deno.remove(`${rig.folder}/certs/${name}`);
  const flags = [
    ...replaced(rig.flags, { "--port": `${broker.port}` }),
    ...["--username", "gw?x-amz-customauthorizer-name=plant", "--password-file", password],
  ];
  const run = rig.run(["publish", ...flags, "--message", "hello"]);
  assertEquals(await run.code, 0, everything(run));
  assertEquals((await run.said("start")).certificate, "none");
  assertEquals(seen, [["gw?x-amz-customauthorizer-name=plant", SECRET]]);
  const doctor = rig.run([
    "doctor",
    ...flags.filter((flag, at) => !/^--log/.test(flag) && !/^--log/.test(flags[at - 1]!)),
  ]);
  assertEquals(await doctor.code, 0, everything(doctor));
  assertMatch(
    doctor.out.join(""),
    /ok +files +no certificate, user name and password, CA "ca\.pem"/,
  );
  for (const said of [everything(run), everything(doctor)]) assert(!said.includes(SECRET));
  // One of the two alone is a mistake.
  await Deno.writeTextFile(`${rig.folder}/certs/cert.pem`, pki.device.cert);
  const half = rig.run(["publish", ...flags, "--message", "hello"]);
  assertEquals(await half.code, 78);
  assertMatch(everything(half), /Cannot find the device key/);
});

Deno.test("doctor goes on to the endpoint through a proxy, and says at which of the two it ends", async () => {
  await using rig = await makeRig();
  const look = async (url: string) => {
    const doctor = rig.run(["doctor", "--json", ...rig.flags.slice(0, -4), "--proxy", url]);
    const code = await doctor.code;
    const { checks } = JSON.parse(doctor.out.join(""));
    const of = (wanted: string) => checks.find(({ name }: { name: string }) => name === wanted);
    return { code, of };
  };
  await using proxy = await startProxy();
  const good = await look(proxy.url);
  assertEquals(good.code, 0);
  assertMatch(good.of("dns").saw, /^the proxy 127\.0\.0\.1 is 127\.0\.0\.1$/);
  assertMatch(good.of("tcp").saw, /^connected to the proxy at 127\.0\.0\.1:\d+$/);
  assertMatch(
    good.of("proxy").saw,
    /^http proxy 127\.0\.0\.1:\d+ opened a tunnel to localhost:\d+$/,
  );
  assertEquals(good.of("publish").status, "ok");
  await using forbidding = await startProxy({ answer: "HTTP/1.1 403 Forbidden\r\n\r\n" });
  const bad = await look(forbidding.url);
  assertEquals(bad.code, 69);
  assertEquals([bad.of("tcp").status, bad.of("proxy").status, bad.of("tls").status], [
    "ok",
    "fail",
    "skipped",
  ]);
  assertEquals(bad.of("tls").saw, "needs proxy");
  await rig.endpoint.close();
  const gone = await look(proxy.url);
  assertEquals([gone.code, gone.of("proxy").status], [69, "fail"]);
  assertMatch(gone.of("proxy").saw, /cannot reach localhost:\d+ \(502 Bad Gateway\)$/);
});

Deno.test("publisher is killed in bulk, and loses nothing through a proxy (Q2)", async () => {
  await using rig = await makeRig();
  await using proxy = await startProxy();
  const flags = ["--proxy", proxy.url, "--source", "stdin"];
  const first = rig.publish(flags, { input: inputOf(numbered(1, 3000)) });
  await rig.endpoint.until(() => rig.endpoint.received.length > 300, { what: "some messages" });
  const queued = () =>
    first.log.filter(({ event }) => event === "queued")
      .reduce((sum, { messages }) => sum + Number(messages), 0);
  first.signal("SIGKILL");
  await first.code;
  const said = queued();
  const second = rig.publish([...flags], { input: inputOf(numbered(10_001, 10_010)) });
  assertEquals(await second.code, 0);
  const arrived = new Set(numbersOf(rig));
  assertEquals(range(1, said).filter((n) => !arrived.has(n)), []);
  assert([...range(10_001, 10_010)].every((n) => arrived.has(n)));
});
