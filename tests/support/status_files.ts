/** A publisher that writes a status file, and what is read there. */

import { statusOf } from "../../lib/commands/status_document.ts";
import type { StatusDocument } from "../../lib/publisher/mod.ts";
import type { Rig, Run, RunOptions } from "./publishing.ts";

/** The path of a rig's status file. */
export function statusPath({ folder }: Rig): string {
  return `${folder}/status.json`;
}

/** Starts a publisher with a status file. */
export function publishWithStatus(
  rig: Rig,
  flags: readonly string[] = [],
  options: RunOptions = {},
): Run {
  const own = ["--status-file", statusPath(rig), "--interval", "100ms"];
  return rig.publish([...own, ...flags], options);
}

/** What the file says now; undefined: it is not there. @throws {Error} If it holds half a status. */
export function readStatus(path: string): StatusDocument | undefined {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
  const status = statusOf(text);
  if (status === undefined) throw new Error(`no whole status: ${text}`);
  return status;
}

/** Settles when the file says what is wanted, or, with `undefined`, when it is gone. */
export async function statusSays(
  path: string,
  wanted: (status: StatusDocument | undefined) => boolean,
): Promise<StatusDocument | undefined> {
  const watcher = Deno.watchFs(path.replace(/\/[^/]*$/, ""));
  const timer = setTimeout(() => watcher.close(), 30_000);
  try {
    let status = readStatus(path);
    if (wanted(status)) return status;
    for await (const _event of watcher) {
      status = readStatus(path);
      if (wanted(status)) return status;
    }
    throw new Error(`Waited half a minute in vain: ${JSON.stringify(status)}`);
  } finally {
    clearTimeout(timer);
    try {
      watcher.close();
    } catch { /* it is closed */ }
  }
}

/** Runs `status` and returns what came of it. */
export async function statusCommand(
  rig: Rig,
  flags: readonly string[] = [],
  options: RunOptions = {},
): Promise<{ readonly code: number; readonly out: string; readonly errors: string }> {
  const run = rig.run(["status", "--status-file", statusPath(rig), ...flags], options);
  const code = await run.code;
  return { code, out: run.out.join(""), errors: run.errors.join("\n") };
}

/** A status to be shown, of a gateway that does well. */
export const GOOD: StatusDocument = {
  version: "0.1.0",
  pid: 4711,
  startedAt: "2026-11-23T03:24:45.000Z",
  updatedAt: "2026-11-26T05:24:45.000Z",
  endpoint: "abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com:443",
  proxy: null,
  clientId: "gw-7",
  topic: "dt/mqtt443/gw-7/telemetry",
  link: {
    state: "connected",
    since: "2026-11-26T05:00:00.000Z",
    attempt: 0,
    nextAttemptAt: null,
    lastFailure: null,
  },
  reconnects: 2,
  published: 26640,
  acknowledged: 26640,
  lastMinute: [0, 1, 0, 1, 2, 8, 4, 1, 0, 1, 0, 1],
  dropped: 0,
  quarantined: 0,
  refused: 0,
  waiting: 0,
  bytes: 0,
  limits: { messages: 100_000, bytes: 67_108_864 },
  oldest: null,
  diskState: "ok",
  pubackMs: { p50: 23.1, p99: 180.4 },
  certificate: { subject: "gw-7", notAfter: "2027-11-23T00:00:00.000Z", daysLeft: 361 },
  sources: [{ name: "system", lastOk: "2026-11-26T05:24:40.000Z", failed: 0 }],
};

/** One whose link is down, with all that can hinder. */
export const DOWN: StatusDocument = {
  ...GOOD,
  proxy: "proxy.plant-7.example:3128",
  clientId: "plant-7/line-3/gateway-0123456789abcdef",
  link: {
    state: "waiting",
    since: "2026-11-26T05:24:40.000Z",
    attempt: 12,
    nextAttemptAt: "2026-11-26T05:26:21.000Z",
    lastFailure: {
      step: "tls",
      code: "tls-hung-up",
      cause: "abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com:443 hung up on the first packet",
      hint: "look whether a firewall on the way stops TLS: `mqtt443 doctor` finds out which",
      at: "2026-11-26T05:24:40.000Z",
    },
  },
  lastMinute: Array(12).fill(0),
  waiting: 100_000,
  bytes: 31_234_567,
  oldest: "2026-11-23T03:24:45.000Z",
  diskState: "failing",
  pubackMs: null,
  certificate: { ...GOOD.certificate!, daysLeft: 1 },
  sources: [
    ...GOOD.sources,
    {
      name: "file:t_celsius=/sys/bus/iio/devices/iio:device0/in_temp_input",
      lastOk: null,
      failed: 9,
    },
  ],
};
