/** Small disks below a state directory, for tests of what full ones do: file systems that root mounts. */

import { mountAt, mountMemory, succeeds } from "./mounting.ts";
import type { Line, Rig, Run } from "./publishing.ts";

/** Puts a disk where the state directory goes. */
export type Disk = (rig: Rig) => Disposable;

const PAD = "x".repeat(500);

/** A file system in memory. */
export function memory(size: string): Disk {
  return (rig) => mountMemory(stateOf(rig), size);
}

/** An ext4 in a file, of so many KiB. */
export function ext4(options: readonly string[], kib = 2048): Disk {
  return (rig) => {
    const image = makeImage(rig, kib, "ext4", "-q", "-F", "-m", "0", ...options);
    const mount = mountAt(stateOf(rig), "-o", "loop", image);
    Deno.removeSync(`${stateOf(rig)}/lost+found`);
    Deno.chmodSync(stateOf(rig), 0o700);
    return mount;
  };
}

/** Another file system in a file, of so many MiB: xfs and btrfs want some hundreds. */
export function inImage(type: "xfs" | "btrfs", mib: number): Disk {
  return (rig) => {
    const mount = mountAt(stateOf(rig), "-o", "loop", makeImage(rig, mib * 1024, type, "-q"));
    Deno.chmodSync(stateOf(rig), 0o700);
    return mount;
  };
}

/** An ext4 that a program in user space serves. */
export function fuse(rig: Rig): Disposable {
  const image = makeImage(rig, 12 * 1024, "ext4", "-q", "-F", "-m", "0");
  Deno.mkdirSync(stateOf(rig), { mode: 0o700 });
  if (!succeeds("fuse2fs", image, stateOf(rig), "-o", "rw")) throw new Error("fuse2fs");
  Deno.removeSync(`${stateOf(rig)}/lost+found`);
  Deno.chmodSync(stateOf(rig), 0o700);
  return { [Symbol.dispose]: () => void succeeds("umount", stateOf(rig)) };
}

/** An exFAT, which has no modes, no owners and no links, as a memory card of the shop. */
export function exfat(rig: Rig): Disposable {
  const image = makeImage(rig, 8 * 1024, "exfat");
  const { stdout } = new Deno.Command("losetup", { args: ["--show", "-f", image] }).outputSync();
  const device = new TextDecoder().decode(stdout).trim();
  Deno.mkdirSync(stateOf(rig), { mode: 0o700 });
  if (!succeeds("mount.exfat-fuse", device, stateOf(rig), "-o", "umask=0077")) {
    throw new Error("mount.exfat-fuse");
  }
  return {
    [Symbol.dispose]() {
      succeeds("umount", stateOf(rig));
      succeeds("losetup", "-d", device);
    },
  };
}

/** Changes in memory over a disk that is read only, as on images of small boards. */
export function overlay(rig: Rig): Disposable {
  const layers = mountMemory(`${rig.folder}/layers`, "2m");
  for (const name of ["lower", "upper", "work"]) Deno.mkdirSync(`${rig.folder}/layers/${name}`);
  const options = ["lower", "upper", "work"]
    .map((name) => `${name}dir=${rig.folder}/layers/${name}`).join();
  const mount = mountAt(stateOf(rig), "-t", "overlay", "-o", options, "overlay");
  Deno.chmodSync(stateOf(rig), 0o700);
  return {
    [Symbol.dispose]() {
      mount[Symbol.dispose]();
      layers[Symbol.dispose]();
    },
  };
}

/** Fills a disk to its last block. */
export function fill(state: string): void {
  using file = Deno.openSync(`${state}/other`, { write: true, createNew: true });
  for (const size of [1024 * 1024, 1024]) {
    try {
      for (const block = new Uint8Array(size);;) file.writeSync(block);
    } catch { /* it is full */ }
  }
  try {
    file.syncSync();
  } catch { /* it is full */ }
}

/** Whether a line of the log says that the disk takes no more. */
export const inMemory = ({ cause }: Line): boolean => /wait in memory/.test(String(cause));

/** Whether a line of the log says that the disk takes messages again. */
export const isHealed = ({ level, cause }: Line): boolean =>
  level === "info" && cause !== undefined;

/** Puts so many lines more; settles with how many there were in all once they are queued. */
export function feeder(
  run: Run,
  write: (line: string) => void,
): (messages: number) => Promise<number> {
  let sent = 0;
  const queued = () =>
    run.log.filter(({ event, level }) => event === "queued" && level === "debug")
      .reduce((sum, { messages }) => sum + Number(messages), 0);
  return async (messages) => {
    for (let n = 0; n < messages; n++) write(JSON.stringify({ n: ++sent, pad: PAD }));
    await run.until(() => queued() >= sent, `${sent} messages in the queue`);
    return sent;
  };
}

/** What the command `queue` counts. */
export async function countsOf(rig: Rig): Promise<Record<string, number>> {
  const run = rig.run(["queue", "--json", "--state", stateOf(rig)]);
  const code = await run.code;
  if (code !== 0) throw new Error(run.errors.join("\n"));
  return JSON.parse(run.out.join(""));
}

function stateOf(rig: Rig): string {
  return `${rig.folder}/state`;
}

/** Makes a file system in a file. */
function makeImage(rig: Rig, kib: number, type: string, ...options: string[]): string {
  const image = `${rig.folder}/disk`;
  using file = Deno.openSync(image, { write: true, createNew: true });
  file.truncateSync(kib * 1024);
  if (!succeeds(`mkfs.${type}`, ...options, image)) throw new Error(`mkfs.${type}`);
  return image;
}
