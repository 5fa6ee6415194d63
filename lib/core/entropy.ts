/**
 * Starts gathering entropy early. Deno's TLS (AWS-LC) needs 30 ms and more for it at its first use in a process; making
 * a throw-away key does that on another thread while this one loads the rest.
 */

/** The commands that connect. */
const CONNECTING: readonly (string | undefined)[] = ["publish", "watch", "doctor"];

/** A kind of key that Deno makes on another thread. */
const KEY = { name: "ECDSA", namedCurve: "P-256" };

/** Starts it if this command line connects. Neither the key nor a failure matters. */
export function warmUp([command]: readonly string[]): void {
  if (!CONNECTING.includes(command)) return;
  crypto.subtle.generateKey(KEY, false, ["sign"]).catch(() => {});
}
