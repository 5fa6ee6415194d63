import { assertEquals, assertMatch } from "@std/assert";
import {
  folderOf,
  folderProblem,
  modeProblem,
  ownerProblem,
  userName,
} from "../../lib/core/file_guard.ts";

const NAMES: Record<number, string> = { 0: "root", 1000: "ann", 1001: "bob", 998: "mqtt443" };
const name = (uid: number) => NAMES[uid] ?? String(uid);
const SECRET = { isSecret: true, name };
const PUBLIC = { isSecret: false, name };

Deno.test("modeProblem takes a secret for its owner's eyes only, and other files that others may read", () => {
  for (const mode of [0o100600, 0o100400, 0o100700]) {
    assertEquals(modeProblem("key.pem", { mode, uid: 1000 }, 1000, SECRET), undefined);
  }
  for (const mode of [0o100644, 0o100755, 0o100440]) {
    assertEquals(modeProblem("ca.pem", { mode, uid: 1000 }, 1000, PUBLIC), undefined);
  }
});

Deno.test("modeProblem shows the mode and the chmod line for every bit of others (G1, G10)", () => {
  for (const bits of [0o640, 0o644, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666]) {
    assertEquals(modeProblem("key.pem", { mode: 0o100000 | bits, uid: 1000 }, 1000, SECRET), {
      problem: `others than its owner may read or change it (mode 0${bits.toString(8)})`,
      hint: "chmod 600 key.pem",
    });
  }
  for (const bits of [0o666, 0o664, 0o646]) {
    assertEquals(modeProblem("ca.pem", { mode: 0o100000 | bits, uid: 1000 }, 1000, PUBLIC), {
      problem: `others than its owner may change it (mode 0${bits.toString(8)})`,
      hint: "chmod go-w ca.pem",
    });
  }
});

Deno.test("modeProblem never closes root's file to the user who reads it (G1, F17)", () => {
  assertEquals(
    modeProblem("key.pem", { mode: 0o100640, uid: 0 }, 1000, SECRET)?.hint,
    "sudo chown ann key.pem && sudo chmod 600 key.pem",
  );
  assertEquals(
    modeProblem("ca.pem", { mode: 0o100664, uid: 0 }, 1000, PUBLIC)?.hint,
    "sudo chmod go-w ca.pem",
  );
  assertEquals(
    modeProblem("key.pem", { mode: 0o100640, uid: 0 }, 0, SECRET)?.hint,
    "chmod 600 key.pem",
  );
});

Deno.test("modeProblem takes systemd's credentials with their access control list, and nothing like them (G1)", () => {
  const credential = "/run/credentials/mqtt443.service/key.pem";
  const problem = (path: string, mode: number, uid: number) =>
    modeProblem(path, { mode: 0o100000 | mode, uid }, 1000, SECRET)?.problem;
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
  const hint = (path: string) => modeProblem(path, { mode: 0o644, uid: 0 }, 0, SECRET)!.hint;
  assertEquals(hint("/etc/a-b_c.pem"), "chmod 600 /etc/a-b_c.pem");
  assertEquals(hint("my key's.pem"), `chmod 600 'my key'\\''s.pem'`);
  assertEquals(hint("$(reboot)"), "chmod 600 '$(reboot)'");
});

Deno.test("guard does not judge where the system knows no modes and no owners", () => {
  const nothing = { mode: null, uid: null };
  assertEquals(modeProblem("key.pem", nothing, null, SECRET), undefined);
  assertEquals(ownerProblem("key.pem", nothing, null, name), undefined);
  assertEquals(folderProblem(".", nothing, null, name), undefined);
});

Deno.test("ownerProblem takes this user's and root's files, and names both users of another's (G1, G10)", () => {
  const mode = 0o100644;
  assertEquals(ownerProblem("a", { mode, uid: 1000 }, 1000, name), undefined);
  assertEquals(ownerProblem("a", { mode, uid: 0 }, 1000, name), undefined);
  assertEquals(ownerProblem("a", { mode, uid: 1001 }, 1000, name), {
    problem: "it belongs to user bob, and this is user ann",
    hint: "find out who put it there (`ls -ld a`); if it is right, `sudo chown -h ann a`",
  });
});

Deno.test("ownerProblem tells root to run as the user that publishes, and not to take its files (F17)", () => {
  const mode = 0o100600;
  assertEquals(ownerProblem("a", { mode, uid: 998 }, 0, name), {
    problem: "it belongs to user mqtt443, and this is user root",
    hint: "run it as the user that publishes: `sudo -u mqtt443 mqtt443 doctor`",
  });
  const other = ownerProblem("a", { mode, uid: 4242 }, 0, name)!;
  assertMatch(other.hint, /^if that user publishes, run it as that user: `sudo -u '#4242' mqtt443/);
});

Deno.test("folderProblem names a folder that others may write to, and leaves /tmp as it is (G9)", () => {
  const status = (mode: number, uid: number) => ({ mode: 0o40000 | mode, uid });
  for (const mode of [0o755, 0o700, 0o1755]) {
    assertEquals(folderProblem("f", status(mode, 1000), 1000, name), undefined);
  }
  assertEquals(folderProblem("f", status(0o775, 1000), 1000, name)?.hint, "chmod go-w f");
  for (const [mode, owner] of [[0o1777, 0], [0o1777, 1000], [0o777, 0]] as const) {
    const found = folderProblem("/tmp", status(mode, owner), 1000, name)!;
    assertMatch(
      found.problem,
      /^others may replace it or put files beside it, as they may write to "\/tmp"/,
    );
    assertMatch(found.hint, /^move it to a folder/);
  }
});

Deno.test("folderOf is the folder that a file lies in", () => {
  const cases = [["a", "."], ["./a", "."], ["a/b", "a"], ["/a", "/"], ["/a//b", "/a"]];
  for (const [path, folder] of cases) assertEquals(folderOf(path!), folder);
});

Deno.test("userName knows root, and gives the number of whom it does not know", () => {
  assertEquals([userName(0), userName(3_999_999)], ["root", "3999999"]);
});
