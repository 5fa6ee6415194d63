/** Splits a PEM file into blocks. Pure. */

/** One block of a PEM file. */
export interface PemBlock {
  /** `CERTIFICATE`, `EC PRIVATE KEY`, … */
  readonly label: string;
  /** The block alone, with its own lines. */
  readonly text: string;
}

/**
 * The blocks of a PEM text. A byte order mark, CRLF, blanks and empty lines within a block, and text around the
 * blocks are ignored.
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
  const pattern = /^-----BEGIN ([A-Z0-9 ]+)-----\n[^]*?\n-----END \1-----/;
  return beginnings(text).flatMap((part) => {
    const [block, label] = pattern.exec(part) ?? [];
    return block === undefined ? [] : [{ label: label!, text: tidied(block) }];
  });
}

/** The block as Deno reads it: without any blank in its base64. Headers, as `Proc-Type`, stay as they are. */
function tidied(block: string): string {
  const [begin, ...lines] = block.split("\n");
  const end = lines.pop();
  const hasHeaders = lines[0]!.includes(":");
  const body = hasHeaders
    ? lines
    : lines.map((line) => line.replace(/\s/g, "")).filter((line) => line !== "");
  return [begin, ...body, end, ""].join("\n");
}

/** The bytes of a block; empty if it is more than base64, as keys encrypted the old way (Proc-Type) are. */
export function derOf({ text }: PemBlock): Uint8Array {
  try {
    const binary = atob(text.replace(/^-----.*$/gm, ""));
    return Uint8Array.from(binary, (character) => character.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

/** Whether a block has no end, as in a file copied in part. */
export function isCutShort(text: string): boolean {
  return pemBlocks(text).length < beginnings(text).length;
}

/** The text from each `-----BEGIN` to the next. */
function beginnings(text: string): string[] {
  return text.split("\n").map((line) => line.trimEnd()).join("\n").split(/(?=-----BEGIN )/)
    .filter((part) => part.startsWith("-----BEGIN "));
}

/** What a file holds instead of the wanted block, as the end of a sentence. */
export function describeBlocks(text: string): string {
  if (text.trim() === "") return "it is empty";
  const labels = [...new Set(pemBlocks(text).map(({ label }) => label.toLowerCase()))];
  if (labels.length === 0) {
    return isCutShort(text)
      ? "its PEM block is cut short"
      : "it holds no PEM block (no -----BEGIN line)";
  }
  return `it holds: ${labels.join(", ")}`;
}
