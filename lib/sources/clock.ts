/** The local time, printed as AWS's article on MQTT over port 443 prints it. */

import type { Reading } from "../core/message.ts";

/** The local time as `YYYY-MM-DDTHH:MM:SS`, in the zone of this process. Pure. */
export function clockReadings(now: Date): Reading[] {
  const two = (n: number) => String(n).padStart(2, "0");
  const date = [
    String(now.getFullYear()).padStart(4, "0"),
    two(now.getMonth() + 1),
    two(now.getDate()),
  ];
  const time = [
    two(now.getHours()),
    two(now.getMinutes()),
    two(now.getSeconds()),
  ];
  return [{ name: "local_time", value: `${date.join("-")}T${time.join(":")}` }];
}
