/**
 * Executables as they are built: by `deno compile`, as far as it can be seen without denort, and with Deno from npm,
 * which may not come, or not whole.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { gzipSync } from "node:zlib";
import { EXIT, UserError } from "../../../lib/core/errors.ts";
import { allGrants, generalGrants } from "../../../lib/settings/grants.ts";
import { compile } from "../../../tools/build/compile.ts";
import { npmDeno } from "../../../tools/build/npm_deno.ts";
import { makeStandalone } from "../../../tools/build/standalone.ts";
import { DENO_VERSION, type Target, TARGETS } from "../../../tools/build/targets.ts";
import { inFolder } from "../../support/command_line.ts";
import { canMount, mountMemory } from "../../support/mounting.ts";
import { namesIn, run, whereIs } from "../../support/packing.ts";

const COMPILE = new URL("../../../tools/build/compile.ts", import.meta.url).pathname;
const OWN = TARGETS.find(({ name }) => name === Deno.build.target)!;
const OTHER = TARGETS.find(({ name }) => name !== Deno.build.target)!;

Deno.test("executable by deno compile, with Deno itself for denort, carries grants, V8 flags and no store of CAs", async () => {
  const bytes = await Deno.readFile(Deno.execPath());
  const grants = generalGrants();
  const { net, read, write, env, sys } = allGrants(grants);
  const { permissions, ...baked } = metadataOf(
    await makeStandalone({
      target: OWN,
      denort: { path: "denort", bytes },
      code: "console.log(1);",
      grants,
      date: "2026-01-02T03:04:05Z",
    }),
  );
  assertEquals(permissions.allow_net, net);
  assertEquals(permissions.allow_read, read);
  assertEquals(permissions.allow_write, write);
  assertEquals(permissions.allow_sys, sys);
  const granted = permissions.allow_env as readonly string[];
  assertEquals(env.filter((name) => !granted.includes(name)), []);
  // Empty lists mean all.
  assertEquals([permissions.ignore_env, permissions.deny_import], [[], []]);
  assertEquals([permissions.allow_run, permissions.allow_ffi], [null, null]);
  assertEquals(permissions.prompt, false);
  assertEquals([baked.ca_stores, baked.ca_data, baked.code_cache_key], [null, null, null]);
  assert(baked.v8_flags.includes("--max-semi-space-size=2"));
  assertEquals(baked.argv, []);
});

Deno.test("build refuses a program that is no denort, Deno itself and a cut one, and changes nothing", async () => {
  await inFolder(async (folder) => {
    const out = `${folder}/dist`;
    await Deno.mkdir(out);
    await Deno.writeTextFile(`${out}/mqtt443-linux-${OWN.arch}`, "the former one");
    const cut = `${folder}/cut`;
    await Deno.writeFile(cut, (await Deno.readFile(Deno.execPath())).subarray(0, -4096));
    const cases: [denort: string, why: RegExp][] = [
      [Deno.execPath(), /what is made of it is not this program: `version` ends with code 1$/],
      [await whereIs("true"), /what is made of it is not this program: /],
      [cut, /: it is cut$/],
    ];
    for (const [denort, why] of cases) {
      for (const runtime of ["auto", "denort"] as const) {
        const options = { targets: [OWN.name], denort: [denort], runtime, out };
        const error = await assertRejects(() => compile(options), UserError);
        assertMatch(error.message, why);
        assertStringIncludes(error.message, `Cannot use denort "${denort}" for ${OWN.name}: `);
        assertEquals(error.exitCode, EXIT.config);
        assertEquals(namesIn(out), [`mqtt443-linux-${OWN.arch}`]);
      }
    }
    assertEquals(await Deno.readTextFile(`${out}/mqtt443-linux-${OWN.arch}`), "the former one");
  });
});

Deno.test("executable by deno compile is the same, byte for byte, when it is built again", async () => {
  const bytes = await Deno.readFile(Deno.execPath());
  const options = {
    target: OWN,
    denort: { path: "denort", bytes },
    code: "console.log(1);",
    grants: { net: [], read: ["/a b"], write: [], env: [], sys: [] },
    date: "2026-01-02T03:04:05Z",
  };
  const [first, second] = [await makeStandalone(options), await makeStandalone(options)];
  assert(first.length === second.length && first.every((byte, at) => byte === second[at]));
  assertEquals(metadataOf(first).permissions.allow_read, ["/a b"]);
});

Deno.test({
  name: "folder that is full is left as it was (needs root and mount)",
  ignore: !canMount,
  fn: () =>
    inFolder(async (folder) => {
      using _mounted = mountMemory(`${folder}/dist`, "10m");
      const options = { targets: [OWN.name], runtime: "npm", out: `${folder}/dist` } as const;
      const error = await assertRejects(() => compile(options), UserError);
      assertEquals(error.exitCode, EXIT.cannotCreate);
      assertMatch(error.message, /Cannot write to ".*": No space left on device/);
      assertEquals(namesIn(`${folder}/dist`), []);
    }),
});

Deno.test({
  name:
    "build goes on with Deno from npm, or says why not, where packets to the server of denort are swallowed (needs a cache without denort)",
  ignore: hasDenort(),
  async fn() {
    using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    await inFolder(async (folder) => {
      const { DENORT_BIN: _, ...around } = Deno.env.toObject();
      const env = { ...around, HTTPS_PROXY: `http://127.0.0.1:${silent.addr.port}` };
      const out = `${folder}/dist`;
      const common = ["run", "-A", "--frozen", COMPILE, "--target", OWN.name, "--out", out];
      const deno = (...args: string[]) =>
        run([Deno.execPath()], { args: [...common, ...args], env });
      const refused = await deno("--runtime", "denort");
      assertEquals(refused.code, EXIT.unavailable);
      assertMatch(
        refused.stderr,
        /^error: Cannot download https:.*denort-.*\nhint: .*--denort FILE/,
      );
      assertEquals(namesIn(folder), []);
      const made = await deno("--json");
      assertEquals(made.code, 0, made.stderr);
      assertMatch(
        made.stderr,
        /^no denort for .*, so Deno from npm goes into it: Cannot download https:[^ ]* [^/]*$/,
      );
      assertEquals(JSON.parse(made.stdout)[0].runtime, "npm");
      assertEquals(namesIn(out), [`mqtt443-linux-${OWN.arch}`, "mqtt443.js"]);
    });
  },
});

Deno.test("Deno from npm that comes cut, or is another one, is refused", async () => {
  const name = OTHER.package.split("/")[1];
  const cut = await withRegistry(() => gzipSync(new Uint8Array(5000)).subarray(0, 20));
  assertMatch(cut, new RegExp(`Cannot fetch npm:@deno/${name}@${DENO_VERSION}, the Deno that`));
  assertMatch(cut, /[Ii]ntegrity|checksum/);
  const other = await withRegistry(() => gzipSync(new Uint8Array(5000)));
  assertMatch(other, /[Ii]ntegrity|checksum/);
  const broken = await withRegistry(() => undefined);
  assertStringIncludes(broken, `Cannot fetch npm:@deno/${name}@${DENO_VERSION}`);
});

Deno.test("Deno from npm is taken from the cache without a network, and refused where it was changed", async () => {
  await inFolder(async (folder) => {
    const place = `${folder}/npm/registry.npmjs.org/${OTHER.package}`;
    await Deno.mkdir(`${place}/${DENO_VERSION}`, { recursive: true });
    await Deno.writeTextFile(`${place}/registry.json`, JSON.stringify(packumentOf(OTHER, "x")));
    await Deno.writeTextFile(`${place}/${DENO_VERSION}/deno`, "not Deno");
    const env = { DENO_DIR: folder, HTTPS_PROXY: "http://127.0.0.1:9" };
    const error = await assertRejects(() => npmDeno(OTHER, { env }), UserError);
    assertEquals(
      error.message.replace(/[0-9a-f]{64}$/, "…"),
      `Cannot use ${place}/${DENO_VERSION}/deno: its sha256 must be ${OTHER.denoSha256}: it is …`,
    );
    assertEquals(
      error.hint,
      `remove the folder ${place}/${DENO_VERSION}, so that ${OTHER.package} is fetched again`,
    );
  });
});

/** Whether Deno's cache has denort, which would be taken. */
function hasDenort(): boolean {
  const cache = Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`;
  return namesIn(`${cache}/dl/release/v${DENO_VERSION}`).some((name) => name.startsWith("denort-"));
}

/** What `deno compile` writes into an executable, as far as it is looked at. */
interface Metadata {
  readonly argv: readonly string[];
  readonly permissions: Readonly<Record<string, readonly string[] | boolean | null>>;
  readonly v8_flags: readonly string[];
  readonly ca_stores: unknown;
  readonly ca_data: unknown;
  readonly code_cache_key: unknown;
}

/** Reads it back: JSON, the last text of that shape in the file. */
function metadataOf(bytes: Uint8Array): Metadata {
  const text = new TextDecoder("latin1").decode(bytes.subarray(bytes.length - 20_000_000));
  const start = text.lastIndexOf('{"argv":');
  const end = text.indexOf('"app_name":"mqtt443"}', start);
  assert(start >= 0 && end > start, "there is no metadata in it");
  return JSON.parse(text.slice(start, end) + '"app_name":"mqtt443"}');
}

function packumentOf({ package: name, integrity }: Target, tarball: string) {
  const dist = { tarball, integrity, shasum: "" };
  const version = { name, version: DENO_VERSION, dist };
  return { name, "dist-tags": { latest: DENO_VERSION }, versions: { [DENO_VERSION]: version } };
}

/** Has Deno fetched from a registry that serves this for the package; returns what was said when it failed. */
async function withRegistry(tarball: () => Uint8Array | undefined): Promise<string> {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    ({ url }) => {
      if (!url.endsWith(".tgz")) {
        return Response.json(packumentOf(OTHER, new URL("/deno.tgz", url).href));
      }
      const bytes = tarball();
      return bytes === undefined
        ? new Response("no", { status: 404 })
        : new Response(bytes.slice());
    },
  );
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  try {
    const env = {
      DENO_DIR: folder,
      NPM_CONFIG_REGISTRY: `http://127.0.0.1:${server.addr.port}/`,
    };
    const error = await assertRejects(() => npmDeno(OTHER, { env }), UserError);
    assertEquals(error.exitCode, EXIT.unavailable);
    return error.message;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
