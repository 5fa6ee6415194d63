/**
 * Settings and environments that are out to harm: what they cost, and where the traffic goes. What they are answered
 * with is in the tables of the command line.
 */

import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { makePki, startEndpoint, writeCerts } from "../../tools/endpoint/mod.ts";
import { inFolder, runProcess, withUntouchedPort } from "../support/command_line.ts";

const pki = await makePki();
const MIB = 1024 ** 2;

/** Settings files, each of the worst size that is read, or far more. */
const HOSTILE: Record<string, Uint8Array<ArrayBuffer> | string | { sparse: number }> = {
  "of 100 MB (G6)": { sparse: 100 * MIB },
  "nested 100,000 deep (G6)": `{"endpoint":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
  "nested 500,000 deep and never closed (G6)": "[".repeat(500_000),
  "of a mebibyte that is no UTF-8 (G6)": new Uint8Array(MIB).fill(0xff),
  "of 40,000 unknown settings (G6)": JSON.stringify(
    Object.fromEntries(Array.from({ length: 40_000 }, (_, n) => [`endpoin${n}`, n])),
  ),
  "with a value of a mebibyte (G6)": JSON.stringify({ endpoint: "x".repeat(MIB - 100) }),
  "with a list of 90,000 sources (G6)": JSON.stringify({ source: Array(90_000).fill("clock") }),
};

for (const [name, content] of Object.entries(HOSTILE)) {
  Deno.test(`settings file is refused in little time and memory: ${name}`, () =>
    inFolder(async (cwd) => {
      const file = `${cwd}/mqtt443.json`;
      if (typeof content === "string") await Deno.writeTextFile(file, content);
      else if (content instanceof Uint8Array) await Deno.writeFile(file, content);
      else {
        await Deno.writeTextFile(file, "{");
        await Deno.truncate(file, content.sparse);
      }
      // With all permissions, as Deno lets no other process read its own size in /proc.
      const child = await new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-A",
          "--frozen",
          `${import.meta.dirname}/../support/peak_process.ts`,
          "publish",
        ],
        cwd,
        stdout: "piped",
        stderr: "piped",
      }).output();
      const said = new TextDecoder().decode(child.stderr);
      const { code, peakKiB } = JSON.parse(new TextDecoder().decode(child.stdout));
      assertMatch(said, /^error: Cannot .*\n( {2}.*\n)*hint: /);
      assertLess(said.length, 100_000);
      assertEquals(code, 78);
      assertLess(peakKiB / 1024, 200);
    }));
}

Deno.test("publish goes straight to its endpoint whatever proxies the environment names (G8)", () =>
  inFolder((cwd) =>
    withUntouchedPort(async (port) => {
      await using endpoint = await startEndpoint({ certificates: pki });
      await writeCerts(`${cwd}/certs`, pki);
      const args = ["--endpoint=localhost", `--port=${endpoint.port}`, "--message=hello"];
      const proxies = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"];
      const env = Object.fromEntries([
        ...proxies.map((name) => [name, `http://127.0.0.1:${port}`]),
        ["MQTTJS_SOCKS_PROXY", `socks5://127.0.0.1:${port}`],
      ]);
      const { code, stderr } = await runProcess(["publish", ...args], { cwd, env });
      assertEquals(code, 0, stderr);
      assertEquals(endpoint.received.length, 1);
      assertMatch(stderr, /MQTTJS_SOCKS_PROXY is set in the environment; it has no effect here/);
    })
  ));
