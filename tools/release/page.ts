/** RELEASE.md: what is in the folder of a release, and the commands that verify it. A test runs each. Pure. */

import { DENO_VERSION } from "../build/targets.ts";
import { verifyCommand } from "./sign.ts";

/** What the page tells of. */
export interface ReleaseFacts {
  readonly version: string;
  readonly commit: string;
  readonly date: string;
  /** Names of the files that are signed for. */
  readonly files: readonly string[];
  /** The signer's key, as `allowed_signers` has it. */
  readonly signer: string;
}

const KINDS: readonly (readonly [RegExp, string])[] = [
  [/^mqtt443-linux-/, "the executable, one file: copy it anywhere"],
  [/\.deb$/, "the same as a package for Debian, Ubuntu and what comes from them"],
  [/\.tar\.gz$/, "the same with an installer for systems without dpkg, and for images"],
  [/\.cdx\.json$/, "what is in the executable: bill of materials (CycloneDX 1.6)"],
  [/CHANGELOG/, "what changed"],
];

/** The page. */
export function releasePage({ version, commit, date, files, signer }: ReleaseFacts): string {
  const rows = files.map((name) =>
    `| \`${name}\` | ${KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? ""} |`
  );
  return `# mqtt443 ${version}

Built from commit \`${commit}\` (${date}) with Deno ${DENO_VERSION}. CHANGELOG.md says what is new.

| file | what it is |
|---|---|
${rows.join("\n")}

## Verify it

The files are signed for by their sums, with this key:

    ${signer.trim()}

\`allowed_signers\` holds the same line. Whoever can replace the files can replace that, too: compare the key with the one
on the project's page, or with an earlier release's. Then, in this folder:

    ${verifyCommand("SHA256SUMS")}
    sha256sum -c --ignore-missing SHA256SUMS

Both must say so: \`Good "file" signature for …\`, and \`OK\` behind each file that you have.

The files of a package, against dpkg's own sums, once it is installed: \`dpkg --verify mqtt443\`. What an executable may
reach, read and write: \`mqtt443 version\`.

## Make it again

The same commit gives the same bytes, on any machine with Linux, git and npx:

    git checkout ${commit.replace(/\+$/, "")}
    npx -y deno@${DENO_VERSION} task kit --out again
    cd again && sha256sum -c --ignore-missing ../SHA256SUMS

(Where dl.deno.land is reachable the executable is made by \`deno compile\`, else with Deno from npm: \`--runtime npm\`
forces the second. This release was made as \`mqtt443 version\` says.)

Releases made on GitHub bear a provenance besides: \`gh attestation verify FILE --repo OWNER/REPOSITORY\`.
`;
}
