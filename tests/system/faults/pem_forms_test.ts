/** PEM files in every form: what OpenSSL takes is taken; what it does not is named, and the command of the hint mends it. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UserError } from "../../../lib/core/errors.ts";
import { readIdentityTexts } from "../../../lib/identity/files.ts";
import { type Identity, type IdentityFiles, inspectIdentity } from "../../../lib/identity/parse.ts";
import { inFolder } from "../../support/command_line.ts";
import { makePki } from "../../../tools/endpoint/mod.ts";
import { sh } from "../../support/key_kinds.ts";

const pki = await makePki();
const pair = await pki.authority.issue("gw-7", { keyType: "rsa" });

/** The bytes of a PEM file in another form. */
type Form = (pem: string) => string | Uint8Array<ArrayBuffer>;

const lines = (pem: string) => pem.trimEnd().split("\n");
const base64 = (pem: string) => lines(pem).filter((line) => !line.startsWith("-")).join("");
const der = (pem: string) => Uint8Array.from(atob(base64(pem)), (byte) => byte.charCodeAt(0));
const utf16 = (isLittle: boolean, mark: string): Form => (pem) => {
  const view = new DataView(new ArrayBuffer(2 * (mark.length + pem.length)));
  [...mark + pem].forEach((letter, at) => view.setUint16(2 * at, letter.charCodeAt(0), isLittle));
  return new Uint8Array(view.buffer);
};
const joined = (pem: string, by: string) => lines(pem).join(by);
const inBody = (pem: string, change: (line: string) => string) =>
  lines(pem).map((line) => line.startsWith("-") ? line : change(line)).join("\n") + "\n";

/** What OpenSSL takes. */
const TAKEN: Readonly<Record<string, Form>> = {
  "CRLF": (pem) => pem.replaceAll("\n", "\r\n"),
  "CR CR LF": (pem) => pem.replaceAll("\n", "\r\r\n"),
  "blanks at the ends of lines": (pem) => pem.replaceAll("\n", " \t \n"),
  "an indented body": (pem) => inBody(pem, (line) => `\t  ${line}`),
  "a blank within lines": (pem) => inBody(pem, (line) => line.replace(/^.{9}/, "$& ")),
  "a body in one line": (pem) => {
    const [begin, end] = [lines(pem)[0]!, lines(pem).at(-1)!];
    return `${begin}\n${base64(pem)}\n${end}\n`;
  },
  "a byte order mark": (pem) => `\uFEFF${pem}`,
  "no last line end": (pem) => pem.trimEnd(),
  "text around it": (pem) => `Bag Attributes\n  friendlyName: x\n${pem}the end`,
  "DER": der,
  "DER and a line end": (pem) => new Uint8Array([...der(pem), 0x0a]),
};

/** What it does not, and what is said of it. */
const REFUSED: Readonly<Record<string, readonly [Form, RegExp]>> = {
  "literal \\n": [(pem) => joined(pem, "\\n") + "\\n", /line ends are written as \\n/],
  "literal \\r\\n in quotes": [(pem) => `"${joined(pem, "\\r\\n")}\\r\\n"\n`, /written as \\n/],
  "literal \\n before each line end": [(pem) => pem.replaceAll("\n", "\\n\n"), /written as \\n/],
  "indentation": [(pem) => pem.replace(/^/gm, "  "), /line of a PEM block is indented/],
  "indentation by tabs": [(pem) => pem.replace(/^/gm, "\t"), /is indented/],
  "an indented END": [(pem) => pem.replace("-----END", " -----END"), /is indented/],
  "CR alone": [(pem) => pem.replaceAll("\n", "\r"), /lines end with CR alone/],
  "lines joined by blanks": [(pem) => joined(pem, " "), /were joined into one/],
  "lines joined by nothing": [(pem) => joined(pem, "") + "\n", /were joined into one/],
  "UTF-16": [utf16(true, "\uFEFF"), /written in UTF-16/],
  "UTF-16, big end first": [utf16(false, "\uFEFF"), /written in UTF-16/],
  "UTF-16 without a mark": [utf16(true, ""), /written in UTF-16/],
  "base64 of it": [(pem) => btoa(pem), /base64 of a PEM file/],
};

const NAMES = { cert: "my cert", key: "my key", ca: "my ca" } as const;

function inspect(folder: string): Identity {
  const files: IdentityFiles = {
    ca: [`${folder}/${NAMES.ca}`],
    cert: `${folder}/${NAMES.cert}`,
    key: `${folder}/${NAMES.key}`,
    keyPassphraseFile: undefined,
  };
  return inspectIdentity(files, readIdentityTexts(files));
}

/** Whether OpenSSL takes that file. */
async function isTakenByOpenSsl(folder: string, name: keyof typeof NAMES): Promise<boolean> {
  const command = name === "key" ? "pkey" : "x509";
  return await sh(folder, `openssl ${command} -noout -in '${NAMES[name]}'`)
    .then(() => true, () => false);
}

/** A folder with a pair and a CA. */
async function withFiles(action: (folder: string) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    for (const name of ["cert", "key", "ca"] as const) {
      await Deno.writeTextFile(`${folder}/${NAMES[name]}`, name === "ca" ? pki.ca : pair[name]);
    }
    await action(folder);
  });
}

async function change(folder: string, name: keyof typeof NAMES, form: Form): Promise<void> {
  const path = `${folder}/${NAMES[name]}`;
  const made = form(await Deno.readTextFile(path));
  await Deno.writeFile(path, typeof made === "string" ? new TextEncoder().encode(made) : made);
}

function refusal(folder: string): UserError {
  const error = assertThrows(() => inspect(folder), UserError);
  assertEquals([error.exitCode, error.step, error.code], [78, "files", "wrong-file"]);
  assert(!/cut short|copy (it|the (file|key)) again/.test(error.message + error.hint), error.hint);
  return error;
}

for (const [what, form] of Object.entries(TAKEN)) {
  Deno.test(`PEM with ${what} is taken, as OpenSSL takes it (D12)`, async () => {
    for (const name of ["cert", "key", "ca"] as const) {
      await withFiles(async (folder) => {
        await change(folder, name, form);
        assert(await isTakenByOpenSsl(folder, name));
        assertEquals(inspect(folder).facts?.subject, "CN=gw-7");
      });
    }
  });
}

for (const [what, [form, says]] of Object.entries(REFUSED)) {
  Deno.test(`PEM with ${what} is named as that, and the hint's command mends it (D12)`, async () => {
    for (const name of ["cert", "key", "ca"] as const) {
      await withFiles(async (folder) => {
        await change(folder, name, form);
        assertEquals(await isTakenByOpenSsl(folder, name), false);
        const { message, hint } = refusal(folder);
        assertMatch(message, says);
        await sh(folder, /`([^`]+)`/.exec(hint)![1]!);
        const copy = `${folder}/${NAMES[name]}.new`;
        assertEquals(Deno.statSync(copy).mode! & 0o777, 0o600);
        await Deno.rename(copy, `${folder}/${NAMES[name]}`);
        assert(await isTakenByOpenSsl(folder, name));
        assertEquals(inspect(folder).facts?.subject, "CN=gw-7");
      });
    }
  });
}

Deno.test("certificate and key out of PKCS #12 and PKCS #7 are named as that, and taken out (D12)", async () => {
  const cases: [name: "cert" | "key", make: string, says: RegExp][] = [
    ["cert", "openssl pkcs12 -export -passout pass: -inkey 'my key' -in 'my cert'", /#12/],
    ["key", "openssl pkcs12 -export -passout pass: -inkey 'my key' -in 'my cert'", /#12/],
    ["cert", "openssl crl2pkcs7 -nocrl -certfile 'my cert'", /#7/],
    ["cert", "openssl crl2pkcs7 -nocrl -outform DER -certfile 'my cert'", /#7/],
  ];
  for (const [name, make, says] of cases) {
    await withFiles(async (folder) => {
      await sh(folder, `${make} -out x; mv x '${NAMES[name]}'`);
      const { message, hint } = refusal(folder);
      assertMatch(message, says);
      // Typed at a terminal, it asks for the passphrase.
      const command = /`([^`]+)`/.exec(hint)![1]!;
      await sh(folder, command.replace("pkcs12 ", "pkcs12 -passin pass: "));
      await Deno.rename(`${folder}/${NAMES[name]}.new`, `${folder}/${NAMES[name]}`);
      assertEquals(inspect(folder).facts?.subject, "CN=gw-7");
    });
  }
});

Deno.test("keys of all kinds are taken in DER (D12)", async () => {
  for (
    const convert of [
      "openssl pkcs8 -topk8 -nocrypt -outform DER",
      "openssl rsa -traditional -outform DER",
    ]
  ) {
    await withFiles(async (folder) => {
      await sh(folder, `${convert} -in '${NAMES.key}' -out x; mv x '${NAMES.key}'`);
      assertEquals(inspect(folder).facts?.subject, "CN=gw-7");
    });
  }
});

Deno.test("a PEM block that ends too soon is still called cut short (D12)", async () => {
  await withFiles(async (folder) => {
    await change(folder, "cert", (pem) => pem.slice(0, pem.length / 2));
    const error = assertThrows(() => inspect(folder), UserError);
    assertMatch(error.message, /cut short/);
  });
});
