/**
 * What a page shows of the program, as it ran: the real program on files and an endpoint of its own. Whatever differs from
 * run to run (times, the port, the addresses of localhost) is replaced, so that the same code gives the same text.
 */

import { makePki, startEndpoint, writeCerts } from "../endpoint/mod.ts";
import { ENVIRONMENT } from "../publish.ts";
import { inTempFolder } from "../shared/temp_folder.ts";

const MAIN = new URL("../../main.ts", import.meta.url).href;
const NO_SETTINGS = new URL("../../tests/testdata/no_settings.json", import.meta.url).pathname;

/** Shown in place of the free port, which has five digits too: the lines break at the same places. */
const PORT = "18443";

/** Of one length with what they replace. */
const TIMES = {
  moment: "2026-11-23T09:27:06Z",
  end: "2027-02-21T09:27:06Z",
  day: "2027-02-21",
} as const;

/** `doctor` where `certs` holds the CA of another server. */
export function doctorTranscript(): Promise<string> {
  return inTempFolder("mqtt443-docs-", async (folder) => {
    const [pki, stranger] = await Promise.all([makePki({ device: "gw-7" }), makePki()]);
    await writeCerts(`${folder}/certs`, { ...pki, ca: stranger.ca });
    await using endpoint = await startEndpoint({ certificates: pki });
    const args = (port: string) => [
      ...["doctor", "--endpoint", "localhost", "--port", port, "--client-id", "gw-7"],
    ];
    const printed = await run(folder, args(String(endpoint.port)));
    const text = printed.replaceAll(String(endpoint.port), PORT)
      .replace(/localhost is [\d.:, ]+/, "localhost is 127.0.0.1")
      // The rest of the server's certificate, with a fingerprint of its own in each run.
      .replace(/, names\n[^]*?(?=\n +cause:)/, ", …");
    return fenced(`$ mqtt443 ${args(PORT).join(" ")}\n${withTimes(text)}`);
  });
}

/** `queue` after a run that found no endpoint. */
export function queueTranscript(): Promise<string> {
  return inTempFolder("mqtt443-docs-", async (folder) => {
    await writeCerts(`${folder}/certs`, await makePki({ device: "gw-7" }));
    const lines = Array.from({ length: 26 }, (_, n) => `{"line":${n + 10}}\n`).join("");
    // Port 9 discards; nothing listens there.
    const publish = ["publish", "--endpoint", "localhost", "--port", "9", "--client-id", "gw-7"];
    await run(folder, [...publish, "--source", "stdin", "--give-up-after", "1s"], lines);
    return fenced(`$ mqtt443 queue\n${withTimes(await run(folder, ["queue"]))}`);
  });
}

/** Runs the program in a folder, as it would run on any machine; what it prints. */
async function run(folder: string, args: readonly string[], input = ""): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--frozen", MAIN, ...args],
    cwd: folder,
    clearEnv: true,
    env: {
      ...ENVIRONMENT,
      ...Object.fromEntries(["PATH", "HOME", "DENO_DIR"].flatMap((name) => {
        const value = Deno.env.get(name);
        return value === undefined ? [] : [[name, value]];
      })),
      MQTT443_CONFIG: NO_SETTINGS,
      // The temporary folder may be in memory, which doctor would warn of.
      MQTT443_DURABILITY: "crash",
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
  const { stdout } = await child.output();
  return new TextDecoder().decode(stdout).trimEnd();
}

function withTimes(text: string): string {
  return text.replace(
    /(to )?\d{4}-\d\d-\d\dT[\d:.]{8,12}Z/g,
    (_, to) => to ? to + TIMES.end : TIMES.moment,
  )
    .replace(/\d{4}-\d\d-\d\d(?!T)/g, TIMES.day);
}

function fenced(text: string): string {
  return ["```", text, "```"].join("\n");
}
