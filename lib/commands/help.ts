/** The help texts and the sample settings file, made from the settings table. Pure. */

import { COMMANDS, SHAPES } from "./arguments.ts";
import { EXIT, UserError } from "../core/errors.ts";
import { flagOf, SETTINGS, type SettingSpec, variableOf } from "../settings/mod.ts";
import { didYouMean, quote } from "../core/text.ts";

const SUMMARIES: Record<(typeof COMMANDS)[number], string> = {
  publish: "publish telemetry until stopped (the main job)",
  doctor: "find out whether this device can publish, and if not, why",
  watch: "print messages that arrive on a topic (to see that it works)",
  queue: "show what waits on disk; `queue clear` discards it",
  settings: "print every effective setting and where its value came from",
  version: "print version, Deno, V8, TLS, ALPN, and what is permitted",
  send: "hand messages to the running publisher",
  help: "print this, the help of a command, or all settings",
};

const OVERVIEW = `mqtt443 publishes a gateway's telemetry over MQTT with mutual TLS on port 443.

Usage:
${COMMANDS.map((name) => `  mqtt443 ${name.padEnd(9)} ${SUMMARIES[name]}`).join("\n")}

A session, with the files that the AWS console hands out in ./certs:
  mqtt443 doctor --endpoint abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com
  mqtt443 publish --endpoint abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com
  mqtt443 watch 'dt/mqtt443/#' --endpoint …
  mqtt443 publish --endpoint … --topic test/date --message "Hello on port 443"

Settings come from flags, else MQTT443_ variables, else --config FILE,
./mqtt443.json or /etc/mqtt443/mqtt443.json; \`mqtt443 help settings\` lists them.

Exit codes: 0 done, 1 a bug, 64 wrong command line, 69 endpoint unreachable,
  73 state directory or queue unusable, 75 kept on disk, 77 refused,
  78 settings or files wrong`;

const DETAILS: Record<(typeof COMMANDS)[number], string> = {
  publish: `Takes readings each interval (or lines of standard input), queues them on disk
and publishes them, oldest first. Goes on while the link is down. Ends by itself
with --message, --count or at the end of input, else on SIGTERM or Ctrl-C.
SIGHUP makes it read renewed certificates. Under systemd (Type=notify) it says
when it is ready, and that it is well.

  --dry-run  print the messages it would send, connect nowhere, keep nothing

Examples:
  mqtt443 publish --source clock --format text --topic test/date --interval 1s
  mqtt443 publish --topic alpn/devicesdk --qos 0 --message "Hello on port 443"
  journalctl -f -o json | mqtt443 publish --source stdin`,
  doctor: `Checks, in this order: settings, files, key-match, dates, clock, file-modes,
queue, listen, dns, tcp, tls, alpn, mqtt-connect, publish. Each says what it saw
and, unless it is ok, one likely cause and what to do. It sends one test message
to the topic. The exit code is the first failure's.

  --offline           only what needs no network: up to listen
  --json              print the report as JSON
  --policy            print the least AWS IoT policy for this client id and
                      topic, and nothing else
  --region REGION     the AWS region, for --policy
  --account DIGITS    the account's 12 digits, for --policy
  --policy-file FILE  say whether that policy allows this client id and topic`,
  watch: `Subscribes to TOPIC (+ and # are wildcards) and prints each message as it comes:
time, topic and payload. Its client id is the publisher's with -watch behind it,
or the one given with --client-id: two sessions with one id throw each other
out. --count N ends it after N messages.`,
  queue: `Shows how many messages wait in the state directory, how old the oldest is, and
what was quarantined or dropped. It may run beside \`publish\`.

  clear   discard all that waits; needs --yes, or a terminal to answer on
  --yes   do not ask
  --json  print it as JSON`,
  settings: `Prints every effective setting, its value and the layer it came from. It
connects nowhere.

  --json    print {"KEY": {"value": …, "origin": …}, …}
  --schema  print the JSON Schema of a settings file, for editors`,
  version: `Prints the version of the program and its runtime, whether ALPN works, and what
this process is permitted to do.

  --json  print it as JSON`,
  send: `Hands MESSAGE, or each line of standard input, to the publisher that listens at
--listen, else at /run/mqtt443/in.sock; ends when all are on disk. A JSON object
becomes the metrics, anything else is text.

  --topic TOPIC       publish it below the publisher's topicPrefix
  --timeout DURATION  how long a receipt is awaited (10s)
  --json              print the receipts

Exit codes: 0 all queued, 64 not taken, 69 nobody listens, 75 later, 77 may not`,
  help: "",
};

/**
 * The help about a command, about `settings`, or about all.
 *
 * @param about Empty for the overview.
 * @throws {UserError} If there is no such help.
 */
export function helpText(about: string): string {
  if (about === "" || about === "help") return OVERVIEW;
  const name = COMMANDS.find((command) => command === about);
  if (name === undefined) {
    throw new UserError(
      `Cannot help with ${quote(about)}: unknown command${didYouMean(about, COMMANDS)}`,
      {
        code: "wrong-command-line",
        hint: `the commands are ${COMMANDS.join(", ")}`,
        exitCode: EXIT.usage,
      },
    );
  }
  const head = `Usage: mqtt443 ${name} ${SHAPES[name].usage}\n\n${DETAILS[name]}`;
  if (name === "settings") return `${head}\n\n${settingsHelp()}\n\n${SAMPLE_NOTE}\n${sampleFile()}`;
  return `${head}\n\nSettings, of which \`mqtt443 help settings\` says more:\n${flagsHelp()}`;
}

/** Columns of a terminal. */
const COLUMNS = 80;

/** The flags of all settings, with their placeholders, in lines. */
function flagsHelp(): string {
  const flags = SETTINGS.map(({ key, placeholder }) => `${flagOf(key)} ${placeholder}`);
  const lines = [""];
  for (const flag of ["--config FILE", ...flags]) {
    const longer = `${lines.at(-1)}  ${flag}`;
    if (longer.length <= COLUMNS) lines[lines.length - 1] = longer;
    else lines.push(`  ${flag}`);
  }
  return lines.join("\n");
}

const SAMPLE_NOTE = `A settings file, with what differs from the defaults (comments, trailing commas
and "$schema" are allowed):`;

/** Each setting with its flag, variable, default and range. */
export function settingsHelp(): string {
  return [
    "  --config FILE",
    "      settings file; else ./mqtt443.json, else /etc/mqtt443/mqtt443.json",
    ...SETTINGS.map((spec) =>
      [
        `  ${flagOf(spec.key)} ${spec.placeholder}  (${variableOf(spec.key)})`,
        `      ${spec.sentence}`,
        `      allowed: ${spec.allowed}`,
        `      default: ${spec.default}`,
      ].join("\n")
    ),
  ].join("\n");
}

/** A settings file that names the few settings most sites need. */
export function sampleFile(): string {
  const keys = ["endpoint", "clientId", "certs", "topic", "interval", "state"];
  const entries = keys.map((key) => [key, SETTINGS.find((spec) => spec.key === key)!.example]);
  return JSON.stringify(Object.fromEntries(entries), null, 2);
}

/** The settings as a table for README. */
export function settingsTable(): string {
  const row = (spec: SettingSpec) =>
    `| \`${spec.key}\` | ${spec.default} | ${spec.allowed} | ${spec.sentence} |`;
  return ["| key | default | allowed | |", "|---|---|---|---|", ...SETTINGS.map(row)].join("\n");
}
