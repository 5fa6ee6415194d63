/** What TLS will not take: the rules held against TLS itself, and the command of each hint run with openssl. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { UserError } from "../../lib/core/errors.ts";
import { type Identity, inspectIdentity } from "../../lib/identity/parse.ts";
import { certificateProblem } from "../../lib/identity/key_kinds.ts";
import { derOf, pemBlocks } from "../../lib/identity/pem.ts";
import { inFolder } from "../support/command_line.ts";
import { type Kind, KINDS, makeAuthorityFiles, makeKind, sh } from "../support/key_kinds.ts";

const FILES = {
  ca: [],
  cert: "my certs/cert.pem",
  key: "my certs/key.pem",
  keyPassphraseFile: undefined,
};

function inspect(folder: string): Identity {
  const read = (path: string) => Deno.readTextFileSync(`${folder}/${path}`);
  return inspectIdentity(FILES, {
    ca: [],
    cert: read(FILES.cert),
    key: read(FILES.key),
    passphrase: undefined,
  });
}

/** A folder with a pair of that kind, and the CA that made it. */
async function withKind(kind: Kind, action: (folder: string) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    await makeAuthorityFiles(folder);
    await Deno.mkdir(`${folder}/my certs`);
    await makeKind(folder, kind, FILES);
    await action(folder);
  });
}

/** What `node:tls` says to a pair before it writes a byte; undefined: it writes its ClientHello. */
function refusalOfTls(cert: string, key: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const nowhere = new Duplex({
    read() {},
    write(_piece, _encoding, done) {
      resolve(undefined);
      done();
    },
  });
  try {
    const socket = tls.connect({ socket: nowhere, servername: "localhost", cert, key });
    socket.on("error", (error: Error) => resolve(error.message));
    return promise.finally(() => socket.destroy());
  } catch (error) {
    return Promise.resolve((error as Error).message);
  }
}

for (const kind of KINDS) {
  const { name, says } = kind;
  Deno.test(`identity ${says ? "refuses" : "takes"} ${name}, as TLS does (F6)`, async () => {
    await withKind(kind, async (folder) => {
      const read = (path: string) => Deno.readTextFileSync(`${folder}/${path}`);
      const told = await refusalOfTls(read(FILES.cert), read(FILES.key));
      assertEquals(told !== undefined, kind.isTakenByTls === undefined && says !== undefined, told);
      if (says === undefined) {
        inspect(folder);
        return;
      }
      const error = assertThrows(() => inspect(folder), UserError);
      assertEquals([error.exitCode, error.step], [78, "files"]);
      assertMatch(error.message, /^Cannot use device certificate "my certs\/cert.pem": it /);
      assertMatch(error.message, says);
      // Each command as it is typed: the first on the device, the second where the CA's key is.
      for (const [, line] of error.hint.matchAll(/`([^`]+)`/g)) await sh(folder, line!);
      for (const path of [FILES.cert, FILES.key]) {
        const isNew = await Deno.stat(`${folder}/${path}.new`).then(() => true, () => false);
        if (isNew) await Deno.rename(`${folder}/${path}.new`, `${folder}/${path}`);
      }
      assertEquals(inspect(folder).facts?.issuer, "CN=plant CA");
    });
  });
}

Deno.test("identity names the kind of a key beside a certificate that TLS takes (F6)", async () => {
  for (const { name, says } of KINDS.filter(({ key, says }) => key && says && key[0] !== "RSA")) {
    const kind = KINDS.find((kind) => kind.name === name)!;
    await withKind(kind, async (folder) => {
      await sh(folder, "cp 'my certs/key.pem' kept; cp srv.pem 'my certs/cert.pem'");
      const error = assertThrows(() => inspect(folder), UserError);
      assertMatch(error.message, /^Cannot use device key "my certs\/key.pem": it is a/);
      assertMatch(error.message, says!);
    });
  }
});

Deno.test("identity refuses an RSA certificate of more than 8192 bits, which TLS does not take (F6)", async () => {
  await inFolder(async (folder) => {
    await makeAuthorityFiles(folder);
    // A modulus that no one has the factors of will do: the certificate alone is looked at.
    const modulus = crypto.getRandomValues(new Uint8Array(9216 / 8));
    modulus[0]! |= 0x80;
    modulus[modulus.length - 1]! |= 1;
    const n = btoa(String.fromCharCode(...modulus)).replaceAll("+", "-").replaceAll("/", "_");
    const key = await crypto.subtle.importKey(
      "jwk",
      { kty: "RSA", n: n.replaceAll("=", ""), e: "AQAB" },
      { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
      true,
      ["verify"],
    );
    await Deno.writeFile(
      `${folder}/big.der`,
      new Uint8Array(await crypto.subtle.exportKey("spki", key)),
    );
    await sh(
      folder,
      "openssl pkey -pubin -inform DER -in big.der -out big.pem; " +
        "openssl x509 -req -in srv.csr -force_pubkey big.pem -CA CA.pem -CAkey CA.key " +
        "-CAcreateserial -days 9 -extfile leaf.ext -out cert.pem",
    );
    const [block] = pemBlocks(Deno.readTextFileSync(`${folder}/cert.pem`));
    assertEquals(certificateProblem(derOf(block!))?.what, "has an RSA key of 9216 bits");
  });
});

Deno.test("identity refuses CAs none of whose signatures TLS can check, and takes them beside one that it can (F6)", async () => {
  await inFolder(async (folder) => {
    await makeAuthorityFiles(folder);
    await sh(
      folder,
      "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out weak.key; " +
        "openssl req -x509 -key weak.key -subj '/CN=weak CA' -days 9 -out weak.pem",
    );
    const read = (path: string) => Deno.readTextFileSync(`${folder}/${path}`);
    const inspectWith = (...names: string[]) =>
      inspectIdentity({ ...FILES, ca: names }, {
        ca: names.map((path) => ({ path, text: read(path) })),
        cert: read("srv.pem"),
        key: read("srv.key"),
        passphrase: undefined,
      });
    const error = assertThrows(() => inspectWith("weak.pem"), UserError);
    assertMatch(error.message, /^Cannot use CA certificate "weak.pem": it has an RSA key of 1024/);
    const [, line] = /`([^`]+)`/.exec(error.hint)!;
    await sh(folder, line!);
    assertEquals(inspectWith("weak.pem", "CA.pem").caPems.length, 2);
  });
});

Deno.test("certificateProblem does not judge what it cannot read", () => {
  for (const bytes of [[], [0x30], [0x30, 0x84, 1], [0x30, 0x82, 0xff, 0xff], [0x30, 2, 0x30, 0]]) {
    assertEquals(certificateProblem(new Uint8Array(bytes)), undefined);
  }
  assert(certificateProblem(new Uint8Array(40).fill(0x30)) === undefined);
});
