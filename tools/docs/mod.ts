/**
 * `deno task docs`: writes what is made from the code into the README.md pages: the settings table, the help, the
 * promises.
 *
 * The parts stand between `<!-- made: NAME -->` and `<!-- /made -->`; a test compares them with the code.
 */

import { helpText, settingsTable } from "../../lib/commands/help.ts";
import { promisesTable } from "./promises.ts";

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

/** A page with its made parts made anew. */
export function withMadeParts(text: string): string {
  const parts: Record<string, () => string> = {
    settings: settingsTable,
    help: () => ["```", helpText(""), "```"].join("\n"),
    promises: promisesTable,
  };
  return text.replace(
    /(<!-- made: (\w+) -->\n)[^]*?(<!-- \/made -->)/g,
    (whole, begin, name, end) => name in parts ? `${begin}\n${parts[name]!()}\n\n${end}` : whole,
  );
}

if (import.meta.main) {
  for (const page of pages()) {
    const text = pageText(page);
    const made = withMadeParts(text);
    if (made !== text) Deno.writeTextFileSync(new URL(page, ROOT), made);
  }
}
