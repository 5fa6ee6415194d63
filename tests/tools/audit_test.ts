/** `.ci/audit`: what it makes of a registry's answers. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { DENO_VERSION } from "../../tools/build/targets.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

const ADVISORY = {
  id: 1,
  url: "https://example.com/advisory",
  title: "a fault made up by a test",
  severity: "high",
  vulnerable_versions: "*",
};

/** Runs it against a registry that answers so. */
async function audit(answer: () => Response): Promise<{ code: number; text: string }> {
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, answer);
  const { code, stdout, stderr } = await new Deno.Command(`${ROOT}.ci/audit`, {
    args: [DENO_VERSION],
    cwd: ROOT,
    env: {
      DENO: Deno.execPath(),
      NPM_CONFIG_REGISTRY: `http://127.0.0.1:${server.addr.port}/`,
    },
  }).output();
  const text = new TextDecoder();
  return { code, text: text.decode(stdout) + text.decode(stderr) };
}

Deno.test("audit passes where the registry knows of no fault", async () => {
  const { code, text } = await audit(() => Response.json({}));
  assertEquals(code, 0, text);
});

Deno.test("audit fails for a known fault, and names it", async () => {
  const { code, text } = await audit(() => Response.json({ mqtt: [ADVISORY] }));
  assertEquals(code, 1, text);
  assertStringIncludes(text, ADVISORY.title);
});

Deno.test("audit says that a registry does not answer, and goes on", async () => {
  const { code, text } = await audit(() => new Response("no such thing", { status: 404 }));
  assertEquals(code, 0, text);
  assertStringIncludes(text, "NOT AUDITED");
});
