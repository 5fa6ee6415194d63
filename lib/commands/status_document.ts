/** The text of a status file as the document that it should hold. Anybody may have written it, in any version. Pure. */

import type { StatusDocument } from "../publisher/mod.ts";

/** By path in the document, the type that is shown or counted with. */
const TYPES: Readonly<Record<string, string>> = {
  "version,startedAt,updatedAt,endpoint,clientId,topic,link.state,link.since,diskState": "string",
  "pid,link.attempt,reconnects,published,acknowledged,dropped,quarantined,refused,waiting,bytes":
    "number",
  "limits.messages,limits.bytes": "number",
};

/** The document; undefined if it is none. */
export function statusOf(text: string): StatusDocument | undefined {
  try {
    const status = JSON.parse(text);
    const isRight = Object.entries(TYPES).every(([paths, type]) =>
      paths.split(",").every((path) => typeOf(at(status, path)) === type)
    );
    const { lastMinute, sources, pubackMs, certificate, link: { lastFailure } } = status;
    const areRight = isNumbers(lastMinute) && Array.isArray(sources) &&
      sources.every(({ name, failed }) => typeof name === "string" && isNumbers([failed])) &&
      (pubackMs === null || isNumbers([pubackMs.p50, pubackMs.p99])) &&
      (certificate === null ||
        isNumbers([certificate.daysLeft, Date.parse(certificate.notAfter)])) &&
      (lastFailure === null || typeof lastFailure.cause === "string") &&
      isNumbers([Date.parse(status.startedAt), Date.parse(status.updatedAt)]);
    return isRight && areRight ? status : undefined;
  } catch {
    return undefined;
  }
}

function at(value: unknown, path: string): unknown {
  return path.split(".").reduce(
    (inner, key) => (inner as Record<string, unknown> | undefined)?.[key],
    value,
  );
}

function typeOf(value: unknown): string {
  return typeof value;
}

function isNumbers(list: unknown): boolean {
  return Array.isArray(list) && list.every(Number.isFinite);
}
