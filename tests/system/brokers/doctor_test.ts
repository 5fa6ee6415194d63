/** `doctor` sent to real programs that are no MQTT endpoint, or not the right one. */

import { assertEquals, assertMatch } from "@std/assert";
import type { Report } from "../../../lib/doctor/checks.ts";
import { makePki, writeCerts } from "../../../tools/endpoint/mod.ts";
import { runProcess } from "../../support/command_line.ts";
import { findPrograms, freePorts, started } from "./brokers.ts";
import { type Child, spawn } from "./child.ts";

const pki = await makePki();
const programs = await findPrograms(["openssl", "haproxy", "nginx", "mosquitto"]);

interface Peer {
  readonly what: string;
  /** Starts the program at that port, with its files in that directory. */
  readonly start: (port: number, dir: string) => Promise<Child>;
  readonly args?: readonly string[];
  readonly check: string;
  /** Matched against what was seen, the cause and the hint, a line each. */
  readonly says: RegExp;
  readonly exitCode: number;
}

const TLS = (dir: string) => ["-cert", `${dir}/server.pem`, "-key", `${dir}/server.pem`];

function openssl(...more: string[]): Peer["start"] {
  return (port, dir) => {
    // -rev answers lines alone: to CONNECT it says nothing.
    const args = ["s_server", "-accept", `127.0.0.1:${port}`, "-rev", ...more];
    const own = more.includes("-cert") ? [] : TLS(dir);
    return ready(spawn(programs.openssl, [...args, ...own], { cwd: dir }), "stdout", /ACCEPT/);
  };
}

function haproxy(bind: string): Peer["start"] {
  return async (port, dir) => {
    const config = [
      "defaults",
      "  mode http",
      "  timeout connect 2s",
      "  timeout client 10s",
      "  timeout server 10s",
      "frontend web",
      `  bind 127.0.0.1:${port} ${bind.replace("CRT", `${dir}/server.pem`)}`,
      "  http-request return status 200",
      "",
    ];
    await Deno.writeTextFile(`${dir}/haproxy.cfg`, config.join("\n"));
    return ready(
      spawn(programs.haproxy, ["-W", "-db", "-f", `${dir}/haproxy.cfg`]),
      "stderr",
      /Loading success/,
    );
  };
}

async function nginx(port: number, dir: string): Promise<Child> {
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${dir}/${name};`).join(" ");
  await Deno.writeTextFile(
    `${dir}/nginx.conf`,
    `daemon off; pid ${dir}/nginx.pid; error_log stderr notice; events {}
http { access_log off; ${folders} server { listen 127.0.0.1:${port} ssl;
ssl_certificate ${dir}/server.pem; ssl_certificate_key ${dir}/server.pem; return 200 hello; } }
`,
  );
  const args = ["-c", `${dir}/nginx.conf`, "-p", dir, "-e", "stderr"];
  return await ready(spawn(programs.nginx, args), "stderr", /start worker process /);
}

async function mosquitto(port: number, dir: string): Promise<Child> {
  const config = `listener ${port} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest stderr\n`;
  await Deno.writeTextFile(`${dir}/mosquitto.conf`, config);
  return await started(
    spawn(programs.mosquitto, ["-c", `${dir}/mosquitto.conf`]),
    /mosquitto version \S+ running/,
  );
}

const PEERS: readonly Peer[] = [
  {
    what: "openssl s_server with ALPN, which never answers CONNECT (T10)",
    start: openssl("-alpn", "x-amzn-mqtt-ca"),
    check: "mqtt-connect",
    says: /no CONNACK within 2 s[^]*check that this is an MQTT broker/,
    exitCode: 69,
  },
  {
    what: "openssl s_server without ALPN (T5)",
    start: openssl(),
    check: "alpn",
    says: /answered without protocol "x-amzn-mqtt-ca": the server ignores ALPN/,
    exitCode: 69,
  },
  {
    what: "openssl s_server with a self-signed certificate (T1)",
    start: async (port, dir) => {
      await using making = spawn(programs.openssl, [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
        ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"],
        ...["-keyout", `${dir}/own.key`, "-out", `${dir}/own.pem`],
      ]);
      assertEquals(await making.ended, 0, making.stderr.all.join("\n"));
      return openssl("-cert", `${dir}/own.pem`, "-key", `${dir}/own.key`)(port, dir);
    },
    check: "tls",
    says: /\nthe server shows a self-signed certificate \("CN=localhost"\)/,
    exitCode: 69,
  },
  {
    what: "openssl s_server that knows TLS 1.1 alone (T7)",
    start: openssl("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"),
    check: "tls",
    says: /TLS 1\.2 and 1\.3 are spoken here/,
    exitCode: 69,
  },
  {
    what: "HAProxy in HTTP mode behind TLS that ignores ALPN (T5)",
    start: haproxy("ssl crt CRT alpn http/1.1"),
    check: "alpn",
    says: /the server ignores ALPN|does not offer protocol/,
    exitCode: 69,
  },
  {
    what: "HAProxy in HTTP mode behind TLS with our ALPN",
    start: haproxy("ssl crt CRT alpn x-amzn-mqtt-ca"),
    check: "mqtt-connect",
    says: /it answers in HTTP/,
    exitCode: 69,
  },
  {
    what: "HAProxy in HTTP mode without TLS",
    start: haproxy(""),
    check: "tls",
    says: /a web server or HTTP proxy answers on localhost:\d+ in plain text/,
    exitCode: 69,
  },
  {
    what: "nginx behind TLS, which knows no MQTT (T5)",
    start: nginx,
    check: "alpn",
    says: /does not offer protocol "x-amzn-mqtt-ca"/,
    exitCode: 69,
  },
  {
    what: "nginx behind TLS where no ALPN is asked for",
    start: nginx,
    args: ["--alpn", "none"],
    check: "mqtt-connect",
    says: /it answers in HTTP/,
    exitCode: 69,
  },
  {
    what: "mosquitto without TLS",
    start: mosquitto,
    check: "tls",
    says: /is a listener without TLS: in plain text it speaks MQTT/,
    exitCode: 69,
  },
];

for (const peer of PEERS) {
  Deno.test(`doctor names ${peer.what}`, async () => {
    const dir = await Deno.makeTempDir({ prefix: "mqtt443-doctor-" });
    try {
      await Deno.writeTextFile(`${dir}/server.pem`, pki.server.cert + pki.server.key);
      await writeCerts(`${dir}/certs`, pki);
      const [port] = freePorts(1);
      await using _child = await peer.start(port!, dir);
      const { code, stdout, stderr } = await runProcess([
        ...["doctor", "--json", "--endpoint", "localhost", "--port", String(port)],
        ...["--certs", `${dir}/certs`, "--state", `${dir}/state`, "--client-id", "gw-7"],
        ...["--connect-timeout", "2s", ...peer.args ?? []],
      ], { cwd: dir });
      assertEquals(stderr.includes("error:"), false, stderr);
      const report = JSON.parse(stdout) as Report;
      const found = report.checks.find(({ status }) => status === "fail");
      assertEquals(found?.name, peer.check, stdout);
      assertMatch([found!.saw, found!.cause, found!.hint].join("\n"), peer.says);
      assertEquals([code, report.exitCode], [peer.exitCode, peer.exitCode]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}

async function ready(child: Child, output: "stdout" | "stderr", line: RegExp): Promise<Child> {
  if (output === "stderr") return await started(child, line);
  try {
    await child.stdout.until((lines) => lines.some((text) => line.test(text)), `${line}`);
    return child;
  } catch (error) {
    await child.stop();
    throw error;
  }
}
