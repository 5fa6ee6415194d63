/**
 * The faults `doctor` must name, as a table: what is wrong, which check says so, what it says, and the exit code. Run in
 * this process by doctor_test.ts and through the real program by faults/doctor_test.ts.
 */

import {
  type EndpointOptions,
  formatKey,
  makeAuthority,
  makePki,
} from "../../tools/endpoint/mod.ts";

const DAY_MS = 86_400_000;
const now = Date.now();
const inDays = (days: number) => new Date(now + days * DAY_MS);

/** The device and its endpoint. */
export const pki = await makePki({ device: "gw-7" });
const other = await makeAuthority({ commonName: "Other CA" });
const stranger = await makePki();
const server = (names: string[], validFrom?: Date, validTo?: Date) =>
  pki.authority.issue(names[0]!, {
    names,
    ...(validFrom && { validFrom }),
    ...(validTo && { validTo }),
  });

/** One fault. */
export interface Fault {
  readonly what: string;
  /** The endpoint that misbehaves. */
  readonly endpoint?: EndpointOptions;
  /** What stands in front of the endpoint, or in its place: gets each connection. */
  readonly front?: (connection: Deno.TcpConn, endpointPort: number) => Promise<void>;
  readonly args?: readonly string[];
  /** Changes the good files below `certs`. */
  readonly files?: (certs: string) => void | Promise<void>;
  readonly check: string;
  readonly status?: "fail" | "warn";
  /** Matched against what was seen, the cause and the hint, a line each. */
  readonly says: RegExp;
  readonly exitCode: number;
}

/** The one file of that ending. */
export function fileIn(certs: string, ending: string): string {
  const [file] = [...Deno.readDirSync(certs)].filter(({ name }) => name.endsWith(ending));
  return `${certs}/${file!.name}`;
}

const keyIn = (certs: string) => fileIn(certs, "private.pem.key");
const certIn = (certs: string) => fileIn(certs, "certificate.pem.crt");

const FILES: readonly Fault[] = [
  {
    what: "a missing key",
    files: (certs) => Deno.removeSync(keyIn(certs)),
    check: "files",
    says: /Cannot find the device key .*\nCannot.*\ncopy the files/,
    exitCode: 78,
  },
  {
    what: "a missing certificate",
    files: (certs) => Deno.removeSync(certIn(certs)),
    check: "files",
    says: /Cannot find the device certificate/,
    exitCode: 78,
  },
  {
    what: "a key of another certificate (G2)",
    files: (certs) => Deno.writeTextFileSync(keyIn(certs), stranger.device.key),
    check: "key-match",
    says: /does not match the certificate .*subject "CN=gw-7"/,
    exitCode: 78,
  },
  {
    what: "a certificate file that holds a key (G3)",
    files: (certs) => Deno.writeTextFileSync(certIn(certs), pki.device.key),
    check: "files",
    says: /it holds: private key; certificate and key look swapped/,
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
    what: "a key that is garbage",
    files: (certs) => Deno.writeTextFileSync(keyIn(certs), "-----BEGIN PRIVATE KEY-----\nAAAA\n"),
    check: "files",
    says: /device key/,
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
    what: "a certificate folder that others may write to (G1)",
    files: (certs) => Deno.chmodSync(certs, 0o770),
    check: "file-modes",
    says: /chmod/,
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
    what: "a CA file of junk (G5)",
    files: (certs) => Deno.writeTextFileSync(`${certs}/AmazonRootCA1.pem`, "junk"),
    check: "files",
    says: /AmazonRootCA1\.pem/,
    exitCode: 78,
  },
  {
    what: "a CA file that is not there (G5)",
    args: ["--ca", "/nonexistent/ca.pem"],
    check: "files",
    says: /\/nonexistent\/ca\.pem/,
    exitCode: 78,
  },
  {
    what: "a device certificate that has expired (X4)",
    files: async (certs) => {
      const old = await pki.authority.issue("gw-7", { validFrom: inDays(-9), validTo: inDays(-1) });
      Deno.writeTextFileSync(certIn(certs), old.cert);
      Deno.writeTextFileSync(keyIn(certs), old.key);
    },
    check: "dates",
    says: /expired/,
    exitCode: 78,
  },
  {
    what: "a device certificate that ends in 29 days (X4)",
    files: async (certs) => {
      const ending = await pki.authority.issue("gw-7", { validTo: inDays(29) });
      Deno.writeTextFileSync(certIn(certs), ending.cert);
      Deno.writeTextFileSync(keyIn(certs), ending.key);
    },
    check: "dates",
    status: "warn",
    says: /expires/,
    exitCode: 0,
  },
];

const NETWORK: readonly Fault[] = [
  {
    what: "a name that does not exist (C8)",
    args: ["--endpoint", "gateway.invalid"],
    check: "dns",
    says: /Cannot find the address of gateway\.invalid[^]*getent hosts/,
    exitCode: 69,
  },
  {
    what: "a closed port",
    args: ["--port", "1"],
    check: "tcp",
    says: /connection refused; tried [^]*127\.0\.0\.1[^]*check --endpoint and --port/,
    exitCode: 69,
  },
  {
    what: "a silent port (T10)",
    front: async (connection) => {
      while (await connection.read(new Uint8Array(1024)) !== null);
    },
    args: ["--connect-timeout", "1s"],
    check: "tls",
    says: /nothing comes in plain text either\n.*takes connections and says nothing/,
    exitCode: 69,
  },
  {
    what: "an SSH server",
    front: greet("SSH-2.0-OpenSSH_9.2\r\n"),
    check: "tls",
    says: /SSH-2\.0[^]*is an SSH server/,
    exitCode: 69,
  },
  {
    what: "a plain HTTP server",
    front: greet("HTTP/1.1 400 Bad Request\r\n\r\n"),
    check: "tls",
    says: /a web server or HTTP proxy answers .* in plain text/,
    exitCode: 69,
  },
  {
    what: "a captive portal",
    front: greet("HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\n\r\n"),
    check: "tls",
    says: /a captive portal or proxy .*sends to "http:\/\/portal\.example\/login"[^]*sign in there/,
    exitCode: 69,
  },
  {
    what: "a server that hangs up on TLS and on plain text",
    front: async (connection) => {
      await connection.read(new Uint8Array(1024));
    },
    check: "tls",
    says: /hangs up whatever is said: a firewall that cuts it/,
    exitCode: 69,
  },
];

const TLS: readonly Fault[] = [
  {
    what: "a server certificate of another CA (T1)",
    endpoint: { server: await other.issue("localhost", { names: ["localhost"] }) },
    check: "tls",
    says: /subject "CN=localhost"[^]*\n"CN=Other CA" vouches for the server[^]*--ca PATH/,
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
    endpoint: { server: await server(["localhost"], inDays(-9), inDays(-1)) },
    check: "tls",
    says: /its certificate expired at \d{4}-\d\d-\d\dT/,
    exitCode: 69,
  },
  {
    what: "a server certificate that is not valid yet (T4)",
    endpoint: { server: await server(["localhost"], inDays(1), inDays(9)) },
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
    says: /answered without protocol "x-amzn-mqtt-ca": the server ignores ALPN[^]*--alpn none/,
    exitCode: 69,
  },
  {
    what: "a firewall that cuts handshakes with ALPN (T5)",
    endpoint: { alpn: "ignore" },
    front: async (connection, port) => {
      const hello = new Uint8Array(16_384);
      const n = await connection.read(hello) ?? 0;
      if (new TextDecoder("latin1").decode(hello.subarray(0, n)).includes("x-amzn")) return;
      const behind = await Deno.connect({ port });
      await behind.write(hello.subarray(0, n));
      await Promise.all([
        connection.readable.pipeTo(behind.writable),
        behind.readable.pipeTo(connection.writable),
      ]);
    },
    check: "alpn",
    says: /hangs up when asked for protocol "x-amzn-mqtt-ca", and not without/,
    exitCode: 69,
  },
  {
    what: "a device certificate of another CA, on TLS 1.3 (T6)",
    endpoint: { clientCa: other.cert },
    check: "mqtt-connect",
    says: /certificate/,
    exitCode: 77,
  },
  {
    what: "a device certificate of another CA, on TLS 1.2 (T6)",
    endpoint: { clientCa: other.cert, maxVersion: "TLSv1.2" },
    check: "tls",
    says: /most likely it does not accept this device's certificate[^]*connect_failed\/gw-7/,
    exitCode: 77,
  },
  {
    what: "a server that closes after the handshake (T6)",
    endpoint: { clientCert: "closes-after-finished" },
    check: "mqtt-connect",
    says: new RegExp(
      "closes as soon as TLS is done, before CONNECT\n" +
        "most likely the certificate is not registered, or not active[^]*presence/connect_failed/gw-7",
    ),
    exitCode: 77,
  },
];

const POLICY = new URL("../testdata/policy.json", import.meta.url);

const SESSION: readonly Fault[] = [
  {
    what: "a CONNACK that does not come (T10)",
    endpoint: { faults: { noConnack: true } },
    args: ["--connect-timeout", "1s"],
    check: "mqtt-connect",
    says: /no CONNACK within 1 s/,
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
    endpoint: { faults: { closeAtConnect: true } },
    args: ["--mqtt-version", "3.1.1"],
    check: "mqtt-connect",
    says: new RegExp(
      'until CONNECT, then closes\nmost likely the policy does not allow iot:Connect for client id "gw-7"[^]*\n' +
        "AWS: add to the policy: Allow iot:Connect on arn:aws:iot:REGION:ACCOUNT:client/gw-7",
    ),
    exitCode: 77,
  },
  ...[[1, 77], [2, 77], [3, 69], [4, 77], [5, 77], [7, 77], [200, 77]].map(
    ([code, exitCode]) => refusal(code!, exitCode!, "3.1.1", `CONNACK ${code} `),
  ),
  ...[
    [0x80, 69],
    [0x85, 77],
    [0x86, 77],
    [0x87, 77],
    [0x90, 77],
    [0x97, 69],
    [0x9b, 77],
  ].map(([code, exitCode]) => refusal(code!, exitCode!, "5", `CONNACK 0x${code!.toString(16)} `)),
  ...[[0x8b, 69], [0x8d, 69], [0x97, 69], [0x98, 69]].map(([code, exitCode]) =>
    farewell(code!, exitCode!, `DISCONNECT 0x${code!.toString(16)} `)
  ),
  farewell(0x8e, 77, 'uses client id "gw-7"'),
  {
    what: "a policy without iot:Publish on MQTT 3.1.1",
    endpoint: { policy: { publish: [] } },
    args: ["--mqtt-version", "3.1.1"],
    check: "publish",
    says: new RegExp(
      "right after PUBLISH[^]*does not allow iot:Publish[^]*\n" +
        "AWS: add to the policy: Allow iot:Publish on .*:topic/dt/mqtt443/gw-7/telemetry",
    ),
    exitCode: 77,
  },
  {
    what: "a PUBACK that says not authorized, of AWS by what it grants",
    endpoint: {
      policy: { publish: [] },
      refusedPublish: "puback",
      limits: { maximumPacketSize: 149_504 },
    },
    check: "publish",
    says: /PUBACK 0x87 not authorized[^]*iot:Publish on arn:/,
    exitCode: 77,
  },
  {
    what: "a PUBACK that says not authorized, of another broker",
    endpoint: { policy: { publish: [] }, refusedPublish: "puback" },
    check: "publish",
    says: /PUBACK 0x87 not authorized\nthe broker does not allow .*\nask who runs the broker/,
    exitCode: 77,
  },
  {
    what: "a PUBACK that does not come (P2)",
    endpoint: { faults: { forgetPuback: true } },
    args: ["--ack-timeout", "1s"],
    check: "publish",
    says: /No PUBACK .* within 1 s/,
    exitCode: 69,
  },
  {
    what: "a policy file that does not allow the topic",
    // Where the program may read.
    files: (certs) => Deno.copyFile(POLICY, `${certs}/policy.json`),
    args: ["--policy-file", "{certs}/policy.json"],
    check: "settings",
    status: "warn",
    says: /does not allow iot:Publish on topic\/dt\/mqtt443\/gw-7\/telemetry/,
    exitCode: 0,
  },
];

/** All of them. */
export const FAULTS: readonly Fault[] = [...FILES, ...NETWORK, ...TLS, ...SESSION];

function refusal(code: number, exitCode: number, version: "5" | "3.1.1", says: string): Fault {
  return {
    what: `CONNACK ${code} on MQTT ${version} (C4)`,
    endpoint: { faults: { refuseConnect: true, connackCode: code } },
    args: ["--mqtt-version", version],
    check: "mqtt-connect",
    says: new RegExp(`^(?!.*undefined)[^]*${says}`),
    exitCode,
  };
}

/** A session that the server ends with a reason at the first PUBLISH. */
function farewell(code: number, exitCode: number, says: string): Fault {
  return {
    what: `DISCONNECT 0x${code.toString(16)} after PUBLISH (${code === 0x8e ? "C6, C7" : "C7"})`,
    endpoint: {
      faults: { rawAtConnect: true, rawBytes: Uint8Array.of(0x20, 3, 0, 0, 0, 0xe0, 2, code, 0) },
    },
    check: "publish",
    says: new RegExp(says),
    exitCode,
  };
}

/** Says its greeting to whoever comes, and closes when it got an answer. */
function greet(banner: string): (connection: Deno.TcpConn) => Promise<void> {
  return async (connection) => {
    await connection.write(new TextEncoder().encode(banner));
    await connection.read(new Uint8Array(1024));
  };
}
