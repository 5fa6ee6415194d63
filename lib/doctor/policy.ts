/**
 * The AWS IoT policy a publisher needs, and whether a given one allows it. Pure.
 *
 * Only what decides about one client id and one topic is read of a policy: statements with Effect, Action and Resource,
 * `*` and `?` as wildcards, a Deny before an Allow. Conditions and policy variables are not judged.
 */

import { EXIT, UserError } from "../core/errors.ts";
import { quote } from "../core/text.ts";

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
 * @param topicPrefix Below it too, where messages handed in may name a topic.
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
  topicPrefix?: string,
): { Version: string; Statement: { Effect: string; Action: string; Resource: string }[] } {
  const partition = region.startsWith("cn-") ? "aws-cn" : "aws";
  const arn = (what: string) => `arn:${partition}:iot:${region}:${account}:${what}`;
  return {
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Action: "iot:Connect", Resource: arn(`client/${clientId}`) },
      ...[topic, ...(topicPrefix === undefined ? [] : [`${topicPrefix}/*`])].map((each) => (
        { Effect: "Allow", Action: "iot:Publish", Resource: arn(`topic/${each}`) }
      )),
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

/**
 * What a policy document does not allow of connecting with a client id and publishing to a topic.
 *
 * @throws {TypeError} If it is no policy document.
 */
export function missingActions(
  document: unknown,
  { clientId, topic }: { clientId: string; topic: string },
): string[] {
  const statements = asList((document as { Statement?: unknown } | null)?.Statement);
  if (statements.length === 0) throw new TypeError("it has no Statement");
  const wanted = [
    { action: "iot:Connect", resource: `client/${clientId}` },
    { action: "iot:Publish", resource: `topic/${topic}` },
  ];
  return wanted.filter(({ action, resource }) => {
    const matching = statements.map((each) => each as Record<string, unknown>).filter((statement) =>
      asList(statement.Action).some((pattern) => matches(String(pattern), action)) &&
      asList(statement.Resource).some((pattern) => matchesResource(String(pattern), resource))
    );
    return matching.some(({ Effect }) => Effect === "Deny") ||
      !matching.some(({ Effect }) => Effect === "Allow");
  }).map(({ action, resource }) => `${action} on ${resource}`);
}

function matchesResource(pattern: string, resource: string): boolean {
  if (pattern === "*") return true;
  // arn:PARTITION:iot:REGION:ACCOUNT:RESOURCE; a colon may stand in the resource too.
  return matches(pattern.split(":").slice(5).join(":"), resource);
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
