/**
 * What an executable was built from, and what it may do. Where the program runs from source, nothing of it is known.
 */

import config from "../../deno.json" with { type: "json" };

/** What a process may do; everything else is refused. */
export interface Grants {
  /** `host:port`; a host may begin with `*.`. */
  readonly net: readonly string[];
  readonly read: readonly string[];
  readonly write: readonly string[];
  /** Names, or prefixes with `*`. */
  readonly env: readonly string[];
  readonly sys: readonly string[];
  /** Socket of the service manager, which may be told how the program fares. */
  readonly notify?: string;
  /** Socket on which lines are handed in. */
  readonly listen?: string;
}

/** What is written into an executable when it is built. */
export interface Build {
  /** Abbreviated hash of the commit, with `+` where the tree had changes; or `unknown`. */
  readonly commit: string;
  /** ISO 8601, UTC. */
  readonly date: string;
  /** `site`: for one settings file; `general`: for any endpoint of AWS. */
  readonly scope: "site" | "general";
  readonly grants: Grants;
}

// tools/build/bundle.ts puts it here.
declare const MQTT443_BUILD: Build | undefined;

/** What this executable was built from; undefined when run from source. */
export const BUILD: Build | undefined = typeof MQTT443_BUILD === "undefined"
  ? undefined
  : MQTT443_BUILD;

/** What a hint can be about. */
export type PlaceKind = "certs" | "settings" | "state";

const FLAGS: Readonly<Record<PlaceKind, string>> = {
  certs: "--certs DIR",
  settings: "--config FILE",
  state: "--state DIR",
};

/**
 * Where files of a kind may lie, as a part of a hint: what `--certs` names, an executable may not read.
 *
 * @param build What runs. @default this executable's
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { placeHint } from "./build.ts";
 *
 * assertEquals(placeHint("certs", undefined), "pass --certs DIR");
 * ```
 */
export function placeHint(kind: PlaceKind, build: Build | undefined = BUILD): string {
  if (build === undefined) return `pass ${FLAGS[kind]}`;
  const { read, write } = build.grants;
  const places = kind === "state"
    ? write
    : ownPlaces(build.grants).filter((path) =>
      path.endsWith(".json") === (kind === "settings") &&
      !read.some((other) => other.startsWith(`${path}/`))
    );
  return places.length === 0
    ? "build another executable with `deno task compile --settings mqtt443.json`"
    : `use ${places.join(" or ")}`;
}

/** What of the grants to read is a place of the user's: what sources read is none, nor is the queue's. */
function ownPlaces({ read, write }: Grants): string[] {
  return read.filter((path) =>
    !write.includes(path) && !/^\/(proc|sys|run|etc\/group|etc\/passwd)(\/|$)/.test(path)
  );
}

/**
 * What to do about a permission that is missing: nobody can add one to an executable.
 *
 * @param kind What is not permitted, if it is a file with a place of its own.
 * @param build What runs. @default this executable's
 */
export function grantHint(kind?: PlaceKind, build: Build | undefined = BUILD): string {
  if (build === undefined) {
    return "start it with `deno task publish`, which grants what the settings name; " +
      "`mqtt443 version` prints what is permitted";
  }
  const { net, read, write } = build.grants;
  // A folder says what lies in it.
  const places = ownPlaces(build.grants)
    .filter((path) => !read.some((other) => path.startsWith(`${other}/`)));
  const first = kind === undefined ? "" : `${placeHint(kind, build)}: `;
  return `${first}this executable was built for ${net.join(" ")}, to read ${
    places.join(" ")
  } and to write ` +
    `${write.join(" ") || "nothing"}; build another one with ` +
    "`deno task compile --settings mqtt443.json` where its source is";
}

/** Version of this program: deno.json's. */
export const VERSION: string = config.version;

/** No clock is right that says a time before this: when it was built, or the day of this version. */
export const BUILT_AT: Date = new Date(BUILD?.date ?? "2026-11-23T00:00:00Z");
