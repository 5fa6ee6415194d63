/**
 * `deno task docs`: writes what is made from the code into README.md: the settings table, the help, the promises.
 *
 * The parts stand between `<!-- made: NAME -->` and `<!-- /made -->`; a test compares them with the code.
 */

import { helpText, settingsTable } from "../../lib/commands/help.ts";
import { promisesTable } from "./promises.ts";

const README = new URL("../../README.md", import.meta.url);

/** README with its made parts made anew. */
export function withMadeParts(readme: string): string {
  const parts: Record<string, string> = {
    settings: settingsTable(),
    help: ["```", helpText(""), "```"].join("\n"),
    promises: promisesTable(),
  };
  return readme.replace(
    /(<!-- made: (\w+) -->\n)[^]*?(<!-- \/made -->)/g,
    (whole, begin, name, end) => name in parts ? `${begin}\n${parts[name]}\n\n${end}` : whole,
  );
}

if (import.meta.main) {
  Deno.writeTextFileSync(README, withMadeParts(Deno.readTextFileSync(README)));
}
