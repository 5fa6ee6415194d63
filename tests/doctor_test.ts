/**
 * `doctor` against peers that misbehave, one fault a case: which check fails, what it says was seen and the likely
 * cause, and the exit code.
 */

import { assertEquals, assertMatch } from "@std/assert";
import type { Report } from "../lib/doctor.ts";
import {
  type EndpointOptions,
  formatKey,
  makeAuthority,
  makePki,
  type Pki,
  startEndpoint,
  writeCerts,
} from "../tools/endpoint.ts";
import { inFolder, run } from "./command_line.ts";

const DAY_MS = 86_400_000;
const pki = await makePki({ device: "gw-7" });
const other = await makeAuthority();
const now = Date.now();
const server = (names: string[], validFrom?: Date, validTo?: Date) =>
  pki.authority.issue(names[0]!, {
    names,
    ...(validFrom && { validFrom }),
    ...(validTo && { validTo }),
  });

interface Fault {
  readonly what: string;
  readonly endpoint?: EndpointOptions;
  readonly args?: readonly string[];
  /** Changes the good files below `certs`. */
  readonly files?: (certs: string) => void;
  readonly check: string;
  readonly status?: "fail" | "warn";
  /** Matched against what was seen, the cause and the hint, a line each. */
  readonly says: RegExp;
  readonly exitCode: number;
}

const FAULTS: readonly Fault[] = [
  {
    what: "a missing key",
    files: (certs) => Deno.removeSync(keyIn(certs)),
    check: "files",
    says: /Cannot find the device key .*\nCannot.*\ncopy the files/,
    exitCode: 78,
  },
  {
    what: "a key of another certificate (G2)",
    files: (certs) => {
      Deno.writeTextFileSync(keyIn(certs), stranger.device.key);
      Deno.chmodSync(keyIn(certs), 0o600);
    },
    check: "key-match",
    says: /does not match the certificate .*subject "CN=gw-7"/,
    exitCode: 78,
  },
  {
    what: "an encrypted key without its passphrase (G3)",
    files: (certs) =>
      Deno.writeTextFileSync(keyIn(certs), formatKey(pki.device.key, "encrypted", "x")),
    check: "files",
    says: /encrypted and no passphrase[^]*--key-passphrase-file/,
    exitCode: 78,
  },
  {
    what: "a key that others may read (G1)",
    files: (certs) => Deno.chmodSync(keyIn(certs), 0o644),
    check: "file-modes",
    says: /mode 0644[^]*chmod 600/,
    exitCode: 78,
  },
  {
    what: "an empty CA file (G5)",
    files: (certs) => Deno.writeTextFileSync(`${certs}/AmazonRootCA1.pem`, ""),
    check: "files",
    says: /CA certificate .*it is empty/,
    exitCode: 78,
  },
  {
    what: "a name that does not exist",
    args: ["--endpoint", "gateway.invalid"],
    check: "dns",
    says: /Cannot find the address of gateway\.invalid[^]*getent hosts/,
    exitCode: 69,
  },
  {
    what: "a closed port",
    args: ["--port", "1"],
    check: "tcp",
    says: /connection refused[^]*check --endpoint and --port/,
    exitCode: 69,
  },
  {
    what: "a server certificate of another CA (T1)",
    endpoint: { server: await other.issue("localhost", { names: ["localhost"] }) },
    check: "tls",
    says: /subject "CN=localhost"[^]*not signed by the configured CA[^]*--ca PATH/,
    exitCode: 69,
  },
  {
    what: "a server certificate for another name (T2)",
    endpoint: { server: await server(["proxy.example"]) },
    check: "tls",
    says: /DNS:proxy\.example[^]*is for "proxy\.example", not for "localhost"[^]*captive portal/,
    exitCode: 69,
  },
  {
    what: "an expired server certificate (T3)",
    endpoint: {
      server: await server(["localhost"], new Date(now - 9 * DAY_MS), new Date(now - DAY_MS)),
    },
    check: "tls",
    says: /its certificate expired at \d{4}-\d\d-\d\dT/,
    exitCode: 69,
  },
  {
    what: "a server certificate that is not valid yet (T4)",
    endpoint: {
      server: await server(["localhost"], new Date(now + DAY_MS), new Date(now + 9 * DAY_MS)),
    },
    check: "tls",
    says: /the clock is probably wrong[^]*timedatectl/,
    exitCode: 69,
  },
  {
    what: "a server that refuses the protocol (T5)",
    endpoint: { alpn: "http/1.1" },
    check: "alpn",
    says: /does not offer protocol "x-amzn-mqtt-ca"/,
    exitCode: 69,
  },
  {
    what: "a server that ignores ALPN (T5)",
    endpoint: { alpn: "ignore" },
    check: "alpn",
    says: /answered without protocol "x-amzn-mqtt-ca"[^]*--alpn none/,
    exitCode: 69,
  },
  {
    what: "a server that closes after the handshake (T6)",
    endpoint: { clientCert: "closes-after-finished" },
    check: "mqtt-connect",
    says:
      /hung up before CONNACK[^]*iot:Connect for client\/gw-7; watch \$aws\/events\/presence\/connect_failed/,
    exitCode: 69,
  },
  {
    what: "a policy without iot:Connect on MQTT 5",
    endpoint: { policy: { connect: [] } },
    check: "mqtt-connect",
    says: /CONNACK 0x87 not authorized[^]*iot:Connect for client\/gw-7/,
    exitCode: 77,
  },
  {
    what: "a policy without iot:Connect on MQTT 3.1.1",
    endpoint: { policy: { connect: [] } },
    args: ["--mqtt-version", "3.1.1"],
    check: "mqtt-connect",
    says: /iot:Connect for client\/gw-7/,
    exitCode: 69,
  },
  {
    what: "a busy server",
    endpoint: { faults: { refuseConnect: true, connackCode: 0x89 } },
    check: "mqtt-connect",
    says: /CONNACK 0x89 server busy/,
    exitCode: 69,
  },
  {
    what: "a policy without iot:Publish on MQTT 3.1.1",
    endpoint: { policy: { publish: [] } },
    args: ["--mqtt-version", "3.1.1"],
    check: "publish",
    says: /right after PUBLISH[^]*iot:Publish on topic\/dt\/mqtt443\/gw-7\/telemetry/,
    exitCode: 77,
  },
  {
    what: "a PUBACK that says not authorized",
    endpoint: { policy: { publish: [] }, refusedPublish: "puback" },
    check: "publish",
    says: /PUBACK 0x87 not authorized[^]*iot:Publish on topic\//,
    exitCode: 77,
  },
  {
    what: "a PUBACK that does not come",
    endpoint: { faults: { forgetPuback: true } },
    args: ["--ack-timeout", "1s"],
    check: "publish",
    says: /No PUBACK .* within 1 s/,
    exitCode: 69,
  },
  {
    what: "a CONNACK that does not come (T10)",
    endpoint: { faults: { noConnack: true } },
    args: ["--connect-timeout", "1s"],
    check: "mqtt-connect",
    says: /no CONNACK within 1 s/,
    exitCode: 69,
  },
  {
    what: "a policy file that does not allow the topic",
    args: ["--policy-file", new URL("testdata/policy.json", import.meta.url).pathname],
    check: "settings",
    status: "warn",
    says: /does not allow iot:Publish on topic\/dt\/mqtt443\/gw-7\/telemetry/,
    exitCode: 0,
  },
];
const stranger: Pki = await makePki();

for (const fault of FAULTS) {
  Deno.test(`doctor names ${fault.what}`, async () => {
    await withSite(fault.endpoint ?? {}, async ({ args, certs }) => {
      fault.files?.(certs);
      const report = await examine(args, fault.args);
      const found = report.checks.find(({ status }) => status === (fault.status ?? "fail"));
      assertEquals(found?.name, fault.check, JSON.stringify(report, null, 1));
      assertMatch([found!.saw, found!.cause, found!.hint].join("\n"), fault.says);
      assertEquals(report.exitCode, fault.exitCode);
    });
  });
}

Deno.test("doctor finds nothing wrong with a good site, and publishes one test message", async () => {
  await withSite({}, async ({ args, received }) => {
    const report = await examine(args);
    const wrong = report.checks.filter(({ status }) => status !== "ok");
    assertEquals([report.ok, report.exitCode, wrong], [true, 0, []]);
    assertEquals(report.checks.length, 13);
    assertEquals(received().map(({ topic }) => topic), ["dt/mqtt443/gw-7/telemetry"]);
  });
});

Deno.test("doctor --offline connects nowhere and ends with the queue", async () => {
  await withSite({}, async ({ args, connections }) => {
    const report = await examine(args, ["--offline"]);
    assertEquals(report.checks.at(-1)?.name, "queue");
    assertEquals([report.exitCode, connections()], [0, 0]);
  });
});

Deno.test("doctor skips what needs a check that failed, and says which", async () => {
  await withSite({}, async ({ args }) => {
    const report = await examine(args, ["--port", "1"]);
    const skipped = report.checks.filter(({ status }) => status === "skipped");
    assertEquals(skipped.map(({ name, saw }) => `${name}: ${saw}`), [
      "tls: needs tcp",
      "alpn: needs tls",
      "mqtt-connect: needs alpn",
      "publish: needs mqtt-connect",
    ]);
  });
});

Deno.test("doctor's text fits 80 columns", async () => {
  await withSite({}, async ({ args }) => {
    const { stdout } = await run(["doctor", ...args]);
    const wide = stdout.split("\n").filter((line) => line.length > 80);
    assertEquals(wide, []);
    assertMatch(stdout, /\n13 ok, 0 warn, 0 fail, 0 skipped: this device can publish\n$/);
  });
});

Deno.test("doctor --policy prints the least policy for the client id and the topic", async () => {
  const endpoint = "abc-ats.iot.eu-central-1.amazonaws.com";
  const { code, stdout } = await run(["doctor", "--policy", "--endpoint", endpoint]);
  assertEquals(code, 0);
  assertEquals(JSON.parse(stdout), {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Action: "iot:Connect",
        Resource: "arn:aws:iot:eu-central-1:ACCOUNT:client/gw-7",
      },
      {
        Effect: "Allow",
        Action: "iot:Publish",
        Resource: "arn:aws:iot:eu-central-1:ACCOUNT:topic/dt/mqtt443/gw-7/telemetry",
      },
    ],
  });
});

for (
  const { says, banner, what } of [
    { what: "an SSH server", banner: "SSH-2.0-OpenSSH_9.2\r\n", says: /it is an SSH server/ },
    { what: "a plain HTTP server", banner: "HTTP/1.1 400 Bad Request\r\n\r\n", says: /plain HTTP/ },
  ]
) {
  Deno.test(`doctor recognises ${what} by its first bytes`, async () => {
    await withSite({}, async ({ args }) => {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const serving = greet(listener, banner);
      const report = await examine(args, ["--port", String(listener.addr.port)]);
      listener.close();
      await serving;
      const failed = report.checks.find(({ status }) => status === "fail");
      assertEquals(failed?.name, "tls");
      assertMatch(failed!.saw, says);
    });
  });
}

/** Greets every client and closes. */
async function greet(listener: Deno.TcpListener, banner: string): Promise<void> {
  try {
    for await (const connection of listener) {
      await connection.write(new TextEncoder().encode(banner)).catch(() => {});
      await connection.read(new Uint8Array(1024)).catch(() => {});
      connection.close();
    }
  } catch {
    // The listener was closed.
  }
}

interface Site {
  readonly args: readonly string[];
  readonly certs: string;
  readonly received: () => readonly { topic: string }[];
  readonly connections: () => number;
}

async function withSite(
  options: EndpointOptions,
  action: (site: Site) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const certs = `${folder}/certs`;
    await writeCerts(certs, pki);
    await using endpoint = await startEndpoint({ certificates: pki, ...options });
    await action({
      args: [
        ...["--endpoint", "localhost", "--port", String(endpoint.port)],
        ...["--certs", certs, "--state", `${folder}/state`],
      ],
      certs,
      received: () => endpoint.received,
      connections: () => endpoint.connects.length,
    });
  });
}

/** Runs doctor; a flag in `more` takes the place of the same one in `args`. */
async function examine(args: readonly string[], more: readonly string[] = []): Promise<Report> {
  const kept = args.filter((_, index) => !more.includes(args[index - (index % 2)]!));
  const { code, stdout } = await run(["doctor", "--json", ...kept, ...more]);
  const report = JSON.parse(stdout) as Report;
  assertEquals(code, report.exitCode);
  return report;
}

function keyIn(certs: string): string {
  const [key] = [...Deno.readDirSync(certs)].filter(({ name }) => name.endsWith("private.pem.key"));
  return `${certs}/${key!.name}`;
}
