/** The queue's door: opens the queue that settings name, and tells what happens to it. */

import { place } from "../core/endpoint.ts";
import { failureFields } from "../core/errors.ts";
import { createRepeats, type Logger } from "../core/log.ts";
import type { World } from "../core/process.ts";
import { quote } from "../core/text.ts";
import type { Settings } from "../settings/mod.ts";
import { damagedPathOf, type IntakeCounts } from "./state_directory.ts";
import { queuePathOf } from "./state_guard.ts";
import { type Mended, StateQueue } from "./state_queue.ts";
import type { QueueOptions } from "./types.ts";
import { volatileWarning } from "./volatile.ts";
export { DamagedQueueError, NoStorageError, OlderQueueError } from "./errors.ts";
export { SqliteQueue } from "./sqlite_queue.ts";
export { currentStatus, type IntakeCounts, StateDirectory } from "./state_directory.ts";
export { checkState, queuePathOf } from "./state_guard.ts";
export {
  type Amount,
  EMPTY_STATS,
  type NewMessage,
  type PutOptions,
  type PutResult,
  type Queue,
  type QueueStats,
  type TakenMessage,
} from "./types.ts";
export { volatileWarning } from "./volatile.ts";

/** The limits of the queue that settings ask for. */
export function queueOptions(
  settings: Settings,
  world: Pick<World, "now">,
  onAged: (messages: number) => void = () => {},
): QueueOptions {
  return {
    onAged,
    maxMessages: settings.queueMaxMessages,
    maxBytes: settings.queueMaxBytes,
    maxAgeMs: settings.queueMaxAge,
    full: settings.queueFull,
    durability: settings.durability,
    now: () => world.now().getTime(),
  };
}

/**
 * Opens the queue that settings name; with durability `none` one in memory.
 *
 * @throws {UserError} With exit code 73.
 */
export function openStateQueue(
  settings: Settings,
  log: Logger,
  world: Pick<World, "now" | "monotonicMs">,
  onAged: (messages: number) => void = () => {},
  intake?: Readonly<IntakeCounts>,
): StateQueue {
  const { clientId, inflight, state } = settings;
  const isKept = settings.durability !== "none";
  const run = { clientId, endpoint: place(settings) };
  const queue = new StateQueue({
    ...queueOptions(settings, world, onAged),
    directory: isKept ? state : undefined,
    inflight,
    run,
    intake,
    monotonicMs: world.monotonicMs,
    ...reportsOf(state, log, world.monotonicMs),
  });
  if (isKept) {
    void volatileWarning(settings).then((warning) => {
      if (warning) log.warn("warning", failureFields(warning));
    });
    tellOfOthers(queue, settings.topic, { run, log });
  }
  return queue;
}

function reportsOf(state: string, log: Logger, monotonicMs: () => number) {
  const repeats = createRepeats(monotonicMs);
  const queuePath = queuePathOf(state);
  return {
    onDamaged: (messages: number) =>
      log.error("quarantined", {
        messages,
        step: "queue",
        code: "queue-damaged",
        cause: "damaged on disk: their checksum does not agree",
        hint: "if it happens again, replace the disk or card",
      }),
    onFailure(error: Error) {
      if (!repeats.due("queue")) return;
      const { cause, ...rest } = failureFields(error);
      log.warn("warning", {
        ...rest,
        cause: `${cause}; new messages wait in memory until it is mended`,
      });
    },
    onHealed(messages: number) {
      repeats.reset();
      log.info("queued", { messages, cause: "the queue's disk takes messages again" });
    },
    onMended({ why, isOlder, saved, quarantined, lost, stamp }: Mended) {
      if (isOlder) {
        return log.info("queued", {
          messages: saved,
          cause: "carried over from the queue of an earlier version",
        });
      }
      log.error("warning", {
        ...failureFields(why),
        saved,
        lost: lost ?? "unknown",
        ...(quarantined > 0 && { quarantined }),
        hint: `it was moved to ${damagedPathOf(queuePath, stamp)}, and what could be read of ` +
          "it goes on",
      });
    },
    onShortened(lastSeq: number) {
      log.error("warning", {
        step: "queue",
        code: "queue-shortened",
        cause: `the queue file ends at seq ${lastSeq}, but more were given; what it lacks is lost`,
        hint: `find out who emptied or replaced ${queuePath}, or whether the power was cut`,
      });
    },
  };
}

/** Says what waits that another run queued for another topic or endpoint. */
function tellOfOthers(
  queue: StateQueue,
  topic: string,
  { run, log }: { run: { clientId: string; endpoint: string }; log: Logger },
): void {
  const hint = "for another endpoint, topic or device pass a --state DIR of its own; " +
    "`mqtt443 queue` shows what waits";
  const tell = (cause: string) =>
    log.warn("warning", { step: "queue", code: "queue-others", cause, hint });
  try {
    const others = queue.disk?.forOthers(topic) ?? [];
    if (others.length > 0) {
      const messages = others.reduce((sum, each) => sum + each.messages, 0);
      const topics = others.length === 1
        ? `topic ${quote(others[0]!.topic)}`
        : `${others.length} topics (${quote(others[0]!.topic)}, …)`;
      const since = new Date(Math.min(...others.map(({ sinceMs }) => sinceMs))).toISOString();
      tell(
        `${counted(messages)} for ${topics} since ${since}; this run sends them there, and its ` +
          `own to ${quote(topic)}`,
      );
    }
    const { clientId, endpoint } = queue.before ?? {};
    const { waiting, oldestMs = 0 } = queue.stats();
    const isOther = clientId !== undefined &&
      (endpoint !== run.endpoint || clientId !== run.clientId);
    if (isOther && waiting > 0) {
      tell(
        `${counted(waiting)} since ${new Date(oldestMs).toISOString()}; the run before was ` +
          `${quote(clientId)} at ${endpoint}; this run, ${quote(run.clientId)} at ` +
          `${run.endpoint}, sends them`,
      );
    }
  } catch { /* the disk fails, which the queue tells */ }
}

function counted(messages: number): string {
  return messages === 1 ? "1 message waits" : `${messages} messages wait`;
}
