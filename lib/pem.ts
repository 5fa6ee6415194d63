/** What a PEM file holds. Pure: text in, blocks out. */

/** One block of a PEM file. */
export interface PemBlock {
  /** `CERTIFICATE`, `EC PRIVATE KEY`, … */
  readonly label: string;
  /** The block alone, with its own lines. */
  readonly text: string;
}

/**
 * The blocks of a PEM text. A byte order mark, CRLF and text around the blocks are let by.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { pemBlocks } from "./pem.ts";
 *
 * const text = "note\r\n-----BEGIN CERTIFICATE-----\r\nAAAA\r\n-----END CERTIFICATE-----\r\n";
 * assertEquals(pemBlocks(text).map(({ label }) => label), ["CERTIFICATE"]);
 * ```
 */
export function pemBlocks(text: string): PemBlock[] {
  const clean = text.replaceAll("\r", "").replace(/^\uFEFF/, "");
  const pattern = /-----BEGIN ([A-Z0-9 ]+)-----\n[^]*?\n-----END \1-----/g;
  return [...clean.matchAll(pattern)].map(([block, label]) => ({
    label: label!,
    text: `${block}\n`,
  }));
}

/** What a file without the wanted block holds, as the end of a sentence. */
export function describeBlocks(text: string): string {
  if (text.trim() === "") return "it is empty";
  const labels = [...new Set(pemBlocks(text).map(({ label }) => label.toLowerCase()))];
  if (labels.length === 0) {
    return text.includes("-----BEGIN")
      ? "its PEM block is cut short"
      : "it holds no PEM block (no -----BEGIN line)";
  }
  return `it holds: ${labels.join(", ")}`;
}
