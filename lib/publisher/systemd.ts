/**
 * `publish` as a service: reports readiness, state and health to systemd.
 *
 * Rules: it is ready when the state directory is open and the publisher runs, connected or not; the watchdog is fed at a
 * third of its period, and only while health.ts finds the run healthy.
 */

import { place, type Target } from "../core/endpoint.ts";
import { failureFields } from "../core/errors.ts";
import { createHealth } from "./health.ts";
import type { LinkState } from "./reconnect.ts";
import type { Logger } from "../core/log.ts";
import { createNotifier, watchdogMs } from "./systemd_notify.ts";
import type { Queue } from "../queue/mod.ts";
import type { Reports } from "./reports.ts";
import type { Settings } from "../settings/mod.ts";
import type { World } from "../core/process.ts";

/** Reports to the service manager. */
export interface Service {
  /** The link has come to another state. */
  readonly onLink: (state: LinkState) => void;
  /** Publishing runs. */
  ready(): void;
  /** Runs the reload that SIGHUP asks for. */
  reload(action: () => void): void;
  /** A stop was asked for. */
  stopping(): void;
  /** Ends the reports. */
  close(): void;
}

/** What the reports are made from. */
export interface ServiceOptions {
  readonly settings: Settings;
  readonly target: Target;
  readonly queue: Pick<Queue, "waiting">;
  readonly reports: Pick<Reports, "totals">;
  readonly log: Logger;
}

/** Milliseconds between two looks, at most: how old what `systemctl status` shows may be. */
const LOOK_MS = 10_000;

/** Begins to report to the manager that listens at a socket. */
export function openService(socket: string, options: ServiceOptions, world: World): Service {
  const { settings, target, queue, reports, log } = options;
  const notifier = createNotifier(socket, (error) => log.warn("warning", failureFields(error)));
  const health = createHealth({ limits: settings, place: place(target), ...world });
  const periodMs = watchdogMs(world.env, Deno.pid);
  let isReady = false;
  let isStuck = false;

  const look = () => {
    const { illness, status } = health.look({
      waiting: queue.waiting.messages,
      ...reports.totals,
    });
    if (illness !== undefined && !isStuck) {
      log.error("warning", {
        code: "stuck",
        cause: `Publishing is stuck: ${illness}`,
        hint: periodMs === undefined
          ? "restart it, and report this with the log before it"
          : "the watchdog of systemd restarts it; please report this with the log before it",
      });
    }
    isStuck = illness !== undefined;
    return `STATUS=${status}`;
  };
  const say = () => {
    const status = look();
    notifier.repeat(status, ...(periodMs === undefined || isStuck ? [] : ["WATCHDOG=1"]));
  };
  const unlook = world.every(Math.min(LOOK_MS, (periodMs ?? Infinity) / 3), say);
  return {
    onLink(state) {
      health.link(state);
      if (isReady) notifier.repeat(look());
    },
    ready() {
      isReady = true;
      notifier.say("READY=1", look());
    },
    reload(action) {
      notifier.say("RELOADING=1");
      try {
        action();
      } finally {
        notifier.say("READY=1", look());
      }
    },
    stopping: () => notifier.say("STOPPING=1", look()),
    close: unlook,
  };
}
