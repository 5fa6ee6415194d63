/** The commands, each said once: what it takes and what its help says. To add a command, add a row. */

/** One command. */
export interface CommandSpec {
  /** Its line in the overview. */
  readonly summary: string;
  /** Usage after the command's name. */
  readonly usage: string;
  /** Least and most operands. */
  readonly operands: readonly [number, number];
  /** Flags besides those of settings, each with its placeholder if it takes a value, and what it is for. */
  readonly flags: Readonly<Record<string, string>>;
  /** What it does. */
  readonly details: string;
  /** What its help ends with. */
  readonly examples?: string;
  /** What may follow it, to be completed. */
  readonly words?: readonly string[];
  /** It takes no settings as flags. */
  readonly isBare?: true;
}

const JSON_FLAG = { json: "print it as JSON" };

/** In the order of the help. */
const TABLE = {
  publish: {
    summary: "publish telemetry until stopped (the main job)",
    usage: "[--dry-run] [SETTINGS]",
    operands: [0, 0],
    flags: { "dry-run": "print the messages it would send, connect nowhere, keep nothing" },
    details: `Takes readings each interval (or lines of standard input), queues them on disk
and publishes them, oldest first. Goes on while the link is down. Ends by itself
with --message, --count or at the end of input, else on SIGTERM or Ctrl-C.
SIGHUP makes it read renewed certificates. Under systemd (Type=notify) it
reports when it is ready, and feeds the watchdog.`,
    examples: `Examples:
  mqtt443 publish --source clock --format text --topic test/date --interval 1s
  mqtt443 publish --topic alpn/devicesdk --qos 0 --message "Hello on port 443"
  journalctl -f -o json | mqtt443 publish --source stdin`,
  },
  doctor: {
    summary: "find out whether this device can publish, and if not, why",
    usage: "[FLAGS] [SETTINGS]",
    operands: [0, 0],
    flags: {
      offline: "only what needs no network: up to listen",
      json: "print the report as JSON",
      yes: "send the test message also where it runs a rule of AWS\n(topic $aws/rules/…)",
      policy: "print the least AWS IoT policy for this client id and\ntopic, and nothing else",
      "region REGION": "the AWS region, for --policy",
      "account DIGITS": "the account's 12 digits, for --policy",
      "policy-file FILE": "say whether that policy allows this client id and topic",
    },
    details: `Checks, in this order: settings, files, key-match, dates, clock, file-modes,
queue, listen, dns, tcp, proxy, tls, alpn, mqtt-connect, publish. Each says what
it saw and, unless it is ok, one likely cause and what to do. It sends one test
message to the topic. The exit code is the first failure's.`,
  },
  watch: {
    summary: "print messages that arrive on a topic (to see it work)",
    usage: "TOPIC [SETTINGS]",
    operands: [1, 1],
    flags: {},
    details: `Subscribes to TOPIC (+ and # are wildcards) and prints each message as it comes:
time, topic and payload. Its client id is the publisher's with -watch appended,
or the one given with --client-id: two sessions with one id disconnect each
other. --count N ends it after N messages.`,
  },
  queue: {
    summary: "show what waits on disk; `queue clear` discards it",
    usage: "[clear [--yes]] [--json] [SETTINGS]",
    words: ["clear"],
    operands: [0, 1],
    flags: { yes: "do not ask", ...JSON_FLAG },
    details: `Shows how many messages wait in the state directory, how old the oldest is, and
what was quarantined or dropped. It may run beside \`publish\`. \`queue clear\`
discards all that waits; it needs --yes, or a terminal to ask on.`,
  },
  settings: {
    summary: "print every effective setting and where its value came from",
    usage: "[--json | --schema] [SETTINGS]",
    operands: [0, 0],
    flags: {
      json: 'print {"KEY": {"value": …, "origin": …}, …}',
      schema: "print the JSON Schema of a settings file, for editors",
    },
    details: `Prints every effective setting, its value and the layer it came from. It
connects nowhere.`,
  },
  version: {
    summary: "print version, Deno, V8, TLS, ALPN, and what is permitted",
    usage: "[--json] [SETTINGS]",
    operands: [0, 0],
    flags: JSON_FLAG,
    details: `Prints the version of the program and its runtime, whether ALPN works, and what
this process is permitted to do.`,
  },
  send: {
    summary: "hand messages to the running publisher",
    usage: "[MESSAGE] [FLAGS] [SETTINGS]",
    operands: [0, 1],
    flags: {
      "timeout DURATION": "how long a receipt is awaited (10s)",
      json: "print the receipts",
    },
    details: `Hands MESSAGE, or each line of standard input, to the publisher that listens at
--listen, else at /run/mqtt443/in.sock; ends when all are on disk. A JSON object
becomes the metrics, anything else is text. --topic is a topic below the
publisher's topicPrefix. Exit codes: 0 all are queued, 64 one is not taken,
69 nobody listens, 75 try again later, 77 not allowed to connect.`,
  },
  status: {
    summary: "what the running publisher is doing",
    usage: "[--watch | --json | --prometheus] [SETTINGS]",
    operands: [0, 0],
    flags: {
      watch: "show it live, until Ctrl-C",
      json: "print it as JSON",
      prometheus: "print it for the textfile collector of node_exporter",
    },
    details: `Shows what the publisher writes into --status-file every 5 s, else into
/run/mqtt443/status.json: link, rates, queue, certificate, sources, and what
hinders. It needs no right but to read that file. Exit codes: 0 publishing,
69 link down, 73 no publisher runs: there is no file, or it is older than 30 s.`,
  },
  completion: {
    summary: "print a script that completes all this in bash, zsh or fish",
    usage: "bash|zsh|fish",
    operands: [1, 1],
    flags: {},
    words: ["bash", "zsh", "fish"],
    isBare: true,
    details: `Prints a script for a shell. To use it in this one, and in later ones:

  source <(mqtt443 completion bash)           the same line in ~/.bashrc
  source <(mqtt443 completion zsh)            behind compinit in ~/.zshrc
  mqtt443 completion fish | source            the same line in config.fish`,
  },
  help: {
    summary: "print this, the help of a command, or all settings",
    usage: "[COMMAND | settings]",
    operands: [0, 1],
    isBare: true,
    flags: {},
    details: "",
  },
} satisfies Readonly<Record<string, CommandSpec>>;

/** Name of a command. */
export type CommandName = keyof typeof TABLE;

/** The table. */
export const COMMAND_TABLE: Readonly<Record<CommandName, CommandSpec>> = TABLE;

/** Names of the commands, in the order of the help. */
export const COMMANDS: readonly CommandName[] = Object.keys(TABLE) as CommandName[];
