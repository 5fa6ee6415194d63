/** The text of THIRD_PARTY_LICENSES.txt: what others wrote and this executable holds, each with its licence. Pure. */

import type { Package } from "./packages.ts";

const LINE = `${"-".repeat(78)}\n`;

/** Deno in the executable, and the licences of what it is made of. */
export interface DenoLicenses {
  readonly version: string;
  /** Version of the V8 in it. */
  readonly v8: string;
  /** Texts of licences; those of Apache-2.0 and ISC bear nobody's name. */
  readonly texts: Readonly<Record<"deno" | "v8" | "apache2" | "isc", string>>;
}

/** Deno publishes no list of the notices of its crates: this says what is here and what is not. */
const CRATES =
  `Deno is built of Rust crates and C libraries; Cargo.lock in its source of this version lists
all, with their versions. Most are under MIT, or MIT or Apache-2.0 at choice (tokio, hyper); others
under Apache-2.0 (swc), ISC (rustls at choice, AWS-LC in part) or BSD-3-Clause (curve25519-dalek).
SQLite is in the public domain. The text of MIT is Deno's above, that of BSD-3-Clause is V8's, each
with the authors of that crate as copyright holders; those of Apache-2.0 and ISC follow.

NOT LISTED HERE are the copyright lines of these crates, one by one, and what is under other
licences: ICU and its data (Unicode-3.0) and what else V8 brings along, the parts of AWS-LC that come
from OpenSSL, Mozilla's root certificates (MPL-2.0), and a few crates under Zlib, BSD-2-Clause and the
like. Their texts are in the source of each, of the version that Cargo.lock names.`;

/**
 * The text.
 *
 * @param packages Those in the executable.
 */
export function licensesText(
  packages: readonly Package[],
  { version, v8, texts }: DenoLicenses,
): string {
  const sections = packages.map(({ name, version, license, licenseText, home }) =>
    section(`npm:${name} ${version} (${license})`, home, licenseText)
  );
  const source = "https://github.com/denoland/deno";
  return [
    "mqtt443 itself is under the MIT licence: see LICENSE. Its executable holds the software below,\n" +
    "written by others, under these licences.\n",
    section(`Deno ${version} (MIT)`, source, texts.deno),
    section(`V8 ${v8} (BSD-3-Clause), in Deno`, "https://github.com/v8/v8", texts.v8),
    section(`Other software in Deno ${version}`, source, CRATES),
    section("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0", texts.apache2),
    section("ISC", "https://opensource.org/license/isc", texts.isc),
    ...sections,
  ].join(`\n${LINE}\n`);
}

function section(title: string, home: string, text: string): string {
  const body = text.replaceAll(/\r\n?/g, "\n").replaceAll(/[ \t]+$/gm, "")
    .replaceAll(/^\n+|\n+$/g, "");
  return `${title}\n${home}\n\n${body}\n`;
}
