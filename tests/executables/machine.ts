/**
 * A machine of its own for a service: a real systemd as the first process of namespaces, on an overlay over this
 * machine's files, with no units but those given. The network is this machine's, so an endpoint of the test is at hand.
 *
 * What it writes is in memory, and gone with it; its cgroup is removed. It leaves out what a container lacks: booting,
 * the journal, D-Bus.
 */

import { hasProgram, isRoot } from "../queueing.ts";

const SYSTEMD = "/lib/systemd/systemd";

/** Whether such a machine can run here. */
export const canBoot: boolean = isRoot && cgroups() !== undefined &&
  ["unshare", "nsenter", "systemctl"].every(hasProgram) && isThere(SYSTEMD) &&
  Deno.readTextFileSync("/proc/filesystems").includes("overlay");

/** A running machine. */
export interface Machine extends AsyncDisposable {
  /** Runs a command in it; returns what it printed. @throws {Error} If it fails, with its words. */
  run(...command: readonly string[]): Promise<string>;
  /** Where its root directory is seen from here. */
  readonly root: string;
}

/** What a machine is made of. */
export interface MachineOptions {
  /** A folder of this test, for what the machine is made from. */
  readonly folder: string;
  /** A directory whose files lie over those of this machine. */
  readonly files: string;
  /** Files of this machine that are seen there: place → file. */
  readonly mounts?: Readonly<Record<string, string>>;
}

/** Where the machine's units go, in `files`. */
export const UNITS = "/etc/systemd/machine";

/** How long the machine may take to come up, and a command in it to end. */
const DEADLINE_MS = 60_000;

/**
 * $1: a directory to mount at, $2: the files, and then PLACE FILE again and again. /proc/sys is not to be written: it
 * is this machine's.
 */
const BOOT = `set -e
at=$1 files=$2
shift 2
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$at"
mkdir "$at/upper" "$at/work" "$at/root"
cp -a "$files/." "$at/upper/"
root=$at/root
mount -t overlay -o "lowerdir=/,upperdir=$at/upper,workdir=$at/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
  : > "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s pts/ptmx "$root/dev/ptmx"
while [ $# -gt 0 ]; do
  mkdir -p "$root\${1%/*}"
  : > "$root$1"
  mount --bind "$2" "$root$1"
  shift 2
done
mkdir "$root/run/old"
cd "$root"
pivot_root . run/old
umount -l /run/old
rmdir /run/old
mount --make-rshared /
exec env -i container=test "NOTIFY_SOCKET=$NOTIFY_SOCKET" SYSTEMD_UNIT_PATH=${UNITS} \\
  SYSTEMD_LOG_TARGET=null ${SYSTEMD} --system --unit=machine.target
`;

/** Targets that units name, and that a machine without services needs as names alone. */
const TARGETS = ["machine", "sysinit", "basic", "shutdown", "multi-user", "network-online"];

/** Boots a machine. */
export async function boot({ folder, files, mounts = {} }: MachineOptions): Promise<Machine> {
  await using cleanup = new AsyncDisposableStack();
  await Deno.mkdir(`${files}${UNITS}`, { recursive: true });
  for (const name of [...TARGETS, "time-sync"]) {
    const path = `${files}${UNITS}/${name}.target`;
    await Deno.writeTextFile(path, `[Unit]\nDefaultDependencies=no\nDescription=${name}\n`);
  }
  const at = `${folder}/machine`;
  await Deno.mkdir(at);
  const cgroup = `${cgroups()}/mqtt443-test-${crypto.randomUUID()}`;
  await Deno.mkdir(cgroup);
  cleanup.defer(() => removeCgroup(cgroup));

  const name = `mqtt443-test-${crypto.randomUUID()}`;
  const manager = Deno.listenDatagram({ transport: "unixpacket", path: `\0${name}` });
  const unshare =
    'unshare --fork --kill-child --pid --mount --cgroup --uts --ipc sh -c "$BOOT" boot';
  const process = new Deno.Command("sh", {
    args: [
      ...["-c", `echo $$ > "$CGROUP/cgroup.procs" && exec ${unshare} "$@"`, "sh"],
      ...[at, files, ...Object.entries(mounts).flat()],
    ],
    env: { BOOT, CGROUP: cgroup, NOTIFY_SOCKET: `@${name}` },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const words = new Response(process.stderr).text();
  cleanup.defer(async () => {
    // It may be gone already.
    try {
      process.kill("SIGKILL");
    } catch { /* it is */ }
    await process.status;
    await words;
  });
  const isUp = (async () => {
    for await (const [bytes] of manager) {
      if (new TextDecoder().decode(bytes).includes("READY=1")) return;
    }
  })();
  const isOver = Promise.race([isUp, process.status]);
  await within(isOver, "the machine to come up").finally(() => manager.close());
  if (await isOver !== undefined) throw new Error(`The machine ended: ${await words}`);
  const children = `/proc/${process.pid}/task/${process.pid}/children`;
  const init = Deno.readTextFileSync(children).trim();
  const disposal = cleanup.move();
  return {
    root: `/proc/${init}/root`,
    async run(...command) {
      const child = new Deno.Command("nsenter", {
        args: ["--target", init, "--all", ...command],
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const output = child.output();
      try {
        const { code, stdout, stderr } = await within(output, command.join(" "));
        const text = new TextDecoder();
        if (code === 0) return text.decode(stdout);
        throw new Error(
          `${command.join(" ")}: ${code}: ${text.decode(stdout)}${text.decode(stderr)}`,
        );
      } catch (error) {
        try {
          child.kill("SIGKILL");
        } catch { /* it has ended */ }
        await output;
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`In vain: ${what}`)), DEADLINE_MS);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Where the second version of cgroups is mounted. */
function cgroups(): string | undefined {
  return Deno.readTextFileSync("/proc/self/mounts").split("\n").map((line) => line.split(" "))
    .find(([, , type, options]) => type === "cgroup2" && options?.startsWith("rw"))?.[1];
}

/** Removes it and those in it; the kernel may take a moment to let go of the last process. */
async function removeCgroup(path: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (Deno.readTextFileSync(`${path}/cgroup.events`).includes("populated 0")) break;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  const remove = (folder: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(folder)) {
      if (isDirectory) remove(`${folder}/${name}`);
    }
    // Not Deno.removeSync(…, { recursive }): the files in it cannot be removed, and need not be.
    Deno.removeSync(folder);
  };
  remove(path);
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
