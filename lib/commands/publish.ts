/** `publish`: wires settings, identity, queue, sources and connection into a run. */

import type { Command } from "./arguments.ts";
import {
  type ClockWatch,
  createClockWatch,
  createReports,
  type Draft,
  numbered,
  openService,
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
import { EXIT, type ExitCode, failureFields, type UserError } from "../core/errors.ts";
import { EXPIRY_LOOK_MS } from "../identity/mod.ts";
import type { Logger } from "../core/log.ts";
import {
  type LoadedSettings,
  loadSettings,
  type Settings,
  settingsDoubt,
} from "../settings/mod.ts";
import { openStateQueue } from "../queue/mod.ts";
import { answering, type Intake } from "../intake/mod.ts";
import { aborted } from "../core/wait.ts";
import { isAws } from "../core/endpoint.ts";
import { isSynchronised, sourceLimits } from "../sources/mod.ts";
import { BUILT_AT, VERSION } from "../core/build.ts";
import type { World } from "../core/process.ts";
import { gather } from "./gather.ts";
import { openLogOf } from "./open_log.ts";
import { countsFor, openIntakeOf } from "./publish_intake.ts";
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
    warnOfSettings(settings, log, { isService: service !== undefined });
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

/** Warns of settings that are allowed, and may not be meant. */
function warnOfSettings(
  settings: Settings,
  log: Logger,
  { isService }: { isService: boolean },
): void {
  const doubt = settingsDoubt(settings);
  if (doubt) log.warn("warning", { step: "settings", ...doubt });
  // Only the service's unit can bind what is missing; elsewhere doctor reports it.
  const limits = isService && settings.message === undefined
    ? sourceLimits(settings.source)
    : undefined;
  if (limits) log.warn("warning", failureFields(limits));
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
