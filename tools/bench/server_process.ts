/**
 * The local endpoint and the slow links, in a process of their own, so that they take no time from what is measured.
 *
 * `server_process.ts CERTS PORT`: one link leads to the endpoint, one to that port if it is not 0. Prints the ports as JSON;
 * each line on stdin asks when messages came to the endpoint since the last one.
 */

import type { Socket } from "node:net";
import { readLines } from "../../lib/sources/mod.ts";
import { readCerts, startEndpoint } from "../endpoint/mod.ts";
import { startForwarder } from "../endpoint/forwarder.ts";
import { openFront } from "../endpoint/ports.ts";
import { LINK_MS, MOST_INFLIGHT } from "./servers.ts";

const [certs, target] = Deno.args as [string, string];
let arrivals: number[] = [];
const endpoint = await startEndpoint({
  certificates: (await readCerts(certs))!,
  keep: "counts",
  limits: { receiveMaximum: MOST_INFLIGHT },
  onMessage: () => void arrivals.push(performance.now()),
});
const shape = { delayMs: LINK_MS / 2 };
const links = [
  await startForwarder(endpoint.port, shape),
  await startForwarder(Number(target) || endpoint.port, shape),
];
const echo = await openFront({ port: 0 }, (socket: Socket) => {
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.pipe(socket);
});
const far = await startForwarder(echo.port, shape);
console.log(
  JSON.stringify({ port: endpoint.port, links: links.map(({ port }) => port), echo: far.port }),
);
for await (const lines of readLines(Deno.stdin.readable)) {
  for (const _ of lines) {
    console.log(JSON.stringify(arrivals));
    arrivals = [];
  }
}
// Whoever started it is gone.
Deno.exit();
