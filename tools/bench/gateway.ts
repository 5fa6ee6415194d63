/**
 * A gateway at work: a publisher that is started again when it ends, and its samples. They are given through a named pipe,
 * in which a line waits while nobody reads; so what is lost was lost by the publisher.
 */

import { kill } from "./process.ts";
import { lineOf, type Publisher, type Site } from "./publishers.ts";
import { type CommandLine, commandOf } from "./run.ts";
import { freePort, type PhaseOptions, type Server } from "./servers.ts";

/** How long after its end a publisher is started again, as a service manager does, in ms. */
const RESTART_MS = 1000;

/** A gateway. Disposing of it ends its processes. */
export class Gateway implements AsyncDisposable {
  readonly publisher: Publisher;
  readonly #site: Site;
  /** What runs all the time; the sender first. */
  readonly #kept: Kept[] = [];
  readonly #pipe: Deno.FsFile;

  private constructor(publisher: Publisher, site: Site, pipe: Deno.FsFile) {
    this.publisher = publisher;
    this.#site = site;
    this.#pipe = pipe;
    const { sender, local } = publisher;
    this.#kept.push(new Kept(this.#fed(sender(site), local === undefined)));
    if (local) this.#kept.push(new Kept(this.#fed(local(site), true)));
  }

  /** Starts the gateway of that number. */
  static async start(
    publisher: Publisher,
    number: number,
    server: Server,
    { dir: parent, servers: { paths } }: PhaseOptions,
  ): Promise<Gateway> {
    const dir = await Deno.makeTempDir({ dir: parent, prefix: "gateway-" });
    await new Deno.Command("mkfifo", { args: [`${dir}/samples`] }).output();
    // Open both ways, so that no reader sees an end of it.
    const pipe = await Deno.open(`${dir}/samples`, { read: true, write: true });
    const device = `gw-${10 + number}`;
    return new Gateway(publisher, { device, dir, server, paths, localPort: freePort() }, pipe);
  }

  get device(): string {
    return this.#site.device;
  }

  /** Processes that run all the time, now. */
  get pids(): number[] {
    return this.#kept.map(({ pid }) => pid);
  }

  /** Takes a sample. */
  take(number: number): void {
    const line = lineOf({ device: this.device, number }, this.publisher);
    // What a phase sends fits into a pipe, also if nobody reads.
    this.#pipe.writeSync(new TextEncoder().encode(`${line}\n`));
  }

  /** kill -9 for what publishes to the server. */
  kill(): void {
    this.#kept[0]!.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const kept of this.#kept) await kept[Symbol.asyncDispose]();
    this.#pipe.close();
  }

  #fed({ program, args, env }: CommandLine, isFed: boolean): CommandLine {
    const from = isFed ? `${this.#site.dir}/samples` : "/dev/null";
    const fed = ["-c", 'exec "$@" <"$0"', from, program, ...args];
    return { program: "sh", args: fed, ...(env && { env }) };
  }
}

/** A process that is started again whenever it ends. */
class Kept implements AsyncDisposable {
  #child: Deno.ChildProcess;
  readonly #stop = Promise.withResolvers<void>();
  #isStopped = false;
  readonly #ended: Promise<void>;

  constructor(command: CommandLine) {
    this.#child = spawn(command);
    this.#ended = this.#keep(command);
  }

  get pid(): number {
    return this.#child.pid;
  }

  kill(): void {
    kill(this.#child, "SIGKILL");
  }

  async #keep(command: CommandLine): Promise<void> {
    while (true) {
      await this.#child.status;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const waited = new Promise<void>((resolve) => timer = setTimeout(resolve, RESTART_MS));
      if (!this.#isStopped) await Promise.race([waited, this.#stop.promise]);
      clearTimeout(timer);
      if (this.#isStopped) return;
      this.#child = spawn(command);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#stop.resolve();
    this.kill();
    await this.#ended;
  }
}

function spawn(command: CommandLine): Deno.ChildProcess {
  return commandOf(command, { stdin: "null", stdout: "null", stderr: "null" }).spawn();
}

/** Samples of all gateways, as the clock gives them. Disposing of it ends them. */
export class Feed implements Disposable {
  /** Number of the last sample. */
  last = 0;
  readonly #everyMs: number;
  readonly #timer: ReturnType<typeof setInterval>;
  #waiting: (() => void)[] = [];

  constructor(gateways: readonly Gateway[], everyMs: number) {
    this.#everyMs = everyMs;
    this.#timer = setInterval(() => {
      this.last++;
      for (const gateway of gateways) gateway.take(this.last);
      for (const resolve of this.#waiting.splice(0)) setTimeout(resolve, everyMs / 2);
    }, everyMs);
  }

  /** Settles halfway between two samples. */
  between(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
