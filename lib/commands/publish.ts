/** `publish`: wires settings, identity, queue, sources and connection into a run. */

import type { Command } from "./arguments.ts";
import {
  type ClockWatch,
  createClockWatch,
  createReports,
  gatherLines,
  gatherTicks,
  openService,
  type Reports,
  runPublisher,
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
import { loadSettings, type Settings } from "../settings/mod.ts";
import { type Draft, MemoryQueue, openStateQueue, type Queue, queueOptions } from "../queue/mod.ts";
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
import { lineMetrics, openSources, readAll, readLines, sourceLimits } from "../sources/mod.ts";
import { BUILT_AT, VERSION } from "../core/build.ts";
import type { World } from "../core/process.ts";
import { openLogOf } from "./open_log.ts";

/** Runs until stopped, or until its input has ended and is delivered. */
export async function publishCommand(command: Command, world: World): Promise<ExitCode> {
  const isDry = command.switches.has("dry-run");
  const { settings, configPath } = loadSettings(command, world, { needEndpoint: !isDry });
  const log = openLogOf(settings, world);
  if (isDry) return await dryRun(settings, world);
  checkEnvironment(world.env, log);
  warnOfProxyVariable(world.env, settings, log);
  checkGrants(settings);
  const connector = new Connector(settings, world, log);
  const reports = createReports(log, world.monotonicMs, world.every, world.isErrTerminal);
  const clock = openClock(world, log);
  const state = openStateQueue(
    settings,
    log,
    { ...world, now: () => new Date(clock.ageTimeMs()) },
    (messages) => reports.dropped(messages, "too old"),
  );
  const target = targetOf(settings, connector.identity());
  const socket = world.env.get("NOTIFY_SOCKET");
  const service = socket
    ? openService(socket, { settings, target, queue: state.queue, reports, log }, world)
    : undefined;
  let renew = (_isNew: boolean) => {};
  const reload = () => renew(connector.reload());
  const { stop, leave, done } = listen(world, () => service ? service.reload(reload) : reload());
  stop.addEventListener("abort", () => service?.stopping());
  const unwatch = world.every(EXPIRY_LOOK_MS, () => connector.lookAtExpiry());
  let intake: Intake | undefined;
  try {
    intake = await openIntakeOf(settings, world, { clock, reports, log });
    log.info("start", {
      version: VERSION,
      endpoint: settings.endpoint,
      port: settings.port,
      clientId: settings.clientId,
      topic: settings.topic,
      certificate: connector.identity().facts?.subject ?? "none",
      settings: configPath ?? "none",
      listen: settings.listen,
      queued: state.queue.stats().waiting,
    });
    // Only the service's unit can bind what is missing; elsewhere doctor reports it.
    const limits = service && settings.message === undefined
      ? sourceLimits(settings.source)
      : undefined;
    if (limits) log.warn("warning", failureFields(limits));
    service?.ready();
    return await runPublisher({
      settings,
      target,
      isAws: isAws(settings.endpoint),
      queue: state.queue,
      log,
      reports,
      connect: (signal) => connector.connect(signal),
      onRenewal: (listener) => void (renew = listener),
      onLink: service?.onLink,
      async gather({ put, room, signal }) {
        intake?.start(answering((drafts) => put(drafts, true)));
        // What was read is answered before the queue is drained.
        const stopped = intake && aborted(signal).then(() => intake?.stop());
        const tools = { put, room, signal, reports, clock, queue: state.queue };
        const gathered = gather(settings, world, tools).then(() => stopped);
        await Promise.race(intake ? [gathered, intake.failed] : [gathered]);
      },
      stop,
      leave,
      random: world.random,
      monotonicMs: world.monotonicMs,
    });
  } finally {
    await intake?.stop();
    service?.close();
    unwatch();
    reports.flush();
    done();
    state.close();
  }
}

function openClock(world: World, log: Logger): ClockWatch {
  return createClockWatch({ ...world, builtAt: BUILT_AT, log });
}

/** @throws {UserError} If the settings name a socket that cannot be opened, or one beside what it does not go with. */
async function openIntakeOf(
  settings: Settings,
  world: World,
  { clock, reports, log }: { clock: ClockWatch; reports: Reports; log: Logger },
): Promise<Intake | undefined> {
  if (settings.listen === undefined) return undefined;
  const { message, count, source } = settings;
  const flag = message !== undefined
    ? "--message"
    : count !== undefined
    ? "--count"
    : source.includes("stdin")
    ? "--source stdin"
    : undefined;
  if (flag !== undefined) throw notWithListen(flag);
  const counts = reports.totals.intake = { handedIn: 0, refused: 0 };
  return await openIntake({
    settings,
    env: world.env,
    sampleTime: clock.sampleTime,
    log,
    reports: {
      handedIn: (messages) => void (counts.handedIn += messages),
      refused({ error }: Refusal) {
        counts.refused++;
        reports.sourceFailed("listen", refusedLine(error), /^\w+/.exec(error)?.[0]);
      },
      odd: (cause) => reports.sourceFailed("listen", oddLine(cause), "odd"),
      unread: (error) => log.warn("warning", failureFields(error)),
    },
  });
}

interface GatherTools {
  readonly put: (drafts: readonly Draft[]) => void;
  readonly room: () => Promise<void>;
  readonly signal: AbortSignal;
  readonly reports: Reports;
  readonly clock: ClockWatch;
  readonly queue: Queue;
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
    const waiting = () => tools.queue.waiting();
    return await gatherLines(lines, { ...options, lineMetrics, waiting });
  }
  const sources = openSources(settings.source, { now: world.now });
  // A source that hangs delays the others by an interval at most; a 1-Wire sensor takes 0.75 s.
  const timeoutMs = Math.min(Math.max(settings.interval, 1000), 2000);
  if (sources.length > 0) return await gatherTicks(() => readAll(sources, { timeoutMs }), options);
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

/** Prints what would be sent; the queue is in memory and nothing connects. */
async function dryRun(settings: Settings, world: World): Promise<ExitCode> {
  const failed = (_source: string, error: UserError) => world.err(`warn: ${error.message}`);
  const queue = new MemoryQueue(queueOptions(settings, world));
  const { stop, done } = listen(world);
  const put = (drafts: readonly Draft[]) => {
    for (const bytes of queue.put(drafts).tooLarge) world.err(`warn: ${bytes} bytes are too large`);
    const take = () => queue.take(drafts.length);
    for (let messages = take(); messages.length > 0; messages = take()) {
      for (const { topic, payload } of messages) world.out(`${topic} ${payload}\n`);
      queue.accept(messages);
    }
  };
  try {
    const isStream = settings.source.includes("stdin");
    await gather({ ...settings, count: settings.count ?? (isStream ? undefined : 1) }, world, {
      put,
      room: () => Promise.resolve(),
      signal: stop,
      reports: {
        ...createReports(SILENT, world.monotonicMs),
        sourceFailed: failed,
      },
      clock: openClock(world, SILENT),
      queue,
    });
    return EXIT.ok;
  } finally {
    done();
    queue.close();
  }
}

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
