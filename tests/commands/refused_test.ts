/**
 * What `publish` refuses before it connects or makes anything: every value of G1 to G8, P7 and P8, each
 * with good certificates but for what the case is about, and an endpoint that must see no connection.
 */

import { assertEquals, assertMatch } from "@std/assert";
import {
  formatKey,
  makeAuthority,
  makePki,
  type Pair,
  writeCerts,
} from "../../tools/endpoint/mod.ts";
import {
  assertTold,
  canBeTyped,
  inFolder,
  run,
  runHere,
  withUntouchedPort,
} from "../support/command_line.ts";

const DAY_MS = 86_400_000;
const pki = await makePki();
const rsa = await pki.authority.issue("gw-rsa", { keyType: "rsa" });
const PASSPHRASE = "MARKED-SECRET";

interface Place {
  readonly folder: string;
  readonly certs: string;
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

interface Case {
  readonly args?: readonly string[] | ((place: Place) => readonly string[]);
  readonly env?: Readonly<Record<string, string>>;
  readonly config?: unknown;
  /** What is done to the good files. */
  readonly prepare?: (place: Place) => unknown;
  readonly says: RegExp;
}

/** A case whose settings are wrong: the key, the rule and the layer must be named. */
function setting(key: string, text: string, rule: string, shown = '".*"'): Case {
  const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  return {
    args: [`${flag}=${text}`],
    says: new RegExp(`^ {2}${key}: ${rule}.*: current value is ${shown} \\(from ${flag}\\)$`, "m"),
  };
}

function rewrite(name: "cert" | "key" | "ca", text: string | ((before: string) => string)) {
  return (place: Place) => {
    const before = Deno.readTextFileSync(place[name]);
    Deno.writeTextFileSync(place[name], typeof text === "string" ? text : text(before));
  };
}

function rewritePair({ cert, key }: Pair) {
  return (place: Place) => {
    Deno.writeTextFileSync(place.cert, cert);
    Deno.writeTextFileSync(place.key, key);
  };
}

function passphraseFile(text: string) {
  return (place: Place) => {
    Deno.writeTextFileSync(place.key, formatKey(pki.device.key, "encrypted", PASSPHRASE));
    Deno.writeTextFileSync(`${place.folder}/pass`, text);
    Deno.chmodSync(`${place.folder}/pass`, 0o600);
  };
}

const HOST = "must be a host name or IP address alone";
const PUBLIC = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";

const CASES: Record<string, Case> = {
  "a key of mode 0644 (G1)": {
    prepare: ({ key }) => Deno.chmodSync(key, 0o644),
    says: /device key .*mode 0644\)\nhint: chmod 600 \//,
  },
  "a key of mode 0640 (G1)": {
    prepare: ({ key }) => Deno.chmodSync(key, 0o640),
    says: /device key .*mode 0640\)\nhint: chmod 600 \//,
  },
  "a directory that the group may write to (G1)": {
    prepare: ({ certs }) => Deno.chmodSync(certs, 0o770),
    says: /others may replace it.*mode 0770\)\nhint: chmod go-w \//,
  },
  "a passphrase file of mode 0644 (G1)": {
    args: ({ folder }) => ["--key-passphrase-file", `${folder}/pass`],
    prepare: (place) => {
      passphraseFile(PASSPHRASE)(place);
      Deno.chmodSync(`${place.folder}/pass`, 0o644);
    },
    says: /key passphrase .*mode 0644\)\nhint: chmod 600 /,
  },
  "a key of another certificate (G2)": {
    prepare: rewrite("key", pki.server.key),
    says: /does not match the certificate in ".*" \(subject "CN=gw-7"/,
  },
  "a key of another kind (G2)": {
    prepare: rewrite("key", rsa.key),
    says: /does not match the certificate/,
  },
  "an encrypted key without passphrase (G3)": {
    prepare: rewrite("key", formatKey(pki.device.key, "encrypted", PASSPHRASE)),
    says: /is encrypted and no passphrase is given\nhint: .*--key-passphrase-file PATH/,
  },
  "an encrypted key with a wrong passphrase (G3)": {
    args: ({ folder }) => ["--key-passphrase-file", `${folder}/pass`],
    prepare: passphraseFile("MARKED-SECRET-wrong\n"),
    says: /Cannot decrypt device key .* with the passphrase in ".*\/pass"/,
  },
  "a passphrase file that is not there (G3)": {
    args: ["--key-passphrase-file", "/nonexistent/pass"],
    says: /Cannot read key passphrase .*file not found\nhint: .*--key-passphrase-file PATH/,
  },
  "certificate and key swapped (G3)": {
    prepare: rewritePair({ cert: pki.device.key, key: pki.device.cert }),
    says: /certificate and key look swapped/,
  },
  "an empty CA file (G5)": {
    prepare: rewrite("ca", ""),
    says: /CA certificate ".*": no certificate in it: it is empty\nhint: .*--ca PATH/,
  },
  "a CA file of junk (G5)": {
    prepare: rewrite("ca", "junk"),
    says: /no certificate in it: it holds no PEM block/,
  },
  "a CA file that is cut short (G5)": {
    prepare: rewrite("ca", (text) => text.slice(0, 300)),
    says: /its PEM block is cut short/,
  },
  "a CA file that is not there (G5)": {
    args: ["--ca", "/nonexistent/ca.pem"],
    says: /Cannot read CA certificate "\/nonexistent\/ca\.pem": file not found\nhint: .*--ca PATH/,
  },
  "a CA file with a device's certificate (G5)": {
    prepare: rewrite("ca", pki.device.cert),
    says: /it is no CA's certificate/,
  },
  "a public key as the key": {
    prepare: rewrite("key", PUBLIC),
    says: /no private key in it: it holds: public key/,
  },
  "a public key as the certificate": {
    prepare: rewrite("cert", PUBLIC),
    says: /no certificate in it: it holds: public key/,
  },
  "a damaged key": {
    prepare: rewrite("key", (text) => text.replace(/\n[\w+/]{8}/, "\nAAAAAAAA")),
    says: /its private key block is damaged\nhint: .*openssl pkey/,
  },
  "two certificates to choose from": {
    prepare: ({ certs }) => Deno.writeTextFileSync(`${certs}/cert.pem`, pki.device.cert),
    says:
      /Cannot choose the device certificate in ".*": 2 files could be it: ".*", ".*"\nhint: .*--cert PATH/,
  },
  "two keys to choose from": {
    prepare: ({ certs }) => Deno.writeTextFileSync(`${certs}/key.pem`, "", { mode: 0o600 }),
    says: /Cannot choose the device key .* 2 files could be it.*\nhint: .*--key PATH/,
  },
  "a certificate directory that is not there": {
    args: ["--certs", "/nonexistent/certs"],
    says:
      /Cannot find the device certificate in "\/nonexistent\/certs": there is no such directory/,
  },
  "an expired certificate": {
    prepare: async (place) =>
      rewritePair(
        await pki.authority.issue("old", { validTo: new Date(Date.now() - DAY_MS / 4) }),
      )(place),
    says: /subject "CN=old".*expired on \d{4}-\d\d-\d\d\nhint: .*timedatectl/,
  },
  "a chain with the device's certificate last": {
    prepare: async (place) => {
      const plant = await makeAuthority({ commonName: "plant CA", issuer: pki.authority });
      const { cert, key } = await plant.issue("gw-9");
      const leaf = cert.slice(0, cert.length - plant.chain.length);
      rewritePair({ cert: plant.chain + leaf, key })(place);
    },
    says: /the key fits certificate 2 in it, not the first/,
  },
  "an unknown key in the file (G6)": {
    config: { endpont: "x" },
    says: /^ {2}"endpont": unknown setting \(did you mean "endpoint"\?\) \(from .*a\.json\)$/m,
  },
  "__proto__ in the file (G6)": {
    config: '{"__proto__": {"qos": 0}}',
    says: /^ {2}"__proto__": unknown setting/m,
  },
  "a wrong type in the file (G6)": {
    config: { qos: true },
    says: /^ {2}qos: must be a text or a number: current value is "true" \(from .*a\.json\)$/m,
  },
  "a file that is no JSON (G6)": {
    config: '{\n"qos": 1, // at least once\n]',
    says: /settings file ".*a\.json": not JSON: line 3: /,
  },
  "a list as the file (G6)": { config: [], says: /must hold one JSON object/ },
  "an unknown variable (G6)": {
    env: { MQTT443_ENDPONT: "x" },
    says: /^ {2}MQTT443_ENDPONT: unknown variable \(did you mean "MQTT443_ENDPOINT"\?\)/m,
  },
  "an endpoint with a scheme (G7)": setting("endpoint", "mqtts://gw", `${HOST}, without a scheme`),
  "an endpoint with a user (G7)": setting("endpoint", "u:p@gw", `${HOST}, without a user`),
  "an endpoint with a line end (G7)": setting("endpoint", "gw\r\nx", HOST),
  "an endpoint with a path (G7)": setting("endpoint", "gw/../x", `${HOST}, without a path`),
  "an endpoint with a port (G7)": setting("endpoint", "gw:1", `${HOST}: give the port with --port`),
  "an endpoint with a port that looks like IPv6 (G7)": setting("endpoint", "beef:443", HOST),
  "an empty endpoint (G7)": setting("endpoint", "", HOST),
  "a client id of 129 bytes (G7)": setting(
    "clientId",
    "x".repeat(129),
    "must be from 1 to 128 bytes",
  ),
  "a client id with + (G7)": setting("clientId", "a+b", "must not hold #, \\+ or NUL"),
  "a client id with # (G7)": setting("clientId", "a#", "must not hold #, \\+ or NUL"),
  "a client id with $ (G7)": setting("clientId", "$a", "must not start with \\$"),
  "a client id with a line end (G7)": setting(
    "clientId",
    "a\nb",
    "must hold no control characters",
  ),
  "an interval of 0 (G7)": setting("interval", "0", "must be a duration with its unit"),
  "an interval of 0s (G7)": setting("interval", "0s", "must be from 100ms to 24h"),
  "an interval of -1 (G7)": setting("interval", "-1", "must be a duration with its unit"),
  "an interval of 1e12 (G7)": setting("interval", "1e12", "must be a duration with its unit"),
  "an interval of 1000000000000ms (G7)": setting(
    "interval",
    "1000000000000ms",
    "must be from 100ms",
  ),
  "a keep-alive of 0 (G7)": setting("keepAlive", "0", "must be a duration .* from 30s to 1200s"),
  "a keep-alive of 29s (G7)": setting("keepAlive", "29s", "must be from 30s to 1200s"),
  "a keep-alive of 1201s (G7)": setting("keepAlive", "1201s", "must be from 30s to 1200s"),
  "a keep-alive of 65536 (G7)": setting("keepAlive", "65536", "must be a duration"),
  "a keep-alive of 2147483648ms (G7)": setting("keepAlive", "2147483648ms", "must be from 30s"),
  "a port of 0 (G7)": setting("port", "0", "must be a whole number from 1 to 65535"),
  "a port of 65536 (G7)": setting("port", "65536", "must be a whole number from 1 to 65535"),
  "a qos of 2 (G7)": setting("qos", "2", "must be a whole number from 0 to 1"),
  "a path with NUL (G7)": setting("state", "a\0b", "must not hold NUL"),
  "an interval in the file as a number (G7)": {
    config: { interval: 1e12 },
    says: /^ {2}interval: .*current value is "1000000000000" \(from .*a\.json\)$/m,
  },
  "SSLKEYLOGFILE (G8)": {
    env: { SSLKEYLOGFILE: "/dev/null" },
    says: /^error: Cannot run with SSLKEYLOGFILE set: .*\nhint: unset SSLKEYLOGFILE$/m,
  },
  "a message of 131,073 bytes (P7)": setting(
    "message",
    `MARKED-SECRET${"x".repeat(131_060)}`,
    "must be at most 131072 .*and is 131073",
    "not shown",
  ),
  "a topic with + (P8)": setting("topic", "a/+/b", "must hold no wildcard"),
  "a topic of # (P8)": setting("topic", "#", "must hold no wildcard"),
  "a topic with NUL (P8)": setting("topic", "a\0", "must not hold NUL"),
  "an empty topic (P8)": setting("topic", "", "must not be empty"),
  "a topic with half a surrogate pair (P8)": setting("topic", "a\ud800", "must be valid Unicode"),
  "a topic of 257 bytes (P8)": setting("topic", "x".repeat(257), "must be at most 256 bytes"),
  "a topic with 8 slashes (P8)": setting(
    "topic",
    "a/b/c/d/e/f/g/h/i",
    "must hold at most 7 slashes",
  ),
  "a topic too long with the client id in it (P8)": {
    args: ["--topic=x/{clientId}/{clientId}/{clientId}", `--client-id=${"c".repeat(100)}`],
    says: /^ {2}topic: must be at most 256 bytes .* with \{clientId\} replaced/m,
  },
  "a passphrase instead of its file (S1)": setting(
    "keyPassphraseFile",
    "MARKED-SECRET/x",
    "must be the path of a file that holds the passphrase",
    "not shown",
  ),
  "a key instead of its file (S1)": setting("key", pki.device.key, "must be the path of a file"),
  "a key instead of its file, in the file (S1)": {
    config: { key: pki.device.key },
    says:
      /^ {2}key: must be the path of a file, not its content: .*not shown\)" \(from .*a\.json\)$/m,
  },
  "a key instead of its file, in the environment (S1)": {
    env: { MQTT443_KEY: pki.device.key },
    says: /^ {2}key: must be the path .*not shown\)" \(from MQTT443_KEY\)$/m,
  },
};

for (const [name, { args = [], env = {}, config, prepare, says }] of Object.entries(CASES)) {
  Deno.test(`publish refuses before it connects: ${name}`, () =>
    inFolder((folder) =>
      withUntouchedPort(async (port) => {
        const place = { folder, certs: `${folder}/certs`, ...await writePlace(folder) };
        await prepare?.(place);
        const settings = typeof config === "string" ? config : JSON.stringify(config ?? {});
        await Deno.writeTextFile(`${folder}/a.json`, settings);
        const words = ["publish", ...(typeof args === "function" ? args(place) : args)];
        const outcome = await (canBeTyped(words) ? run : runHere)(
          words,
          {
            env: {
              MQTT443_ENDPOINT: "127.0.0.1",
              MQTT443_PORT: String(port),
              MQTT443_CERTS: place.certs,
              MQTT443_STATE: `${folder}/state`,
              MQTT443_CONFIG: `${folder}/a.json`,
              MQTT443_LOG_LEVEL: "debug",
              // What is not refused ends by itself, and fails.
              MQTT443_COUNT: "1",
              MQTT443_GIVE_UP_AFTER: "1s",
              ...env,
            },
          },
        );
        assertTold(outcome, name);
        assertEquals(outcome.code, 78, outcome.stderr);
        assertMatch(outcome.stderr, says);
        assertEquals(outcome.stderr.includes("MARKED-SECRET"), false);
        const left = [...Deno.readDirSync(folder)].map((entry) => entry.name);
        assertEquals(left.includes("state"), false, "a state directory was made");
      })
    ));
}

async function writePlace(folder: string) {
  const { ca, cert, key } = await writeCerts(`${folder}/certs`, pki);
  return { ca, cert, key };
}

for (const topic of ["a/b#", "", "a\0", "x".repeat(257), "a/b/c/d/e/f/g/h/i"]) {
  Deno.test(`watch refuses the topic ${JSON.stringify(topic.slice(0, 20))}`, async () => {
    const outcome = await (canBeTyped([topic]) ? run : runHere)([
      "watch",
      topic,
      "--endpoint",
      "127.0.0.1",
      "--port",
      "1",
    ]);
    assertTold(outcome, topic);
    assertEquals(outcome.code, 78);
    assertMatch(outcome.stderr, /^error: Cannot watch ".*": a topic filter must /);
  });
}
