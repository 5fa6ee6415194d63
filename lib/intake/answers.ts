/** What became of each message of one commit, as answers to its lines. Knows the queue's `put`, and no other file does. */

import { MAX_PAYLOAD_BYTES, utf8Bytes } from "../core/message.ts";
import { type Draft, tooLong } from "./draft.ts";
import type { Put } from "./intake.ts";
import { type Answer, notNow } from "./receipt.ts";

const FULL = notNow("queue: is full");

/**
 * Makes answers of what the queue says.
 *
 * @param put Puts drafts into the queue; those with a `seq` beyond the last one found it full, and were not taken.
 */
export function answering(put: (drafts: readonly Draft[]) => { readonly lastSeq: number }): Put {
  return (drafts) => {
    const answers: Answer[] = [];
    const { lastSeq } = put(drafts.map((draft, at) => ({
      ...draft,
      payload(seq) {
        const text = draft.payload(seq);
        // UTF-8 takes 3 bytes at most for what takes one place in a string.
        const bytes = text.length * 3 > MAX_PAYLOAD_BYTES ? utf8Bytes(text) : 0;
        answers[at] = bytes > MAX_PAYLOAD_BYTES ? tooLong("payload", bytes) : seq;
        return text;
      },
    })));
    return answers.map((answer) => typeof answer === "number" && answer > lastSeq ? FULL : answer);
  };
}
