import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { UserError } from "../../lib/core/errors.ts";
import { describeCertificate } from "../../lib/identity/certificate.ts";
import {
  type IdentityFiles,
  type IdentityTexts,
  inspectIdentity,
} from "../../lib/identity/parse.ts";
import { formatKey, makeAuthority, makePki, type Pair } from "../../tools/endpoint/mod.ts";

const PASSPHRASE = "MARKED-SECRET 42";

const pki = await makePki();
const rsa = await pki.authority.issue("gw-rsa", { keyType: "rsa" });
const ec = pki.device;

const FILES: IdentityFiles = {
  ca: ["certs/ca.pem"],
  cert: "certs/cert.pem",
  key: "certs/key.pem",
  keyPassphraseFile: undefined,
};

function texts(pair: Pair, more: Partial<IdentityTexts> = {}): IdentityTexts {
  return {
    ca: [{ path: "certs/ca.pem", text: pki.ca }],
    cert: pair.cert,
    key: pair.key,
    passphrase: undefined,
    ...more,
  };
}

function inspect(given: IdentityTexts, { files = FILES } = {}) {
  return inspectIdentity(files, given);
}

/** The refusal, which must have its form and hold no line of the key. */
function refusal(given: IdentityTexts, options: Parameters<typeof inspect>[1] = {}): UserError {
  const error = assertThrows(() => inspect(given, options), UserError);
  assertEquals([error.exitCode, error.step], [78, "files"]);
  const said = `${error.message} ${error.hint}`;
  for (const line of given.key!.split("\n").filter((line) => /^[\w+/]{20,}/.test(line))) {
    assertEquals(said.includes(line), false);
  }
  assertEquals(said.includes("MARKED-SECRET"), false);
  return error;
}

const LEGACY = createPrivateKey(rsa.key).export({
  type: "pkcs1",
  format: "pem",
  cipher: "aes-256-cbc",
  passphrase: PASSPHRASE,
}).toString();
const ENCRYPTED: [name: string, key: string, pair: Pair][] = [
  ["PKCS#8 EC", formatKey(ec.key, "encrypted", PASSPHRASE), ec],
  ["PKCS#8 RSA", formatKey(rsa.key, "encrypted", PASSPHRASE), rsa],
  ["old PKCS#1 RSA", LEGACY, rsa],
];

for (const [name, key, pair] of ENCRYPTED) {
  Deno.test(`identity refuses an encrypted ${name} key without passphrase (G3)`, () => {
    const error = refusal(texts(pair, { key }));
    assertMatch(error.message, /"certs\/key\.pem": it is encrypted and no passphrase is given$/);
    assertMatch(error.hint, /--key-passphrase-file PATH/);
  });

  Deno.test(`identity refuses an encrypted ${name} key with a wrong or empty passphrase (G3)`, () => {
    const files = { ...FILES, keyPassphraseFile: "certs/pass" };
    for (const passphrase of ["MARKED-SECRET wrong", "", `${PASSPHRASE} `]) {
      const error = refusal(texts(pair, { key, passphrase }), { files });
      assertMatch(
        error.message,
        /Cannot decrypt device key .* with the passphrase in "certs\/pass"$/,
      );
    }
  });
}

Deno.test("identity does not mind a passphrase for a key that is not encrypted", () => {
  assertEquals(inspect(texts(ec, { passphrase: "x" })).keyPem, ec.key);
});

Deno.test("identity refuses a chain whose first certificate is not the key's, and says which is (G2)", async () => {
  const intermediate = await makeAuthority({ commonName: "plant CA", issuer: pki.authority });
  const device = await intermediate.issue("gw-9");
  const leaf = device.cert.slice(0, device.cert.length - intermediate.chain.length);
  const error = refusal(texts({ ...device, cert: intermediate.chain + leaf }));
  assertMatch(error.message, /the key fits certificate 2 in it, not the first$/);
  assertMatch(error.hint, /own certificate first/);
});

Deno.test("identity refuses a key that does not match, of the same kind and of another (G2)", () => {
  const pairs = [
    { cert: ec.cert, key: pki.server.key },
    { cert: ec.cert, key: rsa.key },
    { cert: rsa.cert, key: ec.key },
  ];
  for (const pair of pairs) {
    const error = refusal(texts(pair));
    assertMatch(
      error.message,
      /"certs\/key\.pem": it does not match the certificate in "certs\/cert\.pem"/,
    );
    assertMatch(error.message, /subject "CN=gw-/);
  }
});

Deno.test("identity sees that certificate and key are swapped (G3)", () => {
  const error = refusal(texts({ cert: ec.key, key: ec.cert }));
  assertMatch(
    error.message,
    /no certificate in it: it holds: private key; certificate and key look swapped$/,
  );
  const half = refusal(texts({ cert: ec.cert, key: ec.cert }));
  assertMatch(half.message, /no private key in it: it holds: certificate; .*look swapped$/);
});

const PUBLIC = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
const REQUEST = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";

Deno.test("identity says what a file holds instead of a certificate (G5)", () => {
  const cases: [text: string, words: RegExp][] = [
    ["", /it is empty$/],
    ["junk", /it holds no PEM block/],
    [PUBLIC, /it holds: public key$/],
    [REQUEST, /it holds: certificate request$/],
    [ec.cert.slice(0, 200), /its PEM block is cut short$/],
  ];
  for (const [text, words] of cases) {
    const cert = refusal(texts({ ...ec, cert: text }));
    assertMatch(
      cert.message,
      /^Cannot use device certificate "certs\/cert\.pem": no certificate in it: /,
    );
    assertMatch(cert.message, words);
    assertMatch(cert.hint, /--cert PATH/);
    const ca = refusal(texts(ec, { ca: [{ path: "certs/ca.pem", text }] }));
    assertMatch(ca.message, /^Cannot use CA certificate "certs\/ca\.pem": no certificate in it: /);
    assertMatch(ca.hint, /--ca PATH/);
  }
});

Deno.test("identity says what a file holds instead of a key", () => {
  for (
    const [text, words] of [["", /empty/], ["junk", /no PEM/], [PUBLIC, /public key/]] as const
  ) {
    const error = refusal(texts({ ...ec, key: text }));
    assertMatch(error.message, words);
    assertMatch(error.hint, /--key PATH/);
  }
});

Deno.test("identity refuses a file with one good certificate and one cut short", () => {
  const cut = ec.cert + pki.ca.slice(0, 200);
  assertMatch(refusal(texts({ ...ec, cert: cut })).message, /a PEM block in it is cut short$/);
  const ca = [{ path: "certs/ca.pem", text: cut }];
  assertMatch(refusal(texts(ec, { ca })).message, /a PEM block in it is cut short$/);
});

Deno.test("identity refuses damaged blocks by name", () => {
  const damaged = (pem: string) => pem.replace(/\n[\w+/]{8}/, "\nAAAAAAAA");
  assertMatch(refusal(texts({ ...ec, cert: damaged(ec.cert) })).message, /certificate is damaged/);
  assertMatch(
    refusal(texts({ ...ec, key: damaged(ec.key) })).message,
    /private key block is damaged$/,
  );
  const ca = [{ path: "certs/ca.pem", text: damaged(pki.ca) }];
  assertMatch(refusal(texts(ec, { ca })).message, /"certs\/ca\.pem": its certificate is damaged/);
});

Deno.test("identity refuses a device's certificate as CA (G5)", () => {
  const error = refusal(texts(ec, { ca: [{ path: "certs/ca.pem", text: ec.cert }] }));
  assertMatch(error.message, /it is no CA's certificate \(subject "CN=gw-7"/);
});

Deno.test("identity collects the CAs of every file", async () => {
  const other = await makeAuthority({ commonName: "second" });
  const ca = [
    { path: "a.pem", text: pki.ca + other.cert },
    { path: "b.pem", text: other.cert },
  ];
  const { caPems } = inspect(texts(ec, { ca }));
  const names = caPems.map((pem) => new X509Certificate(pem).subject);
  assertEquals(names, ["CN=mqtt443 throw-away CA", "CN=second", "CN=second"]);
});

Deno.test("identity without CA files leaves it to the public roots", () => {
  assertEquals(inspect(texts(ec, { ca: [] })).caPems, []);
});

Deno.test("describeCertificate is one line with subject, issuer, dates and fingerprint", () => {
  const { facts } = inspect(texts(ec));
  assertMatch(
    describeCertificate(facts!),
    /^subject "CN=gw-7", issuer "CN=mqtt443 throw-away CA", valid \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d, SHA-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}$/,
  );
});

Deno.test("a certificate's names cannot break a line", async () => {
  const pair = await pki.authority.issue("a\nb\u001b[2J");
  const { facts } = inspect(texts(pair));
  const line = describeCertificate(facts!);
  assert(!line.includes("\n") && !line.includes("\u001b"), line);
});
