/** How keys are encrypted: all that openssl writes, held against what Deno decrypts, and the command of each hint run. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UserError } from "../../lib/core/errors.ts";
import { readIdentityTexts } from "../../lib/identity/files.ts";
import { type Identity, type IdentityFiles, inspectIdentity } from "../../lib/identity/parse.ts";
import { inFolder } from "../support/command_line.ts";
import { makePki } from "../../tools/endpoint/mod.ts";
import { sh } from "../support/key_kinds.ts";

const pki = await makePki();
const pair = await pki.authority.issue("gw-7", { keyType: "rsa" });
const LEGACY = "-provider legacy -provider default";

/** What writes `key.enc` from `key.pem`, and what the refusal names; undefined: it is decrypted. */
const SCHEMES: readonly (readonly [command: string, says?: RegExp])[] = [
  ...["aes-128-cbc", "aes-192-cbc", "aes-256-cbc"].flatMap((cipher) => [
    [`openssl pkcs8 -topk8 -v2 ${cipher} -v2prf hmacWithSHA256`] as const,
    [`openssl pkcs8 -topk8 -v2 ${cipher} -scrypt`] as const,
    [`openssl rsa -traditional -${cipher}`] as const,
  ]),
  ...["224", "384", "512"].map((size) =>
    [`openssl pkcs8 -topk8 -v2 aes256 -v2prf hmacWithSHA${size}`] as const
  ),
  ["openssl rsa -traditional -des3"],
  ["openssl pkcs8 -topk8 -v2 des3", /with 3DES \(PBES2\)/],
  ["openssl rsa -des3", /with 3DES \(PBES2\)/],
  ["openssl pkcs8 -topk8 -v2 aes256 -v2prf hmacWithSHA1", /with PBKDF2 with SHA-1/],
  ["openssl pkcs8 -topk8 -v2 aes256 -v2prf hmacWithMD5", /with PBKDF2 with MD5/],
  ["openssl pkcs8 -topk8 -v2 camellia-256-cbc", /with scheme 1\.2\.392\.200011\.61\.1\.1\.1\.4/],
  ["openssl rsa -traditional -camellia256", /with CAMELLIA-256-CBC/],
  ["openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES", /with 3DES \(PBES1\)/],
  ["openssl pkcs8 -topk8 -v1 PBE-SHA1-2DES", /with 3DES with two keys \(PBES1\)/],
  [`openssl pkcs8 -topk8 -v1 PBE-SHA1-RC2-40 ${LEGACY}`, /with RC2 \(PBES1\)/],
  [`openssl pkcs8 -topk8 -v1 PBE-SHA1-RC4-128 ${LEGACY}`, /with RC4 \(PBES1\)/],
  [`openssl pkcs8 -topk8 -v1 PBE-MD5-DES ${LEGACY}`, /with DES with MD5 \(PBES1\)/],
  [`openssl pkcs8 -topk8 -v1 PBE-SHA1-RC2-64 ${LEGACY}`, /with RC2 with SHA-1 \(PBES1\)/],
];

function inspect(folder: string, passphraseFile?: string): Identity {
  const at = (name: string) => `${folder}/${name}`;
  const files: IdentityFiles = {
    ca: [],
    cert: at("cert.pem"),
    key: at("my key"),
    keyPassphraseFile: passphraseFile,
  };
  return inspectIdentity(files, readIdentityTexts(files));
}

/** A folder with a pair whose key that command has encrypted, and its passphrase. */
async function withKey(
  command: string,
  action: (folder: string, passphraseFile: string) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const passphraseFile = `${folder}/pass phrase`;
    await Deno.writeTextFile(passphraseFile, "MARKED-SECRET 42\n");
    await Deno.writeTextFile(`${folder}/cert.pem`, pair.cert);
    await Deno.writeTextFile(`${folder}/key.pem`, pair.key, { mode: 0o600 });
    await sh(
      folder,
      `${command} -in key.pem -passout file:'${passphraseFile}' -out 'my key'`,
    );
    await action(folder, passphraseFile);
  });
}

/** The refusal, in which there is no secret. */
function refusal(action: () => unknown): UserError {
  const error = assertThrows(action, UserError);
  assertEquals([error.exitCode, error.step], [78, "files"]);
  assert(!`${error.message} ${error.hint}`.includes("MARKED"), error.message);
  return error;
}

for (const [command, says] of SCHEMES) {
  const told = says === undefined
    ? "is decrypted"
    : "is refused by its scheme, and not its passphrase";
  Deno.test(`a key by \`${command}\` ${told} (D3)`, async () => {
    await withKey(command, async (folder, passphraseFile) => {
      if (says === undefined) {
        assertEquals(inspect(folder, passphraseFile).facts?.subject, "CN=gw-7");
        assertEquals(refusal(() => inspect(folder)).code, "wrong-passphrase");
        return;
      }
      // What is said does not hang on the passphrase: none is given, and the right one.
      for (const given of [undefined, passphraseFile]) {
        const error = refusal(() => inspect(folder, given));
        assertEquals(error.code, "key-encryption");
        assertMatch(error.message, says);
      }
      const { hint } = refusal(() => inspect(folder, passphraseFile));
      await sh(folder, /`([^`]+)`/.exec(hint)![1]!);
      assertEquals(Deno.statSync(`${folder}/my key.new`).mode! & 0o777, 0o600);
      await Deno.rename(`${folder}/my key.new`, `${folder}/my key`);
      assertEquals(inspect(folder, passphraseFile).facts?.subject, "CN=gw-7");
    });
  });
}

Deno.test("an encrypted key that was cut or altered is called damaged, and its passphrase is not blamed (D3)", async () => {
  await withKey("openssl pkcs8 -topk8 -v2 aes256", async (folder, passphraseFile) => {
    const lines = (await Deno.readTextFile(`${folder}/my key`)).split("\n");
    for (const kept of [lines.toSpliced(5, 2), lines.with(1, `AAAA${lines[1]!.slice(4)}`)]) {
      await Deno.writeTextFile(`${folder}/my key`, kept.join("\n"));
      const { code, message } = refusal(() => inspect(folder, passphraseFile));
      assertEquals(code, "wrong-file");
      assertMatch(message, /its encrypted private key block is damaged$/);
    }
  });
});

Deno.test("a key in the format of OpenSSH is named, with the command that converts it (D3)", async () => {
  await withKey("openssl rsa -traditional -aes128", async (folder) => {
    await Deno.copyFile(`${folder}/key.pem`, `${folder}/my key`);
    await sh(folder, "ssh-keygen -q -p -N '' -f 'my key'");
    const error = refusal(() => inspect(folder));
    assertMatch(error.message, /"[^"]*my key": it is in the format of OpenSSH$/);
    // Typed at a terminal, it asks for both passphrases.
    const command = /`([^`]+)`/.exec(error.hint)![1]!;
    await sh(folder, command.replace(" -p ", " -q -p -P '' -N '' "));
    await Deno.rename(`${folder}/my key.new`, `${folder}/my key`);
    assertEquals(inspect(folder).facts?.subject, "CN=gw-7");
  });
});
