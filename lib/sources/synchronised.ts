/** Whether the machine's clock was set by a time server, as far as systemd-timesyncd tells. */

/** The folder of systemd-timesyncd: it is there while that runs, and holds a file once a time server has answered. */
export const TIMESYNC = "/run/systemd/timesync";

/**
 * Returns a function that says whether the clock is synchronised; undefined where nobody tells: with chrony or ntpd, or
 * without a time service. It looks no more once it is.
 */
export function isSynchronised(folder: string = TIMESYNC): () => boolean | undefined {
  let isSet = false;
  return () => {
    if (isSet) return true;
    try {
      Deno.statSync(`${folder}/synchronized`);
      return isSet = true;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) return undefined;
    }
    try {
      Deno.statSync(folder);
      return false;
    } catch {
      return undefined;
    }
  };
}
