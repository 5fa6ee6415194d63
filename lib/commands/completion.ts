/**
 * `completion`: a script that completes commands, flags and values in bash, zsh or fish.
 *
 * Made from the settings table, the commands' shapes and their help: what is added there is completed.
 */

import { COMMAND_TABLE, type CommandName, COMMANDS } from "./table.ts";
import { EXIT, UserError } from "../core/errors.ts";
import { didYouMean, quote } from "../core/text.ts";
import { flagOf, SETTINGS } from "../settings/mod.ts";

/** The shells that there is a script for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

interface Flag {
  /** With its dashes. */
  readonly name: string;
  readonly about: string;
  /** Kind of its value; undefined: it takes none. */
  readonly placeholder?: string;
  /** Values that may be offered. */
  readonly values: readonly string[];
}

const SETTING_FLAGS: readonly Flag[] = [
  { name: "--config", placeholder: "FILE", about: "settings file", values: [] },
  ...SETTINGS.map(({ key, placeholder, sentence, allowed }) => ({
    ...{ name: flagOf(key), placeholder, about: sentence },
    // Words and numbers alone: `json, text or shadow`, `5 or 3.1.1`; of `1s-24h, or none` the last.
    values: /FILE|DIR/.test(placeholder)
      ? []
      : allowed.split(/,? or |, /).filter((word) => /^([a-z]+(-[a-z]+)?|[\d.]+)$/.test(word)),
  })),
];

const takesSettings = (name: CommandName) => !COMMAND_TABLE[name].isBare;

/** What may follow a command without a flag before it. */
function operandsOf(name: CommandName): readonly string[] {
  return name === "help" ? COMMANDS : COMMAND_TABLE[name].words ?? [];
}

/** A command's own flags. */
function flagsOf(name: CommandName): Flag[] {
  return Object.entries(COMMAND_TABLE[name].flags).map(([flag, about]) => {
    const [bare, placeholder] = flag.split(" ");
    return {
      ...{ name: `--${bare}`, about: about.replace("\n", " "), values: [] },
      ...(placeholder && { placeholder }),
    };
  });
}

/**
 * The script for a shell.
 *
 * @throws {UserError} If there is none.
 */
export function completionScript(shell: string): string {
  const name = SHELLS.find((known) => known === shell);
  if (name === undefined) {
    throw new UserError(
      `Cannot complete in ${quote(shell)}: unknown shell${didYouMean(shell, SHELLS)}`,
      {
        code: "wrong-command-line",
        hint: `type \`mqtt443 completion ${SHELLS.join("|")}\``,
        exitCode: EXIT.usage,
      },
    );
  }
  return { bash, zsh, fish }[name]();
}

function bash(): string {
  const names = (flags: readonly Flag[], between = " ") =>
    flags.map(({ name }) => name).join(between);
  const valued = [...SETTING_FLAGS, ...flagsOf("doctor")].filter(({ placeholder }) => placeholder);
  const paths = (kind: string, option: string) =>
    `    ${names(valued.filter(({ placeholder }) => placeholder === kind), "|")}) ` +
    `compopt -o filenames; mapfile -t COMPREPLY < <(compgen ${option} -- "$word"); return ;;\n`;
  const words = valued.filter(({ values }) => values.length > 0)
    .map(({ name, values }) => `    ${name}) words='${values.join(" ")}' ;;\n`);
  const own = COMMANDS.map((name) =>
    `      ${name}) words="${[...operandsOf(name), names(flagsOf(name)), "--help"].join(" ")}${
      takesSettings(name) ? " $settings" : ""
    }" ;;\n`
  );
  return `# bash completion of mqtt443: source <(mqtt443 completion bash)
_mqtt443() {
  local word=\${COMP_WORDS[COMP_CWORD]} flag=\${COMP_WORDS[COMP_CWORD-1]} words=
  local settings='${names(SETTING_FLAGS)}'
  COMPREPLY=()
  if [[ $flag == '=' ]]; then flag=\${COMP_WORDS[COMP_CWORD-2]}; elif [[ $word == '=' ]]; then word=; fi
  (( COMP_CWORD > 1 )) || flag=
  case $flag in
    '') words='${COMMANDS.join(" ")}' ;;
${paths("FILE", "-f")}${paths("DIR", "-d")}${words.join("")}    ${
    names(
      valued.filter(({ placeholder, values }) => !values.length && !/FILE|DIR/.test(placeholder!)),
      "|",
    )
  }) ;;
    *) case \${COMP_WORDS[1]} in
${own.join("")}    esac ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _mqtt443 mqtt443
`;
}

function zsh(): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const plain = (text: string) => text.replace(/[[\]:\\]/g, "\\$&");
  const action = ({ placeholder, values }: Flag) =>
    placeholder === "FILE"
      ? "_files"
      : placeholder === "DIR"
      ? "_files -/"
      : `(${values.join(" ")})`;
  const line = (flag: Flag) =>
    quoted(
      flag.placeholder === undefined
        ? `${flag.name}[${plain(flag.about)}]`
        : `${flag.name}=[${plain(flag.about)}]:${flag.placeholder}:${action(flag)}`,
    );
  const lines = (flags: readonly Flag[]) => flags.map((flag) => `    ${line(flag)}\n`).join("");
  return `#compdef mqtt443
# zsh completion of mqtt443: source <(mqtt443 completion zsh), or a file _mqtt443 in a folder of $fpath
_mqtt443() {
  local -a commands settings own
  commands=(
${
    COMMANDS.map((name) => `    ${quoted(`${name}:${plain(COMMAND_TABLE[name].summary)}`)}\n`).join(
      "",
    )
  }  )
  settings=(
${lines(SETTING_FLAGS)}  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  case $words[2] in
${
    COMMANDS.map((name) => {
      const operands = ` '*:operand:(${operandsOf(name).join(" ")})'`;
      const own = flagsOf(name).map((flag) => ` ${line(flag)}`).join("");
      const settings = takesSettings(name) ? " $settings" : "";
      return `  ${name}) own=('--help[show help]'${operands}${own}${settings}) ;;\n`;
    }).join("")
  }  esac
  shift words; (( CURRENT-- ))
  _arguments : $own
}
if [[ $funcstack[1] == _mqtt443 ]]; then _mqtt443 "$@"; else compdef _mqtt443 mqtt443; fi
`;
}

function fish(): string {
  const quoted = (text: string) => `'${text.replace(/['\\]/g, "\\$&")}'`;
  const at = (names: readonly string[]) =>
    `complete -c mqtt443 -n 'contains -- (commandline -opc)[2] ${names.join(" ")}'`;
  const line = (names: readonly string[]) => ({ name, about, placeholder, values }: Flag) => {
    const value = placeholder === undefined
      ? ""
      : placeholder === "FILE"
      ? " -r -F"
      : placeholder === "DIR"
      ? " -x -a '(__fish_complete_directories)'"
      : ` -x${values.length > 0 ? ` -a '${values.join(" ")}'` : ""}`;
    return `${at(names)} -l ${name.slice(2)}${value} -d ${quoted(about)}`;
  };
  return [
    "# fish completion of mqtt443: mqtt443 completion fish | source",
    "complete -c mqtt443 -f",
    ...COMMANDS.map((name) =>
      `complete -c mqtt443 -n __fish_use_subcommand -a ${name} -d ${
        quoted(COMMAND_TABLE[name].summary)
      }`
    ),
    ...SETTING_FLAGS.map(line(COMMANDS.filter(takesSettings))),
    ...COMMANDS.flatMap((name) => [
      ...flagsOf(name).map(line([name])),
      `${at([name])} -a '${operandsOf(name).join(" ")}'`,
    ]),
    "",
  ].join("\n");
}
