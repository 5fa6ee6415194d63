/** The help texts and the sample settings file, made from the tables of commands and settings. Pure. */

import { EXIT, UserError } from "../core/errors.ts";
import { didYouMean, quote, wrap } from "../core/text.ts";
import { flagOf, SETTINGS, type SettingSpec, variableOf } from "../settings/mod.ts";
import { COMMAND_TABLE, COMMANDS } from "./table.ts";

/** Columns of a terminal. */
const COLUMNS = 80;

/**
 * The help about a command, about `settings`, or about all.
 *
 * @param about Empty for the overview.
 * @throws {UserError} If there is no such help.
 */
export function helpText(about: string): string {
  if (about === "" || about === "help") return overview();
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
  const { usage, details, flags, examples, isBare } = COMMAND_TABLE[name];
  const parts = [`Usage: mqtt443 ${name} ${usage}`, details, aligned(flags), examples];
  if (isBare) return parts.filter((part) => part).join("\n\n");
  parts.push(
    ...(name === "settings"
      ? [settingsHelp(), `${SAMPLE_NOTE}\n${sampleFile()}`]
      : [`Settings, explained by \`mqtt443 help settings\`:\n${flagsHelp()}`]),
  );
  return parts.filter((part) => part).join("\n\n");
}

function overview(): string {
  const usage = COMMANDS.map((name) =>
    `  mqtt443 ${name.padEnd(10)} ${COMMAND_TABLE[name].summary}`
  );
  return `mqtt443 publishes a gateway's telemetry over MQTT with mutual TLS on port 443.

Usage:
${usage.join("\n")}

A session, with the files that the AWS console hands out in ./certs:
  mqtt443 doctor --endpoint abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com
  mqtt443 publish --endpoint abcdefghijklmn-ats.iot.eu-central-1.amazonaws.com
  mqtt443 publish --endpoint … --topic test/date --message "Hello on port 443"

Settings come from flags, else MQTT443_ variables, else --config FILE,
./mqtt443.json or /etc/mqtt443/mqtt443.json; \`mqtt443 help settings\` lists them.

Exit codes: 0 done, 1 a bug, 64 wrong command line, 69 endpoint unreachable,
  73 state or queue unusable, 75 kept, 77 refused, 78 wrong settings or files`;
}

/** Flags, each with what it is for, in two columns. */
function aligned(flags: Readonly<Record<string, string>>): string {
  const width = Math.max(...Object.keys(flags).map((flag) => flag.length));
  return Object.entries(flags).map(([flag, text]) =>
    `  --${flag.padEnd(width)}  ${text.replace("\n", `\n${" ".repeat(width + 6)}`)}`
  ).join("\n");
}

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
        ...wrap(`allowed: ${spec.allowed}`, COLUMNS - 6).map((line) => `      ${line}`),
        `      default: ${spec.default}`,
      ].join("\n")
    ),
  ].join("\n");
}

/** A settings file with the settings that most sites need. */
export function sampleFile(): string {
  const keys = ["endpoint", "clientId", "certs", "topic", "interval", "state"];
  const entries = keys.map((key) => [key, SETTINGS.find((spec) => spec.key === key)!.example]);
  return JSON.stringify(Object.fromEntries(entries), null, 2);
}

/** The settings as a Markdown table. */
export function settingsTable(): string {
  const row = (spec: SettingSpec) =>
    `| \`${spec.key}\` | ${spec.default} | ${spec.allowed} | ${spec.sentence} |`;
  return ["| key | default | allowed | |", "|---|---|---|---|", ...SETTINGS.map(row)].join("\n");
}
