/**
 * What is wanted of each figure. Ratios are ours to theirs of one run, so that they hold on any machine; the few figures
 * that are wanted as such do not depend on one. Behind each: what trials by hand had reached when it was set.
 */

import type { Target } from "./report.ts";

/** Bytes that are wanted of the bundle at most. */
const WANTED_BUNDLE_BYTES = 231_000;
/** Bytes that the bundle may have before a test fails: what it has, and little more. */
export const BUNDLE_LIMIT_BYTES = 375_000;

const atMost = (value: number, of?: string): Target => ({
  is: "at most",
  value,
  ...(of && { of }),
});
const atLeast = (value: number, of?: string): Target => ({
  is: "at least",
  value,
  ...(of && { of }),
});

/** Who is compared with, by the names in the table. */
export const PEERS = {
  mosquittoPub: "mosquitto_pub",
  paho: "paho",
  npm: "npm:mqtt on Deno",
  node: "MQTT.js on node",
  aws: "aws-crt on node",
  c: "C on libmosquitto",
  pubEach: "mosquitto_pub, one each",
  pubLines: "mosquitto_pub -l",
  bridge: "mosquitto bridge",
  bridgeSaved: "bridge, saved each time",
  empty: "empty Deno program",
  memory: "memory only",
  bundle: "bundle",
  direct: "without a proxy",
  unpacked: "unpacked",
  disk: "synced appends to a file",
} as const;

/** The targets, by figure. */
export const TARGETS = {
  start: [
    atMost(1, PEERS.paho), // 1.14
    atMost(4.3, PEERS.empty), // 4.3
    atMost(0.45, PEERS.npm), // 0.44
  ],
  rss: [atMost(0.65, PEERS.npm)], // 0.61-0.68
  private: [atMost(1.3, PEERS.paho)], // 1.2
  cpuAt1Hz: [atMost(2.2, PEERS.paho)], // 2.6
  /** By window. */
  rate: {
    100: [atLeast(0.9, PEERS.c), atLeast(3, PEERS.paho)],
    1000: [atLeast(1, PEERS.c), atLeast(3, PEERS.paho)],
  },
  cpuInBulk: [atMost(0.65, PEERS.c)], // 0.6
  diskRate: [atLeast(0.9, PEERS.memory)], // 0.95-1.0
  written: [atMost(400)],
  writtenAt1Hz: [atMost(5000)],
  /** Of durability power: the first is bounded by the disk, by one fsync a line. */
  intake: {
    one: [atLeast(1000)],
    many: [atLeast(10_000)],
    pipelined: [atLeast(50_000)],
    growth: [atMost(1)],
  },
  /** In seconds, of 2,000 samples at 100 publishes a second. */
  packedDrain: [atMost(1.5)], // 1.1
  packedWire: { samples: [atMost(0.72, PEERS.unpacked)], columns: [atMost(0.3, PEERS.unpacked)] },
  drainRate: [atLeast(0.9, PEERS.c)],
  drainPeak: [atMost(90)],
  /** In MiB for each 100,000 messages: less is flat. */
  drainSlope: [atMost(1)],
  size: [atMost(WANTED_BUNDLE_BYTES / 1000)],
  wakeups: [atMost(0)],
  proxyRate: [atLeast(0.9, PEERS.direct)],
  proxyStart: [{ is: "at most", value: 40, of: PEERS.direct, as: "difference" }],
  proxyRss: [{ is: "at most", value: 3, of: PEERS.direct, as: "difference" }],
  packed: [{ is: "at most", value: 30, of: PEERS.bundle, as: "difference" }],
} satisfies Record<string, readonly Target[] | Readonly<Record<string, readonly Target[]>>>;
