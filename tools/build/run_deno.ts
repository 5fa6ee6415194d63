/** Deno as a tool: what it prints, or why it failed in a sentence. */

/** Options of {@linkcode runDeno}. */
export interface RunDenoOptions {
  /** @default Deno that runs this */
  readonly execPath?: string | undefined;
  readonly cwd: string;
  /** All variables it gets. */
  readonly env: Readonly<Record<string, string>>;
  /** It is ended after this time, in ms. @default 15 minutes */
  readonly patienceMs?: number | undefined;
}

/**
 * Runs Deno.
 *
 * @throws {Error} If it fails.
 */
export async function runDeno(args: readonly string[], options: RunDenoOptions): Promise<string> {
  const { execPath = Deno.execPath(), cwd, env, patienceMs = 15 * 60_000 } = options;
  const signal = AbortSignal.timeout(patienceMs);
  const { success, stdout, stderr } = await new Deno.Command(execPath, {
    args: [...args],
    cwd,
    clearEnv: true,
    env: { ...env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    signal,
  }).output();
  const text = new TextDecoder();
  if (success) return text.decode(stdout);
  throw new Error(
    signal.aborted
      ? `it was not done after ${patienceMs / 1000} s`
      : reasonOf(text.decode(stderr)) || "it ended without a reason",
  );
}

/** Where Deno keeps what it downloads. */
export async function denoDir(): Promise<string> {
  const args = ["info", "--json", "--no-config"];
  return JSON.parse(await runDeno(args, { cwd: Deno.cwd(), env: Deno.env.toObject() })).denoDir;
}

/** The sentence in what Deno says when it fails. */
function reasonOf(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.trim()).filter((line) =>
    line !== "" && !/^(Download|Compile|Stack backtrace|Caused by|\d+: <)/.test(line)
  );
  const at = lines.findIndex((line) => line.startsWith("error:"));
  return lines.slice(Math.max(at, 0), at + 3).join(" ").replace(/^error: /, "");
}
