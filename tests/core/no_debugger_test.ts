/** SIGUSR1, which would open Deno's debugger: with the grants that users have, from source and by the publish task. */

import { assert, assertEquals } from "@std/assert";
import { denoArguments, ENVIRONMENT } from "../../tools/publish.ts";
import { signalled } from "../support/listening.ts";
import { NO_SETTINGS } from "../support/program.ts";
import { makeRig, replaced, type Rig } from "../support/publishing.ts";

const PUBLISH = new URL("../../tools/publish.ts", import.meta.url).pathname;

function start(args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [...args],
    env: ENVIRONMENT,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
}

/** Settles when the debugger could be opened: Deno is ready for that half a second after the start. */
async function untilReady({ endpoint }: Rig): Promise<void> {
  await endpoint.until(() => endpoint.received.length >= 12);
}

const TICKS = ["--interval", "100ms", "--source", "clock", "--config", NO_SETTINGS];

Deno.test("publish ends at SIGUSR1 and never opens a debugger (F4)", async () => {
  await using rig = await makeRig();
  const child = start(denoArguments([...rig.flags, ...TICKS]));
  await untilReady(rig);
  const { status, seen } = await signalled(child);
  assertEquals([status.code, status.signal, seen], [138, null, []]);
});

Deno.test("publish opens no debugger at signals that come from its start on (F4)", async () => {
  await using rig = await makeRig();
  const { status, seen } = await signalled(start(denoArguments([...rig.flags, ...TICKS])));
  // Before its own code runs, the system ends it.
  assert(status.code === 138 || status.signal === "SIGUSR1", JSON.stringify(status));
  assertEquals(seen, []);
});

for (const args of [["watch", "a/b"], ["doctor"]]) {
  Deno.test(`${args[0]} ends at SIGUSR1 and never opens a debugger (F4)`, async () => {
    await using rig = await makeRig();
    const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const port = String(silent.addr.port);
    const flags = replaced(rig.flags, { "--endpoint": "127.0.0.1", "--port": port });
    flags.push("--config", NO_SETTINGS);
    const base = denoArguments(flags);
    const deno = base.slice(0, base.indexOf("publish"));
    const child = start([...deno, ...args, ...flags]);
    // It waits for an answer that does not come.
    const connection = await silent.accept();
    const { status, seen } = await signalled(child);
    connection.close();
    silent.close();
    assertEquals([status.code, status.signal, seen], [138, null, []]);
  });
}

Deno.test("publish task ends at SIGUSR1 and never opens a debugger (F4)", async () => {
  await using rig = await makeRig();
  const child = start(["run", "-A", "--frozen", PUBLISH, ...rig.flags, ...TICKS]);
  await untilReady(rig);
  const { status, seen } = await signalled(child);
  assertEquals([status.code, status.signal, seen], [138, null, []]);
});

Deno.test("publish task passes a list of variables, and no other (F5, F7)", async () => {
  await using rig = await makeRig();
  const audit = `${rig.folder}/audit`;
  const hostile = {
    OTEL_DENO: "true",
    OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
    DENO_AUDIT_PERMISSIONS: audit,
    DENO_SNAPSHOT_IMPORT_GRAPH: audit,
    DENO_CERT: `${rig.folder}/certs/ca.pem`,
    DENO_TLS_CA_STORE: "system",
    NODE_EXTRA_CA_CERTS: `${rig.folder}/certs/ca.pem`,
    NODE_OPTIONS: "--require=/nonexistent.js",
    SOME_SECRET: "x",
  };
  const kept = { TZ: "Asia/Tokyo", LC_ALL: "C", MQTT443_INTERVAL: "200ms" };
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--frozen", PUBLISH, ...rig.flags, "--config", NO_SETTINGS],
    env: { ...hostile, ...kept },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  await rig.endpoint.waitFor(2);
  const [inner] = Deno.readTextFileSync(`/proc/${child.pid}/task/${child.pid}/children`).split(" ");
  const names = Deno.readTextFileSync(`/proc/${inner}/environ`).split("\0").filter(Boolean)
    .map((line) => line.split("=")[0]!);
  child.kill("SIGTERM");
  assertEquals((await child.status).code, 0);
  for (const name of Object.keys(kept)) assert(names.includes(name), name);
  const known = /^(PATH|HOME|TMPDIR|XDG_CACHE_HOME|LANG|LC_\w+|TZ|TERM|NO_COLOR|MQTT443_\w+)$/;
  const ours = /^(DENO_NO_UPDATE_CHECK|DENO_DIR|MALLOC_\w+|QEMU_LD_PREFIX|LD_LIBRARY_PATH)$/;
  const systemd = /^(NOTIFY_SOCKET|JOURNAL_STREAM|INVOCATION_ID)$/;
  assertEquals(
    names.filter((name) => !known.test(name) && !ours.test(name) && !systemd.test(name)),
    [],
  );
});
