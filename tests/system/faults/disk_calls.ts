/**
 * What a process did to files, as `strace` saw it: the calls that change them or sync them, in their order.
 *
 * Only calls that succeeded are told, at their end; a write to standard error at its beginning, when what it says was
 * decided. Descriptors are resolved to paths here.
 */

/** A call, with the time it was seen, in ms since the epoch. */
export type DiskCall = { readonly timeMs: number } & DiskChange;

/** What a call did. */
export type DiskChange =
  | {
    readonly kind: "open";
    readonly path: string;
    readonly create: boolean;
    readonly truncate: boolean;
  }
  | {
    readonly kind: "write";
    readonly path: string;
    readonly offset: number;
    readonly bytes: Uint8Array;
  }
  | { readonly kind: "truncate"; readonly path: string; readonly length: number }
  | { readonly kind: "sync"; readonly path: string }
  | { readonly kind: "rename"; readonly path: string; readonly to: string }
  | { readonly kind: "unlink" | "mkdir"; readonly path: string }
  | { readonly kind: "say"; readonly text: string };

/** The command that traces a program into a file. */
export function tracing(file: string): string[] {
  const calls = [
    ...["openat", "creat", "close", "lseek", "write", "pwrite64", "writev", "pwritev", "pwritev2"],
    ...["fsync", "fdatasync", "sync_file_range", "ftruncate", "truncate", "fallocate"],
    ...[
      "rename",
      "renameat",
      "renameat2",
      "unlink",
      "unlinkat",
      "link",
      "linkat",
      "mkdir",
      "mkdirat",
    ],
  ];
  const forms = ["-f", "--seccomp-bpf", "-qq", "-ttt", "-xx", "-s", "70000"];
  return ["strace", ...forms, "-e", `trace=${calls}`, "-e", "signal=none", "-o", file];
}

/** Reads a trace; calls on files outside of `root` are left out. */
export function parseTrace(trace: string, root: string): DiskCall[] {
  const calls: DiskCall[] = [];
  const isInside = (path: string) => path === root || path.startsWith(`${root}/`);
  /** Path and offset of each descriptor of a file inside. */
  const open = new Map<number, { path: string; offset: number }>();
  const unfinished = new Map<string, string>();

  const finished = (timeMs: number, name: string, args: string, result: number) => {
    const add = (change: DiskChange) => void calls.push({ timeMs, ...change });
    const strings = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex]) => hex!);
    const [path, to] = strings.map(textOf);
    const file = open.get(Number.parseInt(args));
    switch (name) {
      case "openat": {
        if (path === undefined || !isInside(path)) return;
        open.set(result, { path, offset: 0 });
        const has = (flag: string) => args.includes(flag);
        return add({ kind: "open", path, create: has("O_CREAT"), truncate: has("O_TRUNC") });
      }
      case "close":
        return void open.delete(Number.parseInt(args));
      case "lseek":
        if (file) file.offset = result;
        return;
      case "write":
      case "pwrite64": {
        if (!file) return;
        const bytes = bytesOf(strings[0]!).subarray(0, result);
        const offset = name === "write" ? file.offset : Number(/, (\d+)$/.exec(args)![1]);
        if (name === "write") file.offset += result;
        return add({ kind: "write", path: file.path, offset, bytes });
      }
      case "fsync":
      case "fdatasync":
        return file && add({ kind: "sync", path: file.path });
      case "ftruncate":
        return file &&
          add({ kind: "truncate", path: file.path, length: Number(/, (\d+)$/.exec(args)![1]) });
      case "rename":
      case "renameat":
      case "renameat2":
        return isInside(path!) ? add({ kind: "rename", path: path!, to: to! }) : undefined;
      case "unlink":
      case "unlinkat":
        return isInside(path!) ? add({ kind: "unlink", path: path! }) : undefined;
      case "mkdir":
      case "mkdirat":
        return isInside(path!) ? add({ kind: "mkdir", path: path! }) : undefined;
      default:
        if (file || (path !== undefined && isInside(path))) {
          throw new Error(
            `The model of a disk does not know the call ${name}(${args.slice(0, 200)})`,
          );
        }
    }
  };

  for (const line of trace.split("\n")) {
    const [, pid, time, rest] = /^(\d+) +([\d.]+) (.*)$/.exec(line) ?? [];
    if (rest === undefined) continue;
    const timeMs = Number(time) * 1000;
    const [, said] = /^write\(2, "((?:\\x[0-9a-f]{2})*)"/.exec(rest) ?? [];
    if (said !== undefined) {
      calls.push({ timeMs, kind: "say", text: textOf(said) });
      continue;
    }
    const begun = / <unfinished \.\.\.>$/.exec(rest);
    if (begun) {
      unfinished.set(pid!, rest.slice(0, begun.index));
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>/.exec(rest);
    const whole = resumed ? unfinished.get(pid!)! + rest.slice(resumed[0].length) : rest;
    const [, name, args, result] = /^(\w+)\((.*)\) += (\d+)/.exec(whole) ?? [];
    if (name !== undefined) finished(timeMs, name, args!, Number(result));
  }
  return calls;
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(hex.replaceAll("\\x", ""));
}

function textOf(hex: string): string {
  return new TextDecoder().decode(bytesOf(hex));
}
