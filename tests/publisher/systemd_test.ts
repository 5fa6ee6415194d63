import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Target } from "../../lib/core/endpoint.ts";
import { openService } from "../../lib/publisher/systemd.ts";
import type { UserError } from "../../lib/core/errors.ts";
import { createNotifier } from "../../lib/publisher/systemd_notify.ts";
import type { Settings } from "../../lib/settings/types.ts";
import { realWorld } from "../../lib/core/process.ts";
import { startChild } from "../support/children.ts";
import { makeEnv } from "../support/command_line.ts";
import { testGrants } from "../support/program.ts";
import { flagsFor, makeRig } from "../support/publishing.ts";

/** Where a service manager listens, and what it was told. */
function listen(path: string) {
  const socket = Deno.listenDatagram({ transport: "unixpacket", path });
  const told: string[] = [];
  const waiting = new Set<() => void>();
  const reading = (async () => {
    for await (const [bytes] of socket) {
      told.push(new TextDecoder().decode(bytes));
      waiting.forEach((check) => check());
    }
  })();
  return {
    told,
    /** Settles when it holds of the lines told so far. */
    until(predicate: (lines: readonly string[]) => boolean): Promise<void> {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(() => reject(new Error(`In vain: ${told.join(" | ")}`)), 30_000);
      const check = () => predicate(told.flatMap((text) => text.split("\n"))) && resolve();
      waiting.add(check);
      check();
      return promise.finally(() => {
        clearTimeout(timer);
        waiting.delete(check);
      });
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      await reading;
    },
  };
}

async function inFolder(action: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  try {
    await action(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Fails the test. */
function unexpected(error: Error): never {
  throw error;
}

Deno.test("notifier tells a manager in order, each time in one datagram of whole lines", async () => {
  await inFolder(async (folder) => {
    await using manager = listen(`${folder}/notify`);
    const notifier = createNotifier(`${folder}/notify`, unexpected);
    notifier.say("READY=1", "STATUS=a\nWATCHDOG=trigger");
    notifier.repeat("WATCHDOG=1");
    notifier.say("STOPPING=1");
    await notifier.flush();
    await manager.until((lines) => lines.includes("STOPPING=1"));
    assertEquals(manager.told, [
      "READY=1\nSTATUS=a\\nWATCHDOG=trigger",
      "WATCHDOG=1",
      "STOPPING=1",
    ]);
  });
});

Deno.test("notifier tells a manager that listens at an abstract socket", async () => {
  const name = `mqtt443-test-${crypto.randomUUID()}`;
  await using manager = listen(`\0${name}`);
  const notifier = createNotifier(`@${name}`, unexpected);
  notifier.say("READY=1");
  await manager.until((lines) => lines.includes("READY=1"));
  await notifier.flush();
});

for (
  const [socket, why] of [
    ["/nonexistent/notify", "No such file or directory"],
    ["notify", "it is neither a path nor @ and a name"],
    ["vsock:2:1", "it is neither a path nor @ and a name"],
    ["/tmp", "Connection refused"],
  ] as const
) {
  Deno.test(`notifier says once that nobody listens at ${socket}`, async () => {
    const failures: UserError[] = [];
    const notifier = createNotifier(socket, (error) => failures.push(error));
    notifier.say("READY=1");
    notifier.say("STOPPING=1");
    await notifier.flush();
    assertEquals(failures.length, 1);
    assertStringIncludes(failures[0]!.message, JSON.stringify(socket));
    assertStringIncludes(failures[0]!.message, why);
    assertStringIncludes(failures[0]!.hint ?? "", "unset NOTIFY_SOCKET");
  });
}

Deno.test("notifier gives up on a manager that does not read, and goes on when it does", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/notify`;
    const socket = Deno.listenDatagram({ transport: "unixpacket", path });
    const failed = Promise.withResolvers<UserError>();
    const notifier = createNotifier(path, failed.resolve);
    const most = Number(Deno.readTextFileSync("/proc/sys/net/unix/max_dgram_qlen"));
    for (let told = 0; told <= most; told++) notifier.say("STATUS=x");
    // One too many for the socket; these wait behind it, and no more than a few do.
    notifier.say("WATCHDOG=1");
    for (let more = 0; more < 100; more++) notifier.repeat("STATUS=y");
    assertStringIncludes((await failed.promise).message, "it is not read");
    const texts: string[] = [];
    while (!texts.includes("WATCHDOG=1")) {
      const [bytes] = await socket.receive();
      texts.push(new TextDecoder().decode(bytes));
    }
    await notifier.flush();
    socket.close();
    assertEquals(texts.filter((text) => text === "STATUS=y"), []);
  });
});

Deno.test("publish tells a manager that it is ready while offline, how it fares, that it is well, and that it stops", async () => {
  await using rig = await makeRig();
  const path = `${rig.folder}/notify`;
  await using manager = listen(path);
  rig.endpoint.pause();
  const { port } = rig.endpoint;
  const args = ["publish", ...flagsFor(rig.folder, port), "--interval", "100ms"];
  const run = startChild(args, {
    env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: "300000" },
    grants: { ...testGrants(args), notify: path },
  });
  try {
    await manager.until((lines) => lines.some((line) => /^STATUS=Offline since .*/.test(line)));
    const lines = () => manager.told.flatMap((text) => text.split("\n"));
    assertMatch(manager.told[0]!, /^READY=1\nSTATUS=Not connected yet, connecting to localhost:/);
    assertMatch(
      lines().find((line) => line.startsWith("STATUS=Offline"))!,
      /^STATUS=Offline since \S+Z, next attempt at \S+Z \(Cannot connect to localhost:\d+: connection refused\); \d+ waiting, 0 published, 0 dropped$/,
    );
    const fed = lines().filter((line) => line === "WATCHDOG=1").length;
    await manager.until((lines) => lines.filter((line) => line === "WATCHDOG=1").length > fed + 2);
    await rig.endpoint.resume();
    await manager.until((lines) =>
      lines.some((line) => /^STATUS=Connected to localhost:\d+ since .* [1-9]\d* pub/.test(line))
    );
    Deno.kill(run.pid, "SIGHUP");
    await manager.until((lines) => {
      const at = lines.indexOf("RELOADING=1");
      return at >= 0 && lines.indexOf("READY=1", at) > at;
    });
    Deno.kill(run.pid, "SIGTERM");
    await manager.until((lines) => lines.includes("STOPPING=1"));
    assertEquals((await run.ended).code, 0);
    const warnings = run.events("warning").filter(({ cause }) => /NOTIFY/.test(String(cause)));
    assertEquals(warnings, []);
  } finally {
    await run.kill();
  }
});

Deno.test("publish goes on, with one warning, where it was not granted to tell the manager", async () => {
  await using rig = await makeRig();
  const path = `${rig.folder}/notify`;
  await using manager = listen(path);
  const { port } = rig.endpoint;
  const flags = [...flagsFor(rig.folder, port), "--interval", "100ms", "--count", "5"];
  const args = ["publish", ...flags];
  const run = startChild(args, {
    env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: "300000" },
    grants: { ...testGrants(args), notify: `${rig.folder}/another` },
    lacks: true,
  });
  try {
    assertEquals((await run.ended).code, 0);
    assertEquals(rig.endpoint.received.length, 5);
    const warnings = run.events("warning").filter(({ cause }) => /NOTIFY/.test(String(cause)));
    assertEquals(warnings.map(({ cause }) => cause), [
      `Cannot tell the service manager through NOTIFY_SOCKET "${path}": this process was not granted to write there`,
    ]);
    assertEquals(manager.told, []);
  } finally {
    await run.kill();
  }
});

Deno.test("service feeds the watchdog while deliveries go on, and not while they have stopped (X9)", async () => {
  await inFolder(async (folder) => {
    await using manager = listen(`${folder}/notify`);
    let ms = 0;
    let tick = () => {};
    const totals = { published: 0, publishes: 0, dropped: 0 };
    const errors: unknown[] = [];
    const service = openService(`${folder}/notify`, {
      settings: { connectTimeout: 15_000, ackTimeout: 20_000, packWait: 0 } as Settings,
      target: { endpoint: "gw.example", port: 443 } as Target,
      queue: { waiting: { messages: 5, bytes: 0 } },
      reports: { totals },
      log: { debug() {}, info() {}, warn() {}, error: (_event, fields) => errors.push(fields) },
    }, {
      ...realWorld(),
      env: makeEnv({ WATCHDOG_USEC: "60000000" }),
      every: (_ms, action) => {
        tick = action;
        return () => {};
      },
      monotonicMs: () => ms,
    });
    /** What is told after a time, with so many deliveries. */
    const after = async (seconds: number, deliveries: number) => {
      ms += seconds * 1000;
      totals.published += deliveries;
      const told = manager.told.length;
      tick();
      await manager.until(() => manager.told.length > told);
      return manager.told.at(-1)!;
    };
    service.onLink({ at: "open" });
    assertStringIncludes(await after(100, 1), "\nWATCHDOG=1");
    assertStringIncludes(await after(100, 0), "\nWATCHDOG=1");
    for (let times = 0; times < 2; times++) {
      const stuck = await after(10, 0);
      assertMatch(stuck, /^STATUS=STUCK: messages wait, and none was acknowledged for 1[12]0 s/);
      assertEquals(stuck.includes("WATCHDOG"), false);
    }
    assertEquals(errors, [{
      code: "stuck",
      cause: "Publishing is stuck: messages wait, and none was acknowledged for 110 s of a session",
      hint: "the watchdog of systemd restarts it; please report this with the log before it",
    }]);
    assertStringIncludes(await after(10, 1), "\nWATCHDOG=1");
    service.close();
  });
});
