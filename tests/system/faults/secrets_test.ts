/**
 * Marked secrets and the program as a process: whatever is run, right or wrong, no output and no file but the queue
 * holds any part of the key, of its passphrase or of a message (S1).
 */

import { assertEquals } from "@std/assert";
import {
  type Endpoint,
  formatKey,
  makePki,
  startEndpoint,
  writeCerts,
} from "../../../tools/endpoint/mod.ts";
import { inFolder, runProcess } from "../../support/command_line.ts";

const PASSPHRASE = "MARKED-PASSPHRASE-7f3a";
const PAYLOAD = "MARKED-PAYLOAD-91c4";
const pki = await makePki();
const other = await makePki();
const encrypted = formatKey(pki.device.key, "encrypted", PASSPHRASE);
const traditional = formatKey(pki.device.key, "sec1");

interface Place {
  readonly folder: string;
  readonly endpoint: Endpoint;
  /** Files: the key as it comes, in the older form, of another device; the passphrase, a wrong one; the certificate. */
  readonly plain: string;
  readonly sec1: string;
  readonly foreign: string;
  readonly pass: string;
  readonly wrongPass: string;
  readonly cert: string;
}

interface Case {
  readonly args: (place: Place) => readonly string[];
  readonly env?: (place: Place) => Record<string, string>;
  readonly config?: (place: Place) => string;
  readonly input?: string;
  readonly code: number;
  /** Where a message is what was asked for. */
  readonly showsPayload?: boolean;
}

const LINES = `{"text":"${PAYLOAD}"}\n${PAYLOAD}\n{"${PAYLOAD}":1}\n`;
const withPass = ({ pass }: Place) => ["publish", "--key-passphrase-file", pass];

const CASES: Record<string, Case> = {
  "a message that arrives": { args: (at) => [...withPass(at), "--message", PAYLOAD], code: 0 },
  "lines that arrive": {
    args: (at) => [...withPass(at), "--source", "stdin"],
    input: LINES,
    code: 0,
  },
  "lines as JSON, in JSON": {
    args: (at) => [...withPass(at), "--source", "stdin", "--log-format", "json"],
    input: LINES,
    code: 0,
  },
  "a message that is refused": {
    args: (at) => [...withPass(at), "--topic", "deny/x", "--message", PAYLOAD],
    code: 75,
  },
  "a message without a link": {
    args: (at) => [...withPass(at), "--port", "1", "--message", PAYLOAD],
    code: 75,
  },
  "a message that is too large": {
    args: withPass,
    config: () => JSON.stringify({ message: `${PAYLOAD}${"x".repeat(131_072)}` }),
    code: 78,
  },
  "a line that is too large": {
    args: (at) => [...withPass(at), "--source", "stdin"],
    input: `${PAYLOAD}${"x".repeat(131_072)}\n`,
    code: 0,
  },
  "what waits, where no queue is": { args: () => ["queue", "--json"], code: 73 },
  "a dry run": {
    args: () => ["publish", "--dry-run", "--source", "stdin"],
    input: LINES,
    code: 0,
    showsPayload: true,
  },
  "doctor": { args: ({ pass }) => ["doctor", "--key-passphrase-file", pass], code: 0 },
  "doctor with a wrong passphrase": {
    args: ({ wrongPass }) => ["doctor", "--json", "--key-passphrase-file", wrongPass],
    code: 78,
  },
  "doctor with a foreign key": { args: ({ foreign }) => ["doctor", "--key", foreign], code: 78 },
  "doctor --policy": { args: () => ["doctor", "--policy"], code: 0 },
  "settings": { args: ({ pass }) => ["settings", "--key-passphrase-file", pass], code: 0 },
  "settings of a message": {
    args: () => ["settings", "--json", "--message", PAYLOAD],
    code: 0,
    showsPayload: true,
  },
  "version": { args: ({ plain }) => ["version", "--json", "--key", plain], code: 0 },
  "a topic that nobody may watch": {
    args: ({ pass }) => ["watch", "deny/#", "--key-passphrase-file", pass],
    code: 77,
  },
  "no passphrase": { args: () => ["publish"], code: 78 },
  "a wrong passphrase": {
    args: ({ wrongPass }) => ["publish", "--key-passphrase-file", wrongPass],
    code: 78,
  },
  "a key as passphrase": {
    args: ({ plain }) => ["publish", "--key-passphrase-file", plain],
    code: 78,
  },
  "a foreign key": { args: ({ foreign }) => ["publish", "--key", foreign], code: 78 },
  "a key as certificate": { args: ({ plain }) => ["publish", "--cert", plain], code: 78 },
  "key and certificate swapped": {
    args: ({ plain, cert }) => ["publish", "--cert", plain, "--key", cert],
    code: 78,
  },
  "an older key as CA": {
    args: ({ plain, sec1 }) => ["publish", "--key", plain, "--ca", sec1],
    code: 78,
  },
  "a key as a source": {
    args: ({ plain }) => ["publish", "--key", plain, "--source", `file:x=${plain}`, "--count", "1"],
    code: 78,
  },
  "a passphrase as a source": {
    args: ({ plain, pass }) => [
      ...["publish", "--key", plain, "--source", `file:x=${pass}`, "--count", "1"],
    ],
    code: 78,
  },
  "a passphrase as a source, without permissions": {
    args: ({ plain, pass }) => [
      ...["publish", "--dry-run", "--key", plain, "--source", `file:x=${pass}`],
    ],
    code: 78,
  },
  "a key as a flag's value": { args: () => ["publish", `--key=${pki.device.key}`], code: 78 },
  "a passphrase as a flag's value": {
    args: () => ["publish", "--key-passphrase-file", PASSPHRASE],
    code: 78,
  },
  "a passphrase as a flag that is none": {
    args: () => ["publish", `--key-passphrase=${PASSPHRASE}`],
    code: 64,
  },
  "a key as a command": { args: () => [pki.device.key], code: 64 },
  "a key as an operand": { args: () => ["publish", pki.device.key], code: 64 },
  "a key as a client id": { args: () => ["publish", `--client-id=${pki.device.key}`], code: 78 },
  "a key as a topic": { args: () => ["publish", `--topic=${encrypted}`], code: 78 },
  "a key as an endpoint": { args: () => ["publish", `--endpoint=${pki.device.key}`], code: 78 },
  "a key in a variable": {
    args: () => ["settings"],
    env: () => ({ MQTT443_KEY: pki.device.key }),
    code: 78,
  },
  "a passphrase in a variable": {
    args: () => ["settings", "--json"],
    env: () => ({ MQTT443_KEY_PASSPHRASE_FILE: PASSPHRASE }),
    code: 78,
  },
  "a passphrase in a variable that is none": {
    args: () => ["settings"],
    env: () => ({ MQTT443_KEY_PASSPHRASE: PASSPHRASE }),
    code: 78,
  },
  "a key in the settings file": {
    args: () => ["settings"],
    config: () => JSON.stringify({ key: pki.device.key, cert: encrypted, interval: traditional }),
    code: 78,
  },
  "a passphrase in the settings file": {
    args: () => ["settings"],
    config: () => JSON.stringify({ keyPassphraseFile: PASSPHRASE, passphrase: PASSPHRASE }),
    code: 78,
  },
  "a settings file that is a key": {
    args: () => ["publish"],
    config: () => pki.device.key,
    code: 78,
  },
  "a settings file that stops at a secret": {
    args: () => ["publish"],
    config: () => `{"key": ${JSON.stringify(encrypted)} "keyPassphraseFile": "${PASSPHRASE}"}`,
    code: 78,
  },
  "a state directory that is the passphrase": {
    args: ({ plain, pass }) => ["publish", "--key", plain, "--state", pass, "--message", PAYLOAD],
    code: 73,
  },
};

/** What must not be seen: every line of the keys' bodies, and the texts. */
function secretsOf(showsPayload: boolean): string[] {
  const bodies = [pki.device.key, encrypted, traditional, other.device.key].flatMap((pem) =>
    pem.split("\n").filter((line) => line.length > 15 && !line.startsWith("-----"))
  );
  return [...bodies, PASSPHRASE, ...(showsPayload ? [] : [PAYLOAD])];
}

for (
  const [name, { args, env, config, input, code, showsPayload = false }] of Object.entries(CASES)
) {
  Deno.test(`no output shows a secret of ${name} (S1)`, () =>
    inFolder(async (folder) => {
      await using endpoint = await startEndpoint({
        certificates: pki,
        policy: {
          publish: (_, topic) => !topic.startsWith("deny/"),
          subscribe: (_, topic) => !topic.startsWith("deny/"),
        },
      });
      const place = await makePlace(folder, endpoint);
      if (config) await Deno.writeTextFile(`${folder}/mqtt443.json`, config(place));
      const outcome = await runProcess(args(place), {
        cwd: folder,
        env: {
          ...(name.includes("endpoint") ? {} : { MQTT443_ENDPOINT: "localhost" }),
          ...(args(place).includes("--port") ? {} : { MQTT443_PORT: `${endpoint.port}` }),
          MQTT443_LOG_LEVEL: "debug",
          MQTT443_GIVE_UP_AFTER: "1s",
          ...env?.(place),
        },
        input: input ?? "",
      });
      const shown = outcome.stdout + outcome.stderr;
      assertEquals(secretsOf(showsPayload).filter((secret) => shown.includes(secret)), [], shown);
      assertEquals(outcome.code, code, shown);
      assertEquals(outcome.stderr.includes("internal error"), false, shown);
      for (const file of filesIn(`${folder}/state`)) {
        const text = new TextDecoder("latin1").decode(await Deno.readFile(file));
        const found = secretsOf(true).filter((secret) => text.includes(secret));
        assertEquals(found, [], `${file} holds a secret`);
      }
    }));
}

async function makePlace(folder: string, endpoint: Endpoint): Promise<Place> {
  const { key, cert } = await writeCerts(`${folder}/certs`, pki);
  await Deno.writeTextFile(key, encrypted);
  const write = async (name: string, text: string) => {
    await Deno.writeTextFile(`${folder}/${name}`, text, { mode: 0o600 });
    return `${folder}/${name}`;
  };
  return {
    folder,
    endpoint,
    cert,
    plain: await write("plain", pki.device.key),
    sec1: await write("sec1", traditional),
    foreign: await write("foreign", other.device.key),
    pass: await write("pass", `${PASSPHRASE}\n`),
    wrongPass: await write("wrong-pass", `${PASSPHRASE}-not\n`),
  };
}

function filesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`);
  } catch {
    // Nothing was kept.
    return [];
  }
}
