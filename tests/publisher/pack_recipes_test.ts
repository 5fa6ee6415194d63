/** The recipe of lib/publisher/README.md for a Lambda function, run with packs that were published. */

import { assert, assertEquals } from "@std/assert";
import { inputOf, makeRig, range } from "../support/publishing.ts";

const README = Deno.readTextFileSync(new URL("../../lib/publisher/README.md", import.meta.url));

/** The handler of README, with a `put`. */
function handlerWith(put: (key: string, sample: unknown) => void) {
  const [, code] = /```js ignore\n([^]*?)```/.exec(README) ?? [];
  assert(code !== undefined);
  const exports: { handler?: (event: unknown) => Promise<void> } = {};
  new Function("exports", "put", code)(exports, put);
  return exports.handler!;
}

for (const packAs of ["samples", "columns"]) {
  Deno.test(`the Lambda function of README takes packs of ${packAs} apart, and repeats change nothing (K1)`, async () => {
    await using rig = await makeRig();
    const lines = range(1, 40).map((n) => JSON.stringify({ n, ...(n % 3 && { flow: 20.5 }) }));
    const flags = ["--source", "stdin", "--pack", "5KiB", "--pack-as", packAs];
    const run = rig.publish([...flags, "--pack-wait", "1m"], {
      input: inputOf([...lines, "pump started"]),
    });
    assertEquals(await run.code, 0);
    const stored = new Map<string, unknown>();
    const handler = handlerWith((key, sample) => stored.set(key, sample));
    const events = rig.endpoint.received.map(({ payload }) => JSON.parse(payload));
    for (const event of [...events, ...events]) await handler(event);
    // As a rule with SELECT VALUE samples gives it.
    for (const { samples } of events) if (samples) await handler(samples);
    assertEquals([...stored.keys()], range(1, 41).map((seq) => `gw-7/${seq}`));
    const metrics = [...stored.values()].map((sample) => (sample as { metrics: unknown }).metrics);
    assertEquals(metrics, [...lines.map((line) => JSON.parse(line)), { text: "pump started" }]);
  });
}
