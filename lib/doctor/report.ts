/** The outcome of the diagnosis as data for scripts and as text. Pure. */

import { EXIT, type ExitCode } from "../core/errors.ts";
import { wrap } from "../core/text.ts";
import type { Report, Result } from "./checks.ts";

/** The report as a document for scripts; it only grows. */
export function reportDocument({ ok, exitCode, checks }: Report): Report {
  return {
    ok,
    exitCode,
    checks: checks.map(({ name, status, code, saw, cause, hint, said, evidence }) => ({
      name,
      status,
      ...(code !== undefined && { code }),
      saw,
      ...(cause !== undefined && { cause }),
      ...(said !== undefined && { said }),
      ...(hint !== undefined && { hint }),
      ...(evidence !== undefined && { evidence }),
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
  { name, status, saw, brief, cause, said, hint }: Result,
  paint: (status: Result["status"], text: string) => string = (_, text) => text,
): string {
  const head = `${paint(status, status.padEnd(7))} ${name.padEnd(LABEL - 8)}`;
  const lines = wrap(status === "ok" ? brief ?? saw : saw, WIDTH - LABEL);
  const more = [
    ...(cause !== undefined && !saw.startsWith(cause)
      ? wrap(`cause: ${cause}`, WIDTH - LABEL)
      : []),
    ...(said !== undefined ? wrap(`it said: ${JSON.stringify(said)}`, WIDTH - LABEL) : []),
    ...(hint !== undefined ? wrap(`hint: ${hint}`, WIDTH - LABEL) : []),
  ];
  return [`${head}${lines[0] ?? ""}`, ...[...lines.slice(1), ...more].map(indent)].join("\n");
}

/** What an exit code says of where the fault is. */
const FAULT: Readonly<Partial<Record<ExitCode, string>>> = {
  [EXIT.usage]: "wrong command line",
  [EXIT.unavailable]: "network or endpoint",
  [EXIT.cannotCreate]: "state directory",
  [EXIT.refused]: "refused by the server",
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

/** Less for a word that would else be too long for the line: it may be one to copy. */
function indent(line: string): string {
  return `${" ".repeat(Math.max(0, Math.min(LABEL, WIDTH - line.length)))}${line}`;
}
