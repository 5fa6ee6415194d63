/** The command line of the program as a process: what only a process shows. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { makePki, startEndpoint, writeCerts } from "../../tools/endpoint/mod.ts";
import { NO_SETTINGS, spawnProgram } from "../support/program.ts";
import {
  assertTold,
  inFolder,
  outcomeOf,
  runProcess,
  withUntouchedPort,
} from "../support/command_line.ts";

const PUBLISH = new URL("../../tools/publish.ts", import.meta.url).pathname;
const pki = await makePki();

Deno.test("process finds ./mqtt443.json and tells it as the origin", () =>
  inFolder(async (cwd) => {
    await Deno.writeTextFile(`${cwd}/mqtt443.json`, '{"port": 8443, "qos": 0, "topic": "a"}');
    const { code, stdout, stderr } = await runProcess(["settings", "--json", "--qos", "1"], {
      cwd,
      env: { MQTT443_TOPIC: "b" },
    });
    const { port, qos, topic, clientId } = JSON.parse(stdout);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(port, { value: 8443, origin: "file", from: "./mqtt443.json" });
    assertEquals(qos, { value: 1, origin: "flag", from: "--qos" });
    assertEquals(topic, { value: "b", origin: "environment", from: "MQTT443_TOPIC" });
    assertEquals(clientId, { value: Deno.hostname(), origin: "default" });
  }));

Deno.test("process with --config reads no ./mqtt443.json", () =>
  inFolder(async (cwd) => {
    await Deno.writeTextFile(`${cwd}/mqtt443.json`, "junk");
    await Deno.writeTextFile(`${cwd}/other.json`, '{"port": 1}');
    const { code } = await runProcess(["settings", "--config", "other.json"], { cwd });
    assertEquals(code, 0);
  }));

Deno.test("process publishes with ./certs and ./state as found", () =>
  inFolder(async (cwd) => {
    await using endpoint = await startEndpoint({ certificates: pki });
    await writeCerts(`${cwd}/certs`, pki);
    const args = ["publish", "--endpoint=localhost", `--port=${endpoint.port}`, "--message=hello"];
    const { code, stdout, stderr } = await runProcess([...args, "--topic=a"], { cwd });
    assertEquals([code, stdout], [0, ""], stderr);
    assertEquals(endpoint.received.map(({ payload }) => payload), ["hello"]);
    assert(Deno.statSync(`${cwd}/state/queue.db`).isFile);
  }));

Deno.test("publish task looks at the working directory for a key named without one (G1)", () =>
  inFolder((cwd) =>
    withUntouchedPort(async (port) => {
      const { cert, key } = await writeCerts(`${cwd}/certs`, pki);
      await Deno.copyFile(cert, `${cwd}/cert.pem`);
      await Deno.copyFile(key, `${cwd}/key.pem`);
      await Deno.chmod(`${cwd}/key.pem`, 0o600);
      await Deno.chmod(cwd, 0o770);
      const args = [
        ...["--config", NO_SETTINGS, "--endpoint=localhost", `--port=${port}`],
        ...["--cert=cert.pem", "--key=key.pem"],
      ];
      // The program is not granted to look at the folder: who starts it does.
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--frozen", PUBLISH, ...args],
        cwd,
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const outcome = await outcomeOf(child);
      assertTold(outcome);
      assertMatch(
        outcome.stderr,
        /others may replace it.*"\." \(mode 0770\)\nhint: chmod go-w \.$/m,
      );
      assertEquals(outcome.code, 78);
    })
  ));

Deno.test("process with SSLKEYLOGFILE refuses to start and writes no key to it (G8)", () =>
  inFolder((cwd) =>
    withUntouchedPort(async (port) => {
      await writeCerts(`${cwd}/certs`, pki);
      const args = ["publish", "--endpoint=localhost", `--port=${port}`, "--message=hello"];
      const env = { SSLKEYLOGFILE: `${cwd}/keys.log` };
      const outcome = await runProcess(args, { cwd, env });
      assertTold(outcome);
      assertEquals(outcome.code, 78);
      // Deno itself makes the file, empty, before any program begins.
      const keys = await Deno.readTextFile(env.SSLKEYLOGFILE).catch(() => "");
      const names = [...Deno.readDirSync(cwd)].map(({ name }) => name);
      assertEquals([keys, names.includes("state")], ["", false]);
    })
  ));

Deno.test("process whose reader has gone ends without a word (X8)", () =>
  inFolder(async (cwd) => {
    const child = spawnProgram(["settings"], { cwd }, { stdin: "null" });
    await child.stdout.cancel();
    const stderr = await new Response(child.stderr).text();
    assertEquals([(await child.status).code, stderr], [0, ""]);
  }));

Deno.test("process whose stderr is closed publishes all the same (X8)", () =>
  inFolder(async (cwd) => {
    await using endpoint = await startEndpoint({ certificates: pki });
    await writeCerts(`${cwd}/certs`, pki);
    const args = ["publish", "--endpoint=localhost", `--port=${endpoint.port}`, "--topic=a"];
    const child = spawnProgram([...args, "--source=clock", "--count=2", "--interval=100ms"], {
      cwd,
    }, { stdin: "null", stdout: "null" });
    await child.stderr.cancel();
    assertEquals([(await child.status).code, endpoint.received.length], [0, 2]);
  }));

Deno.test("process whose input is a closed pipe drains and exits 0 (X8)", () =>
  inFolder(async (cwd) => {
    await using endpoint = await startEndpoint({ certificates: pki });
    await writeCerts(`${cwd}/certs`, pki);
    const args = ["publish", "--endpoint=localhost", `--port=${endpoint.port}`, "--source=stdin"];
    const outcome = await runProcess([...args, "--format=text", "--topic=a"], {
      cwd,
      input: "one\ntwo",
    });
    assertEquals(outcome.code, 0, outcome.stderr);
    assertEquals(endpoint.received.map(({ payload }) => payload), ["one", "two"]);
  }));
