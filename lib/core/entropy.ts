/**
 * Entropy for TLS. What Deno does TLS with (AWS-LC) gathers it from the jitter of the CPU's timing at its first use in a
 * process, for 30 ms and more; done for a throw-away key, that happens on another thread while this one loads the rest.
 */

/** The commands that connect. */
const CONNECTING: readonly (string | undefined)[] = ["publish", "watch", "doctor"];

/** A key is what Deno makes on another thread. */
const KEY = { name: "ECDSA", namedCurve: "P-256" };

/** Begins to gather it where this command line will need it. Its result is of no use, nor is a failure. */
export function warmUp([command]: readonly string[]): void {
  if (!CONNECTING.includes(command)) return;
  crypto.subtle.generateKey(KEY, false, ["sign"]).catch(() => {});
}
