/**
 * Which message makes the server hang up. Pure.
 *
 * A message that the server will not take ends every session in which it is sent, and would stop all others for ever.
 * So after a loss the window falls to 1; a message lost three times alone in flight is passed over once; if the next
 * one is then taken, the first is to blame and is quarantined. If that is lost too, the server takes nothing (an
 * outage, or a policy for all of them) and no message is to blame.
 */

/** Losses alone in flight after which a message is passed over. */
const LOSSES = 3;

/** Keeps account of losses. */
export interface Suspicion {
  /** How many messages may be in flight; the caller's own limit applies besides. */
  window(): number;
  /** Whether this message is passed over in this session. */
  isPassedOver(seq: number): boolean;
  /** A message was delivered. Returns the `seq` that is to blame for earlier losses, if that is now known. */
  delivered(seq: number): number | undefined;
  /** The session ended with these messages in flight. */
  lost(inFlight: readonly number[]): void;
}

/** Makes an account without suspicion. */
export function createSuspicion(): Suspicion {
  let careful = false;
  let suspect: number | undefined;
  let losses = 0;
  return {
    window: () => careful ? 1 : Infinity,
    isPassedOver: (seq) => seq === suspect && losses >= LOSSES,
    delivered(seq) {
      careful = false;
      const blamed = suspect !== seq && losses >= LOSSES ? suspect : undefined;
      if (suspect === seq || blamed !== undefined) {
        suspect = undefined;
        losses = 0;
      }
      return blamed;
    },
    lost(inFlight) {
      if (inFlight.length === 0) return;
      careful = true;
      if (inFlight.length > 1) return;
      const [seq] = inFlight;
      if (seq === suspect) {
        losses++;
      } else if (losses >= LOSSES) {
        // The one after it was lost too: begin anew.
        losses = 0;
      } else {
        suspect = seq;
        losses = 1;
      }
    },
  };
}
