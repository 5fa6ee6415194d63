/** The text of THIRD_PARTY_LICENSES.txt: what others wrote and this executable holds, each with its licence. Pure. */

import type { Package } from "./packages.ts";

const LINE = `${"-".repeat(78)}\n`;

/**
 * The text.
 *
 * @param deno Version of the Deno in the executable.
 * @param denoLicense The text of Deno's licence.
 */
export function licensesText(
  packages: readonly Package[],
  deno: string,
  denoLicense: string,
): string {
  const sections = packages.flatMap(({ registry, name, version, license, licenseText, home }) =>
    licenseText === undefined
      ? []
      : [section(`${registry}:${name} ${version} (${license})`, home, licenseText)]
  );
  return [
    "The executable of mqtt443 holds the software below, written by others, under these licences.\n",
    section(
      `Deno ${deno} (MIT)`,
      "https://github.com/denoland/deno",
      `${denoLicense.trim()}\n\n` +
        "Deno itself holds other software: V8 (BSD-3-Clause, https://github.com/v8/v8), and the Rust\n" +
        "crates that Cargo.lock in Deno's source of this version lists, AWS-LC, rustls, SQLite, hyper\n" +
        "and swc among them. Their licences are in the source of each, which Cargo.lock names.",
    ),
    ...sections,
  ].join(`\n${LINE}\n`);
}

function section(title: string, home: string, text: string): string {
  const body = text.trim().replaceAll(/\r\n?/g, "\n").replaceAll(/[ \t]+$/gm, "");
  return `${title}\n${home}\n\n${body}\n`;
}
