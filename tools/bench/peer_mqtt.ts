/**
 * A peer of the bench: `npm:mqtt` as it comes, QoS 1 over mutual TLS with ALPN on MQTT 5.
 *
 * `peer_mqtt.ts once|steady PORT CA CERT KEY ALPN PAYLOAD`
 */

import mqtt from "mqtt";
import { readFileSync } from "node:fs";

const [mode, port, ca, cert, key, alpn, payload] = Deno.args as [
  string,
  ...[string, string, string, string, string, string],
];

const client = mqtt.connect(`mqtts://localhost:${port}`, {
  protocolVersion: 5,
  clientId: "bench-npm-mqtt",
  ca: readFileSync(ca),
  cert: readFileSync(cert),
  key: readFileSync(key),
  ALPNProtocols: [alpn],
});

client.on("connect", () => {
  if (mode === "steady") {
    setInterval(() => client.publish("bench/peer", payload, { qos: 1 }), 1000);
    return;
  }
  client.publish("bench/peer", payload, { qos: 1 }, () => {
    console.log("acked");
    client.end();
  });
});
