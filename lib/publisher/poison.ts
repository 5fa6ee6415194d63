/**
 * Which message makes the server hang up. Pure.
 *
 * A message that the server will not take ends every session in which it is sent, and would stop all others for ever.
 * So after a loss the window falls to 1, to grow with each delivery; a message lost three times alone in flight is
 * passed over, and so is each one that is lost after it, until the server takes one. Then those passed over are sent
 * once more, and only one that is lost again is to blame: a server that took nothing for a while (an outage, a policy
 * for all of them) blames none. Four losses alone are not proof: of a link that drops every tenth message sent alone
 * none in 10,000 is blamed, at every third 30 are (simulated).
 */

/** Losses alone in flight after which a message is passed over, and below which none is blamed. */
const LOSSES = 3;
/** Messages under suspicion at most: where that many are lost one by one, the server takes nothing. */
const MOST_SUSPECTS = 1000;

/** Keeps account of losses. */
export interface Suspicion {
  /** How many messages may be in flight; the caller's own limit applies besides. */
  window(): number;
  /** Whether this message is passed over for now. */
  isPassedOver(seq: number): boolean;
  /** A message was delivered. Returns whether those passed over are to be sent once more. */
  delivered(seq: number): boolean;
  /** The session was lost with these messages in flight. Returns the `seq` that is to blame, if that is now known. */
  lost(inFlight: readonly number[]): number | undefined;
}

interface Suspect {
  losses: number;
  /** Another message was taken after it was lost. */
  onTrial: boolean;
}

/** Makes an account without suspicion. */
export function createSuspicion(): Suspicion {
  const suspects = new Map<number, Suspect>();
  /** After a loss it begins with 1 and grows with each delivery: on a slow link a whole window may be too much. */
  let window = Infinity;
  /** One was lost three times: look whether the server takes others. */
  let passing = false;
  return {
    window: () => window,
    isPassedOver(seq) {
      const suspect = suspects.get(seq);
      return passing && suspect !== undefined && !suspect.onTrial;
    },
    delivered(seq) {
      suspects.delete(seq);
      for (const [other, suspect] of suspects) {
        // It would have been sent before this one, so it is in the queue no more.
        if (other < seq && (suspect.onTrial || !passing)) suspects.delete(other);
      }
      for (const suspect of suspects.values()) suspect.onTrial = true;
      window = suspects.size > 0 ? 1 : window + 1;
      const retry = passing && suspects.size > 0;
      passing = false;
      return retry;
    },
    lost(inFlight) {
      if (inFlight.length === 0) return undefined;
      window = 1;
      const [seq] = inFlight;
      if (seq === undefined || inFlight.length > 1) return undefined;
      const suspect = suspects.get(seq) ?? { losses: 0, onTrial: false };
      suspect.losses++;
      if (suspect.onTrial && suspect.losses > LOSSES) {
        suspects.delete(seq);
        return seq;
      }
      suspects.set(seq, suspect);
      if (suspect.losses >= LOSSES && !suspect.onTrial) passing = true;
      if (suspects.size > MOST_SUSPECTS) {
        suspects.clear();
        passing = false;
      }
      return undefined;
    },
  };
}
