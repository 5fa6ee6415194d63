/**
 * Settings: defaults, then the file, then the environment, then flags; all checked, all problems told at once,
 * then frozen.
 *
 * Pure: the layers come in as plain objects. What a default needs to know of the machine comes in as
 * {@linkcode Surroundings}.
 */

import { EXIT, UserError } from "../core/errors.ts";
import { expandTopic, topicProblem } from "../core/message.ts";
import {
  clientIdProblem,
  flagOf,
  SETTINGS as TABLE,
  type SettingSpec,
  variableOf,
} from "./table.ts";
import { didYouMean, quote } from "../core/text.ts";
import { isAws } from "../core/endpoint.ts";
import type { EffectiveSettings, Layer, Origin, Settings, Surroundings } from "./types.ts";

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
  for (const key of ["topic", "topicPrefix"] as const) {
    const topic = settings[key] === undefined ? undefined : topicProblem(settings[key]);
    if (topic !== undefined && !problems.some((p) => p.startsWith(`${key}:`))) {
      problems.push(`${key}: ${topic}, with {clientId} replaced: ${about(key)}`);
    }
  }
  if (settings.source.includes("none") && settings.listen === undefined) {
    problems.push(`source: must not be none without listen: ${about("source")}`);
  }
  if (settings.listen === "systemd" && origins.listenMode) {
    problems.push(
      `listenMode: must not be given with listen systemd, whose SocketMode= counts: ${
        about("listenMode")
      }`,
    );
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
  const { topic, topicPrefix, clientId } = settings;
  return {
    ...settings,
    topic: expandTopic(topic, clientId),
    topicPrefix: topicPrefix && expandTopic(topicPrefix, clientId),
  };
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
