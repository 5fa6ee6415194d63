/** The kit without its executable: archives, bill of materials, licences, texts, command line. */

import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import Ajv from "ajv";
import formats from "ajv-formats";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import config from "../../deno.json" with { type: "json" };
import { parseCommand } from "../../lib/commands/arguments.ts";
import { UserError } from "../../lib/core/errors.ts";
import { generalGrants } from "../../lib/settings/grants.ts";
import { loadSettings } from "../../lib/settings/mod.ts";
import { makeBundle } from "../../tools/build/bundle.ts";
import { DENO_VERSION } from "../../tools/build/targets.ts";
import { parseKit } from "../../tools/kit/mod.ts";
import { type Entry, writeArchive } from "../../tools/kit/archive.ts";
import { partsOfDeno, sqliteVersion } from "../../tools/kit/deno_contents.ts";
import { licenseTexts } from "../../tools/kit/device.ts";
import { licensesText } from "../../tools/kit/licenses.ts";
import { packagesIn, readLock, ROOT } from "../../tools/kit/packages.ts";
import { type Parts, sbomText } from "../../tools/kit/sbom.ts";
import { manText, readmeText, sampleText } from "../../tools/kit/texts.ts";
import { inFolder, makeEnv } from "../support/command_line.ts";
import { hasProgram } from "../support/queueing.ts";

const TIME_S = 1_700_000_000;
const LONG = "a-long-name-of-a-folder".repeat(4);

const ENTRIES: readonly Entry[] = [
  { path: "top/z.txt", content: "last\n" },
  { path: `top/${LONG}/${LONG}.txt`, content: "deep\n" },
  { path: "top/run", content: new TextEncoder().encode("#!/bin/sh\n"), isExecutable: true },
  { path: "top/empty", content: "" },
  { path: "top/link", link: "../top/z.txt" },
];

Deno.test("an archive is the same byte for byte, whatever the order and the time", () =>
  inFolder(async (folder) => {
    await writeArchive(join(folder, "a.tar.gz"), ENTRIES, TIME_S);
    await writeArchive(join(folder, "b.tar.gz"), ENTRIES.toReversed(), TIME_S);
    assertEquals(
      Deno.readFileSync(join(folder, "a.tar.gz")),
      Deno.readFileSync(join(folder, "b.tar.gz")),
    );
    assertEquals([...Deno.readDirSync(folder)].length, 2);
  }));

for (const tar of [["tar"], ["busybox", "tar"]]) {
  const [program] = tar;
  Deno.test({
    name: `an archive unpacks with ${tar.join(" ")}${
      hasProgram(program!) ? "" : ", which is missing"
    }`,
    ignore: !hasProgram(program!),
    fn: () =>
      inFolder(async (folder) => {
        const path = join(folder, "a.tar.gz");
        await writeArchive(path, ENTRIES, TIME_S);
        const { success, stderr } = await new Deno.Command(program!, {
          args: [...tar.slice(1), "xzf", path, "-C", folder],
        }).output();
        assert(success, new TextDecoder().decode(stderr));
        const text = (name: string) => Deno.readTextFileSync(join(folder, "top", name));
        assertEquals(text("link"), "last\n");
        assertEquals(text(`${LONG}/${LONG}.txt`), "deep\n");
        assertEquals(text("empty"), "");
        const { mode, mtime } = Deno.statSync(join(folder, "top/run"));
        assertEquals([(mode ?? 0) & 0o777, mtime?.getTime()], [0o755, TIME_S * 1000]);
      }),
  });
}

const MODULES = (await makeBundle()).modules;
const PACKAGES = await packagesIn(MODULES, readLock());

const STAND_INS = MODULES.filter((path) => /^tools\/(std|build\/stand_ins)\//.test(path));
/** Of the Deno that runs this: it is the pinned one. */
const PARTS_OF_DENO = partsOfDeno(Deno.readFileSync(Deno.execPath()), sqliteVersion());

const PARTS: Parts = {
  version: "0.1.0",
  arch: "x86_64",
  sha256: "0".repeat(64),
  commit: "0123456789",
  timeS: TIME_S,
  packages: PACKAGES,
  standIns: STAND_INS,
  runtime: {
    version: DENO_VERSION,
    v8: "15.0.245.2-rusty",
    npm: { name: "@deno/linux-x64-glibc", integrity: `sha512-${"A".repeat(86)}==` },
    sha256: "2".repeat(64),
    parts: PARTS_OF_DENO,
  },
};

/** The official schema, as CycloneDX's own library brings it. */
function makeValidator() {
  const folder = new URL("../res/schema/", import.meta.resolve("@cyclonedx/cyclonedx-library"));
  const schema = (name: string) => JSON.parse(Deno.readTextFileSync(new URL(name, folder)));
  // Not strict: the schema has keywords of its own for documentation.
  const ajv = new Ajv.default({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addFormat("iri-reference", (text: string) => URL.canParse(text, "https://example.com/"));
  ajv.addFormat("idn-email", /^[^@]+@[^@]+$/);
  for (const name of ["spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json"]) {
    ajv.addSchema(schema(name), `http://cyclonedx.org/schema/${name}`);
  }
  return ajv.compile(schema("bom-1.6.SNAPSHOT.schema.json"));
}

Deno.test("the bill of materials is valid CycloneDX 1.6", () => {
  const validate = makeValidator();
  const bill = JSON.parse(sbomText(PARTS));
  assert(validate(bill), JSON.stringify(validate.errors));
  const denort = JSON.parse(
    sbomText({ ...PARTS, runtime: { ...PARTS.runtime, npm: undefined, sha256: undefined } }),
  );
  assert(validate(denort), JSON.stringify(validate.errors));
  const wrong = sbomText(PARTS).replaceAll('"MIT"', '"No-Such-License"');
  assert(!validate(JSON.parse(wrong)));
});

Deno.test("the bill of materials has every package of the bundle, Deno and V8, and no other", () => {
  const bill: { components: { name: string; version: string; components?: { name: string }[] }[] } =
    JSON.parse(sbomText(PARTS));
  const inBundle = MODULES.flatMap((path) => /^npm:((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
  assertEquals(
    bill.components.map(({ name }) => name).sort(),
    [...new Set([...inBundle, "deno"]), ...STAND_INS].sort(),
  );
  const lock = readLock();
  for (
    const { name, version } of bill.components.slice(1).filter(({ name }) =>
      !name.startsWith("tools/")
    )
  ) {
    assert(`${name}@${version}` in lock.npm, `${name}@${version}`);
  }
  assert(!bill.components.some(({ name }) => name === "esbuild"));
});

Deno.test("the bill of materials names what Deno is made of, and stand-ins as what they are", () => {
  const bill = JSON.parse(sbomText(PARTS));
  const [deno] = bill.components;
  assertEquals(deno.hashes, [{ alg: "SHA-256", content: "2".repeat(64) }]);
  const inDeno = new Map<string, Record<string, unknown>>(
    deno.components.map((one: Record<string, unknown>) => [one.name, one]),
  );
  for (const name of ["v8", "rustls", "aws-lc-rs", "aws-lc-sys", "libsqlite3-sys", "sqlite"]) {
    assertMatch(String(inDeno.get(name)?.version), /^\d+\.\d+\.\d+/, name);
  }
  // SQLite tells its own version: that of the Deno that runs this.
  using database = new DatabaseSync(":memory:");
  const { source } = database.prepare("select sqlite_source_id() source").get()!;
  assertStringIncludes(JSON.stringify(inDeno.get("sqlite")), String(source));
  assert(deno.components.length > 200);
  assert(STAND_INS.length > 5);
  for (const name of STAND_INS) {
    const { type, description } = bill.components.find((one: { name: string }) =>
      one.name === name
    );
    assertEquals(type, "file");
    assertStringIncludes(description, "this project's own, in place of ");
  }
});

Deno.test("the bill of materials says the program's own licence, and LICENSE and deno.json the same", () => {
  const { metadata } = JSON.parse(sbomText(PARTS));
  assertEquals(metadata.component.licenses, [
    { license: { id: "MIT", acknowledgement: "declared" } },
  ]);
  assertEquals(config.license, "MIT");
  const text = Deno.readTextFileSync(join(ROOT, "LICENSE"));
  assertMatch(text, /^MIT License\n\nCopyright \(c\) 2026 the mqtt443 authors\n/);
});

Deno.test("the licences name every package of others with its text, Deno and V8, and what is not listed", () => {
  const texts = licenseTexts();
  const text = licensesText(PACKAGES, { version: DENO_VERSION, v8: "15.0.245.2-rusty", texts });
  for (const { name, version, license } of PACKAGES) {
    assertStringIncludes(text, `\nnpm:${name} ${version} (${license})\n`);
  }
  assertStringIncludes(
    text,
    `\nDeno ${DENO_VERSION} (MIT)\nhttps://github.com/denoland/deno\n\nMIT License\n`,
  );
  assertStringIncludes(text, "\nV8 15.0.245.2-rusty (BSD-3-Clause), in Deno\n");
  for (const one of Object.values(texts)) assertStringIncludes(text, one.trim());
  assertStringIncludes(text, "\nNOT LISTED HERE are ");
  assert(text.split("Permission").length > PACKAGES.length);
  assertStringIncludes(text, "mqtt443 itself is under the MIT licence: see LICENSE.");
});

Deno.test("the sample settings are valid as they are", () =>
  inFolder(async (folder) => {
    const path = join(folder, "mqtt443.json");
    await Deno.writeTextFile(path, sampleText());
    const { settings } = loadSettings(
      parseCommand(["publish", "--config", path]),
      { env: makeEnv(), hostName: () => "gw-7" },
      { needEndpoint: true },
    );
    assertStringIncludes(settings.endpoint, "amazonaws.com");
  }));

Deno.test("README.txt is plain text of a width that a terminal has, and names what the executable may reach", () => {
  for (const hasSettings of [true, false]) {
    const { net } = generalGrants();
    const text = readmeText({ version: "0.1.0", arch: "arm64", net, hasSettings });
    assert(/^[\x20-\x7e\n]+$/.test(text));
    assertEquals(text.split("\n").filter((line) => line.length > 100 && !line.includes("*.")), []);
    assertStringIncludes(text, net.join(", "));
  }
});

Deno.test({
  name: `the manual page is read without a warning${hasProgram("man") ? "" : " (man is missing)"}`,
  ignore: !hasProgram("man"),
  fn: () =>
    inFolder(async (folder) => {
      const path = join(folder, "mqtt443.1");
      await Deno.writeTextFile(path, manText("0.1.0", "2026-11-23"));
      const { stdout, stderr } = await new Deno.Command("man", {
        args: ["--warnings", "-l", path],
        env: { MANWIDTH: "100", LC_ALL: "C.UTF-8", MAN_KEEP_STDERR: "1", PAGER: "cat" },
      }).output();
      assertEquals(new TextDecoder().decode(stderr), "");
      assertStringIncludes(new TextDecoder().decode(stdout), "--dry-run");
    }),
});

for (
  const [args, words] of [
    [["--arch", "armv7"], '"armv7": must be x86_64 or arm64'],
    [["--sauce"], '"--sauce"'],
    [["device"], '"device"'],
    [["--source", "--settings", "x.json"], "--settings with --source"],
    [["--source", "--runtime", "npm"], "with --source"],
    [["--source", "--denort", "denort.zip"], "with --source"],
    [["--runtime", "npm", "--denort", "denort.zip"], "--denort with --runtime npm"],
    [["--out="], "--out: a value is required"],
    [["--out", "a", "--out", "b"], "--out: it is given more than once"],
    [["--settings", "a", "--settings", "b"], "--settings: it is given more than once"],
    [["--runtime", "npm", "--runtime", "npm"], "--runtime: it is given more than once"],
    [["--runtime", "nmp"], 'runtime "nmp" (did you mean "npm"?)'],
  ] as const
) {
  Deno.test(`kit ${args.join(" ")} is a wrong command line`, () => {
    const error = assertThrows(() => parseKit(args), UserError, words);
    assertEquals(error.exitCode, 64);
  });
}
