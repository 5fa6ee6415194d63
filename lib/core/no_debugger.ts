/** Keeps Deno's debugger closed. A file of its own: it must load before every other. */

/** The exit code that a shell reports for a process ended by SIGUSR1. */
const EXIT_CODE = 128 + 10;

/**
 * Ends this process at once when it gets SIGUSR1.
 *
 * Half a second after its start Deno 2.9.6 answers that signal with a debugger on 127.0.0.1:9229, without
 * authentication and whatever the permissions: every user of the machine could read the key. Measured: with this
 * listener the port never accepts, even when the process is busy. Queued messages are on disk.
 */
export function refuseDebugger(): void {
  Deno.addSignalListener("SIGUSR1", () => Deno.exit(EXIT_CODE));
}
