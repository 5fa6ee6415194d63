/** `status`: what the running publisher says of itself in its status file: once, live, as JSON or for Prometheus. */

import { grantHint } from "../core/build.ts";
import type { Command } from "./arguments.ts";
import { EXIT, type ExitCode, messageOf, UserError } from "../core/errors.ts";
import { quote, wrap } from "../core/text.ts";
import type { World } from "../core/process.ts";
import { loadSettings, STATUS_PATH } from "../settings/mod.ts";
import { prometheusText } from "./status_metrics.ts";
import { type Seen, statusText } from "./status_view.ts";
import { statusOf } from "./status_document.ts";

/** An older file was left by a publisher that runs no more; it is written every 5 s. In ms. */
const STALE_MS = 30_000;
/** The largest file that is read, in bytes. */
const MOST_BYTES = 1024 * 1024;
/** How often `--watch` looks, in ms. */
const LOOK_MS = 1000;
/** Lines of a terminal, but for the last two. */
const ROWS = 22;
/** Another screen, without a cursor, and back from it. */
const SCREEN = { open: "\x1b[?1049h\x1b[?25l", close: "\x1b[?25h\x1b[?1049l" };

/** Shows it. The exit code says how it stands: 0 publishing, 69 link down, 73 no publisher. */
export async function statusCommand(command: Command, world: World): Promise<ExitCode> {
  const forms = ["watch", "json", "prometheus"].filter((name) => command.switches.has(name));
  if (forms.length > 1) {
    throw new UserError(`Cannot show the status in two forms: --${forms.join(" and --")}`, {
      ...{ code: "wrong-command-line", exitCode: EXIT.usage },
      hint: `type \`mqtt443 status --${forms[0]}\``,
    });
  }
  const { settings } = loadSettings(command, world, { needEndpoint: false });
  const path = settings.statusFile ?? STATUS_PATH;
  if (forms[0] === "watch") return await watchStatus(path, world);
  const seen = look(path, world);
  if (forms[0] === "prometheus") world.out(prometheusText(seen));
  if (seen instanceof UserError) throw seen;
  if (forms[0] === "json") {
    world.out(`${JSON.stringify({ ageSeconds: seen.ageMs / 1000, ...seen.status }, null, 2)}\n`);
  } else if (forms.length === 0) world.out(`${statusText(seen, world.paintOut)}\n`);
  return codeOf(seen);
}

function codeOf(seen: Seen | UserError): ExitCode {
  if (seen instanceof UserError) return seen.exitCode;
  return seen.status.link.state === "connected" ? EXIT.ok : EXIT.unavailable;
}

/** Shows it until stopped: on a terminal on a screen of its own, elsewhere each status once. */
async function watchStatus(path: string, world: World): Promise<ExitCode> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const done = world.onSignals(["SIGTERM", "SIGINT"], () => resolve());
  const textOf = (seen: Seen | UserError) =>
    seen instanceof UserError
      ? [seen.message, `hint: ${seen.hint}`].flatMap((line) => wrap(line, 80)).join("\n")
      : statusText(seen, world.paintOut);
  let shown: string | undefined;
  let seen = look(path, world);
  const show = () => {
    seen = look(path, world);
    const text = textOf(seen);
    if (world.isOutTerminal) {
      const lines = [
        ...text.split("\n").slice(0, ROWS),
        `${world.now().toISOString()}  Ctrl-C ends it`,
      ];
      return world.out(`\x1b[H${lines.map((line) => `${line}\x1b[K\r\n`).join("")}\x1b[J`);
    }
    const what = seen instanceof UserError ? seen.code : seen.status.updatedAt;
    if (what !== shown) world.out(`${text}\n\n`);
    shown = what;
  };
  const tryShow = () => {
    try {
      show();
    } catch (error) {
      reject(error);
    }
  };
  if (world.isOutTerminal) world.out(SCREEN.open);
  tryShow();
  const stop = world.every(LOOK_MS, tryShow);
  try {
    await promise;
  } finally {
    stop();
    done();
    if (world.isOutTerminal) world.out(`${SCREEN.close}${textOf(seen)}\n`);
  }
  return codeOf(seen);
}

/** What the file says and how old it is, or why there is no publisher. */
function look(path: string, world: Pick<World, "now">): Seen | UserError {
  try {
    const info = Deno.lstatSync(path);
    // To open a named pipe would wait for its writer.
    if (!info.isFile || info.size > MOST_BYTES) return noPublisher(`${quote(path)} is no status`);
    const status = statusOf(Deno.readTextFileSync(path));
    if (status === undefined) return noPublisher(`${quote(path)} holds no status of mqtt443`);
    const ageMs = world.now().getTime() - Date.parse(status.updatedAt);
    if (Math.abs(ageMs) <= STALE_MS) return { status, ageMs: Math.max(0, ageMs) };
    return noPublisher(`${quote(path)} was written at ${status.updatedAt}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return noPublisher(`there is no ${quote(path)}`);
    const isDenied = error instanceof Deno.errors.NotCapable;
    const why = isDenied ? "this process was not granted to read there" : messageOf(error);
    return noPublisher(
      `${quote(path)} cannot be read: ${why}`,
      isDenied ? grantHint() : "run it as the user that publishes",
    );
  }
}

function noPublisher(
  why: string,
  hint =
    "start it (`systemctl start mqtt443`); a publisher that was started in another way writes " +
    "where its --status-file FILE says, and so must this command",
): UserError {
  return new UserError(`No publisher runs: ${why}`, {
    ...{ code: "no-publisher", hint, exitCode: EXIT.cannotCreate },
  });
}
