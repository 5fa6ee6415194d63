/** Settings as the program has them, and the layers they come from. */

import type { Format, Qos } from "../core/message.ts";

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
  /** Absolute path of a Unix socket, or `systemd`. */
  readonly listen: string | undefined;
  /** Octal. */
  readonly listenMode: "0600" | "0660";
  /** `{clientId}` already replaced. */
  readonly topicPrefix: string | undefined;
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

/** What the command line says of the settings. */
export interface CommandLine {
  /** `--config`. */
  readonly config: string | undefined;
  /** The settings given as flags. */
  readonly flags: Layer;
}
