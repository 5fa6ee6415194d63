/** What this executable was built from and may do; run from source, there is no build. */

import config from "../../deno.json" with { type: "json" };

/** The permissions of a process. */
export interface Grants {
  /** `host:port`; a host may begin with `*.`. */
  readonly net: readonly string[];
  readonly read: readonly string[];
  readonly write: readonly string[];
  /** Names, or prefixes with `*`. */
  readonly env: readonly string[];
  readonly sys: readonly string[];
  /** Socket of the service manager, for sd_notify(3). */
  readonly notify?: string;
  /** Socket on which lines are handed in. */
  readonly listen?: string;
  /** File in which the running publisher says how it fares. */
  readonly status?: string;
}

/** Facts written into an executable when it is built. */
export interface Build {
  /** Abbreviated hash of the commit, with `+` where the tree had changes; or `unknown`. */
  readonly commit: string;
  /** ISO 8601, UTC. */
  readonly date: string;
  /** `site`: for one settings file; `general`: for any endpoint of AWS. */
  readonly scope: "site" | "general";
  readonly grants: Grants;
}

// tools/build/bundle.ts defines it.
declare const MQTT443_BUILD: Build | undefined;

/** The build of this executable; undefined when run from source. */
export const BUILD: Build | undefined = typeof MQTT443_BUILD === "undefined"
  ? undefined
  : MQTT443_BUILD;

/** Files that have a place of their own. */
export type PlaceKind = "certs" | "settings" | "state";

const FLAGS: Readonly<Record<PlaceKind, string>> = {
  certs: "--certs DIR",
  settings: "--config FILE",
  state: "--state DIR",
};

/**
 * Where files of a kind may be, as part of a hint. An executable can only read the places it was built for.
 *
 * @param build @default this executable's
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

/** Readable paths where users put files: neither those of sources nor the queue's. */
function ownPlaces({ read, write }: Grants): string[] {
  return read.filter((path) =>
    !write.includes(path) &&
    !/^\/(proc|sys|run|bin\/sh|etc\/(group|localtime|passwd))(\/|$)/.test(path)
  );
}

/**
 * What to do about a missing permission: nobody can add one to an executable.
 *
 * @param kind The kind of file that could not be used, if it has a place of its own.
 * @param build @default this executable's
 */
export function grantHint(kind?: PlaceKind, build: Build | undefined = BUILD): string {
  if (build === undefined) {
    return "start it with `deno task publish`, which grants what the settings name; " +
      "`mqtt443 version` prints what is permitted";
  }
  const { net, read, write } = build.grants;
  // A folder stands for the files in it.
  const places = ownPlaces(build.grants)
    .filter((path) => !read.some((other) => path.startsWith(`${other}/`)));
  const first = kind === undefined ? "" : `${placeHint(kind, build)}: `;
  return `${first}this executable was built for ${net.join(" ")}, to read ${
    places.join(" ")
  } and to write ` +
    `${write.join(" ") || "nothing"}; build another one with ` +
    "`deno task compile --settings mqtt443.json` where its source is";
}

/** Version of this program, from deno.json. */
export const VERSION: string = config.version;

/** A clock before this is wrong: the time of the build, or the day of this version. */
export const BUILT_AT: Date = new Date(BUILD?.date ?? "2026-11-23T00:00:00Z");
