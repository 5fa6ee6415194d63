/**
 * Settings: defaults, then the file, then the environment, then flags; all checked, all problems told at once,
 * then frozen.
 *
 * Pure: the layers come in as plain objects. What a default needs to know of the machine comes in as
 * {@linkcode Surroundings}.
 */

import { EXIT, UserError } from "./core/errors.ts";
import { expandTopic, type Format, type Qos, topicProblem } from "./core/message.ts";
import {
  clientIdProblem,
  flagOf,
  SETTINGS as TABLE,
  type SettingSpec,
  variableOf,
} from "./settings_table.ts";
import { didYouMean, quote } from "./core/text.ts";
import { isAws } from "./core/endpoint.ts";

/** Every effective setting. Durations are in ms, sizes in bytes; absent means none. */
export interface Settings {
  /** Empty if not given, which only commands that do not connect allow. */
  readonly endpoint: string;
  readonly port: number;
  readonly alpn: string | undefined;
  readonly mqttVersion: "5" | "3.1.1";
  readonly clientId: string;
  readonly certs: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly keyPassphraseFile: string | undefined;
  /** `{clientId}` already replaced. */
  readonly topic: string;
  readonly qos: Qos;
  readonly interval: number;
  readonly count: number | undefined;
  readonly source: readonly string[];
  readonly format: Format;
  readonly message: string | undefined;
  readonly giveUpAfter: number;
  readonly keepAlive: number;
  readonly tlsMin: "1.2" | "1.3";
  readonly connectTimeout: number;
  readonly ackTimeout: number;
  readonly backoffMax: number;
  readonly state: string;
  readonly queueMaxMessages: number;
  readonly queueMaxBytes: number;
  readonly queueMaxAge: number | undefined;
  readonly queueFull: "drop-oldest" | "drop-newest";
  readonly durability: "power" | "crash" | "none";
  readonly drainRate: number | undefined;
  readonly maxRate: number | undefined;
  readonly inflight: number;
  readonly logFormat: "text" | "json";
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

/** Where a value came from. */
export type Origin = "default" | "file" | "environment" | "flag";

/** One layer of settings. */
export interface Layer {
  readonly origin: Origin;
  /** Name of the layer in errors: the file's path, or empty where the key names itself. */
  readonly name: string;
  /** Keys as in the settings file; values as found. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** What the defaults take from the machine, and checks that belong to others. */
export interface Surroundings {
  /** Default of `clientId`. */
  readonly hostName: string;
  /** Default of `certs`. */
  readonly certs: string;
  /** What is wrong with a list of sources, or undefined. */
  readonly sourcesProblem: (specs: readonly string[]) => string | undefined;
}

/** The outcome of {@linkcode mergeSettings}. */
export interface EffectiveSettings {
  readonly settings: Settings;
  /** By key: the text or value given, and the layer; keys left at their default are absent. */
  readonly origins: Readonly<Record<string, { origin: Origin; from: string }>>;
}

/** Publishes a second that AWS IoT Core takes per connection, and unacknowledged ones: quotas page "iot-core". */
const AWS_LIMIT = 100;

/** Unknown keys told one by one: a file with more of them is no settings file. */
const MOST_UNKNOWN = 20;

/** The settings that can be none. */
const NONE_SETTINGS = new Set(
  TABLE.filter(({ allowed }) => allowed.endsWith(", or none")).map(({ key }) => key),
);

/** The layer of the environment: every `MQTT443_` variable that names a setting. */
export function environmentLayer(
  variables: Readonly<Record<string, string>>,
  known: readonly string[],
): Layer {
  const keys = new Map(TABLE.map(({ key }) => [variableOf(key), key]));
  const entries = Object.entries(variables)
    .filter(([name]) => name.startsWith("MQTT443_") && !known.includes(name))
    .map(([name, value]) => [keys.get(name) ?? name, value]);
  return { origin: "environment", name: "", values: Object.fromEntries(entries) };
}

/**
 * Parses a settings file.
 *
 * @throws {UserError} If it is not one JSON object.
 */
export function fileLayer(path: string, text: string): Layer {
  const json = text.replace(/^\uFEFF/, "");
  let values: unknown;
  try {
    values = JSON.parse(json);
  } catch (cause) {
    throw new UserError(`Cannot read settings file ${quote(path)}: ${jsonProblem(json, cause)}`, {
      hint: `correct it; \`mqtt443 help settings\` shows a sample`,
      exitCode: EXIT.config,
      step: "settings",
      cause,
    });
  }
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    throw new UserError(`Cannot use settings file ${quote(path)}: must hold one JSON object`, {
      hint: `write {"endpoint": "HOST"}; \`mqtt443 help settings\` shows a sample`,
      exitCode: EXIT.config,
      step: "settings",
    });
  }
  return { origin: "file", name: path, values: values as Record<string, unknown> };
}

/**
 * Merges the layers, later ones over earlier ones, checks every value and freezes the result.
 *
 * @param needEndpoint Whether a missing endpoint is a problem.
 * @throws {UserError} With one line per problem.
 */
export function mergeSettings(
  layers: readonly Layer[],
  { hostName, certs, sourcesProblem }: Surroundings,
  { needEndpoint }: { needEndpoint: boolean },
): EffectiveSettings {
  const problems: string[] = [];
  const given: Record<string, unknown> = Object.create(null);
  const origins: Record<string, { origin: Origin; from: string }> = {};
  const keys = TABLE.map(({ key }) => key);
  let unknown = 0;
  for (const layer of layers) {
    for (const [key, value] of Object.entries(layer.values)) {
      const spec = TABLE.find((entry) => entry.key === key);
      if (spec === undefined) {
        if (++unknown <= MOST_UNKNOWN) problems.push(unknownKey(key, layer, keys));
        continue;
      }
      const from = layerName(layer, key);
      const text = textOf(value, spec);
      try {
        if (text === undefined) throw new RangeError(`must be a text or a number`);
        given[key] = spec.parse(text);
        origins[key] = { origin: layer.origin, from };
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        const current = spec.isPrivate ? "not shown" : quote(value);
        problems.push(`${key}: ${error.message}: current value is ${current} (from ${from})`);
      }
    }
  }
  if (unknown > MOST_UNKNOWN) problems.push(`and ${unknown - MOST_UNKNOWN} more unknown settings`);
  const settings = withDefaults(given, { hostName, certs });
  const about = (key: keyof Settings) =>
    `current value is ${quote(settings[key])} (from ${origins[key]?.from ?? "default"})`;
  if (
    needEndpoint && settings.endpoint === "" && !problems.some((p) => p.startsWith("endpoint:"))
  ) {
    problems.push("endpoint: required: set it in the file, MQTT443_ENDPOINT or --endpoint HOST");
  }
  // A default that the machine gives may be as wrong as one that is typed.
  const clientId = origins.clientId ? undefined : clientIdProblem(settings.clientId);
  if (clientId !== undefined && !problems.some((p) => p.startsWith("clientId:"))) {
    problems.push(
      `clientId: ${clientId}: current value is ${quote(settings.clientId)} (from the host name)`,
    );
  }
  const source = sourcesProblem(settings.source);
  if (source !== undefined) problems.push(`source: ${source}: ${about("source")}`);
  const topic = topicProblem(settings.topic);
  if (topic !== undefined && !problems.some((p) => p.startsWith("topic:"))) {
    problems.push(`topic: ${topic}, with {clientId} replaced: ${about("topic")}`);
  }
  if (isAws(settings.endpoint)) {
    for (const key of ["maxRate", "inflight"] as const) {
      if ((settings[key] ?? 0) > AWS_LIMIT) {
        problems.push(`${key}: must be at most ${AWS_LIMIT} on AWS IoT Core: ${about(key)}`);
      }
    }
  }
  if (problems.length > 0) throw problemsError(problems);
  return { settings: Object.freeze(settings), origins };
}

/** The settings as a document: `{"port":{"value":443,"origin":"default"},…}`, values as in the file. */
export function settingsDocument(
  { settings, origins }: EffectiveSettings,
): Record<string, { value: unknown; origin: Origin; from?: string }> {
  return Object.fromEntries(
    TABLE.map(({ key, format }) => {
      const value = settings[key as keyof Settings];
      const shown = value === undefined ? null : format ? format(value as number) : value;
      const known = origins[key];
      return [
        key,
        known
          ? { value: shown, origin: known.origin, from: known.from }
          : { value: shown === "" ? null : shown, origin: "default" as const },
      ];
    }),
  );
}

/** Adds what was not given: from the table, but for the few that depend on the machine or on each other. */
function withDefaults(
  given: Record<string, unknown>,
  { hostName, certs }: { hostName: string; certs: string },
): Settings {
  const endpoint = given.endpoint as string | undefined ?? "";
  const computed: Record<string, unknown> = {
    endpoint,
    alpn: given.port === 8883 ? undefined : "x-amzn-mqtt-ca",
    clientId: hostName,
    certs,
    ca: undefined,
    cert: undefined,
    key: undefined,
    message: undefined,
    maxRate: isAws(endpoint) ? AWS_LIMIT : undefined,
  };
  const settings = Object.fromEntries(TABLE.map((spec) => {
    const fallback = spec.key in computed ? computed[spec.key] : spec.parse(spec.default);
    return [spec.key, spec.key in given ? given[spec.key] : fallback];
  })) as unknown as Settings;
  return { ...settings, topic: expandTopic(settings.topic, settings.clientId) };
}

function problemsError(problems: readonly string[]): UserError {
  const counted = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return new UserError(`Cannot use these settings: ${counted}`, {
    problems,
    hint: "correct them where they came from; `mqtt443 help settings` lists all settings",
    exitCode: EXIT.config,
    step: "settings",
  });
}

function unknownKey(key: string, layer: Layer, keys: readonly string[]): string {
  if (layer.origin === "environment") {
    return `${key}: unknown variable${
      didYouMean(key, keys.map(variableOf))
    } (from the environment)`;
  }
  return `${quote(key)}: unknown setting${didYouMean(key, keys)} (from ${layer.name})`;
}

function layerName(layer: Layer, key: string): string {
  if (layer.origin === "flag") return flagOf(key);
  return layer.origin === "environment" ? variableOf(key) : layer.name;
}

/** A value of the settings file as the text a flag would have; undefined if it is of a wrong type. */
function textOf(value: unknown, spec: SettingSpec): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  // null in the file is the word none, where that means nothing at all (durability's means memory).
  if (value === null && NONE_SETTINGS.has(spec.key)) return "none";
  const texts = spec.key === "source" && Array.isArray(value) &&
    value.every((entry) => typeof entry === "string");
  return texts ? (value as string[]).join(",") : undefined;
}

/** Where the text stops being JSON, and why, without quoting it: a wrong path may lead to a secret. */
function jsonProblem(text: string, cause: unknown): string {
  if (cause instanceof RangeError) return "nested too deep";
  const why = (cause as Error).message.split(/ in JSON| after JSON|, (?:\.\.\.)?"/)[0]!;
  return `not JSON: line ${badLine(text)}: ${why}`;
}

/** The line of the first character that JSON cannot have there. V8 does not always tell it, but where it stops. */
function badLine(text: string): number {
  let [good, bad] = [0, text.length];
  while (good + 1 < bad) {
    const middle = (good + bad) >> 1;
    if (mayGoOn(text.slice(0, middle))) good = middle;
    else bad = middle;
  }
  return text.slice(0, bad).trimEnd().split("\n").length;
}

/** Whether a text is the beginning of some JSON, or all of it. */
function mayGoOn(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    const { message } = error as Error;
    const position = /at position (\d+)/.exec(message)?.[1];
    return /end of JSON input|^Unterminated/.test(message) || Number(position) >= text.length;
  }
}
