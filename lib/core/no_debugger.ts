/** Keeps Deno's debugger shut. A file of its own, as it is loaded before all others. */

/** The code with which a shell reports a process that SIGUSR1 has ended. */
const EXIT_CODE = 128 + 10;

/**
 * Ends this process at once when it gets SIGUSR1.
 *
 * Half a second after its start Deno 2.9.6 answers that signal with a debugger on 127.0.0.1:9229, without
 * authentication and whatever the permissions: each user of the machine could read the key. Measured: with this
 * listener the port never accepts, also where the signal meets a busy process. What is queued is on disk.
 */
export function refuseDebugger(): void {
  Deno.addSignalListener("SIGUSR1", () => Deno.exit(EXIT_CODE));
}
