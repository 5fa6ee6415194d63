/**
 * The diagnosis: an ordered list of named checks that goes as far as it can.
 *
 * Looking and telling are apart: {@linkcode runChecks} gives data, {@linkcode reportText} and
 * {@linkcode reportDocument} render it. What each check looks at comes in; this file owns no I/O.
 */

import { EXIT, type ExitCode, type UserError } from "../core/errors.ts";

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
  "tls",
  "alpn",
  "mqtt-connect",
  "publish",
] as const;

/** Name of a check. */
export type CheckName = (typeof CHECKS)[number];

/** What a check found. */
export interface Finding {
  readonly status: "ok" | "warn" | "fail" | "skipped";
  /** What was seen. */
  readonly saw: string;
  /** The same in a line, for a text in which all is well. */
  readonly brief?: string;
  /** The one likely cause, unless ok. */
  readonly cause?: string;
  /** What to type or click, unless ok. */
  readonly hint?: string;
  /** Exit code if this is the first failure. */
  readonly exitCode?: ExitCode;
}

/** One check. */
export interface Check {
  readonly name: CheckName;
  /** Checks without whose success this one says nothing. */
  readonly needs: readonly CheckName[];
  /** Looks. A {@linkcode UserError} it throws is a failure. */
  readonly look: () => Finding | Promise<Finding>;
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
  for (const { name, needs, look } of checks) {
    const unmet = needs.find((need) =>
      ["fail", "skipped"].includes(results.get(need)?.status ?? "")
    );
    if (unmet === undefined) onLook?.(name);
    const result: Result = unmet === undefined
      ? { name, ...await attempt(look, asFailure) }
      : { name, status: "skipped", saw: `needs ${unmet}` };
    results.set(name, result);
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

async function attempt(look: Check["look"], asFailure: (error: unknown) => Finding) {
  try {
    return await look();
  } catch (error) {
    return asFailure(error);
  }
}

/** A finding that all is well. */
export function ok(saw: string, brief?: string): Finding {
  return { status: "ok", saw, ...(brief !== undefined && { brief }) };
}

/** A failure as a finding: what was seen is the error's own sentence. */
export function findingOf(error: UserError, status: "fail" | "warn" = "fail"): Finding {
  return {
    status,
    saw: [error.message, ...error.problems].join("; "),
    cause: error.message,
    hint: error.hint,
    exitCode: error.exitCode,
  };
}

/** The report as a document for scripts; it only grows. */
export function reportDocument({ ok, exitCode, checks }: Report): Report {
  return {
    ok,
    exitCode,
    checks: checks.map(({ name, status, saw, cause, hint }) => ({
      name,
      status,
      saw,
      ...(cause !== undefined && { cause }),
      ...(hint !== undefined && { hint }),
    })),
  };
}

/** Columns of the text. */
const WIDTH = 80;
/** A status of 7, a name of 12, and a space behind each. */
const LABEL = 21;

/**
 * One result as text that fits 80 columns.
 *
 * @param paint Colours a status.
 */
export function resultText(
  { name, status, saw, brief, cause, hint }: Result,
  paint: (status: Result["status"], text: string) => string = (_, text) => text,
): string {
  const head = `${paint(status, status.padEnd(7))} ${name.padEnd(LABEL - 8)}`;
  const lines = wrap(status === "ok" ? brief ?? saw : saw, WIDTH - LABEL);
  const more = [
    ...(cause !== undefined && cause !== saw ? wrap(`cause: ${cause}`, WIDTH - LABEL) : []),
    ...(hint !== undefined ? wrap(`hint: ${hint}`, WIDTH - LABEL) : []),
  ];
  return [`${head}${lines[0] ?? ""}`, ...[...lines.slice(1), ...more].map(indent)].join("\n");
}

/** What an exit code says of where the fault is. */
const FAULT: Readonly<Partial<Record<ExitCode, string>>> = {
  [EXIT.usage]: "wrong command line",
  [EXIT.unavailable]: "network or endpoint",
  [EXIT.cannotCreate]: "state directory",
  [EXIT.refused]: "refused: certificate or policy",
  [EXIT.config]: "settings or files",
};

/** The lines with which the text ends: the counts, and what they mean. */
export function summaryText({ ok, exitCode, checks }: Report): string {
  const count = (wanted: Result["status"]) =>
    checks.filter(({ status }) => status === wanted).length;
  const counts = (["ok", "warn", "fail", "skipped"] as const).map((status) =>
    `${count(status)} ${status}`
  );
  const published = checks.some(({ name, status }) => name === "publish" && status === "ok");
  const failed = checks.find(({ status }) => status === "fail")?.name;
  const verdict = !ok
    ? `This device cannot publish: see ${failed} above (exit code ${exitCode}: ${FAULT[exitCode]})`
    : published
    ? "This device can publish"
    : "Nothing wrong found; publishing was not tried";
  return `\n${counts.join(", ")}\n${wrap(verdict, WIDTH).join("\n")}`;
}

function indent(line: string): string {
  return `${" ".repeat(LABEL)}${line}`;
}

/** Breaks at spaces, and inside a word only where it is longer than a line. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
    for (; line.length > width; line = line.slice(width)) lines.push(line.slice(0, width));
  }
  return [...lines, line];
}
