/**
 * What the program asks of the kernel while it runs with the grants of `deno task publish` (S2): seen from below Deno,
 * by strace and ss, through a start, messages, a lost link and an end.
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { startEndpoint, writeCerts } from "../../../tools/endpoint/mod.ts";
import { denoDir } from "../../../tools/build/run_deno.ts";
import { denoArguments, ENVIRONMENT } from "../../../tools/publish.ts";
import { inFolder } from "../../support/command_line.ts";
import { pki } from "../../support/publishing.ts";
import { hasProgram } from "../../support/queueing.ts";

/** Calls that reach the network, other processes, or files in order to change them; "?": where strace knows them. */
const TRACED = [
  "socket,bind,listen,accept,accept4,connect,execve,execveat,fork,vfork,clone,clone3,ptrace",
  "open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir",
  "link,linkat,symlink,symlinkat,mknod,mknodat,chmod,fchmodat,fchmodat2,chown,lchown,fchownat",
  "truncate,mount,memfd_create,io_uring_setup,setuid,setgid,init_module,bpf",
].join(",").replace(/\b(?=\w)/g, "?");

/** What one traced run showed. */
interface Trace {
  /** Each call without its process id, in order; a call that was interrupted has no result. */
  readonly calls: readonly string[];
  /** Sockets that listened during the run, as ss tells them. */
  readonly listening: readonly string[];
  readonly port: number;
  readonly state: string;
  readonly received: number;
}

async function trace(folder: string): Promise<Trace> {
  await using endpoint = await startEndpoint({ certificates: pki });
  await writeCerts(`${folder}/certs`, pki);
  const state = `${folder}/state`;
  const args = denoArguments([
    ...["--endpoint", "localhost", "--port", `${endpoint.port}`, "--certs", `${folder}/certs`],
    ...["--state", state, "--interval", "100ms", "--backoff-max", "1s", "--log-level", "debug"],
  ]);
  const child = new Deno.Command("strace", {
    args: ["-f", "-qq", "-s", "500", "-e", `trace=${TRACED}`, "-o", `${folder}/trace`]
      .concat(Deno.execPath(), args),
    cwd: folder,
    env: ENVIRONMENT,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  const wait = { deadlineMs: 60_000 };
  let pid = 0;
  try {
    const early = child.status.then(({ code }) => Promise.reject(new Error(`exit code ${code}`)));
    early.catch(() => {});
    await Promise.race([endpoint.until(() => endpoint.connects.length > 0, wait), early]);
    pid = Number(/^\d+/.exec(await Deno.readTextFile(`${folder}/trace`)));
    await endpoint.waitFor(10, wait);
    endpoint.cut("rst");
    await endpoint.until(() => endpoint.connects.length > 1, wait);
    await endpoint.waitFor(endpoint.counts.received + 10, wait);
    const listening = await listeningOf(pid);
    Deno.kill(pid, "SIGTERM");
    const { code } = await child.status;
    assertEquals(code, 0, await said);
    const text = await Deno.readTextFile(`${folder}/trace`);
    const calls = text.split("\n").map((line) => line.replace(/^\d+ +/, ""))
      .filter((line) => /^\w+\(/.test(line));
    const { port, counts } = endpoint;
    return { calls, listening, port, state, received: counts.received };
  } catch (error) {
    // What strace traces goes on without it.
    pid ||= Number(/^\d+/.exec(await Deno.readTextFile(`${folder}/trace`).catch(() => "0")));
    for (const each of [pid, child.pid].filter((id) => id > 0)) {
      try {
        Deno.kill(each, "SIGKILL");
      } catch { /* it has ended */ }
    }
    throw new Error(`the run failed: ${await said}`, { cause: error });
  }
}

async function listeningOf(pid: number): Promise<string[]> {
  const { stdout } = await new Deno.Command("ss", { args: ["-H", "-l", "-n", "-p", "-a"] })
    .output();
  return new TextDecoder().decode(stdout).split("\n")
    .filter((line) => line.includes(`pid=${pid},`) && /\b(LISTEN|UNCONN)\b/.test(line));
}

const missing = ["strace", "ss"].filter((program) => !hasProgram(program));

Deno.test({
  name: "program asks the kernel for one peer, its state directory, and nothing else (S2)",
  ignore: missing.length > 0,
  fn: () =>
    inFolder(async (folder) => {
      const { calls, listening, port, state, received } = await trace(folder);
      assertGreater(received, 19);
      const named = (names: string) => calls.filter((call) => RegExp(`^(${names})\\(`).test(call));

      // No open port, and no socket that could become one.
      assertEquals(listening, []);
      assertEquals(named("listen|accept|accept4"), []);
      // getaddrinfo of glibc asks the kernel for its addresses over netlink.
      assertEquals(named("bind").filter((call) => !call.includes("AF_NETLINK")), []);

      // One peer. glibc asks nscd for its name, if there is one, and sorts addresses by a UDP connect, which sends
      // nothing. "localhost" is in /etc/hosts: a query to DNS would be about something else.
      const peers = named("connect");
      const isEndpoint = (call: string) =>
        call.includes(`htons(${port})`) && /"(127\.0\.0\.1|::1)"/.test(call);
      const isLookUp = (call: string) => /nscd\/socket"/.test(call);
      const isSorting = (call: string) => /AF_UNSPEC|"(127\.0\.0\.1|::1)"/.test(call);
      assertGreater(peers.filter(isEndpoint).length, 1);
      assertEquals(
        peers.filter((call) => !isEndpoint(call) && !isLookUp(call) && !isSorting(call)),
        [],
      );
      assertEquals(named("socket").filter((call) => !/AF_(INET6?|UNIX|NETLINK),/.test(call)), []);

      // One process: the first execve is strace's.
      assertEquals(named("execve|execveat").slice(1), []);
      assertEquals(named("fork|vfork|ptrace|memfd_create|io_uring_setup|mount|bpf"), []);
      const threads = named("clone|clone3");
      assertEquals(threads.filter((call) => !call.includes("CLONE_THREAD")), []);

      // Writes: the state directory; and what only Deno from source has, its caches.
      // Where Deno keeps what it made of the sources. An executable has none of it.
      const cache = await denoDir();
      const isOurs = (path: string) => path === state || path.startsWith(`${state}/`);
      const isDenos = (path: string) => path.startsWith(`${cache}/`) || path === "/dev/null";
      const changing = calls.filter((call) =>
        /^(open|openat|openat2)\(/.test(call)
          ? /O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)/.test(call)
          : /^(creat|rename|unlink|mkdir|rmdir|link|symlink|mknod|l?chown|chmod|fch\w+at|truncate)/
            .test(call)
      );
      const paths = (call: string) => [...call.matchAll(/"([^"]*)"/g)].map(([, path]) => path!);
      assert(changing.some((call) => isOurs(paths(call)[0]!)), "nothing was written at all");
      const elsewhere = changing.filter((call) =>
        !paths(call).every((path) => isOurs(path) || isDenos(path))
      );
      assertEquals(elsewhere, []);
      assertEquals(named("setuid|setgid|init_module"), []);
    }),
});
