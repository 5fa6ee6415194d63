/** Policies as people have them: AWS's own examples among them. */

import { assertEquals, assertThrows } from "@std/assert";
import { judgePolicy, policyDocument } from "../../lib/doctor/policy.ts";

const DEVICE = { clientId: "gw-7", topic: "dt/gw-7/telemetry" };
const arn = (what: string) => `arn:aws:iot:eu-central-1:123456789012:${what}`;
const statement = (action: string, resource: string, more = {}) => ({
  Effect: "Allow",
  Action: action,
  Resource: arn(resource),
  ...more,
});
const policy = (...Statement: unknown[]) => ({ Version: "2012-10-17", Statement });
const PUBLISH = statement("iot:Publish", "topic/dt/gw-7/*");

Deno.test("a policy with AWS's variables for the client id and the thing allows this device (D10)", () => {
  for (const variable of ["${iot:ClientId}", "${iot:Connection.Thing.ThingName}"]) {
    const document = policy(
      statement("iot:Connect", `client/${variable}`),
      statement("iot:Publish", `topic/dt/${variable}/telemetry`),
    );
    assertEquals(judgePolicy(document, DEVICE), { missing: [], unjudged: [] });
  }
});

Deno.test("a policy as `aws iot get-policy` prints it is read (D10)", () => {
  const document = policy(statement("iot:Connect", "client/gw-7"), PUBLISH);
  const printed = {
    policyName: "gw",
    policyDocument: JSON.stringify(document),
    defaultVersionId: "1",
  };
  assertEquals(judgePolicy(printed, DEVICE), { missing: [], unjudged: [] });
});

Deno.test("what hangs on a condition or another variable cannot be judged, and is not called missing (D10)", () => {
  const attached = { Condition: { Bool: { "iot:Connection.Thing.IsAttached": ["true"] } } };
  const document = policy(
    statement("iot:Connect", "client/gw-7", attached),
    statement("iot:Publish", "topic/dt/${iot:Certificate.SubjectAlternativeName}/telemetry"),
  );
  assertEquals(judgePolicy(document, DEVICE), {
    missing: [],
    unjudged: ["iot:Connect on client/gw-7", "iot:Publish on topic/dt/gw-7/telemetry"],
  });
});

Deno.test("a policy for another topic, or with a Deny, lacks what is needed (D10)", () => {
  const other = policy(statement("iot:Connect", "client/*"), statement("iot:Publish", "topic/x/*"));
  assertEquals(judgePolicy(other, DEVICE).missing, ["iot:Publish on topic/dt/gw-7/telemetry"]);
  const denied = policy(statement("iot:*", "*"), { ...PUBLISH, Effect: "Deny" });
  assertEquals(
    judgePolicy({
      ...denied,
      Statement: [{ Effect: "Allow", Action: "iot:*", Resource: "*" }, {
        ...PUBLISH,
        Effect: "Deny",
      }],
    }, DEVICE).missing,
    [
      "iot:Publish on topic/dt/gw-7/telemetry",
    ],
  );
  assertThrows(() => judgePolicy({}, DEVICE), TypeError);
});

Deno.test("a policy for a device with a status must let it publish there, and keep it (O2)", () => {
  const device = { ...DEVICE, statusTopic: "st/gw-7" };
  const account = { region: "eu-central-1", account: "123456789012" };
  const least = policyDocument(device.clientId, device.topic, account, device);
  assertEquals(judgePolicy(least, device), { missing: [], unjudged: [] });
  assertEquals(least.Statement.slice(2), [
    statement("iot:Publish", "topic/st/gw-7"),
    statement("iot:RetainPublish", "topic/st/gw-7"),
  ]);
  const without = policyDocument(device.clientId, device.topic, account);
  assertEquals(judgePolicy(without, device).missing, [
    "iot:Publish on topic/st/gw-7",
    "iot:RetainPublish on topic/st/gw-7",
  ]);
  const wide = policy(statement("iot:Connect", "*"), statement("iot:*Publish", "topic/*"));
  assertEquals(judgePolicy(wide, device).missing, []);
});
