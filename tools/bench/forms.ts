/**
 * The forms of the program that can be made here without fetching anything: an executable may do what it was built for and
 * nothing else, so those that are measured are built for the bench.
 */

import { makeBundle } from "../build/bundle.ts";
import { findDenort } from "../build/denort.ts";
import { sha256 } from "../build/npm_deno.ts";
import { packed } from "../build/packed.ts";
import { makeStandalone } from "../build/standalone.ts";
import { DENO_VERSION, TARGETS as MACHINES } from "../build/targets.ts";
import { messageOf } from "../../lib/core/errors.ts";
import { BUILT_AT, VERSION } from "../../lib/core/build.ts";
import { grantsFor } from "../shared/scoped.ts";
import { bundleForm, fileForm, type Form, ourFlags, sourceForm } from "./ours.ts";
import { type Figure, OURS } from "./report.ts";
import { isFile } from "./run.ts";
import type { Servers } from "./servers.ts";
import { PEERS, TARGETS } from "./targets.ts";

/** What {@linkcode findForms} is told. */
export interface FormsOptions {
  readonly dir: string;
  /** Deno's cache, with the packages of this project. */
  readonly cache: string;
  readonly servers: Servers;
  /** An executable that is to stand for ours, or undefined: the bundle. */
  readonly program: string | undefined;
  readonly signal: AbortSignal;
}

/** The forms; what stands for ours is the first. */
export interface Forms {
  readonly forms: readonly [Form, ...Form[]];
  /** Names of those that cannot be made here, and why. */
  readonly missing: readonly string[];
}

/** Makes them. */
export async function findForms(
  { dir, cache, servers, program, signal }: FormsOptions,
): Promise<Forms> {
  const { code } = await makeBundle();
  const path = `${dir}/mqtt443.js`;
  await Deno.writeTextFile(path, code);
  const forms: Form[] = [bundleForm(dir, path), sourceForm(dir, cache)];
  const missing: string[] = [];
  const flags = ourFlags(servers.main, servers.paths, { state: `${dir}/state`, id: "bench" });
  const { read, write, ...grants } = grantsFor(["publish", ...flags]);
  const parts = {
    code,
    grants: { ...grants, net: ["localhost"], read: [...read, dir], write: [...write, dir] },
    version: VERSION,
    date: BUILT_AT.toISOString(),
  };
  const add = async (name: string, make: () => Promise<Uint8Array>) => {
    signal.throwIfAborted();
    try {
      const file = `${dir}/${name.replaceAll(" ", "-")}`;
      await Deno.writeFile(file, await make(), { mode: 0o755 });
      forms.push(fileForm(dir, name, file));
    } catch (error) {
      missing.push(`${name} (${messageOf(error)})`);
    }
  };
  const target = MACHINES.find(({ name }) => name === Deno.build.target);
  await add("packed file", async () => {
    const deno = await Deno.readFile(Deno.execPath());
    if (target === undefined || sha256(deno) !== target.denoSha256) {
      throw new Error("this Deno is not the one that is packed");
    }
    return await packed({ ...parts, target, deno });
  });
  await add("compiled file", async () => {
    const variable = Deno.env.get("DENORT_BIN");
    if (target === undefined) throw new Error("nothing is built for this machine");
    const cached = `${cache}/dl/release/v${DENO_VERSION}/denort-${target.name}.zip`;
    if (variable === undefined && !isFile(cached)) throw new Error("set DENORT_BIN");
    const denort = await findDenort(target, { named: [], variable, denoDir: cache });
    return await makeStandalone({ ...parts, target, denort });
  });
  if (program !== undefined) forms.unshift(fileForm(dir, "executable", program));
  return { forms: forms as unknown as Forms["forms"], missing };
}

/** The size of what has to be copied. */
export function sizeFigure(forms: readonly Form[]): Figure {
  const sizes = forms.flatMap(({ name, bytes }) => bytes === undefined ? [] : [[name, bytes]]);
  const samples = Object.fromEntries(sizes.map(([name, bytes]) => [
    name === PEERS.bundle ? OURS : name,
    [Number(bytes) / 1000],
  ]));
  return { id: "size", what: "size of the file", unit: "KB", samples, targets: TARGETS.size };
}
