/** The state directory: private, held by one process, and nobody else's files in it. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UserError } from "../../lib/core/errors.ts";
import { SqliteQueue } from "../../lib/queue/sqlite_queue.ts";
import { currentStatus, StateDirectory } from "../../lib/queue/state_directory.ts";
import { checkState, queuePathOf } from "../../lib/queue/state_guard.ts";
import { lchown } from "../support/owners.ts";
import { inStateFolder, isRoot, messages, OPTIONS } from "../support/queueing.ts";

function modeOf(path: string): string {
  return ((Deno.statSync(path).mode ?? 0) & 0o777).toString(8);
}

/** That the directory is refused with exit code 73, and why. */
function assertRefused(directory: string, why: RegExp): void {
  const error = assertThrows(() => new StateDirectory(directory), UserError);
  assertEquals(error.exitCode, 73);
  assertMatch(error.message, why);
}

Deno.test("state directory is 0700 and its files are 0600, whatever the umask (Q10)", () => {
  inStateFolder((folder) => {
    const umask = Deno.umask(0);
    try {
      const state = new StateDirectory(`${folder}/a/state`);
      state.prepare();
      const queue = new SqliteQueue(state.queuePath, OPTIONS);
      queue.put(messages(1));
      state.reserve();
      assertEquals(modeOf(`${folder}/a/state`), "700");
      for (const name of ["queue.db", "queue.db-wal", "queue.lock", "queue.reserve"]) {
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
    const first = new StateDirectory(folder);
    assertRefused(folder, /another mqtt443 is using it/);
    first.release();
    new StateDirectory(folder).release();
  });
});

for (
  const name of ["queue.db", "queue.db-wal", "queue.lock", "queue.reserve", "queue.db.mended-2026"]
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
    const error = assertThrows(() => new StateDirectory(`${folder}/state`), UserError);
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
      new StateDirectory(`${folder}/link`).release();
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
    const state = new StateDirectory(folder);
    replaceable(folder);
    state.takeMended("2026", { isSound: false });
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
      const state = new StateDirectory(folder);
      state.prepare();
      state.release();
      assertReplaced(folder);
    });
  });
}

Deno.test("state directory makes an empty file for what is mended, and clears what an earlier start left (Q5)", () => {
  inStateFolder((folder) => {
    const state = new StateDirectory(folder);
    for (const name of ["queue.db.mending", "queue.db.mending-wal", "queue.db.mending-from"]) {
      Deno.writeTextFileSync(`${folder}/${name}`, "left");
    }
    const path = state.makeMending();
    assertEquals(Deno.statSync(path).size, 0);
    assertEquals(modeOf(path), "600");
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).toSorted();
    assertEquals(names, ["queue.db.mending", "queue.lock"]);
    state.release();
  });
});

Deno.test("state directory makes no file through a link that was planted for it (Q10)", () => {
  inStateFolder((folder) => {
    const state = new StateDirectory(`${folder}/state`);
    Deno.writeTextFileSync(`${folder}/victim`, "precious");
    Deno.symlinkSync(`${folder}/victim`, `${folder}/state/queue.db.mending`);
    state.makeMending();
    assertEquals(Deno.readTextFileSync(`${folder}/victim`), "precious");
    state.release();
  });
});

const STATUS = {
  ...{ waiting: 3, bytes: 30, oldestMs: 5, quarantined: 1, dropped: 7, lastSeq: 42 },
  ...{ seqOnDisk: 40, inMemory: 2, clientId: "gw-7", endpoint: "gw.example:443" },
};

Deno.test("state directory tells the next holder, and others beside it, how it stands (Q1)", () => {
  inStateFolder((folder) => {
    const first = new StateDirectory(folder);
    assertEquals(first.status, undefined);
    first.writeStatus({ ...STATUS, endpoint: "a-longer-name.gw.example:443" });
    first.writeStatus(STATUS);
    assertEquals(currentStatus(folder), STATUS);
    first.release();
    assertEquals(currentStatus(folder), undefined);
    assertEquals(currentStatus(folder, { isRunning: false }), STATUS);
    const second = new StateDirectory(folder);
    assertEquals(second.status, STATUS);
    second.release();
  });
});

Deno.test("state directory takes a status that is damaged for none (Q5)", () => {
  inStateFolder((folder) => {
    const path = `${folder}/queue.lock`;
    const wrong = ["garbage", "{", "null", '{"lastSeq":-1}', '{"lastSeq":1e300}', "\0\0"];
    for (const text of [...wrong, '{"clientId":7}']) {
      Deno.writeTextFileSync(path, text, { mode: 0o600 });
      Deno.chmodSync(path, 0o600);
      const state = new StateDirectory(folder);
      assertEquals([text, state.status?.lastSeq || undefined], [text, undefined]);
      state.release();
    }
  });
});

Deno.test("state directory knows what the release before noted beside its queue (Q11)", () => {
  inStateFolder((folder) => {
    const mark = (seq: number) => `${seq}\n`.padStart(20);
    const note = '{"clientId":"gw-7","endpoint":"gw.example:443"}\n';
    const text = mark(2400) + mark(31) + mark(31) + note;
    Deno.writeTextFileSync(`${folder}/queue.lock`, text, { mode: 0o600 });
    const state = new StateDirectory(folder);
    const { leftThrough, clientId, endpoint } = state.status!;
    assertEquals([leftThrough, clientId, endpoint], [31, "gw-7", "gw.example:443"]);
    state.release();
    // Where its two copies do not agree nothing is known to have left: a repeat, not a loss.
    Deno.writeTextFileSync(`${folder}/queue.lock`, mark(2400) + mark(31) + mark(39) + note);
    const again = new StateDirectory(folder);
    assertEquals(again.status?.leftThrough, undefined);
    again.release();
  });
});

Deno.test("state directory may be written with a slash at its end", () => {
  assertEquals(queuePathOf("/var/lib/mqtt443/"), "/var/lib/mqtt443/queue.db");
  assertEquals(queuePathOf("/"), "//queue.db");
});
