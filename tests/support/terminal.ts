/** A real terminal of a size: tmux, with a server of its own that ends with the test. */

import { hasProgram } from "./queueing.ts";

/** Whether there can be one here. */
export const hasTerminal: boolean = hasProgram("tmux");

/** How long a screen may take to show what is awaited. */
const DEADLINE_MS = 30_000;
/** tmux tells nobody that a screen has changed: it is asked this often. */
const LOOK_MS = 50;

/** A terminal in which a command runs. */
export interface Terminal extends AsyncDisposable {
  /** Types: text as it is, and keys by tmux's names, as `Tab`. */
  type(...keys: readonly ({ readonly text: string } | string)[]): Promise<void>;
  /**
   * The lines that were shown, from the first on, without blanks at their ends.
   *
   * @param isWhole Whether what the terminal broke, as it was too long for one, is one line. @default false
   */
  lines(isWhole?: boolean): Promise<string[]>;
  /** Settles with the lines when one of them matches. @throws {Error} With what was shown, if none does. */
  until(pattern: RegExp): Promise<string[]>;
}

/** What a terminal is like. */
export interface TerminalOptions {
  /** A folder of the test's. */
  readonly folder: string;
  readonly columns?: number;
  readonly rows?: number;
  /** The only variables, besides those that tmux sets. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Opens a terminal and starts a command in it; it stays open when the command has ended. */
export async function openTerminal(
  command: readonly string[],
  { folder, columns = 80, rows = 24, env = {} }: TerminalOptions,
): Promise<Terminal> {
  const tmux = async (...args: readonly string[]) => {
    const { success, stdout, stderr } = await new Deno.Command("tmux", {
      args: ["-S", `${folder}/tmux`, "-f", "/dev/null", ...args],
      cwd: folder,
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH")!, HOME: folder, LC_ALL: "C.UTF-8", ...env },
    }).output();
    const text = new TextDecoder();
    if (!success) throw new Error(`tmux ${args[0]}: ${text.decode(stderr)}`);
    return text.decode(stdout);
  };
  await tmux(
    ...["set-option", "-g", "remain-on-exit", "on", ";"],
    ...["set-option", "-g", "history-limit", "5000", ";"],
    ...["new-session", "-d", "-x", `${columns}`, "-y", `${rows}`, "--", ...command],
  );
  const lines = async (isWhole = false) =>
    (await tmux("capture-pane", isWhole ? "-pJ" : "-p", "-S", "-")).trimEnd().split("\n")
      .map((line) => line.trimEnd());
  return {
    lines,
    async type(...keys) {
      for (const key of keys) {
        await tmux("send-keys", ...(typeof key === "string" ? [key] : ["-l", key.text]));
      }
    },
    async until(pattern) {
      const end = performance.now() + DEADLINE_MS;
      for (;;) {
        const shown = await lines();
        if (shown.some((line) => pattern.test(line))) return shown;
        if (performance.now() > end) {
          throw new Error(`Nothing on the screen matches ${pattern}:\n${shown.join("\n")}`);
        }
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    },
    async [Symbol.asyncDispose]() {
      const pid = (await tmux("display-message", "-p", "#{pane_pid}")).trim();
      await tmux("kill-server").catch(() => {});
      // A shell may write its history when its terminal goes.
      await new Deno.Command("tail", { args: [`--pid=${pid}`, "-f", "/dev/null"] }).output();
    },
  };
}
