import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UserError } from "../../lib/core/errors.ts";
import { chooseFiles, type FileSettings, readIdentityFiles } from "../../lib/identity/files.ts";
import { inFolder } from "../support/command_line.ts";
import { lchown } from "../support/owners.ts";

const NONE: FileSettings = {
  certs: "certs",
  ca: undefined,
  cert: undefined,
  key: undefined,
  keyPassphraseFile: undefined,
};

function refusal(action: () => unknown): UserError {
  const error = assertThrows(action, UserError);
  assertEquals([error.exitCode, error.step], [78, "files"]);
  return error;
}

/** Writes the three files under plain names, and what else is given. */
function write(folder: string, more: Record<string, string> = {}): void {
  const files = { "ca.pem": "CA", "cert.pem": "CERT", "key.pem": "KEY", ...more };
  for (const [name, text] of Object.entries(files)) {
    Deno.writeTextFileSync(`${folder}/${name}`, text);
    Deno.chmodSync(`${folder}/${name}`, 0o600);
  }
}

Deno.test("chooseFiles finds what the AWS console hands out", () => {
  const names = [
    "AmazonRootCA1.pem",
    "AmazonRootCA3.pem",
    "0123abcd-certificate.pem.crt",
    "0123abcd-private.pem.key",
    "0123abcd-public.pem.key",
    "README.md",
  ];
  assertEquals(chooseFiles(NONE, names), {
    ca: ["certs/AmazonRootCA1.pem", "certs/AmazonRootCA3.pem"],
    cert: "certs/0123abcd-certificate.pem.crt",
    key: "certs/0123abcd-private.pem.key",
    keyPassphraseFile: undefined,
  });
});

Deno.test("chooseFiles finds the plain names", () => {
  const { ca, cert, key } = chooseFiles(NONE, ["ca.pem", "device.pem.crt", "private.pem.key"]);
  assertEquals([ca, cert, key], [
    ["certs/ca.pem"],
    "certs/device.pem.crt",
    "certs/private.pem.key",
  ]);
  assertEquals(chooseFiles(NONE, ["cert.pem", "key.pem"]).ca, []);
});

Deno.test("chooseFiles prefers what the settings name, and needs no directory then", () => {
  const named = { ...NONE, ca: "a", cert: "b", key: "c", keyPassphraseFile: "d" };
  const expected = { ca: ["a"], cert: "b", key: "c", keyPassphraseFile: "d" };
  assertEquals(chooseFiles(named, undefined), expected);
  assertEquals(chooseFiles(named, ["ca.pem", "cert.pem", "key.pem"]), expected);
});

Deno.test("chooseFiles joins paths with one slash", () => {
  const names = ["cert.pem", "key.pem"];
  assertEquals(chooseFiles({ ...NONE, certs: "/c/" }, names).cert, "/c/cert.pem");
  assertEquals(chooseFiles({ ...NONE, certs: "/" }, names).cert, "/cert.pem");
});

Deno.test("chooseFiles lists several candidates and how to choose", () => {
  const error = refusal(() => chooseFiles(NONE, ["cert.pem", "x-certificate.pem.crt", "key.pem"]));
  assertEquals(
    error.message,
    'Cannot choose the device certificate in "certs": 2 files could be it: ' +
      '"certs/cert.pem", "certs/x-certificate.pem.crt"',
  );
  assertEquals(error.hint, "keep one there, or pass --cert PATH");
  const keys = refusal(() => chooseFiles(NONE, ["cert.pem", "key.pem", "private.pem.key"]));
  assertMatch(keys.hint, /--key PATH/);
});

Deno.test("chooseFiles says which names it looked for", () => {
  const cert = refusal(() => chooseFiles(NONE, []));
  assertMatch(cert.message, /no ID-certificate\.pem\.crt, device\.pem\.crt or cert\.pem in it$/);
  const key = refusal(() => chooseFiles(NONE, ["cert.pem"]));
  assertMatch(key.message, /no ID-private\.pem\.key, private\.pem\.key or key\.pem in it$/);
  const folder = refusal(() => chooseFiles(NONE, undefined));
  assertMatch(folder.message, /there is no such directory$/);
  assertMatch(folder.hint, /--certs DIR/);
});

Deno.test("readIdentityFiles reads the three files and where they came from", () =>
  inFolder((certs) => {
    write(certs);
    const { files, texts } = readIdentityFiles({ ...NONE, certs });
    assertEquals(files.ca, [`${certs}/ca.pem`]);
    assertEquals(texts, {
      ca: [{ path: `${certs}/ca.pem`, text: "CA" }],
      cert: "CERT",
      key: "KEY",
      passphrase: undefined,
      password: undefined,
      proxyAuth: undefined,
      proxyCa: undefined,
    });
  }));

Deno.test("readIdentityFiles takes the first line of the passphrase file as it stands", () =>
  inFolder((certs) => {
    const cases = [
      ["secret\n", "secret"],
      ["secret\r\nmore\n", "secret"],
      [" two words ", " two words "],
      ["", ""],
    ];
    for (const [text, passphrase] of cases) {
      write(certs, { pass: text! });
      const { texts } = readIdentityFiles({ ...NONE, certs, keyPassphraseFile: `${certs}/pass` });
      assertEquals(texts.passphrase, passphrase);
    }
  }));

for (const mode of [0o644, 0o640, 0o660]) {
  Deno.test(`readIdentityFiles refuses a key of mode 0${mode.toString(8)} (G1)`, () =>
    inFolder((certs) => {
      write(certs);
      Deno.chmodSync(`${certs}/key.pem`, mode);
      const error = refusal(() => readIdentityFiles({ ...NONE, certs }));
      assertMatch(error.message, new RegExp(`^Cannot use device key .*mode 0${mode.toString(8)}`));
      assertEquals(error.hint, `chmod 600 ${certs}/key.pem`);
    }));
}

Deno.test("readIdentityFiles looks at the file a link leads to", () =>
  inFolder((certs) => {
    write(certs);
    Deno.renameSync(`${certs}/key.pem`, `${certs}/real`);
    Deno.symlinkSync("real", `${certs}/key.pem`);
    assertEquals(readIdentityFiles({ ...NONE, certs }).texts.key, "KEY");
    Deno.chmodSync(`${certs}/real`, 0o644);
    assertMatch(refusal(() => readIdentityFiles({ ...NONE, certs })).message, /mode 0644/);
  }));

Deno.test("readIdentityFiles refuses a passphrase that others may read (G1)", () =>
  inFolder((certs) => {
    write(certs, { pass: "MARKED-SECRET" });
    Deno.chmodSync(`${certs}/pass`, 0o604);
    const keyPassphraseFile = `${certs}/pass`;
    const error = refusal(() => readIdentityFiles({ ...NONE, certs, keyPassphraseFile }));
    assertMatch(error.message, /^Cannot use key passphrase .*mode 0604/);
    assertEquals(error.message.includes("MARKED"), false);
  }));

Deno.test("readIdentityFiles refuses a directory in which others may replace the key (G1)", () =>
  inFolder((certs) => {
    write(certs);
    for (const mode of [0o770, 0o707]) {
      Deno.chmodSync(certs, mode);
      const error = refusal(() => readIdentityFiles({ ...NONE, certs }));
      assertMatch(
        error.message,
        new RegExp(`others may replace it or put files beside it.*mode 0${mode.toString(8)}`),
      );
      assertEquals(error.hint, `chmod go-w ${certs}`);
    }
  }));

Deno.test("readIdentityFiles refuses a directory like /tmp, where others may plant a CA (G9, G10)", () =>
  inFolder((certs) => {
    write(certs);
    Deno.chmodSync(certs, 0o1777);
    const error = refusal(() => readIdentityFiles({ ...NONE, certs }));
    assertMatch(error.message, /others may replace it or put files beside it.*mode 1777/);
    assertMatch(error.hint, /^move it to a folder where nobody else may write/);
  }));

const PUBLIC_FILES: [what: string, name: string][] = [
  ["CA certificate", "ca.pem"],
  ["CA certificate", "AmazonRootCA9.pem"],
  ["device certificate", "cert.pem"],
];
for (const [what, name] of PUBLIC_FILES) {
  Deno.test(`readIdentityFiles refuses ${what} ${name} that others may write to (G10)`, () =>
    inFolder((certs) => {
      write(certs, { [name]: "x" });
      for (const mode of [0o666, 0o664, 0o646]) {
        Deno.chmodSync(`${certs}/${name}`, mode);
        const error = refusal(() => readIdentityFiles({ ...NONE, certs }));
        assertMatch(error.message, new RegExp(`^Cannot use ${what} .*${name}".*mode 0`));
        assertEquals(error.hint, `chmod go-w ${certs}/${name}`);
      }
      Deno.chmodSync(`${certs}/${name}`, 0o644);
      readIdentityFiles({ ...NONE, certs });
    }));

  Deno.test({
    name:
      `readIdentityFiles refuses another user's ${what} ${name}, also by way of a link (G10; needs root)`,
    ignore: Deno.uid() !== 0,
    fn: () =>
      inFolder((certs) => {
        write(certs, { [name]: "x" });
        Deno.chownSync(`${certs}/${name}`, 65534, null);
        const planted = refusal(() => readIdentityFiles({ ...NONE, certs }));
        assertMatch(planted.message, /it belongs to user nobody, and this is user root$/);
        Deno.renameSync(`${certs}/${name}`, `${certs}/elsewhere`);
        Deno.symlinkSync(`${certs}/elsewhere`, `${certs}/${name}`);
        const linked = refusal(() => readIdentityFiles({ ...NONE, certs }));
        assertMatch(linked.message, /it belongs to user nobody, and this is user root$/);
        Deno.chownSync(`${certs}/elsewhere`, 0, null);
        readIdentityFiles({ ...NONE, certs });
        // The link of another user leads where that user likes.
        lchown(`${certs}/${name}`, 65534);
        const link = refusal(() => readIdentityFiles({ ...NONE, certs }));
        assertMatch(link.message, /it belongs to user nobody, and this is user root$/);
      }),
  });
}

Deno.test({
  name: "readIdentityFiles refuses a folder of another user (G10; needs root)",
  ignore: Deno.uid() !== 0,
  fn: () =>
    inFolder((certs) => {
      write(certs);
      Deno.chownSync(certs, 65534, null);
      const error = refusal(() => readIdentityFiles({ ...NONE, certs }));
      assertMatch(error.message, /its folder is not safe: it belongs to user nobody/);
    }),
});

Deno.test("readIdentityFiles names the missing file and its own flag", () =>
  inFolder((certs) => {
    write(certs);
    for (
      const [key, flag] of [
        ["ca", "--ca"],
        ["cert", "--cert"],
        ["key", "--key"],
        ["keyPassphraseFile", "--key-passphrase-file"],
      ] as const
    ) {
      const error = refusal(() => readIdentityFiles({ ...NONE, certs, [key]: `${certs}/missing` }));
      assertMatch(error.message, /^Cannot read .*missing": file not found$/);
      assertEquals(error.hint, `copy it there, or pass ${flag} PATH`);
    }
  }));

Deno.test("readIdentityFiles refuses what is no file, or too large to be one of these", () =>
  inFolder((certs) => {
    write(certs);
    const cert = `${certs}/folder`;
    Deno.mkdirSync(cert);
    assertMatch(
      refusal(() => readIdentityFiles({ ...NONE, certs, cert })).message,
      /not a regular file/,
    );
    Deno.truncateSync(`${certs}/ca.pem`, 100 * 1024 ** 2);
    assertMatch(
      refusal(() => readIdentityFiles({ ...NONE, certs })).message,
      /ca\.pem": 104857600 bytes is too large/,
    );
  }));

Deno.test("readIdentityFiles refuses a file where the directory should be", () =>
  inFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/certs`, "");
    const error = refusal(() => readIdentityFiles({ ...NONE, certs: `${folder}/certs` }));
    assertMatch(error.message, /^Cannot read certificate directory/);
    assertMatch(error.hint, /--certs PATH/);
  }));

Deno.test({
  name: "readIdentityFiles says whose the file must be if it may not be read",
  ignore: Deno.uid() === 0,
  fn: () =>
    inFolder((certs) => {
      write(certs);
      Deno.chmodSync(`${certs}/cert.pem`, 0o000);
      const error = refusal(() => readIdentityFiles({ ...NONE, certs }));
      assertMatch(error.message, /cert\.pem": permission denied for user \d+$/);
      assertMatch(error.hint, /^sudo chown /);
    }),
});

Deno.test({
  name: "readIdentityFiles refuses another user's key (G1; needs root)",
  ignore: Deno.uid() !== 0,
  fn: () =>
    inFolder((certs) => {
      write(certs);
      Deno.chownSync(`${certs}/key.pem`, 12345, null);
      assertMatch(
        refusal(() => readIdentityFiles({ ...NONE, certs })).message,
        /it belongs to user 12345, and this is user root$/,
      );
    }),
});
