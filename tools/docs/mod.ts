/**
 * `deno task docs`: writes what is made from the code into README.md (the settings table, the help, the promises) and
 * lib/doctor/README.md (the codes, the causes).
 *
 * The parts stand between `<!-- made: NAME -->` and `<!-- /made -->`; a test compares them with the code.
 */

import { CODES } from "../../lib/core/codes.ts";
import { CAUSES } from "../../tests/support/causes.ts";
import { helpText, settingsTable } from "../../lib/commands/help.ts";
import { promisesTable } from "./promises.ts";

/** The pages with made parts. */
export const PAGES = ["README.md", "lib/doctor/README.md"].map((path) =>
  new URL(`../../${path}`, import.meta.url)
);

/** A page with its made parts made anew. */
export function withMadeParts(readme: string): string {
  const parts: Record<string, string> = {
    settings: settingsTable(),
    help: ["```", helpText(""), "```"].join("\n"),
    promises: promisesTable(),
    codes: codesTable(),
    causes: causesTable(),
  };
  return readme.replace(
    /(<!-- made: (\w+) -->\n)[^]*?(<!-- \/made -->)/g,
    (whole, begin, name, end) => name in parts ? `${begin}\n${parts[name]}\n\n${end}` : whole,
  );
}

/** The set-ups with their true causes as a table. */
function causesTable(): string {
  const rows = Object.values(CAUSES).map(({ id, setUp, cause, check, says, exitCode }) =>
    `| ${id} | ${setUp} | ${cause} | ${check}: ${says} | ${exitCode} |`
  );
  const head = ["| id | set-up | true cause | doctor says | exit code |", "|---|---|---|---|---|"];
  return [...head, ...rows].join("\n");
}

/** The codes of failures as a table. */
function codesTable(): string {
  const rows = Object.entries(CODES).filter(([code]) => code !== "tool-failed")
    .map(([code, meaning]) => `| \`${code}\` | ${meaning} |`);
  return ["| code | meaning |", "|---|---|", ...rows].join("\n");
}

if (import.meta.main) {
  for (const page of PAGES) {
    Deno.writeTextFileSync(page, withMadeParts(Deno.readTextFileSync(page)));
  }
}
