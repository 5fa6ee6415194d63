/**
 * The text of a PEM file, whatever form it came in, and what is wrong with one that is not taken. Pure.
 *
 * Taken is what OpenSSL takes: DER, CRLF, a byte order mark, blanks at the ends of lines, an indented body. Of anything
 * else in which nothing is missing the error says what it is, and gives the command that mends it.
 */

import { shellWord } from "../core/text.ts";
import type { UserError } from "../core/errors.ts";
import { cannotUse, type NamedFile } from "./certificate.ts";
import { children, elementAt } from "./der.ts";

/** What is the matter with a text, and the filter that mends it. */
type Fault = readonly [pattern: RegExp, what: string, filter: string];

const FAULTS: readonly Fault[] = [
  [/^\s*LS0tLS1CRUdJTi/, "it is base64 of a PEM file, as in a Kubernetes secret", "base64 -d"],
  [
    /-----(\\r)?\\n/,
    "its line ends are written as \\n, as in JSON",
    String.raw`sed 's/"//g; s/\\r//g; s/\\n$//; s/\\n/\n/g'`,
  ],
  [/-----\r(?!\r*\n)/, "its lines end with CR alone", String.raw`tr '\r' '\n'`],
  [
    /^[ \t]+-----(BEGIN|END) /m,
    "the BEGIN or END line of a PEM block is indented",
    "sed 's/^[[:blank:]]*//'",
  ],
  [
    /-----BEGIN [A-Z0-9 ]+-----[ \t]*[\w+/]/,
    "its lines were joined into one",
    String.raw`sed -E 's/ *(-----[A-Z0-9 ]+-----) */\n\1\n/g; s/^\n//'`,
  ],
];

/** Refuses a text whose PEM is whole, but in a form that OpenSSL does not take either. @throws {UserError} */
export function refuseForm(file: Pick<NamedFile, "what" | "path">, text: string): void {
  const fault = FAULTS.find(([pattern]) => pattern.test(text));
  if (fault) throw wrongForm(file, fault[1], fault[2]);
  const kind = /-----BEGIN (PKCS12|PKCS7)( DER)?-----/.exec(text);
  if (!kind) return;
  const path = shellWord(file.path);
  const part = file.what.endsWith("key") ? "-nocerts -nodes" : "-clcerts -nokeys";
  const [what, command] = kind[1] === "PKCS12"
    ? ["a PKCS #12 file (.p12, .pfx)", `openssl pkcs12 -in ${path} ${part}`]
    : [
      "a PKCS #7 file (.p7b)",
      `openssl pkcs7 ${kind[2] ? "-inform DER " : ""}-print_certs -in ${path}`,
    ];
  throw cannotUse(
    "wrong-file",
    file,
    `it is ${what}, not PEM`,
    `take it out with \`(umask 077; ${command} -out ${shellWord(`${file.path}.new`)})\`, ` +
      REPLACE,
  );
}

/** The text of a PEM or DER file. @throws {UserError} If it is UTF-16. */
export function pemText(file: NamedFile, bytes: Uint8Array): string {
  const label = bytes[0] === 0x30 ? labelOf(bytes) : undefined;
  if (label !== undefined) {
    const binary = Array.from(
      bytes.subarray(0, elementAt(bytes, 0)!.size),
      (byte) => String.fromCharCode(byte),
    ).join("");
    const base64 = btoa(binary).replace(/.{64}(?=.)/g, "$&\n");
    return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`;
  }
  return plainText(file, bytes);
}

/** The text of a file in UTF-8. @throws {UserError} If it is UTF-16. */
export function plainText(file: Pick<NamedFile, "what" | "path">, bytes: Uint8Array): string {
  const [first, second] = bytes;
  const isLittle = (first === 0xff && second === 0xfe) || (second === 0 && first !== 0);
  if (isLittle || (first === 0xfe && second === 0xff) || (first === 0 && second !== 0)) {
    const order = isLittle ? "LE" : "BE";
    throw wrongForm(file, "it is written in UTF-16", `iconv -f UTF-16${order} -t UTF-8`);
  }
  return new TextDecoder().decode(bytes);
}

/** What to do with the new file that a command of a hint has made. */
export const REPLACE = "and put that in place of the old file, with its owner and mode";

function wrongForm(
  file: Pick<NamedFile, "what" | "path">,
  what: string,
  filter: string,
): UserError {
  const copy = `(umask 077; ${filter} <${shellWord(file.path)} >${shellWord(`${file.path}.new`)})`;
  return cannotUse("wrong-file", file, what, `make a clean copy with \`${copy}\`, ${REPLACE}`);
}

/** The label that DER has as PEM, from its first fields; undefined where it is none that is known. */
function labelOf(der: Uint8Array): string | undefined {
  const tags = children(der)?.slice(0, 3).map(({ tag }) => tag.toString(16)).join(" ") ?? "";
  return LABELS.find(([pattern]) => pattern.test(tags))?.[1];
}

/** 30: a sequence, 2: an integer, 3: a bit string, 4: an octet string, 6: an object identifier. */
const LABELS: readonly (readonly [fields: RegExp, label: string])[] = [
  [/^30 30 3$/, "CERTIFICATE"],
  [/^30 4$/, "ENCRYPTED PRIVATE KEY"],
  [/^2 30 4/, "PRIVATE KEY"],
  [/^2 4/, "EC PRIVATE KEY"],
  [/^2 2 2/, "RSA PRIVATE KEY"],
  [/^2 30/, "PKCS12"],
  [/^6 a0/, "PKCS7 DER"],
];
