/**
 * Sends datagrams of sd_notify(3) to the service manager, without a helper process.
 *
 * Rules: a datagram that cannot be sent never fails the run and is logged once; datagrams arrive in order; a manager that
 * does not read costs a bounded wait and bounded memory.
 */

import { EXIT, messageOf, UserError } from "../core/errors.ts";
import { oneLine, quote } from "../core/text.ts";
import { NOTIFY_PATH } from "../settings/mod.ts";

/** Sends assignments to a service manager. */
export interface Notifier {
  /** Sends assignments such as `READY=1` in one datagram. */
  say(...assignments: readonly string[]): void;
  /** Sends what will be sent again anyway: left out while {@linkcode MOST_WAITING} wait. */
  repeat(...assignments: readonly string[]): void;
  /** Settles when all were sent or given up. */
  flush(): Promise<void>;
}

/** Deadline of one datagram, in ms: a manager that does not read would block it for ever. */
const SEND_MS = 2000;
/** Waiting datagrams above which repeated ones are left out. */
const MOST_WAITING = 16;
/** systemd cuts a datagram at 4096 bytes. */
const MOST_CHARACTERS = 1000;

/**
 * Makes a notifier.
 *
 * @param socket The value of NOTIFY_SOCKET: a path, or `@` and the name of an abstract socket.
 * @param onFailure Called once, for the first datagram that could not be sent.
 */
export function createNotifier(socket: string, onFailure: (error: UserError) => void): Notifier {
  let waiting = 0;
  let hasFailed = false;
  let tail = Promise.resolve();
  const attempt = async (text: string) => {
    try {
      await send(socket, text);
    } catch (cause) {
      if (!hasFailed) onFailure(explain(socket, cause));
      hasFailed = true;
    }
    waiting--;
  };
  const say = (...assignments: readonly string[]) => {
    waiting++;
    const text = assignments.map((line) => oneLine(line).slice(0, MOST_CHARACTERS)).join("\n");
    tail = tail.then(() => attempt(text));
  };
  return {
    say,
    repeat: (...assignments) => waiting < MOST_WAITING ? say(...assignments) : undefined,
    flush: () => tail,
  };
}

/**
 * How long systemd waits between two `WATCHDOG=1` before it ends this process, in ms; undefined if it does not watch.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { watchdogMs } from "./systemd_notify.ts";
 *
 * const variables = new Map([["WATCHDOG_USEC", "60000000"], ["WATCHDOG_PID", "42"]]);
 * assertEquals(watchdogMs(variables, 42), 60_000);
 * assertEquals(watchdogMs(variables, 43), undefined);
 * ```
 */
export function watchdogMs(
  env: { get(name: string): string | undefined },
  pid: number,
): number | undefined {
  const ms = Number(env.get("WATCHDOG_USEC") ?? NaN) / 1000;
  const watched = env.get("WATCHDOG_PID");
  const isOurs = watched === undefined || Number(watched) === pid;
  return isOurs && Number.isFinite(ms) && ms > 0 ? ms : undefined;
}

/** Each datagram has its own socket, so that a send that never ends can be given up. */
async function send(socket: string, text: string): Promise<void> {
  if (!/^[/@]./.test(socket)) throw new Error("it is neither a path nor @ and a name");
  if (typeof Deno.listenDatagram !== "function") throw new Error("--unstable-net was not given");
  // Without a path it has no name of its own, so it needs no place to be written to; the types do not know of that.
  const connection = Deno.listenDatagram({ transport: "unixpacket" } as UnnamedSocket);
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("it is not read")), SEND_MS);
  const sending = connection.send(new TextEncoder().encode(text), {
    transport: "unixpacket",
    path: socket.replace(/^@/, "\0"),
  });
  // Given up, it may still fail.
  sending.catch(() => {});
  try {
    await Promise.race([sending, late.promise]);
  } finally {
    clearTimeout(timer);
    connection.close();
  }
}

type UnnamedSocket = Deno.UnixListenOptions & { transport: "unixpacket" };

function explain(socket: string, cause: unknown): UserError {
  const isRefused = cause instanceof Deno.errors.NotCapable;
  const why = isRefused ? "this process was not granted to write there" : messageOf(cause);
  return new UserError(
    `Cannot tell the service manager through NOTIFY_SOCKET ${quote(socket)}: ${why}`,
    {
      code: "notify-failed",
      hint: isRefused
        ? `executables may use ${NOTIFY_PATH}; \`mqtt443 version\` prints what is permitted`
        : "unset NOTIFY_SOCKET where no systemd listens; telemetry goes on without",
      exitCode: EXIT.config,
      step: "settings",
      cause,
    },
  );
}
