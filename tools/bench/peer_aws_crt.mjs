/**
 * A peer of the bench: AWS's `aws-crt` on Node, QoS 1 over mutual TLS on MQTT 5.
 *
 * `peer_aws_crt.mjs once|steady|lines|bulk PORT CA CERT KEY ALPN PAYLOAD [COUNT WINDOW]`; ALPN may be `none`.
 * With lines each line of stdin is published, and it goes on when the link is cut. In bulk each PUBACK makes
 * the next message be published; what it took from the first PUBLISH to the last PUBACK is printed as JSON.
 * It is plain JavaScript, so that checking types needs no `aws-crt`.
 */

import { createRequire } from "node:module";
import process from "node:process";
import { createInterface } from "node:readline";

const { io, mqtt5 } = createRequire(import.meta.url)("aws-crt");
const [mode, port, ca, cert, key, alpn, payload, count = 1, window = 20] = process.argv.slice(2);

const tls = io.TlsContextOptions.create_client_with_mtls_from_path(cert, key);
tls.override_default_trust_store_from_path(undefined, ca);
if (alpn !== "none") tls.alpn_list = [alpn];
const client = new mqtt5.Mqtt5Client({
  hostName: "localhost",
  port: Number(port),
  connectProperties: { clientId: `bench-aws-crt-${process.pid}`, keepAliveIntervalSeconds: 60 },
  tlsCtx: new io.ClientTlsContext(tls),
  // Its default holds 100 messages a second.
  extendedValidationAndFlowControlOptions: mqtt5.ClientExtendedValidationAndFlowControl.None,
});

let sent = 0;
let acked = 0;
let startMs = 0;
let startCpu = process.cpuUsage();

function publish(text = payload) {
  sent++;
  client.publish({ topicName: "bench/peer", payload: text, qos: mqtt5.QoS.AtLeastOnce })
    .then(onAcked, onFailed);
}

function onFailed(error) {
  // As a script that logs and goes on.
  if (mode !== "lines") throw error;
}

function onAcked() {
  if (mode === "steady" || mode === "lines") return;
  if (sent < count) publish();
  if (++acked < count) return;
  const ms = performance.now() - startMs;
  const { user, system } = process.cpuUsage(startCpu);
  console.log(mode === "once" ? "acked" : JSON.stringify({ ms, cpuMs: (user + system) / 1000 }));
  client.on("stopped", () => process.exit());
  client.stop();
}

if (mode === "lines") createInterface({ input: process.stdin }).on("line", publish);
client.on("connectionSuccess", () => {
  if (mode === "lines") return;
  if (mode === "steady") {
    setInterval(() => publish(), 1000);
    return;
  }
  startMs = performance.now();
  startCpu = process.cpuUsage();
  while (sent < Math.min(count, window)) publish();
});
client.start();
