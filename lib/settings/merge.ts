/** Merges defaults, file, environment and flags, checks everything, reports all problems at once and freezes. Pure. */

import { settingsError, type UserError } from "../core/errors.ts";
import { expandTopic, topicProblem } from "../core/message.ts";
import {
  flagOf,
  type Machine,
  SETTINGS as TABLE,
  type Settings,
  type SettingSpec,
  variableOf,
} from "./table.ts";
import { didYouMean, quote } from "../core/text.ts";
import { isAws } from "../core/endpoint.ts";
import { clientIdProblem } from "./texts.ts";
import type { EffectiveSettings, Layer, Origin, Surroundings } from "./types.ts";

/** Unknown keys reported one by one: a file with more of them is not a settings file. */
const MOST_UNKNOWN = 20;

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
  { sourcesProblem, ...machine }: Surroundings,
  { needEndpoint }: { needEndpoint: boolean },
): EffectiveSettings {
  const { given, origins, problems, wrong } = readLayers(layers);
  const settings = withDefaults(given, machine);
  const check = (key: keyof Settings, problem: string | undefined, fallback = "default") => {
    if (problem === undefined || wrong.has(key)) return;
    const from = origins[key]?.from ?? fallback;
    const value = fileValue(TABLE.find((spec) => spec.key === key)!, settings[key]);
    problems.push(`${key}: ${problem}: current value is ${quote(value)} (from ${from})`);
  };
  if (needEndpoint && !("endpoint" in given) && !wrong.has("endpoint")) {
    problems.push("endpoint: required: set it in the file, MQTT443_ENDPOINT or --endpoint HOST");
  }
  check("clientId", clientIdProblem(settings.clientId), "the host name");
  check("source", sourcesProblem(settings.source));
  for (const key of ["topic", "topicPrefix", "statusTopic"] as const) {
    const topic = settings[key] && topicProblem(settings[key]);
    check(key, topic && `${topic}, with {clientId} replaced`);
  }
  if (settings.statusTopic === settings.topic) check("statusTopic", "must not be the topic");
  if (settings.listen === undefined && settings.source.includes("none")) {
    check("source", "must not be none without listen");
  }
  if (settings.listen === "systemd" && "listenMode" in given) {
    check("listenMode", "must not be given with listen systemd, whose SocketMode= counts");
  }
  if (settings.pack !== undefined && settings.format !== "json") {
    check("pack", `must be none with format ${settings.format}, as packs are json`);
  }
  const { username, passwordFile, mqttVersion, proxy, proxyCa } = settings;
  if (passwordFile !== undefined && username === undefined && mqttVersion !== "5") {
    problems.push("passwordFile: MQTT 3.1.1 takes no password without a user name (--username)");
  }
  if (proxyCa !== undefined && /^(http|socks5):/.test(proxy ?? "")) {
    check("proxyCa", "is for a proxy with https:// alone");
  }
  for (const { key, awsMax = Infinity } of isAws(settings.endpoint) ? TABLE : []) {
    if (Number(given[key]) > awsMax) {
      check(key as keyof Settings, `must be at most ${awsMax} on AWS IoT Core`);
    }
  }
  if (problems.length > 0) throw problemsError(problems);
  return { settings: Object.freeze(settings), origins };
}

/** Parses what the layers give. */
function readLayers(layers: readonly Layer[]) {
  const problems: string[] = [];
  /** Settings with a problem of their own; no other one is reported of them. */
  const wrong = new Set<string>();
  const given: Record<string, unknown> = Object.create(null);
  const origins: Record<string, { origin: Origin; from: string }> = {};
  let unknown = 0;
  for (const layer of layers) {
    for (const [key, value] of Object.entries(layer.values)) {
      const spec = TABLE.find((entry) => entry.key === key);
      if (spec === undefined) {
        if (++unknown <= MOST_UNKNOWN) problems.push(unknownKey(key, layer));
        continue;
      }
      const from = layerName(layer, key);
      try {
        given[key] = spec.parse(textOf(value, spec));
        origins[key] = { origin: layer.origin, from };
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        const current = spec.isPrivate ? "not shown" : quote(value);
        wrong.add(key);
        problems.push(`${key}: ${error.message}: current value is ${current} (from ${from})`);
      }
    }
  }
  if (unknown > MOST_UNKNOWN) problems.push(`and ${unknown - MOST_UNKNOWN} more unknown settings`);
  return { given, origins, problems, wrong };
}

/** The settings as a document: `{"port":{"value":443,"origin":"default"},…}`, values as in the file. */
export function settingsDocument(
  { settings, origins }: EffectiveSettings,
): Record<string, { value: unknown; origin: Origin; from?: string }> {
  return Object.fromEntries(
    TABLE.map((spec) => {
      const value = fileValue(spec, settings[spec.key as keyof Settings]);
      const known = origins[spec.key];
      return [
        spec.key,
        known
          ? { value, origin: known.origin, from: known.from }
          : { value: value === "" ? null : value, origin: "default" as const },
      ];
    }),
  );
}

/** A value as the settings file has it. */
export function fileValue({ format }: Pick<SettingSpec, "format">, value: unknown): unknown {
  return value === undefined ? null : format ? format(value as number) : value;
}

/** Adds the defaults of what was not given. */
function withDefaults(given: Readonly<Record<string, unknown>>, machine: Machine): Settings {
  const settings = Object.fromEntries(TABLE.map(({ key, compute, parse, default: text }) => [
    key,
    key in given ? given[key] : compute ? compute(given, machine) : parse(text),
  ])) as unknown as Settings;
  const { topic, topicPrefix, statusTopic, clientId } = settings;
  return {
    ...settings,
    topic: expandTopic(topic, clientId),
    topicPrefix: topicPrefix && expandTopic(topicPrefix, clientId),
    statusTopic: statusTopic && expandTopic(statusTopic, clientId),
  };
}

function problemsError(problems: readonly string[]): UserError {
  const counted = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return settingsError(
    "wrong-settings",
    `Cannot use these settings: ${counted}`,
    "correct them where they came from; `mqtt443 help settings` lists all settings",
    { problems },
  );
}

function unknownKey(key: string, layer: Layer): string {
  const keys = TABLE.map((spec) => spec.key);
  return layer.origin === "environment"
    ? `${key}: unknown variable${didYouMean(key, keys.map(variableOf))} (from the environment)`
    : `${quote(key)}: unknown setting${didYouMean(key, keys)} (from ${layer.name})`;
}

function layerName(layer: Layer, key: string): string {
  if (layer.origin === "flag") return flagOf(key);
  return layer.origin === "environment" ? variableOf(key) : layer.name;
}

/**
 * A value of the settings file as the text that a flag would have.
 *
 * @throws {RangeError} If its type is wrong.
 */
function textOf(value: unknown, { mayBeNone, mayBeList }: SettingSpec): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  // null in the file means no value (durability's word "none" is another thing: memory).
  if (value === null && mayBeNone) return "none";
  if (mayBeList && Array.isArray(value) && value.every((entry) => typeof entry === "string")) {
    return value.join(",");
  }
  throw new RangeError("must be a text or a number");
}
