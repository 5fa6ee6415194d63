/**
 * Which message is to blame: the one account of what was lost, refused and accepted. Pure.
 *
 * A message that the server will not take ends every session in which it is sent, or is refused each time, and would
 * stop all others for ever. So after a loss the window falls to 1, to grow with each delivery; a message lost three
 * times alone in flight is passed over, and so is each one that is lost after it, until the server takes one. Then those
 * passed over are sent once more, and only one that is lost again is to blame: a server that took nothing for a while
 * (an outage, a policy for all of them) blames none. Four losses alone are not proof: of a link that drops every tenth
 * message sent alone none in 10,000 is blamed, at every third 30 are (simulated). A refused message is held until
 * another was accepted; refused again after that it is to blame.
 */

import type { TakenMessage } from "../queue/mod.ts";

/** Losses alone in flight after which a message is passed over, and below which none is blamed. */
const LOSSES = 3;
/** Messages under suspicion at most: where that many are lost one by one, the server takes nothing. */
const MOST_SUSPECTS = 1000;
/**
 * Messages refused one after the other, none accepted between, after which others to the same topics are held, or,
 * where the reason may pass, the session is ended.
 */
const MOST_REFUSED = 3;

/** What is to be done about a refusal: set the message aside, hold it, or end the session. */
export type Sentence = "quarantine" | "hold" | "end";

/** The account of blame of a run, from session to session. */
export class Poison {
  /** Lost alone in flight: how often, and whether another was accepted after it. */
  readonly #suspects = new Map<number, { losses: number; isOnTrial: boolean }>();
  /** After a loss it begins with 1 and grows with each delivery: on a slow link a whole window may be too much. */
  #window = Infinity;
  /** One was lost three times: look whether the server takes others. */
  #isPassing = false;
  /** Refused in this session since the last one that was accepted, with their topics. */
  readonly #refused = new Map<number, string>();
  /** Refused before another was accepted: refused again, they are to blame, and not the server. */
  readonly #onTrial = new Set<number>();
  /** Refused for a reason that may pass: the next session sends them again. */
  readonly #postponed = new Set<number>();
  #postponedInARow = 0;
  /** Up to this `seq` messages go alone: they were in flight at a loss, or in a packet that was refused. */
  #aloneUntil = 0;

  /** How many may be in flight; the caller's own limit applies besides. */
  get window(): number {
    return this.#window;
  }

  /** A session begins: what was refused in the last one is tried again. */
  begin(): void {
    this.#refused.clear();
    this.#onTrial.clear();
    this.#postponed.clear();
    this.#postponedInARow = 0;
  }

  /** Whether a message may be sent next; else it is held. */
  next({ seq, topic }: Pick<TakenMessage, "seq" | "topic">): boolean {
    if (this.#isPassedOver(seq) || this.#refused.has(seq) || this.#postponed.has(seq)) return false;
    return this.#refused.size < MOST_REFUSED ||
      !this.#refused.values().some((other) => other === topic);
  }

  /** Whether a message may share a packet with others: none is under suspicion, so that none is blamed with others. */
  mayShare(seq: number): boolean {
    const { size } = this.#suspects;
    const sizes = size + this.#refused.size + this.#onTrial.size + this.#postponed.size;
    return sizes === 0 && seq > this.#aloneUntil;
  }

  /** A packet of several messages, up to this `seq`, was refused: one of them may be to blame. */
  split(lastSeq: number): void {
    this.#aloneUntil = Math.max(this.#aloneUntil, lastSeq);
  }

  /** Where nothing else is left to send: the first of the held ones that was passed over. It may be taken by now. */
  lastResort(held: readonly number[]): number | undefined {
    const seq = held.find((seq) =>
      this.#isPassedOver(seq) && !this.#refused.has(seq) && !this.#postponed.has(seq)
    );
    return seq;
  }

  /** Whether a held message waits for the next session. */
  isPostponed(seq: number): boolean {
    return this.#postponed.has(seq);
  }

  /** A message was accepted. Returns whether those held are to be tried again. */
  accepted(seq: number): boolean {
    this.#postponedInARow = 0;
    // Nearly always there is nobody to blame.
    if (this.#suspects.size + this.#refused.size + this.#onTrial.size === 0) {
      this.#window++;
      return false;
    }
    this.#onTrial.delete(seq);
    const isRefused = this.#refused.size > 0;
    for (const other of this.#refused.keys()) this.#onTrial.add(other);
    this.#refused.clear();
    this.#suspects.delete(seq);
    for (const [other, suspect] of this.#suspects) {
      // It would have been sent before this one, so it is in the queue no more.
      if (other < seq && (suspect.isOnTrial || !this.#isPassing)) this.#suspects.delete(other);
    }
    for (const suspect of this.#suspects.values()) suspect.isOnTrial = true;
    this.#window = this.#suspects.size > 0 ? 1 : this.#window + 1;
    const isRetry = this.#isPassing && this.#suspects.size > 0;
    this.#isPassing = false;
    return isRetry || isRefused;
  }

  /** A message was refused. @param mayPass Whether the reason may pass. */
  refused({ seq, topic }: Pick<TakenMessage, "seq" | "topic">, mayPass: boolean): Sentence {
    if (mayPass) {
      this.#postponed.add(seq);
      return ++this.#postponedInARow === MOST_REFUSED ? "end" : "hold";
    }
    if (this.#onTrial.delete(seq)) return "quarantine";
    this.#refused.set(seq, topic);
    return "hold";
  }

  /** The session was lost with these messages in flight. Returns the one to blame, if that is now known. */
  lost(inFlight: readonly number[]): number | undefined {
    const [seq] = inFlight;
    if (seq === undefined) return undefined;
    this.#window = 1;
    this.split(Math.max(...inFlight));
    if (inFlight.length > 1) return undefined;
    const suspect = this.#suspects.get(seq) ?? { losses: 0, isOnTrial: false };
    suspect.losses++;
    if (suspect.isOnTrial && suspect.losses > LOSSES) {
      this.#suspects.delete(seq);
      return seq;
    }
    this.#suspects.set(seq, suspect);
    if (suspect.losses >= LOSSES && !suspect.isOnTrial) this.#isPassing = true;
    if (this.#suspects.size > MOST_SUSPECTS) {
      this.#suspects.clear();
      this.#isPassing = false;
    }
    return undefined;
  }

  #isPassedOver(seq: number): boolean {
    const suspect = this.#suspects.get(seq);
    return this.#isPassing && suspect !== undefined && !suspect.isOnTrial;
  }
}
