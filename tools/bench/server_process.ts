/** The local endpoint in a process of its own: `server_process.ts CERTS` prints its port, and ends with its stdin. */

import { readCerts, startEndpoint } from "../endpoint/mod.ts";
import { MOST_INFLIGHT } from "./servers.ts";

const endpoint = await startEndpoint({
  certificates: (await readCerts(Deno.args[0]!))!,
  keep: "counts",
  limits: { receiveMaximum: MOST_INFLIGHT },
});
console.log(endpoint.port);
for await (const _ of Deno.stdin.readable) { /* nobody writes */ }
// Whoever started it is gone.
Deno.exit();
