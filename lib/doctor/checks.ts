/**
 * The diagnosis: an ordered list of named checks that goes as far as it can. Each returns what it found out; later ones
 * are given it. report.ts renders the outcome. What each check looks at comes in; this file owns no I/O.
 */

import { EXIT, type ExitCode } from "../core/errors.ts";
import type { Facts, Known } from "./facts.ts";
import type { Finding } from "./finding.ts";

/** Names of the checks, in their order. Scripts depend on them. */
export const CHECKS = [
  "settings",
  "files",
  "key-match",
  "dates",
  "clock",
  "file-modes",
  "queue",
  "listen",
  "dns",
  "tcp",
  "proxy",
  "tls",
  "alpn",
  "mqtt-connect",
  "publish",
] as const;

/** Name of a check. */
export type CheckName = (typeof CHECKS)[number];

/** What a check returns: its finding, and the facts for later checks. */
export interface Found extends Finding {
  readonly facts?: Partial<Facts>;
}

/** One check. */
export interface Check {
  readonly name: CheckName;
  /** Checks without whose success this one says nothing. */
  readonly needs: readonly CheckName[];
  /** Why there is nothing to look at, which is in no later check's way; undefined if there is something. */
  readonly idle?: (known: Known) => string | undefined;
  /** Looks. A {@linkcode UserError} it throws is a failure. */
  readonly look: (known: Known) => Found | Promise<Found>;
}

/** The outcome of a check. */
export interface Result extends Finding {
  readonly name: CheckName;
}

/** The outcome of all. */
export interface Report {
  readonly ok: boolean;
  /** That of the first failure. */
  readonly exitCode: ExitCode;
  readonly checks: readonly Result[];
}

/**
 * Runs the checks one after the other; one whose need was not met is skipped.
 *
 * @param asFailure Makes a finding of what a check throws; rethrows what is a bug.
 */
export async function runChecks(
  checks: readonly Check[],
  { asFailure, onLook, onResult }: {
    asFailure: (error: unknown) => Finding;
    /** A check begins; some take seconds. */
    onLook?: (name: CheckName) => void;
    onResult?: (result: Result) => void;
  },
): Promise<Report> {
  const results = new Map<CheckName, Result>();
  /** What failed, or was skipped for that. */
  const blocked = new Set<CheckName>();
  let known: Known = {};
  for (const { name, needs, idle, look } of checks) {
    const nothing = idle?.(known);
    const unmet = nothing === undefined ? needs.find((need) => blocked.has(need)) : undefined;
    const skipped = nothing ?? (unmet === undefined ? undefined : `needs ${unmet}`);
    if (skipped === undefined) onLook?.(name);
    const { facts, ...finding } = skipped === undefined
      ? await attempt(() => look(known), asFailure)
      : { status: "skipped" as const, saw: skipped, facts: {} };
    known = { ...known, ...facts };
    const result: Result = { name, ...finding };
    results.set(name, result);
    if (unmet !== undefined || result.status === "fail") blocked.add(name);
    onResult?.(result);
  }
  const all = [...results.values()];
  const failed = all.find(({ status }) => status === "fail");
  return {
    ok: failed === undefined,
    exitCode: failed === undefined ? EXIT.ok : failed.exitCode ?? EXIT.unavailable,
    checks: all,
  };
}

async function attempt(
  look: () => Found | Promise<Found>,
  asFailure: (error: unknown) => Finding,
): Promise<Found> {
  try {
    return await look();
  } catch (error) {
    return asFailure(error);
  }
}
