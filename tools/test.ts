/**
 * Runs tests with the program in one of its forms: `deno task test`, `deno task test:forms`, `deno task test:proxy`.
 *
 *     deno run -A tools/test.ts --form bundle|executable [--through http,socks5] ARGUMENTS OF DENO TEST
 *
 * Makes the form once, for all tests. With `--through` they run once for each kind of proxy, and whatever connects goes
 * through one, which is the only place that the program may reach (tests/support/scripted_proxy.ts). When they are
 * through, nothing of theirs may be left: no process (and so no port), no file in the temporary folder.
 */

import { makeBundle } from "./build/bundle.ts";
import { packed } from "./build/packed.ts";
import { inTempFolder } from "./shared/temp_folder.ts";
import { VERSION } from "../lib/core/build.ts";
import { PACKED_GRANTS, TEST_VARIABLES, type TestForm } from "../tests/support/program.ts";

/** How long a process that was killed may take to be gone, in ms. */
const GONE_MS = 2000;

const ROOT = new URL("../", import.meta.url).pathname;
const PROXY = `${ROOT}tests/support/scripted_proxy.ts`;

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main([flag, form, ...rest]: readonly string[]): Promise<number> {
  const [kinds, args] = rest[0] === "--through"
    ? [rest[1]!.split(","), rest.slice(2)]
    : [[undefined], rest];
  if (flag !== "--form" || (form !== "bundle" && form !== "executable")) {
    console.error(
      "usage: deno run -A tools/test.ts --form bundle|executable [--through http,socks5] " +
        "ARGUMENTS OF DENO TEST",
    );
    return 64;
  }
  return await inTempFolder("mqtt443-tests-", async (folder) => {
    // Tests start programs as other users, too.
    await Deno.chmod(folder, 0o755);
    const program = await makeForm(form, folder);
    const temporary = `${folder}/tmp`;
    await Deno.mkdir(temporary);
    await Deno.chmod(temporary, 0o1777);
    const before = sessionProcesses();
    let code = 0;
    for (const kind of kinds) {
      await using proxy = kind === undefined ? undefined : await startProxy(kind);
      if (proxy) console.error(`through a proxy of kind ${kind}:`);
      code = await run(args, {
        [TEST_VARIABLES.form]: form,
        [TEST_VARIABLES.program]: program,
        TMPDIR: temporary,
        ...(proxy && { [TEST_VARIABLES.proxy]: proxy.url }),
      }) || code;
    }
    const left = [
      ...[...Deno.readDirSync(temporary)].map(({ name }) => `${temporary}/${name}`),
      ...await processesLeft(before, [folder, ROOT]),
    ];
    for (const thing of left) console.error(`error: the tests left this behind: ${thing}`);
    return code !== 0 ? code : left.length > 0 ? 1 : 0;
  });
}

/** Runs the tests; their exit code. */
async function run(args: readonly string[], variables: Record<string, string>): Promise<number> {
  const tests = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--frozen", ...args],
    env: {
      // Most tests wait, and compute little.
      DENO_JOBS: Deno.env.get("DENO_JOBS") ?? `${2 * navigator.hardwareConcurrency}`,
      ...variables,
    },
  }).spawn();
  return (await tests.status).code;
}

/** A proxy as a process of its own: what its tunnels hold open is no test's. */
async function startProxy(scheme: string): Promise<AsyncDisposable & { readonly url: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--frozen", PROXY, scheme],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value: url = "" } = await reader.read();
  await reader.cancel();
  return {
    url: url.trim(),
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      await child.status;
    },
  };
}

/**
 * Command lines of processes that were not there before and name one of the places, once those that are ending have
 * ended. Others are of who works beside the tests.
 */
async function processesLeft(
  before: ReadonlyMap<number, string>,
  places: readonly string[],
): Promise<string[]> {
  const deadlineMs = performance.now() + GONE_MS;
  for (;;) {
    const left = [...sessionProcesses()].filter(([pid, command]) =>
      !before.has(pid) && places.some((place) => command.includes(place))
    );
    if (left.length === 0 || performance.now() > deadlineMs) {
      return left.map(([pid, command]) => `process ${pid}: ${command}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Command lines of the processes in the session of this one, by process id. */
function sessionProcesses(): Map<number, string> {
  const read = (path: string) => {
    try {
      return Deno.readTextFileSync(path);
    } catch {
      // It has ended.
      return undefined;
    }
  };
  // proc(5): the name may hold spaces; behind it come state, parent, group, session.
  const sessionOf = (pid: string) =>
    read(`/proc/${pid}/stat`)?.replace(/^.*\) /s, "").split(" ")[3];
  const own = sessionOf("self");
  return new Map(
    [...Deno.readDirSync("/proc")].map(({ name }) => name)
      .filter((name) => /^\d+$/.test(name) && sessionOf(name) === own)
      .map((pid) => [Number(pid), read(`/proc/${pid}/cmdline`)?.replaceAll("\0", " ") ?? ""]),
  );
}

/** Makes what the tests start, and returns its path. */
async function makeForm(form: TestForm, folder: string): Promise<string> {
  const { code } = await makeBundle();
  if (form === "bundle") {
    await Deno.writeTextFile(`${folder}/mqtt443.js`, code);
    return `${folder}/mqtt443.js`;
  }
  const program = `${folder}/mqtt443`;
  const bytes = await packed({
    target: { machine: Deno.build.arch },
    version: VERSION,
    code,
    deno: await Deno.readFile(Deno.execPath()),
    grants: PACKED_GRANTS,
  });
  await Deno.writeFile(program, bytes, { mode: 0o755 });
  await Deno.mkdir(`${program}.headers`);
  const unpacked = await new Deno.Command(program, {
    args: ["version"],
    env: { MQTT443_RUNTIME_DIR: `${program}.runtime` },
    stdout: "null",
  }).output();
  if (!unpacked.success) throw new Error(new TextDecoder().decode(unpacked.stderr));
  // The header ends where the compressed bundle begins.
  const start = /^js_start=(\d+)/m.exec(new TextDecoder("latin1").decode(bytes.subarray(0, 4096)));
  await Deno.writeFile(`${program}.header`, bytes.subarray(0, Number(start![1]) - 1));
  // 40 MB that nothing needs any more.
  await Deno.remove(program);
  return program;
}
