/** The socket: whose it is, what is in its place, who may connect, and one that systemd hands over. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { hasProgram, isRoot } from "../support/queueing.ts";
import { makeRig, range, replaced, type Rig, seqsOf } from "../support/publishing.ts";
import { testGrants } from "../support/program.ts";
import { handIn, handInAll, listening, seqsIn } from "../support/handing_in.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** Mode bits of a file. */
function modeOf(path: string): number {
  return Deno.lstatSync(path).mode! & 0o7777;
}

/** What the publisher says when it does not start. */
async function refused(rig: Rig, flags: readonly string[], code = 73): Promise<string> {
  const run = rig.publish(flags);
  assertEquals(await run.code, code, run.errors.join("\n"));
  return run.errors.join("\n");
}

for (const mode of ["0600", "0660"]) {
  Deno.test(`socket has mode ${mode} and this user's name when listenMode says so`, async () => {
    await using rig = await makeRig();
    const { path, flags } = listening(rig);
    await rig.publish([...flags, "--listen-mode", mode]).said("start");
    assertEquals(modeOf(path), parseInt(mode, 8));
    assertEquals(Deno.lstatSync(path).uid, Deno.uid());
  });
}

Deno.test("socket is not made under a umask that lets others connect before it has its mode (I4)", async () => {
  await using rig = await makeRig();
  const { path, flags } = listening(rig);
  const within = ["sh", "-c", 'umask 000; exec "$@"', "sh"];
  const run = rig.publish(flags, { within });
  assertEquals(await run.code, 73);
  assertMatch(run.errors.join("\n"), /umask would let others connect.*\nhint: type `umask 077`/);
  assertEquals([...Deno.readDirSync(rig.folder)].some(({ name }) => path.endsWith(name)), false);
  const strict = rig.publish(flags, { within: ["sh", "-c", 'umask 077; exec "$@"', "sh"] });
  await strict.said("start");
  assertEquals(modeOf(path), 0o660);
});

Deno.test("socket that a killed publisher left behind is replaced (I4)", async () => {
  await using rig = await makeRig();
  const { path, flags } = listening(rig);
  const killed = rig.publish(flags);
  await killed.said("start");
  const { ino } = Deno.lstatSync(path);
  killed.signal("SIGKILL");
  await killed.code;
  assertEquals(Deno.lstatSync(path).ino, ino, "it is still there");
  await rig.publish(flags).said("start");
  assertEquals(seqsIn(await handInAll(path, "x\n")), [1]);
});

Deno.test("socket on which another publisher listens is left alone (I4)", async () => {
  await using rig = await makeRig();
  const { path, flags } = listening(rig);
  await rig.publish(flags).said("start");
  const others = replaced(rig.flags, { "--state": `${rig.folder}/state2` });
  const other = rig.run(["publish", ...others, ...flags]);
  assertEquals(await other.code, 73);
  assertMatch(other.errors.join("\n"), /another process listens there/);
  assertEquals(seqsIn(await handInAll(path, "x\n")), [1]);
});

Deno.test("what is in place of the socket and is none is refused, and left as it is (I4)", async () => {
  await using rig = await makeRig();
  const { path, flags } = listening(rig);
  const other = `${rig.folder}/other`;
  await Deno.writeTextFile(other, "precious");
  const planted: Record<string, () => void> = {
    "a file": () => Deno.writeTextFileSync(path, "precious"),
    "a symbolic link": () => Deno.symlinkSync(other, path),
    "a directory": () => Deno.mkdirSync(path),
  };
  for (const [what, plant] of Object.entries(planted)) {
    plant();
    const before = JSON.stringify(Deno.lstatSync(path));
    assertMatch(await refused(rig, flags), new RegExp(`${what} is there, and no socket`));
    assertEquals(JSON.stringify(Deno.lstatSync(path)), before, what);
    Deno.removeSync(path);
  }
  // A link to a socket is a link.
  await using second = await makeRig();
  const real = listening(second);
  await second.publish(real.flags).said("start");
  Deno.symlinkSync(real.path, path);
  assertMatch(await refused(rig, flags), /a symbolic link is there/);
  assertEquals(await Deno.readTextFile(other), "precious");
});

Deno.test({
  name: "socket of another user, and a folder where others may write, are refused (I4; needs root)",
  ignore: !isRoot,
  async fn() {
    await using rig = await makeRig();
    const { path, flags } = listening(rig);
    const left = rig.publish(flags);
    await left.said("start");
    left.signal("SIGKILL");
    await left.code;
    Deno.chownSync(path, 12345, 12345);
    assertMatch(await refused(rig, flags), /it belongs to user 12345/);
    Deno.removeSync(path);
    const open = `${rig.folder}/open`;
    Deno.mkdirSync(open);
    Deno.chmodSync(open, 0o777);
    const args = ["doctor", "--offline", "--json", ...rig.flags, "--listen", `${open}/in.sock`];
    const grants = testGrants(args, { cwd: rig.folder });
    // The grants of a publisher let nothing be seen of the folder: `deno task publish` looks at it.
    const report = rig.run(args, { grants: { ...grants, read: [...grants.read, rig.folder] } });
    await report.code;
    const { checks } = JSON.parse(report.out.join(""));
    const { status, saw, hint } = checks.find(({ name }: { name: string }) => name === "listen");
    assertEquals(status, "fail");
    assertMatch(saw, /others may replace it or put files beside it/);
    assert(hint);
  },
});

Deno.test("socket path that is relative, too long or without its folder is refused", async () => {
  await using rig = await makeRig();
  assertMatch(await refused(rig, ["--listen", "in.sock"], 78), /listen: must be an absolute path/);
  const long = `/${"x".repeat(107)}`;
  assertMatch(await refused(rig, ["--listen", long], 78), /listen: must be at most 107 bytes/);
  const said = await refused(rig, ["--listen", `${rig.folder}/none/in.sock`]);
  assertMatch(said, /hint: .*directory/);
});

Deno.test({
  name: "socket with a group is open to its members, and to nobody else (I4; needs root)",
  ignore: !isRoot || !hasProgram("setpriv") || !hasProgram("socat"),
  async fn() {
    await using rig = await makeRig();
    const { path, flags } = listening(rig);
    await rig.publish(flags).said("start");
    Deno.chownSync(path, 0, 12345);
    Deno.chmodSync(rig.folder, 0o755);
    const connect = (group: string) =>
      new Deno.Command("setpriv", {
        args: [
          "--reuid",
          "12346",
          "--regid",
          group,
          "--clear-groups",
          "socat",
          "-t5",
          "-",
          `UNIX-CONNECT:${path}`,
        ],
        stdin: "piped",
        stdout: "piped",
        stderr: "null",
      }).spawn();
    for (const [group, answer] of [["12345", '{"ok":true,"seq":1}\n'], ["12346", ""]] as const) {
      const child = connect(group);
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode("hello\n")).catch(() => {});
      await writer.close().catch(() => {});
      const { stdout } = await child.output();
      assertEquals(new TextDecoder().decode(stdout), answer);
    }
  },
});

/** Makes a socket as systemd does, and runs a command with it as descriptor 3. */
const ACTIVATE = `import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[2])
os.execvp(sys.argv[3], sys.argv[3:])`;

function activated(path: string, fds = "1"): string[] {
  return ["python3", "-c", ACTIVATE, path, fds];
}

Deno.test({
  name: "socket that systemd hands over is taken without a grant, and left where it is (I5)",
  ignore: !hasProgram("python3"),
  async fn() {
    await using rig = await makeRig();
    const path = `${rig.folder}/in.sock`;
    const flags = ["--listen", "systemd", "--source", "none"];
    const run = rig.publish(flags, { within: activated(path) });
    // One that connects before the program runs waits for it.
    let client: Awaited<ReturnType<typeof handIn>> | undefined;
    while (client === undefined) client = await handIn(path).catch(() => undefined);
    using _closed = client;
    await client.write("early\n");
    assertEquals(seqsIn(await client.receipts(1)), [1]);
    assertEquals((await run.said("start")).listen, "systemd");
    run.signal();
    assertEquals(await run.code, 0);
    assert(Deno.lstatSync(path).isSocket, "it is systemd's");
    const two = rig.publish(flags, { within: activated(`${path}2`, "2") });
    assertEquals(await two.code, 73);
    assertMatch(two.errors.join("\n"), /systemd handed over "2" sockets/);
    assertMatch(await refused(rig, flags), /systemd handed none to this process/);
    assertMatch(
      await refused(rig, [...flags, "--listen-mode", "0600"], 78),
      /listenMode: must not be given with listen systemd/,
    );
  },
});

Deno.test("publisher that takes lines opens one socket, and no port (I4)", async () => {
  await using rig = await makeRig();
  const { path, flags } = listening(rig);
  const run = rig.publish(flags);
  await run.said("connected");
  const own = new Set(
    [...Deno.readDirSync(`/proc/${run.pid}/fd`)].map(({ name }) => {
      try {
        return Deno.readLinkSync(`/proc/${run.pid}/fd/${name}`);
      } catch {
        return "";
      }
    }),
  );
  const table = (name: string) => Deno.readTextFileSync(`/proc/${run.pid}/net/${name}`).split("\n");
  const listens = ["tcp", "tcp6", "udp", "udp6"].flatMap(table).map((line) =>
    line.trim().split(/\s+/)
  )
    .filter(([, , , state, , , , , , inode]) => state === "0A" && own.has(`socket:[${inode}]`));
  assertEquals(listens, []);
  const sockets = table("unix").map((line) => line.split(/\s+/))
    .filter(([, , , , , , inode]) => own.has(`socket:[${inode}]`)).map((fields) => fields[7]);
  assertEquals(sockets.filter((name) => name !== undefined && name !== ""), [path]);
  assertEquals(seqsIn(await handInAll(path, "x\n")), [1]);
  await rig.endpoint.waitFor(1);
  assertEquals(seqsOf(rig.endpoint.received), range(1, 1));
});
