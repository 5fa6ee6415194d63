/**
 * A disk that forgets what was not synced: replays what a process did to files, and makes what a power cut at any point
 * could leave of them.
 *
 * It promises no more than POSIX does. A file's bytes are sure after its own sync, its name after the sync of its
 * directory. What was not synced is there wholly, in part, in any order, or not at all; a write is torn between sectors
 * of 512 bytes; a file may have grown without what it grew by. Each change of names happens wholly or not, as journals
 * make it.
 */

import type { DiskChange } from "./disk_calls.ts";

/** What a cut does with what was not synced. */
export const MANNERS = ["nothing", "all", "the first", "some", "pieces"] as const;
export type Manner = typeof MANNERS[number];

const SECTOR = 512;
/** No file grows beyond. */
const MOST_BYTES = 256 * 1024 ** 2;

type Node = File | Directory;

interface Write {
  readonly order: number;
  /** Absent for a change of length. */
  readonly bytes?: Uint8Array;
  /** Where; or the new length. */
  readonly offset: number;
}

/** Bytes that are changed in place, and can become more. */
class Bytes {
  readonly #buffer: ArrayBuffer;

  constructor(bytes: Uint8Array = new Uint8Array()) {
    this.#buffer = new ArrayBuffer(bytes.length, { maxByteLength: MOST_BYTES });
    new Uint8Array(this.#buffer).set(bytes);
  }

  /** Does what a write did; of its sectors, those alone that are chosen. */
  apply({ bytes, offset }: Write, isChosen: () => boolean = () => true): void {
    if (bytes === undefined) return this.#buffer.resize(offset);
    const end = offset + bytes.length;
    if (end > this.#buffer.byteLength) this.#buffer.resize(end);
    for (let at = offset; at < end;) {
      const next = Math.min(end, (Math.floor(at / SECTOR) + 1) * SECTOR);
      const part = bytes.subarray(at - offset, next - offset);
      if (isChosen()) new Uint8Array(this.#buffer).set(part, at);
      at = next;
    }
  }

  copy(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#buffer.slice());
  }
}

class File {
  readonly synced: Bytes;
  pending: Write[] = [];

  constructor(bytes?: Uint8Array) {
    this.synced = new Bytes(bytes);
  }

  sync(): void {
    for (const write of this.pending) this.synced.apply(write);
    this.pending = [];
  }

  /** What is there with some of what was not synced. */
  with(writes: readonly Write[], isChosen?: () => boolean): Uint8Array<ArrayBuffer> {
    const bytes = new Bytes(this.synced.copy());
    for (const write of writes) bytes.apply(write, isChosen);
    return bytes.copy();
  }
}

/** A change of names: each gets that node, or none. */
interface Naming {
  readonly order: number;
  readonly names: ReadonlyMap<string, Node | undefined>;
}

class Directory {
  readonly names = new Map<string, Node>();
  readonly synced = new Map<string, Node>();
  pending: Naming[] = [];

  change(order: number, names: ReadonlyMap<string, Node | undefined>): void {
    apply(this.names, names);
    this.pending.push({ order, names });
  }

  sync(): void {
    for (const { names } of this.pending) apply(this.synced, names);
    this.pending = [];
  }
}

/** A directory and all below it. */
export class DiskModel {
  readonly #root: string;
  readonly #top = new Directory();
  #order = 0;

  /** Begins with what is in a directory now, all of it synced. */
  constructor(root: string) {
    this.#root = root;
    load(root, this.#top);
  }

  /** Does what a call did. */
  apply(change: DiskChange): void {
    if (change.kind === "say") return;
    const order = ++this.#order;
    const { parent, name } = this.#place(change.path);
    const node = parent?.names.get(name) ?? (name === "" ? this.#top : undefined);
    switch (change.kind) {
      case "open": {
        if (node === undefined && change.create) {
          parent!.change(order, new Map([[name, new File()]]));
        }
        if (node instanceof File && change.truncate) node.pending.push({ order, offset: 0 });
        return;
      }
      case "mkdir":
        return parent!.change(order, new Map([[name, new Directory()]]));
      case "write":
        // A file may still be written to after its name is gone.
        if (node instanceof File) {
          node.pending.push({ order, offset: change.offset, bytes: change.bytes });
        }
        return;
      case "truncate":
        if (node instanceof File) node.pending.push({ order, offset: change.length });
        return;
      case "sync":
        return node?.sync();
      case "unlink":
        return parent!.change(order, new Map([[name, undefined]]));
      case "rename": {
        const to = this.#place(change.to);
        if (to.parent !== parent) throw new Error("A name moved to another directory");
        return parent!.change(order, new Map([[name, undefined], [to.name, node]]));
      }
    }
  }

  /** Paths that a cut could harm: bytes or names not synced, but for names that hold nothing anybody would miss. */
  unsynced(spare: readonly string[] = []): string[] {
    const isPending = (node: Node) =>
      node instanceof File
        ? node.pending.length > 0
        : node.pending.some(({ names }) => names.keys().some((name) => !spare.includes(name)));
    return walk(this.#top, "").flatMap(([path, node]) => isPending(node) ? [path] : []);
  }

  /** The bytes of a file while the power is on. */
  bytesNow(path: string): Uint8Array | undefined {
    const { parent, name } = this.#place(path);
    const node = parent?.names.get(name);
    return node instanceof File ? node.with(node.pending) : undefined;
  }

  /** Writes what a cut now could leave into an empty directory. */
  cut(into: string, manner: Manner, random: () => number): void {
    const isKept = keeper(manner, random, this.#order);
    const write = (directory: Directory, path: string) => {
      const names = new Map(directory.synced);
      for (const naming of directory.pending) if (isKept(naming)) apply(names, naming.names);
      for (const [name, node] of names) {
        const below = `${path}/${name}`;
        if (node instanceof Directory) {
          Deno.mkdirSync(below, { mode: 0o700 });
          write(node, below);
          continue;
        }
        const isChosen = manner === "pieces" ? () => random() < 0.5 : undefined;
        const bytes = node.with(node.pending.filter(isKept), isChosen);
        Deno.writeFileSync(below, bytes, { mode: 0o600 });
      }
    };
    write(this.#top, into);
  }

  #place(path: string): { parent: Directory | undefined; name: string } {
    const parts = path.slice(this.#root.length + 1).split("/");
    const name = parts.pop()!;
    let parent: Node | undefined = this.#top;
    for (const part of parts) {
      parent = parent instanceof Directory ? parent.names.get(part) : undefined;
    }
    return { parent: parent instanceof Directory ? parent : undefined, name };
  }
}

/** Decides which unsynced changes a cut leaves. */
function keeper(
  manner: Manner,
  random: () => number,
  last: number,
): (change: { readonly order: number }) => boolean {
  const until = last - Math.floor(random() * random() * 40);
  return ({ order }) =>
    manner === "nothing"
      ? false
      : manner === "all"
      ? true
      : manner === "the first"
      ? order <= until
      : random() < 0.5;
}

function apply(names: Map<string, Node>, changes: ReadonlyMap<string, Node | undefined>): void {
  for (const [name, node] of changes) {
    if (node === undefined) names.delete(name);
    else names.set(name, node);
  }
}

function load(path: string, directory: Directory): void {
  for (const { name, isDirectory } of Deno.readDirSync(path)) {
    const below = `${path}/${name}`;
    const node = isDirectory ? new Directory() : new File(Deno.readFileSync(below));
    if (node instanceof Directory) load(below, node);
    directory.names.set(name, node);
    directory.synced.set(name, node);
  }
}

function walk(directory: Directory, path: string): [string, Node][] {
  return [
    [path || "/", directory],
    ...[...directory.names].flatMap(([name, node]): [string, Node][] =>
      node instanceof Directory ? walk(node, `${path}/${name}`) : [[`${path}/${name}`, node]]
    ),
  ];
}
