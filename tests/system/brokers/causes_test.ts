/**
 * The true causes, each built with real servers: what `doctor` says must be what is wrong, and name nothing that it
 * could rule out. The set-ups' words are in tests/support/causes.ts.
 */

import { Buffer } from "node:buffer";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Report } from "../../../lib/doctor/checks.ts";
import { makeAuthority, makePki, writeCerts } from "../../../tools/endpoint/mod.ts";
import { type Cause, CAUSES } from "../../support/causes.ts";
import { type ClientHello, parseClientHello } from "../../support/client_hello.ts";
import { runProcess } from "../../support/command_line.ts";
import { findPrograms, freePorts, started } from "./brokers.ts";
import { type Child, spawn } from "./child.ts";

const pki = await makePki({ names: ["localhost"] });
const programs = await findPrograms(["openssl", "haproxy", "nginx", "mosquitto", "squid"]);

/** What a set-up needs and gives. */
interface SetUp {
  readonly dir: string;
  readonly port: number;
  readonly cleanup: AsyncDisposableStack;
}

/** Starts servers; returns flags for doctor besides the usual ones. */
type Start = (setUp: SetUp) => Promise<readonly string[]>;

const NO_ALPN = ["--alpn", "none"];

const STARTS: Readonly<Record<keyof typeof CAUSES, Start>> = {
  nameReset: boxed(({ serverNames: [name] }) => name === "localhost" ? "reset" : "pass"),
  nameSwallowed: boxed(({ serverNames: [name] }) => name === "localhost" ? "swallow" : "pass"),
  tlsReset: boxed(() => "reset"),
  async alpnSwallowed(setUp) {
    const behind = await haproxy(setUp);
    await box(setUp, behind, ({ protocols }) => protocols.length > 0 ? "swallow" : "pass");
    return [];
  },
  async size(setUp) {
    const behind = await haproxy(setUp);
    await box(setUp, behind, () => 600);
    return [];
  },
  async nameUnknown({ dir, port, cleanup }) {
    const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${dir}/${name};`).join(" ");
    await Deno.writeTextFile(
      `${dir}/nginx.conf`,
      `daemon off; pid ${dir}/nginx.pid; error_log stderr notice; events {}
http { access_log off; ${folders} server { listen 127.0.0.1:${port} ssl; ssl_reject_handshake on; } }
`,
    );
    cleanup.use(
      await started(
        spawn(programs.nginx, ["-c", `${dir}/nginx.conf`, "-p", dir, "-e", "stderr"]),
        /start worker process /,
      ),
    );
    return [];
  },
  async selfSigned(setUp) {
    const { dir } = setUp;
    await openssl(dir, [
      ...["req", "-x509", ...EC, "-subj", "/CN=localhost", "-days", "2"],
      ...["-addext", "subjectAltName=DNS:localhost", "-keyout", "own.key", "-out", "own.pem"],
    ]);
    await mosquitto(setUp, { cert: `${dir}/own.pem`, key: `${dir}/own.key` });
    return [...NO_ALPN, "--ca", `${dir}/own.pem`];
  },
  async caAnew(setUp) {
    const { dir } = setUp;
    const anew = await makeAuthority({ commonName: "mqtt443 throw-away CA" });
    const { cert, key } = await anew.issue("localhost", { names: ["localhost"] });
    await Deno.writeTextFile(`${dir}/anew.pem`, cert);
    await Deno.writeTextFile(`${dir}/anew.key`, key);
    await mosquitto(setUp, { cert: `${dir}/anew.pem`, key: `${dir}/anew.key` });
    return NO_ALPN;
  },
  async weakKey(setUp) {
    await issue(setUp.dir, "weak", { key: ["-newkey", "rsa:1024", "-nodes"] });
    await sServer(setUp, "weak", "-cipher", "DEFAULT@SECLEVEL=0");
    return [...NO_ALPN, "--ca", `${setUp.dir}/ca.pem`];
  },
  desKey: encrypted("rsa", "-des3"),
  oldKey: encrypted("pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"),
  async addressAsName(setUp) {
    const { dir } = setUp;
    const { cert, key } = await pki.authority.issue("127.0.0.1", { names: ["gw.example"] });
    await Deno.writeTextFile(`${dir}/x.pem`, cert + key);
    await issue(dir, "address", { names: "DNS:127.0.0.1" });
    await mosquitto(setUp, { cert: `${dir}/address.pem`, key: `${dir}/address.key` });
    return [...NO_ALPN, "--ca", `${dir}/ca.pem`, "--endpoint", "127.0.0.1"];
  },
  async oldIntermediate(setUp) {
    const { dir } = setUp;
    await issue(dir, "middle", { extension: "basicConstraints=critical,CA:TRUE", days: "20" });
    await issue(dir, "leaf", { by: "middle" });
    await expire(dir, "middle");
    await Deno.writeTextFile(
      `${dir}/leaf.pem`,
      await Deno.readTextFile(`${dir}/leaf.pem`) + await Deno.readTextFile(`${dir}/middle-old.pem`),
    );
    await sServer(setUp, "leaf", "-cert_chain", `${dir}/leaf.pem`);
    return [...NO_ALPN, "--ca", `${dir}/ca.pem`];
  },
  async inspection({ dir, port, cleanup }) {
    await openssl(dir, [
      ...[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/O=Plant/CN=Plant inspection CA",
      ],
      ...["-days", "2", "-keyout", "squid.key", "-out", "squid.crt"],
    ]);
    const pem = await Deno.readTextFile(`${dir}/squid.key`) +
      await Deno.readTextFile(`${dir}/squid.crt`);
    await Deno.writeTextFile(`${dir}/squid.pem`, pem);
    await Deno.chmod(dir, 0o755);
    const certgen = "/usr/lib/squid/security_file_certgen";
    await using making = spawn(certgen, ["-c", "-s", `${dir}/ssl_db`, "-M", "4MB"]);
    assertEquals(await making.ended, 0, making.stderr.all.join("\n"));
    await own(`${dir}/ssl_db`);
    await Deno.writeTextFile(
      `${dir}/squid.conf`,
      `http_port 127.0.0.1:${port} ssl-bump cert=${dir}/squid.pem generate-host-certificates=on
sslcrtd_program ${certgen} -s ${dir}/ssl_db -M 4MB
sslcrtd_children 1 startup=1
acl all_steps at_step SslBump1
ssl_bump client-first all
http_access allow all
cache deny all
access_log none
cache_log stdio:/dev/stderr
pid_filename none
shutdown_lifetime 0 seconds
`,
    );
    cleanup.use(
      await started(
        spawn(programs.squid, ["-N", "-f", `${dir}/squid.conf`]),
        /Accepting SSL bumped/,
      ),
    );
    return [
      ...["--proxy", `http://127.0.0.1:${port}`, "--ca", `${dir}/squid.crt`, "--alpn", "none"],
      ...["--endpoint", "abc-ats.iot.eu-central-1.amazonaws.com", "--port", "8883"],
    ];
  },
  qos: limited("max_qos 0"),
  qos0: limited("max_qos 0", "--qos", "0"),
  packetSize: limited("max_packet_size 120"),
  messageSize: limited("message_size_limit 20"),
  async denied(setUp) {
    await Deno.writeTextFile(`${setUp.dir}/acl`, "topic read #\n");
    return await limited(`acl_file ${setUp.dir}/acl`)(setUp);
  },
  async deniedOlder(setUp) {
    const flags = await STARTS.denied(setUp);
    return [...flags, "--mqtt-version", "3.1.1"];
  },
  literalKey: rewritten("private.pem.key", (pem) => pem.replaceAll("\n", "\\n")),
  indentedCert: rewritten("certificate.pem.crt", (pem) => pem.replace(/^/gm, "  ")),
  wideCa: rewritten("AmazonRootCA1.pem", (pem) => `\uFEFF${pem}`, "utf16le"),
  async derPair(setUp) {
    const { dir } = setUp;
    await mosquitto(setUp);
    const [cert, key] = [fileOf(dir, "certificate.pem.crt"), fileOf(dir, "private.pem.key")];
    await openssl(dir, ["x509", "-in", cert, "-outform", "DER", "-out", "cert.der"]);
    await openssl(dir, ["pkey", "-in", key, "-outform", "DER", "-out", "key.der"]);
    await Deno.rename(`${dir}/cert.der`, cert);
    await Deno.rename(`${dir}/key.der`, key);
    return NO_ALPN;
  },
  async plain({ dir, port, cleanup }) {
    const config = `listener ${port} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest stderr\n`;
    await Deno.writeTextFile(`${dir}/mosquitto.conf`, config);
    cleanup.use(await runMosquitto(dir));
    return [];
  },
};

/** What each fault's rows have in common. */
const KINDS: Readonly<Record<string, string>> = {
  D1: "doctor names what stops TLS, and no certificate that was not sent (D1)",
  D2: "doctor tells one fault of trust from another (D2)",
  D3: "doctor names how a key is encrypted, and blames no passphrase (D3)",
  D4: "doctor names the certificate that is wrong, and how (D4)",
  D5: "doctor sees TLS inspection whose CA is trusted (D5)",
  D6: "doctor tests with the QoS that is set (D6)",
  D7: "doctor holds a message against Maximum Packet Size (D7)",
  D8: "doctor names every reason of a refused message (D8)",
  D12: "doctor takes a PEM file or names its form (D12)",
  D25: "doctor says what MQTT 3.1.1 cannot tell (D25)",
};

for (const [name, row] of Object.entries(CAUSES) as [keyof typeof CAUSES, Cause][]) {
  Deno.test(`${KINDS[row.id]}: ${row.setUp}`, async () => {
    await using cleanup = new AsyncDisposableStack();
    const dir = await Deno.makeTempDir({ prefix: "mqtt443-causes-" });
    cleanup.defer(() => Deno.remove(dir, { recursive: true }));
    await writeCerts(`${dir}/certs`, pki);
    const [port] = freePorts(1);
    const more = await STARTS[name]({ dir, port: port!, cleanup });
    const usual = [
      ...["--endpoint", "localhost", "--port", String(port), "--certs", `${dir}/certs`],
      ...["--state", `${dir}/state`, "--durability", "crash", "--client-id", "gw-7"],
      ...["--connect-timeout", "3s", "--source", "clock"],
    ];
    const kept = usual.filter((_, index) => !more.includes(usual[index - (index % 2)]!));
    const { code, stdout, stderr } = await runProcess(
      ["doctor", "--json", ...kept, ...more],
      { cwd: dir },
    );
    assertEquals(stderr.includes("error:"), false, stderr);
    const report = JSON.parse(stdout) as Report;
    const found = report.checks.find(({ name }) => name === row.check)!;
    assertEquals([found.status, found.code], [row.status, row.code], stdout);
    assertStringIncludes(row.status === "ok" ? found.saw : found.cause!, row.says);
    const text = [found.saw, found.cause, found.hint].join("\n");
    if (row.never) assertEquals(row.never.test(text), false, text);
    assertEquals([code, report.exitCode], [row.exitCode, row.exitCode], stdout);
    if (row.log === undefined) return;
    const log = await logOfPublish([...kept, ...more], dir);
    assertMatch(log, row.log);
    // AWS is named beside other brokers there: it is not known yet what answers.
    if (row.never && row.id !== "D8") assertEquals(row.never.test(log), false, log);
  });
}

/** Causes and hints in the log of `publish`, for one message that is given up after a failure. */
async function logOfPublish(flags: readonly string[], dir: string): Promise<string> {
  const at = flags.indexOf("--source");
  const { code, stderr } = await runProcess([
    ...["publish", "--message", "x", "--give-up-after", "4s", "--log-format", "json"],
    ...flags.toSpliced(at, 2).map((flag) => flag === "crash" ? "none" : flag),
  ], { cwd: dir });
  assertEquals(code === 0, false, stderr);
  return stderr.split("\n").map((line) => {
    if (!line.startsWith("{")) return line;
    const { cause = "", hint = "" } = JSON.parse(line);
    return `${cause} ${hint}`;
  }).join(" ");
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** mosquitto behind a box. */
function boxed(decide: Decide): Start {
  return async (setUp) => {
    const [behind] = freePorts(1);
    await mosquitto({ ...setUp, port: behind! });
    await box(setUp, behind!, decide);
    return NO_ALPN;
  };
}

/** A device whose key is encrypted so; nothing listens, and nothing is asked. */
function encrypted(...command: string[]): Start {
  return async ({ dir }) => {
    const key = fileOf(dir, "private.pem.key");
    await Deno.writeTextFile(`${dir}/pass`, "right\n", { mode: 0o600 });
    await openssl(dir, ["genrsa", "-out", "rsa.key", "2048"]);
    const into = ["-in", "rsa.key", "-passout", `file:${dir}/pass`, "-out", key];
    await openssl(dir, [...command, ...into]);
    return ["--key-passphrase-file", `${dir}/pass`];
  };
}

/** A device with one of its files in another form. */
function rewritten(
  ending: string,
  form: (pem: string) => string,
  encoding: "utf8" | "utf16le" = "utf8",
): Start {
  return async ({ dir }) => {
    const path = fileOf(dir, ending);
    await Deno.writeFile(path, Buffer.from(form(await Deno.readTextFile(path)), encoding));
    return [];
  };
}

function fileOf(dir: string, ending: string): string {
  const [file] = [...Deno.readDirSync(`${dir}/certs`)].filter(({ name }) => name.endsWith(ending));
  return `${dir}/certs/${file!.name}`;
}

/** What a box does with a connection: lets it pass, resets it, swallows it, or lets so many bytes of the answer through. */
type Decide = (hello: ClientHello) => "pass" | "reset" | "swallow" | number;

/** A box on the way that looks at the first packet. What is no TLS passes. */
async function box({ port, cleanup }: SetUp, behind: number, decide: Decide): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  const open = new Set<Deno.Conn>();
  const serve = async (front: Deno.TcpConn) => {
    open.add(front);
    const buffer = new Uint8Array(16_384);
    const length = await front.read(buffer).catch(() => null);
    if (length === null) return;
    const first = buffer.slice(0, length);
    const what = first[0] === 0x16 ? decide(parseClientHello(first)) : "pass";
    if (what === "swallow") return;
    if (what === "reset") {
      open.delete(front);
      // Closed with what was sent unread, the kernel answers with RST.
      return front.close();
    }
    const back = await Deno.connect({ hostname: "127.0.0.1", port: behind });
    open.add(back);
    await back.write(first);
    const up = front.readable.pipeTo(back.writable).catch(() => {});
    if (typeof what === "number") {
      let left = what;
      for await (const bytes of back.readable) {
        if (left > 0) await front.write(bytes.slice(0, left)).catch(() => {});
        left -= bytes.length;
      }
    } else await back.readable.pipeTo(front.writable).catch(() => {});
    await up;
  };
  const accepting = (async () => {
    for await (const front of listener) void serve(front).catch(() => {});
  })();
  cleanup.defer(async () => {
    listener.close();
    await accepting;
    for (const conn of open) {
      try {
        conn.close();
      } catch { /* closed with its stream */ }
    }
  });
  await Promise.resolve();
}

/** mosquitto with TLS and one more line in its settings. */
function limited(line: string, ...flags: string[]): Start {
  return async (setUp) => {
    await mosquitto(setUp, { more: line });
    return [...NO_ALPN, ...flags];
  };
}

async function mosquitto(
  { dir, port, cleanup }: SetUp,
  { cert, key, more = "" }: { cert?: string; key?: string; more?: string } = {},
): Promise<void> {
  const server = `${dir}/certs/endpoint/server`;
  await Deno.writeTextFile(
    `${dir}/mosquitto.conf`,
    `listener ${port} 127.0.0.1
${more}
allow_anonymous true
user root
log_dest stderr
cafile ${dir}/certs/AmazonRootCA1.pem
certfile ${cert ?? `${server}.pem`}
keyfile ${key ?? `${server}.key`}
require_certificate true
`,
  );
  cleanup.use(await runMosquitto(dir));
}

async function runMosquitto(dir: string): Promise<Child> {
  return await started(
    spawn(programs.mosquitto, ["-c", `${dir}/mosquitto.conf`]),
    /mosquitto version \S+ running/,
  );
}

/** HAProxy that knows our ALPN, at a port of its own; what is behind it is not asked for. */
async function haproxy({ dir, cleanup }: SetUp): Promise<number> {
  const [port] = freePorts(1);
  await Deno.writeTextFile(`${dir}/haproxy.pem`, pki.server.cert + pki.server.key);
  const config = [
    "defaults",
    "  mode tcp",
    "  timeout connect 2s",
    "  timeout client 10s",
    "  timeout server 10s",
    "frontend front",
    `  bind 127.0.0.1:${port} ssl crt ${dir}/haproxy.pem alpn x-amzn-mqtt-ca`,
    "",
  ];
  await Deno.writeTextFile(`${dir}/haproxy.cfg`, config.join("\n"));
  cleanup.use(
    await started(
      spawn(programs.haproxy, ["-W", "-db", "-f", `${dir}/haproxy.cfg`]),
      /Loading success/,
    ),
  );
  return port!;
}

async function sServer({ dir, port, cleanup }: SetUp, name: string, ...more: string[]) {
  const args = ["s_server", "-accept", `127.0.0.1:${port}`, "-rev"];
  const pair = ["-cert", `${name}.pem`, "-key", `${name}.key`, ...more];
  const child = cleanup.use(spawn(programs.openssl, [...args, ...pair], { cwd: dir }));
  await child.stdout.until((lines) => lines.some((line) => /ACCEPT/.test(line)), "ACCEPT");
}

async function openssl(dir: string, args: readonly string[]): Promise<void> {
  await using child = spawn(programs.openssl, args, { cwd: dir });
  assertEquals(await child.ended, 0, child.stderr.all.join("\n"));
}

/** A certificate by a CA in ca.pem, which is made with the first one. */
async function issue(
  dir: string,
  name: string,
  {
    key = EC,
    names = "DNS:localhost",
    extension = "basicConstraints=CA:FALSE",
    by = "ca",
    days = "5",
  } = {} as { key?: string[]; names?: string; extension?: string; by?: string; days?: string },
): Promise<void> {
  if (!await Deno.stat(`${dir}/ca.pem`).catch(() => undefined)) {
    const subject = ["-subj", "/CN=Plant CA", "-days", "9"];
    await openssl(dir, ["req", "-x509", ...EC, ...subject, "-keyout", "ca.key", "-out", "ca.pem"]);
  }
  const subject = ["-subj", `/CN=${name}`];
  await openssl(dir, [
    "req",
    "-new",
    ...key,
    ...subject,
    "-keyout",
    `${name}.key`,
    "-out",
    `${name}.csr`,
  ]);
  await Deno.writeTextFile(`${dir}/${name}.ext`, `${extension}\nsubjectAltName=${names}\n`);
  await openssl(dir, [
    ...["x509", "-req", "-in", `${name}.csr`, "-CA", `${by}.pem`, "-CAkey", `${by}.key`],
    ...["-CAcreateserial", "-days", days, "-extfile", `${name}.ext`, "-out", `${name}.pem`],
  ]);
}

/** The same certificate of a CA, out of date, in NAME-old.pem. */
async function expire(dir: string, name: string): Promise<void> {
  await Deno.mkdir(`${dir}/new`);
  await Deno.writeTextFile(`${dir}/index`, "");
  await Deno.writeTextFile(`${dir}/serial`, "77");
  await Deno.writeTextFile(
    `${dir}/ca.cnf`,
    `[ca]
default_ca = c
[c]
database = ${dir}/index
serial = ${dir}/serial
new_certs_dir = ${dir}/new
default_md = sha256
policy = p
x509_extensions = x
[p]
commonName = supplied
[x]
basicConstraints = critical,CA:TRUE
`,
  );
  await openssl(dir, [
    ...["ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"],
    ...["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"],
    ...["-in", `${name}.csr`, "-out", `${name}-old.pem`],
  ]);
}

/** Gives a folder to the user that squid becomes. */
async function own(folder: string): Promise<void> {
  await using child = spawn("/usr/bin/chown", ["-R", "proxy", folder]);
  assertEquals(await child.ended, 0, child.stderr.all.join("\n"));
}
