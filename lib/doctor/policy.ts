/**
 * The AWS IoT policy a publisher needs, and whether a given one allows it. Pure.
 *
 * Only what decides about one client id and one topic is read of a policy: statements with Effect, Action and Resource,
 * `*` and `?` as wildcards, a Deny before an Allow. Conditions and policy variables are not judged.
 */

import { EXIT, UserError } from "../core/errors.ts";
import { quote } from "../core/text.ts";
import type { Settings } from "../settings/mod.ts";

/** What of the account is not known here. */
export interface Account {
  readonly region: string;
  readonly account: string;
}

/**
 * What was given of the account, else the region in an endpoint's name, else placeholders.
 *
 * @throws {UserError} If what was given cannot be one.
 */
export function accountOf(
  endpoint: string,
  { region, account }: { region?: string | undefined; account?: string | undefined } = {},
): Account {
  if (region !== undefined && !/^[a-z]{2}(-[a-z]+)+-\d+$/.test(region)) {
    throw notOne("--region", region, "a region's name", "eu-central-1");
  }
  if (account !== undefined && !/^\d{12}$/.test(account)) {
    throw notOne("--account", account, "an account's 12 digits", "123456789012");
  }
  const named = /\.iot\.([a-z0-9-]+)\.amazonaws\.com/.exec(endpoint)?.[1];
  return { region: region ?? named ?? "REGION", account: account ?? "ACCOUNT" };
}

function notOne(flag: string, value: string, wanted: string, example: string): UserError {
  return new UserError(`Cannot use ${flag} ${quote(value)}: it must be ${wanted}`, {
    code: "wrong-command-line",
    hint: `type ${flag} ${example}`,
    exitCode: EXIT.usage,
  });
}

/**
 * The least policy document that lets exactly this client id publish to exactly this topic.
 *
 * @param more Where else it publishes: below a prefix, where messages handed in may name a topic; and its status, which
 * the broker keeps.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { policyDocument } from "./policy.ts";
 *
 * const account = { region: "eu-central-1", account: "123456789012" };
 * assertEquals(
 *   policyDocument("gw-7", "dt/gw-7", account).Statement.map(({ Resource }) => Resource),
 *   [
 *     "arn:aws:iot:eu-central-1:123456789012:client/gw-7",
 *     "arn:aws:iot:eu-central-1:123456789012:topic/dt/gw-7",
 *   ],
 * );
 * ```
 */
export function policyDocument(
  clientId: string,
  topic: string,
  { region, account }: Account,
  { topicPrefix, statusTopic }: Partial<Pick<Settings, "topicPrefix" | "statusTopic">> = {},
): { Version: string; Statement: { Effect: string; Action: string; Resource: string }[] } {
  const partition = region.startsWith("cn-") ? "aws-cn" : "aws";
  const allow = (action: string, what: string) => ({
    Effect: "Allow",
    Action: action,
    Resource: `arn:${partition}:iot:${region}:${account}:${what}`,
  });
  const topics = [topic, topicPrefix && `${topicPrefix}/*`, statusTopic];
  return {
    Version: "2012-10-17",
    Statement: [
      allow("iot:Connect", `client/${clientId}`),
      ...topics.flatMap((each) => each ? [allow("iot:Publish", `topic/${each}`)] : []),
      ...(statusTopic ? [allow("iot:RetainPublish", `topic/${statusTopic}`)] : []),
    ],
  };
}

/** One line of that policy as text: `Allow iot:Publish on arn:…`. */
export function policyLine(
  action: "iot:Connect" | "iot:Publish",
  { clientId, topic, endpoint }: { clientId: string; topic: string; endpoint: string },
): string {
  const { Statement } = policyDocument(clientId, topic, accountOf(endpoint));
  const { Effect, Resource } = Statement.find(({ Action }) => Action === action)!;
  return `${Effect} ${action} on ${Resource}`;
}

/** What a policy document says of connecting and publishing. */
export interface PolicyVerdict {
  /** What it does not allow. */
  readonly missing: readonly string[];
  /** What hangs on conditions, or on variables that are not known here. */
  readonly unjudged: readonly string[];
}

/**
 * Whether a policy document allows connecting with a client id, publishing to a topic, and keeping a status. It may be
 * the document itself, or what `aws iot get-policy` prints, which has it as a text.
 *
 * @throws {TypeError} If it is no policy document.
 */
export function judgePolicy(
  document: unknown,
  device: { clientId: string; topic: string; statusTopic?: string | undefined },
): PolicyVerdict {
  const { clientId, topic, statusTopic } = device;
  const { policyDocument: inner, Statement } = (document ?? {}) as Record<string, unknown>;
  if (Statement === undefined && inner !== undefined) {
    const parsed = typeof inner === "string" ? JSON.parse(inner) : inner;
    return judgePolicy(parsed, device);
  }
  const statements = asList(Statement) as Record<string, unknown>[];
  if (statements.length === 0) throw new TypeError("it has no Statement");
  const verdict = { missing: [] as string[], unjudged: [] as string[] };
  for (
    const [action, resource] of [
      ["iot:Connect", `client/${clientId}`],
      ["iot:Publish", `topic/${topic}`],
      ...(statusTopic ? STATUS_ACTIONS : []).map((action) =>
        [action, `topic/${statusTopic}`] as const
      ),
    ] as const
  ) {
    const found = statements.filter((statement) =>
      asList(statement.Action).some((pattern) => matches(String(pattern), action))
    ).flatMap((statement) => {
      const patterns = asList(statement.Resource).map((each) => filledIn(String(each), clientId));
      const hit = patterns.find((pattern) => matchesResource(pattern, resource));
      if (hit === undefined) return [];
      const isSure = statement.Condition === undefined && !UNKNOWN_VARIABLE.test(hit);
      return [{ effect: statement.Effect, isSure }];
    });
    const has = (effect: string, isSure: boolean) =>
      found.some((each) => each.effect === effect && each.isSure === isSure);
    const what = `${action} on ${resource}`;
    if (has("Deny", true) || !(has("Allow", true) || has("Allow", false))) {
      verdict.missing.push(what);
    } else if (has("Deny", false) || !has("Allow", true)) verdict.unjudged.push(what);
  }
  return verdict;
}

/** What the status takes, which the broker keeps. */
const STATUS_ACTIONS = ["iot:Publish", "iot:RetainPublish"] as const;

/** A policy variable whose value only AWS knows. */
const UNKNOWN_VARIABLE = /\$\{[^}]*\}/;

/** The client id where AWS puts it: as such, and as the name of the thing, which is most often the same. */
function filledIn(pattern: string, clientId: string): string {
  return pattern.replace(/\$\{iot:(ClientId|Connection\.Thing\.ThingName)\}/g, () => clientId);
}

function matchesResource(pattern: string, resource: string): boolean {
  if (pattern === "*") return true;
  // arn:PARTITION:iot:REGION:ACCOUNT:RESOURCE; a colon may stand in the resource too.
  const own = pattern.split(":").slice(5).join(":");
  // What a variable stands for may be anything.
  return matches(own.replace(/\$\{[^}]*\}/g, "*"), resource);
}

function matches(pattern: string, text: string): boolean {
  const source = [...pattern].map((letter) =>
    letter === "*" ? ".*" : letter === "?" ? "." : letter.replace(/[\\^$.|+()[\]{}]/g, "\\$&")
  ).join("");
  return new RegExp(`^${source}$`, "su").test(text);
}

function asList(value: unknown): unknown[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}
