/**
 * A peer of the bench: MQTT.js as it comes, QoS 1 over mutual TLS on MQTT 5, on Deno and on Node.
 *
 * `peer_mqtt.ts once|steady|lines|bulk PORT CA CERT KEY ALPN PAYLOAD [COUNT WINDOW]`; ALPN may be `none`. With lines
 * each line of stdin is published, and it goes on when the link is cut. In bulk each callback publishes the next
 * message; what it took from the first PUBLISH to the last PUBACK is printed as JSON.
 */

import mqtt from "mqtt";
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";

const [mode, port, ca, cert, key, alpn, payload, count = "1", window = "20"] = process.argv
  .slice(2) as [string, string, string, string, string, string, string, string?, string?];

const client = mqtt.connect(`mqtts://localhost:${port}`, {
  protocolVersion: 5,
  clientId: `bench-mqtt-${process.pid}`,
  ca: readFileSync(ca),
  cert: readFileSync(cert),
  key: readFileSync(key),
  ...(alpn !== "none" && { ALPNProtocols: [alpn] }),
});

let sent = 0;
let acked = 0;
let startMs = 0;
let startCpu = process.cpuUsage();

function publish(text = payload): void {
  sent++;
  client.publish("bench/peer", text, { qos: 1 }, onAcked);
}

function onAcked(): void {
  if (mode === "steady" || mode === "lines") return;
  if (sent < Number(count)) publish();
  if (++acked < Number(count)) return;
  const ms = performance.now() - startMs;
  const { user, system } = process.cpuUsage(startCpu);
  console.log(mode === "once" ? "acked" : JSON.stringify({ ms, cpuMs: (user + system) / 1000 }));
  client.end();
}

if (mode === "lines") {
  client.on("error", () => {});
  createInterface({ input: process.stdin }).on("line", publish);
}
client.on("connect", () => {
  if (mode === "lines") return;
  if (mode === "steady") {
    setInterval(() => publish(), 1000);
    return;
  }
  startMs = performance.now();
  startCpu = process.cpuUsage();
  while (sent < Math.min(Number(count), Number(window))) publish();
});
