/** What `/proc` says of a process, and ending one in bounded time. */

/** Milliseconds after which a child that should have ended is killed. */
const KILL_AFTER_MS = 60_000;
/** Clock ticks a second in `/proc/PID/stat`: the same on every Linux that Deno runs on. */
const TICKS_PER_S = 100;

/** Memory of a process, in MiB. */
export interface Memory {
  readonly rss: number;
  /** What nobody else uses: what a second process would need again. */
  readonly private: number;
}

/** Memory of a process now. */
export async function memoryOf(pid: number): Promise<Memory> {
  const text = await Deno.readTextFile(`/proc/${pid}/smaps_rollup`);
  return {
    rss: kib(text, "Rss") / 1024,
    private: (kib(text, "Private_Clean") + kib(text, "Private_Dirty")) / 1024,
  };
}

/** Most memory a process has had at once, in MiB. */
export async function peakOf(pid: number | "self"): Promise<number> {
  return kib(await Deno.readTextFile(`/proc/${pid}/status`), "VmHWM") / 1024;
}

/** What of its memory now is pages of files, which the system can drop and read again, in MiB. */
export async function fileOf(pid: number | "self"): Promise<number> {
  return kib(await Deno.readTextFile(`/proc/${pid}/status`), "RssFile") / 1024;
}

/** Memory of a process now, in KiB. */
export function rssKib(pid: number): number {
  return kib(Deno.readTextFileSync(`/proc/${pid}/status`), "VmRSS");
}

/** How many file descriptors a process has open. */
export function openFiles(pid: number | "self" = "self"): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}

/** Milliseconds of CPU a process has used. */
export async function cpuMsOf(pid: number | "self"): Promise<number> {
  const text = await Deno.readTextFile(`/proc/${pid}/stat`);
  // The name, in parentheses, may hold spaces; user and system time are fields 14 and 15.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 1000 / TICKS_PER_S;
}

/** What the threads of a process have used so far, by their ids. */
export type Threads = ReadonlyMap<string, {
  readonly cpuMs: number;
  /** How often it has gone to sleep by itself: so often it was woken. */
  readonly wakeups: number;
}>;

/** The threads that a process has now: finer than {@linkcode cpuMsOf}. */
export function threadsOf(pid: number): Threads {
  const read = (id: string, file: string) =>
    Deno.readTextFileSync(`/proc/${pid}/task/${id}/${file}`);
  return new Map(
    [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name: id }) => [id, {
      cpuMs: Number(read(id, "schedstat").split(" ")[0]) / 1e6,
      wakeups: Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(read(id, "status"))?.[1] ?? NaN),
    }]),
  );
}

/** What threads have used between two looks; what one did that has ended since is not known. */
export function gainOf(
  before: Threads,
  after: Threads,
): { readonly cpuMs: number; readonly wakeups: number } {
  const gain = { cpuMs: 0, wakeups: 0 };
  for (const [id, { cpuMs, wakeups }] of after) {
    gain.cpuMs += cpuMs - (before.get(id)?.cpuMs ?? 0);
    gain.wakeups += wakeups - (before.get(id)?.wakeups ?? 0);
  }
  return gain;
}

/** What children of a process had used by their end. A difference around one child is what that one used. */
export function usedByChildren(
  pid: number | "self" = "self",
): { readonly cpuMs: number; readonly writtenBytes: number } {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    cpuMs: (Number(fields[13]) + Number(fields[14])) * 1000 / TICKS_PER_S,
    // Its own too, with that of a child added when it is waited for.
    writtenBytes: writtenBytesOf(pid),
  };
}

/** Bytes that a process has caused to be written to disk. */
export function writtenBytesOf(pid: number | "self"): number {
  const text = Deno.readTextFileSync(`/proc/${pid}/io`);
  return Number(/^write_bytes: (\d+)/m.exec(text)?.[1] ?? NaN);
}

/** Waits for a child to end; kills it when that takes too long, or when `forMs` have passed. */
export async function endOf(child: Deno.ChildProcess, forMs = KILL_AFTER_MS): Promise<boolean> {
  const timer = setTimeout(() => kill(child, "SIGKILL"), forMs);
  const { success } = await child.status;
  clearTimeout(timer);
  return success;
}

/** Sends a signal to a child that may have ended already. */
export function kill(child: Deno.ChildProcess, signal: Deno.Signal = "SIGTERM"): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended.
  }
}

/** Calls back with each chunk of a stream, as text. */
export async function follow(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onText: (text: string) => void,
): Promise<void> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) onText(text);
}

/** The middle one. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** Waits; rejects when the signal comes first. */
export async function delay(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const onAbort = () => resolve();
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", onAbort);
  signal.throwIfAborted();
}

/** Waits until that holds, or so many ms have passed; rejects when the signal comes first. */
export async function waitFor(
  predicate: () => boolean,
  forMs: number,
  signal: AbortSignal,
): Promise<void> {
  const endMs = performance.now() + forMs;
  while (!predicate() && performance.now() < endMs) await delay(100, signal);
}

function kib(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? NaN);
}
