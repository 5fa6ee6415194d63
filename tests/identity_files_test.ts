import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UserError } from "../lib/errors.ts";
import {
  chooseFiles,
  type FileSettings,
  modeProblem,
  readIdentityFiles,
} from "../lib/identity_files.ts";
import { inFolder } from "./command_line.ts";

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

Deno.test("modeProblem takes a file for its owner's eyes only", () => {
  for (const mode of [0o100600, 0o100400, 0o100700]) {
    assertEquals(modeProblem("key.pem", { mode, uid: 1000 }, 1000), undefined);
  }
});

Deno.test("modeProblem shows the mode and the chmod line for every bit of others (G1)", () => {
  for (const bits of [0o640, 0o644, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666]) {
    assertEquals(modeProblem("key.pem", { mode: 0o100000 | bits, uid: 1000 }, 1000), {
      problem: `others than its owner may read or change it (mode 0${bits.toString(8)})`,
      hint: "chmod 600 key.pem",
    });
  }
});

Deno.test("modeProblem refuses another user's file, but not root's (G1)", () => {
  const mode = 0o100600;
  assertEquals(modeProblem("key.pem", { mode, uid: 1001 }, 1000), {
    problem: "it belongs to user 1001, and this is user 1000",
    hint: "chown 1000 key.pem",
  });
  assertEquals(modeProblem("key.pem", { mode, uid: 0 }, 1000), undefined);
});

Deno.test("modeProblem takes systemd's credentials with their access control list, and nothing like them (G1)", () => {
  const credential = "/run/credentials/mqtt443.service/key.pem";
  const problem = (path: string, mode: number, uid: number) =>
    modeProblem(path, { mode: 0o100000 | mode, uid }, 1000)?.problem;
  assertEquals(problem(credential, 0o440, 0), undefined);
  assertEquals(problem(credential, 0o400, 1000), undefined);
  const refused = "others than its owner may read or change it (mode 0";
  assertEquals(problem(credential, 0o460, 0), `${refused}460)`);
  assertEquals(problem(credential, 0o444, 0), `${refused}444)`);
  assertEquals(problem(credential, 0o440, 1000), `${refused}440)`);
  assertEquals(problem("/run/credentials/../../etc/key.pem", 0o440, 0), `${refused}440)`);
  assertEquals(problem("/etc/mqtt443/certs/key.pem", 0o440, 0), `${refused}440)`);
});

Deno.test("modeProblem writes paths so that a shell takes them", () => {
  const hint = (path: string) => modeProblem(path, { mode: 0o644, uid: 0 }, 0)!.hint;
  assertEquals(hint("/etc/a-b_c.pem"), "chmod 600 /etc/a-b_c.pem");
  assertEquals(hint("my key's.pem"), `chmod 600 'my key'\\''s.pem'`);
  assertEquals(hint("$(reboot)"), "chmod 600 '$(reboot)'");
});

Deno.test("modeProblem does not judge where the system knows no modes", () => {
  assertEquals(modeProblem("key.pem", { mode: null, uid: null }, null), undefined);
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
      assertMatch(error.message, new RegExp(`others may replace it.*mode 0${mode.toString(8)}`));
      assertEquals(error.hint, `chmod go-w ${certs}`);
    }
  }));

Deno.test("readIdentityFiles takes a directory like /tmp, where nobody replaces another's file", () =>
  inFolder((certs) => {
    write(certs);
    Deno.chmodSync(certs, 0o1777);
    assertEquals(readIdentityFiles({ ...NONE, certs }).texts.key, "KEY");
  }));

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
      assertMatch(error.hint, /^chown \d+ /);
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
        /it belongs to user 12345, and this is user 0$/,
      );
    }),
});
