/**
 * A peer of the bench: MQTT.js as it comes, QoS 1 over mutual TLS on MQTT 5, on Deno and on Node.
 *
 * `peer_mqtt.ts once|steady|bulk PORT CA CERT KEY ALPN PAYLOAD [COUNT WINDOW]`; ALPN may be `none`. In bulk each callback
 * publishes the next message; what it took from the first PUBLISH to the last PUBACK is printed as JSON.
 */

import mqtt from "mqtt";
import { readFileSync } from "node:fs";
import process from "node:process";

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

function publish(): void {
  sent++;
  client.publish("bench/peer", payload, { qos: 1 }, onAcked);
}

function onAcked(): void {
  if (mode === "steady") return;
  if (sent < Number(count)) publish();
  if (++acked < Number(count)) return;
  const ms = performance.now() - startMs;
  const { user, system } = process.cpuUsage(startCpu);
  console.log(mode === "once" ? "acked" : JSON.stringify({ ms, cpuMs: (user + system) / 1000 }));
  client.end();
}

client.on("connect", () => {
  if (mode === "steady") {
    setInterval(publish, 1000);
    return;
  }
  startMs = performance.now();
  startCpu = process.cpuUsage();
  while (sent < Math.min(Number(count), Number(window))) publish();
});
