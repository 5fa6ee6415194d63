/** The local time, printed as AWS's article on MQTT over port 443 prints it. */

import type { Reading } from "../core/message.ts";

/** The local time as `YYYY-MM-DDTHH:MM:SS`, where it is so many minutes ahead of UTC. Pure. */
export function clockReadings(now: Date, offsetMinutes: number): Reading[] {
  const local = new Date(now.getTime() + offsetMinutes * 60_000);
  return [{ name: "local_time", value: local.toISOString().slice(0, 19) }];
}
