/**
 * A machine of its own for a service: a real systemd as the first process of namespaces, on an overlay over this
 * machine's files, with no units but those given; or over the files of another Debian, with all of its units. The network
 * is this machine's, so an endpoint of the test is at hand.
 *
 * What it writes is in memory, and gone with it; its cgroup is removed. It leaves out what a container lacks: booting,
 * the journal, D-Bus.
 */

import { hasProgram, isRoot } from "../../support/queueing.ts";

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
  /** The root directory of another system, which is not written to. @default this machine's, without its units */
  readonly base?: string;
  /** Files of this machine that are seen there: place → file. */
  readonly mounts?: Readonly<Record<string, string>>;
}

/** Where the machine's units go, in `files`. */
export const UNITS = "/etc/systemd/system";

/** Seconds that the machine may take to come up, and a command in it to end. */
const DEADLINE_S = 40;

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
mount -t overlay -o "lowerdir=$BASE,upperdir=$at/upper,workdir=$at/work" overlay "$root"
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
exec env -i container=test "NOTIFY_SOCKET=$NOTIFY_SOCKET" $SETTINGS \\
  SYSTEMD_LOG_TARGET=null ${SYSTEMD} --system --unit=$TARGET
`;

/** Targets that units name, and that a machine without services needs as names alone. */
const TARGETS = [
  "machine",
  "sysinit",
  "basic",
  "shutdown",
  "multi-user",
  "network-online",
  "time-sync",
];

/**
 * Runs BOOT in namespaces and a cgroup of its own, until its input ends or the machine does; then takes both away. So
 * nothing is left when the test is killed.
 */
const KEEP = `exec 3<&0
mkdir "$CGROUP" || exit
sh -c 'echo $$ > "$CGROUP/cgroup.procs" && exec unshare --fork --kill-child \\
  --pid --mount --cgroup --uts --ipc sh -c "$BOOT" boot "$@"' sh "$@" 3<&- &
machine=$!
( cat <&3 > /dev/null; kill -KILL $machine ) 2> /dev/null &
wait $machine
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  find "$CGROUP" -depth -type d -exec rmdir {} + 2> /dev/null && break
  sleep 0.1
done
kill $!
`;

/** Boots a machine. */
export async function boot(
  { folder, files, base, mounts = {} }: MachineOptions,
): Promise<Machine> {
  await Deno.mkdir(`${files}${UNITS}`, { recursive: true });
  for (const name of base === undefined ? TARGETS : []) {
    const path = `${files}${UNITS}/${name}.target`;
    await Deno.writeTextFile(path, `[Unit]\nDefaultDependencies=no\nDescription=${name}\n`);
  }
  const at = `${folder}/machine`;
  await Deno.mkdir(at);
  const name = `mqtt443-test-${crypto.randomUUID()}`;
  const cgroup = `${cgroups()}/${name}`;
  const manager = Deno.listenDatagram({ transport: "unixpacket", path: `\0${name}` });
  const keeper = new Deno.Command("sh", {
    args: ["-c", KEEP, "sh", at, files, ...Object.entries(mounts).flat()],
    env: {
      ...{ BOOT, CGROUP: cgroup, NOTIFY_SOCKET: `@${name}`, BASE: base ?? "/" },
      ...(base === undefined
        ? { TARGET: "machine.target", SETTINGS: `SYSTEMD_UNIT_PATH=${UNITS}` }
        : { TARGET: "multi-user.target", SETTINGS: "" }),
    },
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const words = new Response(keeper.stderr).text();
  const end = async () => {
    await keeper.stdin.close().catch(() => {});
    await keeper.status;
    return await words;
  };
  const isUp = (async () => {
    for await (const [bytes] of manager) {
      if (new TextDecoder().decode(bytes).includes("READY=1")) return true;
    }
    return false;
  })();
  const timer = setTimeout(() => manager.close(), DEADLINE_S * 1000);
  const isOver = await Promise.race([isUp, keeper.status.then(() => false)]);
  clearTimeout(timer);
  try {
    manager.close();
  } catch { /* it came too late */ }
  await isUp;
  if (!isOver) throw new Error(`The machine did not come up: ${await end()}`);
  const [init] = Deno.readTextFileSync(`${cgroup}/init.scope/cgroup.procs`).split("\n");
  return {
    root: `/proc/${init}/root`,
    async run(...command) {
      // The timeout is in there: ended from outside, a command would leave its children behind.
      const limit = ["timeout", "--kill-after=1", String(DEADLINE_S)];
      const { code, stdout, stderr } = await new Deno.Command("nsenter", {
        args: ["--target", init!, "--all", ...limit, ...command],
        stdin: "null",
        // A new machine knows no variables of this one.
        clearEnv: true,
        env: { PATH: "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
      }).output();
      const text = new TextDecoder();
      if (code === 0) return text.decode(stdout);
      const said = `${text.decode(stdout)}${text.decode(stderr)}`;
      throw new Error(`${command.join(" ")}: ${code}: ${said}`);
    },
    [Symbol.asyncDispose]: async () => void await end(),
  };
}

/** Where the second version of cgroups is mounted. */
function cgroups(): string | undefined {
  return Deno.readTextFileSync("/proc/self/mounts").split("\n").map((line) => line.split(" "))
    .find(([, , type, options]) => type === "cgroup2" && options?.startsWith("rw"))?.[1];
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
