/**
 * Every form in which the program is used, ready to run at one site: from source, by the publish task, as a bundle, and
 * as the executables that can be built here.
 */

import type { Build } from "../../../lib/core/build.ts";
import { grantFlags } from "../../../lib/settings/grants.ts";
import { makeBundle } from "../../../tools/build/bundle.ts";
import { BUNDLE_FLAGS } from "../../../tools/build/fresh.ts";
import { compile } from "../../../tools/build/compile.ts";
import { type Endpoint, startEndpoint, writeCerts } from "../../../tools/endpoint/mod.ts";
import { V8_FLAGS } from "../../../tools/build/v8_flags.ts";
import { type Outcome, outcomeOf } from "../../support/command_line.ts";
import { pki } from "../../support/publishing.ts";

/** One form of the program. */
export interface Form {
  readonly name: string;
  /** The words that run it, before its arguments. */
  readonly command: readonly string[];
  /** What `version --json` calls it. */
  readonly runtime: "deno" | "denort" | "npm";
  /** Whether it knows `publish` alone, and adds that word itself. */
  readonly isPublishOnly: boolean;
  /** Whether its permissions are those of the site, whatever the settings say. */
  readonly isScoped: boolean;
}

/** A site, and the forms that can run there. */
export interface Site extends AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly forms: readonly Form[];
  /** What the scoped ones carry. */
  readonly build: Build;
  /** Makes a directory as an installer leaves it: settings and certificates. */
  makeDirectory(): Promise<string>;
}

const ROOT = new URL("../../../", import.meta.url).pathname;

/** Where an executable that unpacks itself does so. */
const RUNTIME_DIR = "runtime";

/** Builds every form for an endpoint on this machine, with the executable for an architecture. */
export async function makeSite(arch: "x86_64" | "arm64"): Promise<Site> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-forms-" });
  cleanup.defer(() => Deno.remove(folder, { recursive: true }));
  const endpoint = cleanup.use(await startEndpoint({ certificates: pki }));
  const settingsFile = `${folder}/mqtt443.json`;
  const values = { endpoint: "localhost", port: endpoint.port, certs: "./certs", clientId: "gw-7" };
  await Deno.writeTextFile(settingsFile, JSON.stringify(values));
  const built = await compile({
    settings: settingsFile,
    out: `${folder}/dist`,
    targets: [arch === "arm64" ? "aarch64-unknown-linux-gnu" : "x86_64-unknown-linux-gnu"],
  });
  const { build } = built[0]!;
  const bundle = `${folder}/mqtt443.js`;
  await Deno.writeTextFile(bundle, (await makeBundle(build)).code);
  const grants = grantFlags(build.grants);
  const deno = Deno.execPath();
  const source = { runtime: "deno", isPublishOnly: false, isScoped: false } as const;
  const forms: Form[] = [
    { ...source, name: "source", command: [deno, "run", "-A", "--frozen", `${ROOT}main.ts`] },
    {
      ...source,
      name: "publish task",
      command: [deno, "run", "-A", "--frozen", `${ROOT}tools/publish.ts`],
      isPublishOnly: true,
    },
    {
      ...source,
      name: "bundle",
      command: [deno, "run", ...BUNDLE_FLAGS, V8_FLAGS, ...grants, bundle],
      isScoped: true,
    },
    ...built.map(({ path, arch, runtime }) => ({
      ...source,
      name: `executable for ${arch}`,
      command: [path],
      runtime,
      isScoped: true,
    })),
  ];
  let directories = 0;
  const disposal = cleanup.move();
  return {
    endpoint,
    forms,
    build,
    async makeDirectory() {
      const directory = `${folder}/${directories++}`;
      await Deno.mkdir(directory);
      await Deno.copyFile(settingsFile, `${directory}/mqtt443.json`);
      await writeCerts(`${directory}/certs`, pki);
      return directory;
    },
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

/** A form at work. */
export interface Running {
  readonly process: Deno.ChildProcess;
  readonly outcome: Promise<Outcome>;
}

/** Starts a form in a directory, with an environment of its own. */
export function start(form: Form, directory: string, args: readonly string[], input = ""): Running {
  const kept = ["PATH", "HOME", "DENO_DIR", "QEMU_LD_PREFIX"]
    .flatMap((name) => Deno.env.has(name) ? [[name, Deno.env.get(name)!]] : []);
  const [program, ...words] = form.command;
  const rest = form.isPublishOnly && args[0] === "publish" ? args.slice(1) : args;
  const process = new Deno.Command(program!, {
    args: [...words, ...rest],
    cwd: directory,
    clearEnv: true,
    env: {
      ...Object.fromEntries(kept),
      NO_COLOR: "1",
      MQTT443_RUNTIME_DIR: new URL(RUNTIME_DIR, `file://${directory}/../`).pathname,
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return { process, outcome: outcomeOf(process, input) };
}
