/** The receipt: the line that answers a line. Pure. */

/** Why a line was not taken. */
export interface Refusal {
  /** A sentence's end that names the field and its rule. */
  readonly error: string;
  /** Whether the same line may be taken later. */
  readonly retry: boolean;
}

/** A line's answer: the `seq` of its message, which is on disk as `durability` says, or why it was not taken. */
export type Answer = number | Refusal;

/**
 * The receipt of a line, with its line end.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { receiptOf } from "./receipt.ts";
 *
 * assertEquals(receiptOf(1042), '{"ok":true,"seq":1042}\n');
 * assertEquals(
 *   receiptOf({ error: "topic: must not be empty", retry: false }),
 *   '{"ok":false,"error":"topic: must not be empty","retry":false}\n',
 * );
 * ```
 */
export function receiptOf(answer: Answer): string {
  if (typeof answer === "number") return `{"ok":true,"seq":${answer}}\n`;
  const { error, retry } = answer;
  return `${JSON.stringify({ ok: false, error, retry })}\n`;
}

/** The answer in a receipt, or undefined if it is none. */
export function answerIn(receipt: string): Answer | undefined {
  try {
    const { ok, seq, error, retry } = JSON.parse(receipt);
    if (ok === true && typeof seq === "number") return seq;
    if (ok === false && typeof error === "string") return { error, retry: retry === true };
  } catch { /* no JSON, or null: another program answers there */ }
  return undefined;
}

/** A refusal that no other time changes. */
export function refused(error: string): Refusal {
  return { error, retry: false };
}

/** A refusal of now: the same line may be taken later. */
export function notNow(error: string): Refusal {
  return { error, retry: true };
}
