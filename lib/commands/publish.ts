/** `publish`: wires settings, identity, queue, sources and connection into a run. */

import type { Command } from "./arguments.ts";
import {
  type ClockWatch,
  createClockWatch,
  createReports,
  type Draft,
  gatherLines,
  gatherTicks,
  lineDraft,
  numbered,
  openService,
  type Reports,
  runPublisher,
  RunStatus,
  type StatusFile,
} from "../publisher/mod.ts";
import {
  checkEnvironment,
  checkGrants,
  Connector,
  targetOf,
  warnOfProxyVariable,
} from "../connection/mod.ts";
import { EXIT, type ExitCode, failureFields, messageOf, UserError } from "../core/errors.ts";
import { EXPIRY_LOOK_MS } from "../identity/mod.ts";
import type { Logger } from "../core/log.ts";
import {
  type LoadedSettings,
  loadSettings,
  type Settings,
  settingsDoubt,
} from "../settings/mod.ts";
import { type IntakeCounts, openStateQueue, type Queue } from "../queue/mod.ts";
import {
  answering,
  type Intake,
  notWithListen,
  oddLine,
  openIntake,
  type Refusal,
  refusedLine,
} from "../intake/mod.ts";
import { aborted } from "../core/wait.ts";
import { isAws } from "../core/endpoint.ts";
import {
  isSynchronised,
  nameFilter,
  openSources,
  readAll,
  readLines,
  sourceLimits,
} from "../sources/mod.ts";
import { BUILT_AT, VERSION } from "../core/build.ts";
import type { World } from "../core/process.ts";
import { openLogOf } from "./open_log.ts";
import { idleStatus, statusFileOf } from "./publish_status.ts";

/** Runs until stopped, or until its input has ended and is delivered. */
export async function publishCommand(command: Command, world: World): Promise<ExitCode> {
  const isDry = command.switches.has("dry-run");
  const loaded = loadSettings(command, world, { needEndpoint: !isDry });
  const { settings } = loaded;
  const log = openLogOf(settings, world);
  if (isDry) return await dryRun(settings, world);
  checkEnvironment(world.env, log);
  warnOfProxyVariable(world.env, settings, log);
  checkGrants(settings);
  const connector = new Connector(settings, world, log);
  const reports = createReports(log, world.monotonicMs, world.every, world.isErrTerminal);
  const clock = openClock(world, log);
  const intakeCounts = countsFor(settings);
  if (intakeCounts) reports.totals.intake = intakeCounts;
  const queue = openStateQueue(
    settings,
    log,
    { ...world, now: () => new Date(clock.ageTimeMs()) },
    (messages) => reports.dropped(messages, "too old"),
    intakeCounts,
  );
  const target = targetOf(settings, connector.identity());
  const socket = world.env.get("NOTIFY_SOCKET");
  const service = socket
    ? openService(socket, { settings, target, queue, reports, log }, world)
    : undefined;
  const certificate = () => connector.identity().facts;
  const status = new RunStatus({ ...world, settings, target, queue, reports, certificate });
  let statusFile: StatusFile | undefined;
  let renew = (_isNew: boolean) => {};
  const reload = () => renew(connector.reload());
  const { stop, leave, done } = listen(world, () => service ? service.reload(reload) : reload());
  stop.addEventListener("abort", () => service?.stopping());
  const unwatch = world.every(EXPIRY_LOOK_MS, () => connector.lookAtExpiry());
  let intake: Intake | undefined;
  try {
    intake = intakeCounts &&
      await openIntakeOf(settings, world, { clock, reports, status, log, counts: intakeCounts });
    log.info("start", startFields(loaded, certificate()?.subject, queue.waiting.messages));
    const doubt = settingsDoubt(settings);
    if (doubt) log.warn("warning", { step: "settings", ...doubt });
    // Only the service's unit can bind what is missing; elsewhere doctor reports it.
    const limits = service && settings.message === undefined
      ? sourceLimits(settings.source)
      : undefined;
    if (limits) log.warn("warning", failureFields(limits));
    statusFile = statusFileOf(loaded, world, { status, log });
    service?.ready();
    return await runPublisher({
      settings,
      target,
      isAws: isAws(settings.endpoint),
      queue,
      log,
      reports: status.counting(reports),
      connect: (signal, opening) => connector.connect(signal, opening),
      onRenewal: (listener) => void (renew = listener),
      onLink(state) {
        service?.onLink(state);
        status.link(state);
        statusFile?.write();
      },
      async gather({ put, room, signal }) {
        intake?.start(answering((drafts) => put(drafts, { refuse: true })));
        // What was read is answered before the queue is drained.
        const stopped = intake && aborted(signal).then(() => intake?.stop());
        const gathered = gather(settings, world, {
          ...{ put, room, signal, reports, status, clock, queue },
        });
        const all = gathered.then(() => stopped);
        await Promise.race(intake ? [all, intake.failed] : [all]);
      },
      stop,
      leave,
      random: world.random,
      now: world.now,
      monotonicMs: world.monotonicMs,
    });
  } finally {
    await intake?.stop();
    service?.close();
    unwatch();
    reports.flush();
    done();
    queue.close();
    statusFile?.close();
  }
}

function startFields(
  { settings, configPath }: LoadedSettings,
  certificate: string | undefined,
  queued: number,
) {
  const { endpoint, port, clientId, topic, listen } = settings;
  return {
    ...{ version: VERSION, endpoint, port, clientId, topic, certificate: certificate ?? "none" },
    ...{ settings: configPath ?? "none", listen, queued },
  };
}

function openClock(world: World, log: Logger): ClockWatch {
  return createClockWatch({
    ...world,
    builtAt: BUILT_AT,
    isSynchronised: isSynchronised(),
    log,
  });
}

/**
 * Where it is counted what is handed in; undefined: nothing is.
 *
 * @throws {UserError} If the settings name a socket beside what it does not go with.
 */
function countsFor({ listen, message, count, source }: Settings): IntakeCounts | undefined {
  if (listen === undefined) return undefined;
  const flag = message !== undefined
    ? "--message"
    : count !== undefined
    ? "--count"
    : source.includes("stdin")
    ? "--source stdin"
    : undefined;
  if (flag !== undefined) throw notWithListen(flag);
  return { handedIn: 0, refused: 0 };
}

/** @throws {UserError} If the socket cannot be opened. */
async function openIntakeOf(
  settings: Settings,
  world: World,
  { clock, reports, status, log, counts }: {
    clock: ClockWatch;
    reports: Reports;
    status: RunStatus;
    log: Logger;
    counts: IntakeCounts;
  },
): Promise<Intake> {
  return await openIntake({
    settings,
    env: world.env,
    sampleTime: clock.sampleTime,
    makeDraft: (now, line) => lineDraft(settings, now, line),
    log,
    reports: {
      handedIn(messages) {
        counts.handedIn += messages;
        status.read([{ name: "listen" }]);
      },
      refused({ error }: Refusal) {
        counts.refused++;
        reports.sourceFailed("listen", refusedLine(error));
      },
      odd: (note) => reports.sourceFailed("listen", oddLine(note)),
      unread: (error) => log.warn("warning", failureFields(error)),
    },
  });
}

interface GatherTools {
  readonly put: (drafts: readonly Draft[]) => void;
  readonly room: (signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
  readonly reports: Reports;
  readonly status: Pick<RunStatus, "read" | "readings">;
  readonly clock: ClockWatch;
  readonly queue: Pick<Queue, "load">;
}

async function gather(settings: Settings, world: World, tools: GatherTools): Promise<void> {
  const { sampleTime } = tools.clock;
  if (settings.message !== undefined) {
    const { topic, qos, message } = settings;
    tools.put([{ topic, qos, timeMs: sampleTime().timeMs, payload: () => message }]);
    return;
  }
  const options = { ...tools, settings, sampleTime, monotonicMs: world.monotonicMs };
  if (settings.source.includes("stdin")) {
    const lines = readable(readLines(world.input(), { signal: tools.signal }));
    const put: typeof tools.put = (drafts) => {
      tools.put(drafts);
      tools.status.read([{ name: "stdin" }]);
    };
    return await gatherLines(lines, { ...options, put });
  }
  const self = () => tools.status.readings();
  const sources = openSources(settings.source, { now: world.now, tz: world.env.get("TZ"), self });
  if (sources.length === 0) return;
  const intervalOf = (source: typeof sources[number]) => source.intervalMs ?? settings.interval;
  const intervalsMs = [...new Set(sources.map(intervalOf))];
  // A source that hangs delays the others by an interval at most; 1-Wire sensors take 0.75 s each, one after the other.
  const timeoutMs = Math.min(Math.max(Math.min(...intervalsMs) / 2, 1000), 5000);
  const wants = nameFilter(settings.only, settings.except);
  return await gatherTicks(
    async (dueMs) => {
      const due = sources.filter((source) => dueMs.includes(intervalOf(source)));
      const result = await readAll(due, { timeoutMs, wants });
      tools.status.read(due, result.failures);
      return result;
    },
    { ...options, intervalsMs },
  );
}

/** Standard input, with read errors in words. */
async function* readable<T>(batches: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* batches;
  } catch (cause) {
    throw new UserError(`Cannot read standard input: ${messageOf(cause)}`, {
      code: "input-failed",
      hint: "give it a pipe or a file: `cat FILE | mqtt443 publish --source stdin`",
      exitCode: EXIT.config,
      step: "source",
      cause,
    });
  }
}

/** Prints what would be sent, numbered from 1; nothing is queued. */
async function dryRun(settings: Settings, world: World): Promise<ExitCode> {
  const failed = (_source: string, error: UserError) => world.err(`warn: ${error.message}`);
  const reports = createReports(SILENT, world.monotonicMs);
  const { stop, done } = listen(world);
  let nextSeq = 1;
  const put = (drafts: readonly Draft[]) => {
    const tooLarge = (bytes: number) => world.err(`warn: ${bytes} bytes are too large`);
    for (const { topic, payload } of numbered(drafts, nextSeq, tooLarge)) {
      world.out(`${topic} ${payload}\n`);
      nextSeq++;
    }
  };
  try {
    const isStream = settings.source.includes("stdin");
    await gather({ ...settings, count: settings.count ?? (isStream ? undefined : 1) }, world, {
      put,
      room: () => Promise.resolve(),
      signal: stop,
      reports: { ...reports, sourceFailed: failed },
      status: idleStatus(settings, world, reports),
      clock: openClock(world, SILENT),
      queue: { load: { used: { messages: 0, bytes: 0 }, most: NO_LIMIT } },
    });
    return EXIT.ok;
  } finally {
    done();
  }
}

const NO_LIMIT = { messages: Infinity, bytes: Infinity };
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Listens for signals: the first SIGTERM or SIGINT stops, the second leaves at once, SIGHUP reloads. At a terminal
 * SIGHUP means that the terminal has closed, and stops too.
 */
function listen(
  world: World,
  reload?: () => void,
): { stop: AbortSignal; leave: AbortSignal; done: () => void } {
  const stop = new AbortController();
  const leave = new AbortController();
  const isAtTerminal = world.isErrTerminal || world.confirm !== undefined;
  const done = world.onSignals(["SIGTERM", "SIGINT", "SIGHUP"], (name) => {
    if (name === "SIGHUP" && !isAtTerminal) {
      if (!stop.signal.aborted) reload?.();
      return;
    }
    if (stop.signal.aborted) leave.abort();
    stop.abort();
  });
  return { stop: stop.signal, leave: leave.signal, done };
}
