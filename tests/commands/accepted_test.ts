/**
 * What `publish` accepts: every form of key and certificate that reaches a device (G3, G4), one message each
 * through to a local endpoint; and payloads that are too large (P7).
 */

import { assertEquals, assertMatch } from "@std/assert";
import { createPrivateKey } from "node:crypto";
import {
  type Endpoint,
  formatKey,
  makeAuthority,
  makePki,
  type Pair,
  startEndpoint,
  writeCerts,
} from "../../tools/endpoint/mod.ts";
import {
  type Around,
  canBeTyped,
  inFolder,
  type Outcome,
  run,
  runHere,
} from "../support/command_line.ts";
import { TEST_VARIABLES } from "../support/program.ts";

const pki = await makePki();
const rsa = await pki.authority.issue("gw-rsa", { keyType: "rsa" });
const plant = await makeAuthority({ commonName: "plant CA", issuer: pki.authority });
const chained = await plant.issue("gw-chained");
const ec = pki.device;
const PASSPHRASE = "MARKED-SECRET 42";

interface Files extends Pair {
  readonly ca?: string;
  readonly passphrase?: string;
}

/** Publishes with these files, each of which is written anew. */
async function publish(
  { cert, key, ca = pki.ca, passphrase }: Files,
  args: readonly string[],
  around: Around = {},
): Promise<{ outcome: Outcome; endpoint: Endpoint }> {
  await using endpoint = await startEndpoint({ certificates: pki });
  const outcome = await inFolder(async (folder) => {
    const paths = await writeCerts(`${folder}/certs`, pki);
    await Deno.writeTextFile(paths.cert, cert);
    await Deno.writeTextFile(paths.key, key);
    await Deno.writeTextFile(paths.ca, ca);
    if (passphrase !== undefined) {
      await Deno.writeTextFile(`${folder}/pass`, passphrase, { mode: 0o600 });
    }
    const words = [
      "publish",
      "--endpoint=localhost",
      `--port=${endpoint.port}`,
      `--certs=${folder}/certs`,
      `--state=${folder}/state`,
      "--log-level=debug",
      ...(passphrase === undefined ? [] : [`--key-passphrase-file=${folder}/pass`]),
      ...args,
    ];
    return await (canBeTyped(words) ? run : runHere)(words, around);
  });
  return { outcome, endpoint };
}

const FORMS: Record<string, Files> = {
  "an EC key in PKCS#8 (G4)": ec,
  "an EC key in SEC1 (G4)": { ...ec, key: formatKey(ec.key, "sec1") },
  "an EC key in SEC1 behind its parameters (G4)": {
    ...ec,
    key: `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${
      formatKey(ec.key, "sec1")
    }`,
  },
  "an RSA key in PKCS#8 (G4)": rsa,
  "an RSA key in PKCS#1 (G4)": { ...rsa, key: formatKey(rsa.key, "pkcs1") },
  "an encrypted EC key and its passphrase (G3)": {
    ...ec,
    key: formatKey(ec.key, "encrypted", PASSPHRASE),
    passphrase: `${PASSPHRASE}\n`,
  },
  "an encrypted RSA key and its passphrase with CRLF (G3)": {
    ...rsa,
    key: formatKey(rsa.key, "encrypted", PASSPHRASE),
    passphrase: `${PASSPHRASE}\r\nnot this line\r\n`,
  },
  "a PKCS#1 key encrypted the old way (G3)": {
    ...rsa,
    key: createPrivateKey(rsa.key)
      .export({ type: "pkcs1", format: "pem", cipher: "aes-256-cbc", passphrase: PASSPHRASE })
      .toString(),
    passphrase: PASSPHRASE,
  },
  "CRLF in every file (G4)": {
    cert: ec.cert.replaceAll("\n", "\r\n"),
    key: ec.key.replaceAll("\n", "\r\n"),
    ca: pki.ca.replaceAll("\n", "\r\n"),
  },
  "a byte order mark in every file (G4)": {
    cert: `\uFEFF${ec.cert}`,
    key: `\uFEFF${ec.key}`,
    ca: `\uFEFF${pki.ca}`,
  },
  "text before every block (G4)": {
    cert: `subject=CN=gw-7\n\n${ec.cert}`,
    key: `Key Attributes: <No Attributes>\n${ec.key}`,
    ca: `# our CA\n${pki.ca}`,
  },
  "a chain (G4)": chained,
  "certificate and key in one file each (G4)": { cert: ec.cert + ec.key, key: ec.cert + ec.key },
  "a CA file with another CA first (G4)": { ...ec, ca: plant.cert + pki.ca },
  "older labels of certificates (G4)": {
    ...ec,
    cert: ec.cert.replaceAll(" CERTIFICATE-", " X509 CERTIFICATE-"),
    ca: pki.ca.replaceAll(" CERTIFICATE-", " TRUSTED CERTIFICATE-"),
  },
};

for (const [name, files] of Object.entries(FORMS)) {
  Deno.test(`publish connects with ${name}`, async () => {
    const { outcome, endpoint } = await publish(files, ["--message=hello", "--topic=a/b"]);
    assertEquals(outcome.code, 0, outcome.stderr);
    assertEquals(endpoint.received.map(({ topic, payload }) => [topic, payload]), [
      ["a/b", "hello"],
    ]);
    const shown = outcome.stdout + outcome.stderr;
    assertEquals(shown.includes("MARKED-SECRET"), false);
    for (const line of files.key.split(/\r?\n/).filter((text) => /^[\w+/]{40,}/.test(text))) {
      if (!files.cert.includes(line)) assertEquals(shown.includes(line), false);
    }
  });
}

Deno.test("publish shows the device's certificate before it connects", async () => {
  const { outcome } = await publish(ec, ["--message=hello"]);
  assertMatch(outcome.stderr, /^\S+ INFO {2}start .*certificate="CN=gw-7"/m);
});

Deno.test("publish refuses a line that is too large, and its neighbours go on (P7)", async () => {
  const input = `before\n${"x".repeat(131_073)}\nafter\n`;
  const args = ["--source=stdin", "--format=text", "--topic=a"];
  const { outcome, endpoint } = await publish(ec, args, { input });
  assertEquals(outcome.code, 0, outcome.stderr);
  assertEquals(endpoint.received.map(({ payload }) => payload), ["before", "after"]);
  const told = outcome.stderr.split("\n").filter((line) => /too large|131072|131073/.test(line));
  assertEquals(told.length, 1, outcome.stderr);
});

Deno.test("publish takes a payload of 128 KiB (P7)", async () => {
  const { outcome, endpoint } = await publish(ec, [`--message=${"x".repeat(131_072)}`]);
  assertEquals([outcome.code, endpoint.received[0]?.bytes], [0, 131_072]);
});

Deno.test("publish says that variables which weaken TLS have no effect (G8)", async () => {
  const env = {
    NODE_TLS_REJECT_UNAUTHORIZED: "0",
    NODE_EXTRA_CA_CERTS: "/nonexistent",
    DENO_CERT: "/nonexistent",
    DENO_TLS_CA_STORE: "system",
    MQTTJS_SOCKS_PROXY: "socks5://127.0.0.1:1",
  };
  const { outcome } = await publish(ec, ["--message=hello"], { env });
  assertEquals(outcome.code, 0, outcome.stderr);
  // To an executable those that change Deno's trust do not even come.
  const isExecutable = Deno.env.get(TEST_VARIABLES.form) === "executable";
  const told = Object.keys(env).filter((name) =>
    new RegExp(`WARN +warning .*${name} is set .*hint="unset ${name}`).test(outcome.stderr)
  );
  assertEquals(
    told,
    isExecutable ? ["NODE_TLS_REJECT_UNAUTHORIZED", "MQTTJS_SOCKS_PROXY"] : Object.keys(env),
  );
});
