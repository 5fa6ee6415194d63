import { makePki } from "./tools/endpoint/mod.ts";
import { V8_FLAGS } from "./tools/build/v8_flags.ts";
const pki = await makePki(); const dir = await Deno.makeTempDir();
await Deno.mkdir(dir + "/certs", { mode: 0o700 });
await Deno.writeTextFile(dir + "/certs/ca.pem", pki.ca); await Deno.writeTextFile(dir + "/certs/cert.pem", pki.device.cert); await Deno.writeTextFile(dir + "/certs/key.pem", pki.device.key, { mode: 0o600 });
const p = new Deno.Command(Deno.execPath(), { args: ["run", "-A", "--no-check", `${V8_FLAGS},--expose-gc`, "zz_wear_process.ts", "offline", Deno.args[0]!, "--endpoint", "localhost", "--port", "9", "--certs", dir + "/certs", "--client-id", "x", "--log-format", "json", "--log-level", "debug", "--backoff-max", "2m", "--source", "clock", "--interval", "1s", "--durability", "crash", "--queue-max-bytes", "4MiB", "--state", dir + "/state", ...Deno.args.slice(1)] }).spawn();
await p.status;
