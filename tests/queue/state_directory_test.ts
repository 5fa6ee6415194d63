/** The state directory: private, held by one process, and nobody else's files in it. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UserError } from "../../lib/core/errors.ts";
import { openQueue } from "../../lib/queue/sqlite_queue.ts";
import { deliveredThrough, holdStateDirectory } from "../../lib/queue/state_directory.ts";
import { checkState, queuePathOf } from "../../lib/queue/state_guard.ts";
import { lchown } from "../support/owners.ts";
import { draft, inStateFolder, isRoot, OPTIONS } from "../support/queueing.ts";

function modeOf(path: string): string {
  return ((Deno.statSync(path).mode ?? 0) & 0o777).toString(8);
}

/** That the directory is refused with exit code 73, and why. */
function assertRefused(directory: string, why: RegExp): void {
  const error = assertThrows(() => holdStateDirectory(directory), UserError);
  assertEquals(error.exitCode, 73);
  assertMatch(error.message, why);
}

Deno.test("state directory is 0700 and its files are 0600, whatever the umask (Q10)", () => {
  inStateFolder((folder) => {
    const umask = Deno.umask(0);
    try {
      const state = holdStateDirectory(`${folder}/a/state`);
      const queue = openQueue(state.queuePath, OPTIONS);
      queue.put([draft()]);
      assertEquals(modeOf(`${folder}/a/state`), "700");
      for (const name of ["queue.db", "queue.db-wal", "queue.db-shm", "queue.lock"]) {
        assertEquals([name, modeOf(`${folder}/a/state/${name}`)], [name, "600"]);
      }
      queue.close();
      state.release();
    } finally {
      Deno.umask(umask);
    }
  });
});

Deno.test("state directory refuses a second holder at once, and takes one after a release (Q9)", () => {
  inStateFolder((folder) => {
    const first = holdStateDirectory(folder);
    assertRefused(folder, /another mqtt443 is using it/);
    first.release();
    holdStateDirectory(folder).release();
  });
});

for (
  const name of ["queue.db", "queue.db-wal", "queue.db-shm", "queue.lock", "queue.db.mended-2026"]
) {
  Deno.test(`state directory refuses a planted symbolic link ${name} (Q10)`, () => {
    inStateFolder((folder) => {
      const victim = `${folder}/victim`;
      Deno.writeTextFileSync(victim, "precious");
      Deno.mkdirSync(`${folder}/state`, { mode: 0o700 });
      Deno.symlinkSync(victim, `${folder}/state/${name}`);
      assertRefused(`${folder}/state`, /it is a symbolic link/);
      assertEquals(Deno.readTextFileSync(victim), "precious");
    });
  });

  Deno.test(`state directory refuses a planted ${name} that others may write to (Q10)`, () => {
    inStateFolder((folder) => {
      Deno.writeTextFileSync(`${folder}/${name}`, "");
      Deno.chmodSync(`${folder}/${name}`, 0o660);
      assertRefused(folder, /others than its owner may write to it/);
    });
  });
}

Deno.test("state directory refuses a link that leads nowhere (Q10)", () => {
  inStateFolder((folder) => {
    Deno.symlinkSync(`${folder}/nowhere`, `${folder}/queue.db`);
    assertRefused(folder, /it is a symbolic link/);
  });
});

Deno.test("state directory refuses a directory in place of its file (Q10)", () => {
  inStateFolder((folder) => {
    Deno.mkdirSync(`${folder}/queue.db`);
    assertRefused(folder, /it is not a regular file/);
  });
});

Deno.test("state directory that others may write to is refused (Q10)", () => {
  inStateFolder((folder) => {
    Deno.mkdirSync(`${folder}/state`);
    Deno.chmodSync(`${folder}/state`, 0o770);
    assertRefused(`${folder}/state`, /others than its owner may write to it/);
  });
});

Deno.test("state directory like /tmp is refused, and left as it is (G11)", () => {
  inStateFolder((folder) => {
    Deno.mkdirSync(`${folder}/state`);
    Deno.chmodSync(`${folder}/state`, 0o1777);
    const error = assertThrows(() => holdStateDirectory(`${folder}/state`), UserError);
    assertEquals(error.hint, "pass --state DIR");
  });
});

for (const name of ["queue.lock", "queue.db", "queue.db-wal"]) {
  Deno.test(`state directory refuses a ${name} with a second name, and writes nothing (G11)`, () => {
    inStateFolder((folder) => {
      Deno.writeTextFileSync(`${folder}/victim`, "precious", { mode: 0o600 });
      Deno.mkdirSync(`${folder}/state`, { mode: 0o700 });
      Deno.linkSync(`${folder}/victim`, `${folder}/state/${name}`);
      assertRefused(`${folder}/state`, /it has 2 names/);
      assertEquals(Deno.readTextFileSync(`${folder}/victim`), "precious");
    });
  });
}

Deno.test("state directory with a FIFO in place of its lock is refused at once (G13)", () => {
  inStateFolder((folder) => {
    const { success } = new Deno.Command("mkfifo", { args: [`${folder}/queue.lock`] }).outputSync();
    assertEquals(success, true);
    assertRefused(folder, /queue\.lock": it is not a regular file/);
    assertThrows(() => checkState(folder), UserError, "it is not a regular file");
  });
});

Deno.test({
  name: "state directory of another user is refused, also by way of a link (G11; needs root)",
  ignore: !isRoot,
  fn() {
    inStateFolder((folder) => {
      Deno.mkdirSync(`${folder}/state`, { mode: 0o700 });
      Deno.symlinkSync(`${folder}/state`, `${folder}/link`);
      holdStateDirectory(`${folder}/link`).release();
      lchown(`${folder}/link`, 65534);
      assertRefused(`${folder}/link`, /it belongs to user nobody, and this is user root/);
      Deno.chownSync(`${folder}/state`, 65534, 65534);
      assertRefused(`${folder}/state`, /it belongs to user nobody, and this is user root/);
    });
  },
});

Deno.test("state directory that is a file is refused", () => {
  inStateFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/state`, "");
    assertRefused(`${folder}/state`, /Cannot use state directory/);
  });
});

Deno.test({
  name: "state directory refuses a file of another user (Q10; needs root)",
  ignore: !isRoot,
  fn() {
    inStateFolder((folder) => {
      Deno.writeTextFileSync(`${folder}/queue.db`, "");
      Deno.chmodSync(`${folder}/queue.db`, 0o600);
      Deno.chownSync(`${folder}/queue.db`, 65534, 65534);
      assertRefused(folder, /it belongs to user nobody, and this is user root/);
    });
  },
});

Deno.test({
  name: "state directory that may not be written to is refused with the user's name (not as root)",
  ignore: isRoot,
  fn() {
    inStateFolder((folder) => {
      Deno.mkdirSync(`${folder}/state`);
      Deno.chmodSync(`${folder}/state`, 0o500);
      assertRefused(`${folder}/state`, /permission denied for user/);
    });
  },
});

/** Plants a damaged queue with its log, and what is to take its place. */
function replaceable(folder: string): void {
  for (const [name, text] of [["", "damaged"], ["-wal", "log"], [".mending", "mended"]]) {
    Deno.writeTextFileSync(`${folder}/queue.db${name}`, text!, { mode: 0o600 });
  }
}

function assertReplaced(folder: string): void {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).toSorted();
  assertEquals(names, [
    "queue.db",
    "queue.db.damaged-2026",
    "queue.db.damaged-2026-wal",
    "queue.lock",
  ]);
  assertEquals(Deno.readTextFileSync(`${folder}/queue.db`), "mended");
  assertEquals(Deno.readTextFileSync(`${folder}/queue.db.damaged-2026`), "damaged");
  assertEquals(Deno.readTextFileSync(`${folder}/queue.db.damaged-2026-wal`), "log");
  assertEquals(modeOf(`${folder}/queue.db`), "600");
}

Deno.test("state directory puts a mended queue in place of the damaged one, which it keeps with its log (Q5)", () => {
  inStateFolder((folder) => {
    const state = holdStateDirectory(folder);
    replaceable(folder);
    state.takeMended("2026");
    assertReplaced(folder);
    state.release();
  });
});

// Each of the names that were moved before the end, in their order.
const MOVES = [
  ["queue.db.mending", "queue.db.mended-2026"],
  ["queue.db", "queue.db.damaged-2026"],
  ["queue.db-wal", "queue.db.damaged-2026-wal"],
] as const;

for (let moves = 1; moves <= MOVES.length; moves++) {
  Deno.test(`state directory goes on with a replacement that was cut short after step ${moves} (Q5)`, () => {
    inStateFolder((folder) => {
      replaceable(folder);
      for (const [from, to] of MOVES.slice(0, moves)) {
        Deno.renameSync(`${folder}/${from}`, `${folder}/${to}`);
      }
      holdStateDirectory(folder).release();
      assertReplaced(folder);
    });
  });
}

Deno.test("state directory makes an empty file for what is mended, and clears what an earlier start left (Q5)", () => {
  inStateFolder((folder) => {
    const state = holdStateDirectory(folder);
    for (const name of ["queue.db.mending", "queue.db.mending-wal", "queue.db.mending-from"]) {
      Deno.writeTextFileSync(`${folder}/${name}`, "left");
    }
    const path = state.makeMending();
    assertEquals(Deno.statSync(path).size, 0);
    assertEquals(modeOf(path), "600");
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).toSorted();
    assertEquals(names, ["queue.db", "queue.db.mending", "queue.lock"]);
    state.release();
  });
});

Deno.test("state directory makes no file through a link that was planted for it (Q10)", () => {
  inStateFolder((folder) => {
    const state = holdStateDirectory(`${folder}/state`);
    Deno.writeTextFileSync(`${folder}/victim`, "precious");
    Deno.symlinkSync(`${folder}/victim`, `${folder}/state/queue.db.mending`);
    state.makeMending();
    assertEquals(Deno.readTextFileSync(`${folder}/victim`), "precious");
    state.release();
  });
});

Deno.test("state directory remembers how far seq has come", () => {
  inStateFolder((folder) => {
    const first = holdStateDirectory(folder);
    assertEquals(first.seqMark, 0);
    first.markSeq(123_456_789);
    first.markSeq(1000);
    first.release();
    const second = holdStateDirectory(folder);
    assertEquals(second.seqMark, 1000);
    second.release();
  });
});

Deno.test("state directory takes a mark that is no number for none", () => {
  inStateFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/queue.lock`, "garbage");
    Deno.chmodSync(`${folder}/queue.lock`, 0o600);
    const state = holdStateDirectory(folder);
    assertEquals(state.seqMark, 0);
    state.release();
  });
});

Deno.test("state directory remembers what was delivered, beside how far seq has come (Q1)", () => {
  inStateFolder((folder) => {
    const first = holdStateDirectory(folder);
    assertEquals(first.delivered.through, 0);
    first.delivered.write(12);
    first.markSeq(1000);
    first.delivered.write(7);
    first.release();
    assertEquals(deliveredThrough(folder), 7);
    const second = holdStateDirectory(folder);
    assertEquals([second.seqMark, second.delivered.through], [1000, 7]);
    second.release();
  });
});

for (const [what, at] of [["first", 20 + 18], ["second", 40 + 18]] as const) {
  Deno.test(`state directory takes nothing for delivered where the ${what} half of that mark is damaged (Q3)`, () => {
    inStateFolder((folder) => {
      const first = holdStateDirectory(folder);
      first.markSeq(1000);
      first.delivered.write(12);
      first.release();
      const bytes = Deno.readFileSync(`${folder}/queue.lock`);
      bytes[at] = "9".charCodeAt(0);
      Deno.writeFileSync(`${folder}/queue.lock`, bytes);
      const second = holdStateDirectory(folder);
      assertEquals([second.seqMark, second.delivered.through], [1000, 0]);
      second.release();
    });
  });
}

Deno.test("state directory may be written with a slash at its end", () => {
  assertEquals(queuePathOf("/var/lib/mqtt443/"), "/var/lib/mqtt443/queue.db");
  assertEquals(queuePathOf("/"), "//queue.db");
});
