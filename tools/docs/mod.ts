/**
 * `deno task docs`: writes what is made from the code into the README.md pages: the settings table, the help, the
 * promises, and what the program printed.
 *
 * The parts stand between `<!-- made: NAME -->` and `<!-- /made -->`; a test compares them with the code.
 */

import { CODES } from "../../lib/core/codes.ts";
import { CAUSES } from "../../tests/support/causes.ts";
import { helpText, settingsTable } from "../../lib/commands/help.ts";
import { readingsTable } from "../../lib/sources/table.ts";
import { promisesTable } from "./promises.ts";
import { doctorTranscript, queueTranscript } from "./transcripts.ts";

const ROOT = new URL("../../", import.meta.url);

/** The project's README.md pages, as paths below its folder: its own, and those of rooms, tools and tests. */
export function pages(folder = ""): string[] {
  const entries = [...Deno.readDirSync(new URL(`./${folder}`, ROOT))];
  return entries.flatMap(({ name, isDirectory }) => {
    if (isDirectory) {
      return /^(\.|vendor|node_modules|dist)/.test(name) ? [] : pages(`${folder}${name}/`);
    }
    return name === "README.md" ? [folder + name] : [];
  }).toSorted();
}

/** The text of a page. */
export function pageText(page: string): string {
  return Deno.readTextFileSync(new URL(page, ROOT));
}

const PARTS: Readonly<Record<string, () => string | Promise<string>>> = {
  settings: settingsTable,
  help: () => ["```", helpText(""), "```"].join("\n"),
  promises: promisesTable,
  doctor: doctorTranscript,
  queue: queueTranscript,
  codes: codesTable,
  readings: readingsTable,
  causes: causesTable,
};

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

/** A page with its made parts made anew. */
export async function withMadeParts(text: string): Promise<string> {
  let made = "";
  let end = 0;
  for (const part of text.matchAll(/(<!-- made: (\w+) -->\n)[^]*?(<!-- \/made -->)/g)) {
    const [whole, begin, name, close] = part;
    const make = PARTS[name!];
    if (make === undefined) throw new Error(`Cannot make part "${name}": it is unknown`);
    made += `${text.slice(end, part.index)}${begin}\n${await make()}\n\n${close}`;
    end = part.index + whole.length;
  }
  return made + text.slice(end);
}

if (import.meta.main) {
  for (const page of pages()) {
    const text = pageText(page);
    const made = await withMadeParts(text);
    if (made !== text) Deno.writeTextFileSync(new URL(page, ROOT), made);
  }
}
