/** The check of the socket on which lines are handed in. */

import { checkSocketPlace, isAnswered } from "../core/socket_guard.ts";
import { quote, shellWord } from "../core/text.ts";
import type { Settings } from "../settings/mod.ts";
import type { Check, Found } from "./checks.ts";
import { need } from "./facts.ts";
import { ok } from "./finding.ts";

/** The check. */
export function listenCheck(): Check {
  return {
    name: "listen",
    needs: ["settings"],
    look: (known) => lookAtListen(need(known, "loaded").settings, known.isBusy ?? false),
  };
}

/** @param isBusy Whether a publisher runs on the same state directory. @throws {UserError} If its place is not safe. */
async function lookAtListen(settings: Settings, isBusy: boolean): Promise<Found> {
  const { listen: path, listenMode } = settings;
  if (path === undefined) return { status: "skipped", saw: "none is set" };
  if (path === "systemd") {
    return ok(
      "systemd makes the socket: see `systemctl status mqtt443.socket`",
      "systemd's socket",
    );
  }
  const isThere = checkSocketPlace(path);
  const answers = isThere && await isAnswered(path);
  const where = quote(path);
  if (answers !== isBusy) {
    return {
      status: "warn",
      code: answers ? "listen-in-use" : "listen-unanswered",
      saw: answers
        ? `${where} is answered, and no publisher runs on ${quote(settings.state)}`
        : `a publisher runs, and nobody answers at ${where}`,
      cause: answers
        ? "another process listens there: `mqtt443 publish` will not start"
        : "it was started with other settings, or its socket was removed",
      hint: answers
        ? `see which one: \`ss -xlp | grep ${shellWord(path)}\``
        : "start it again: `systemctl restart mqtt443`",
    };
  }
  if (!answers) return ok(`nobody listens at ${where} now, and a publisher can`);
  const mode = (Deno.lstatSync(path).mode ?? 0) & 0o777;
  if ((mode & 0o022 & ~parseInt(listenMode, 8)) === 0) return ok(`answered at ${where}`);
  return {
    status: "warn",
    code: "listen-not-safe",
    saw: `${where} has mode 0${mode.toString(8)}`,
    cause: `others may connect than listenMode ${listenMode} allows`,
    hint: `chmod ${listenMode} ${shellWord(path)}`,
  };
}
