/**
 * What an executable of Deno is made of, as its own bytes tell: the paths of Rust's crates that panics would name, the
 * prefix of AWS-LC's symbols, and the id of SQLite's source. Deno publishes no list; this one names what can be seen, and
 * of a crate that leaves no trace it says nothing.
 */

import { DatabaseSync } from "node:sqlite";

/** A part of Deno. */
export interface DenoPart {
  readonly name: string;
  readonly version: string;
  /** As a package URL. */
  readonly purl: string;
  /** SPDX expression, where it is known. */
  readonly license?: string;
  /** What of its source is known beyond its version. */
  readonly source?: string;
}

/** Licences of those that a user asks about first; of the others THIRD_PARTY_LICENSES.txt says where they are. */
const LICENSES: Readonly<Record<string, string>> = {
  "rustls": "Apache-2.0 OR ISC OR MIT",
  "rustls-webpki": "ISC",
  "aws-lc-rs": "ISC AND (Apache-2.0 OR ISC)",
  "libsqlite3-sys": "MIT",
};

/** Version of SQLite in the Deno that runs this, which is the one pinned: `process.versions.sqlite` names another one. */
export function sqliteVersion(): string {
  using database = new DatabaseSync(":memory:");
  return String(database.prepare("select sqlite_version() version").get()!.version);
}

/**
 * The parts, sorted by name.
 *
 * @param deno Bytes of the executable.
 * @param sqlite Version of SQLite in this version of Deno.
 * @throws {Error} If there is no trace of what must be in it: then traces are looked for in the wrong way.
 */
export function partsOfDeno(deno: Uint8Array, sqlite: string): DenoPart[] {
  const text = new TextDecoder("latin1").decode(deno);
  const crates = new Set<string>();
  const path =
    /(?:registry\/src\/[^/]+|git\/checkouts\/[^/]+\/[^/]+)\/([a-z0-9_-]+?-\d+\.\d+\.\d+(?:-[a-z0-9.]+)?)\//g;
  for (const [, crate] of text.matchAll(path)) crates.add(crate!);
  const awsLc = /\baws_lc_(\d+)_(\d+)_(\d+)_/.exec(text)?.slice(1).join(".");
  const source = /\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [0-9a-f]{64}\b/.exec(text)?.[0];
  const parts = [...crates].sort().map((crate): DenoPart => {
    const [, name, version] = /^(.+?)-(\d+\.\d+\.\d+.*)$/.exec(crate)!;
    const license = LICENSES[name!];
    return {
      ...{ name: name!, version: version!, purl: `pkg:cargo/${name}@${version}` },
      ...(license !== undefined && { license }),
    };
  });
  const missing = ["rustls", "aws-lc-rs", "libsqlite3-sys", "v8"]
    .filter((name) => !parts.some((part) => part.name === name));
  if (missing.length > 0 || awsLc === undefined || source === undefined) {
    throw new Error(
      `Cannot tell what is in Deno: no trace of ${missing.join(", ") || "AWS-LC or SQLite"}`,
    );
  }
  return [
    ...parts,
    {
      ...{ name: "aws-lc-sys", version: awsLc, purl: `pkg:cargo/aws-lc-sys@${awsLc}` },
      license: "ISC AND (Apache-2.0 OR ISC) AND OpenSSL",
      source: "AWS-LC, by the prefix of its symbols",
    },
    {
      ...{ name: "sqlite", version: sqlite, purl: `pkg:generic/sqlite@${sqlite}` },
      ...{ license: "blessing", source: `sqlite_source_id ${source}` },
    },
  ].sort((a, b) => (a.name < b.name ? -1 : 1));
}
