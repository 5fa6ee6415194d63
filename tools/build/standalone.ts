/** An executable made by `deno compile`: denort with the bundle inside. */

import type { Grants } from "../../lib/core/build.ts";
import { EXIT, messageOf, UserError } from "../../lib/core/errors.ts";
import { grantFlags } from "../../lib/settings/grants.ts";
import { inTempFolder } from "../shared/temp_folder.ts";
import { V8_FLAGS } from "./v8_flags.ts";
import type { Denort } from "./denort.ts";
import { runDeno } from "./run_deno.ts";
import type { Target } from "./targets.ts";

/** What goes into it. */
export interface StandaloneOptions {
  readonly target: Target;
  readonly denort: Denort;
  readonly code: string;
  readonly grants: Grants;
  /** Time of the bundle in the executable. */
  readonly date: string;
  /** Throws where what was made will not do. @default nothing is tried */
  readonly check?: (path: string) => Promise<void>;
}

/**
 * The arguments of `deno compile`.
 *
 * No code cache: an executable would keep it under a name in /tmp that others can guess.
 */
export function compileArguments(
  { target, grants }: Pick<StandaloneOptions, "target" | "grants">,
  out: string,
  entry: string,
): string[] {
  return [
    ...["compile", "--quiet", "--no-check", "--no-config", "--no-lock", "--no-code-cache"],
    ...["--app-name", "mqtt443", "--target", target.name, V8_FLAGS],
    ...[...grantFlags(grants), "--deny-import", "--output", out, entry],
  ];
}

/**
 * Makes it.
 *
 * Which CAs Deno trusts is not baked in: an executable of 2.9.5 looks at `DENO_TLS_CA_STORE` at its first use of TLS, as
 * `deno run` does, so that what lib/connection/tls.ts sets holds there too.
 *
 * @throws {UserError} If Deno cannot, or the check fails.
 */
export async function makeStandalone(options: StandaloneOptions): Promise<Uint8Array> {
  const { denort, target, code, date, check } = options;
  try {
    return await inTempFolder("mqtt443-compile-", async (folder) => {
      const entry = `${folder}/mqtt443.js`;
      const out = `${folder}/mqtt443`;
      await Deno.writeTextFile(entry, code);
      const time = new Date(date);
      await Deno.utime(entry, time, time);
      if (denort !== "download") await Deno.writeFile(`${folder}/denort`, denort.bytes);
      await runDeno(compileArguments(options, out, entry), {
        cwd: folder,
        env: environment(denort === "download" ? undefined : `${folder}/denort`),
      });
      await check?.(out);
      return await Deno.readFile(out);
    });
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    throw new UserError(`Cannot compile for ${target.name}: ${messageOf(cause)}`, {
      code: "tool-failed",
      hint: "pass --denort FILE with denort from another machine, or --runtime npm",
      exitCode: EXIT.unavailable,
      cause,
    });
  }
}

/** Set but empty, `DENORT_BIN` would be taken for a file. */
function environment(denort: string | undefined): Record<string, string> {
  const { DENORT_BIN: _, ...others } = Deno.env.toObject();
  return denort === undefined ? others : { ...others, DENORT_BIN: denort };
}
