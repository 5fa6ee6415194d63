/**
 * What happens on a site without internet, as a process: started by airgap_test.ts within a world that has a loopback and
 * nothing else. Tells on stdout what came of it; what goes wrong is thrown.
 *
 *     airgap_process.ts device FIRST_KIT SECOND_KIT ROOT
 *     airgap_process.ts source SOURCE_KIT
 */

import { assertEquals } from "@std/assert";
import { type Endpoint, startEndpoint, writeCerts } from "../../../tools/endpoint/mod.ts";
import { lastQueued, startChild } from "../../support/children.ts";
import { install, runCommand } from "./kitting.ts";

/** Nobody else is in this world: the port that the settings name is free. */
export const PORT = 8443;

/** What a scenario saw. */
export interface Seen {
  /** Messages that arrived, each counted once. */
  readonly arrived: number;
  readonly doctor: number;
  /** What the installed executables were built on. */
  readonly builds: readonly string[];
  readonly demo: string;
  readonly tests: string;
  /** Files that `task compile` made. */
  readonly built: readonly string[];
}

if (import.meta.main) {
  const [scenario, ...paths] = Deno.args as [string, ...string[]];
  await using endpoint = await startEndpoint({ port: PORT });
  const seen = scenario === "device"
    ? await onDevice(endpoint, ...(paths as [string, string, string]))
    : await fromSource(endpoint, paths[0]!);
  console.log(JSON.stringify(seen));
}

/** Installs, checks, publishes; upgrades in an outage, and publishes the rest. */
async function onDevice(
  endpoint: Endpoint,
  first: string,
  second: string,
  root: string,
): Promise<Partial<Seen>> {
  const cwd = `${root}/etc/mqtt443`;
  const command = [`${root}/usr/local/bin/mqtt443`];
  const builds: string[] = [];
  const put = async (kit: string) => {
    const { code, stderr } = await install(kit, ["--root", root]);
    assertEquals([code, stderr], [0, ""]);
    const version = await runCommand([...command, "version", "--json"], { cwd });
    builds.push(JSON.parse(version.stdout).built);
  };
  const flags = ["publish", "--source", "stdin", "--log-format", "json", "--log-level", "debug"];
  const start = () => startChild([...flags, "--backoff-max", "1s"], { command, cwd });

  await put(first);
  await writeCerts(`${cwd}/certs`, endpoint.certificates);
  const doctor = await runCommand([...command, "doctor", "--offline"], { cwd });
  const before = start();
  await before.write(lines(1, 60));
  await endpoint.until(() => endpoint.received.length >= 60);
  endpoint.pause();
  endpoint.cut();
  await before.write(lines(61, 80));
  await before.until(() => lastQueued(before) >= 80);
  await put(second);
  Deno.kill(before.pid, "SIGTERM");
  assertEquals((await before.ended).code, 0);
  const after = start();
  await after.write(lines(81, 100));
  await after.until(() => lastQueued(after) >= 100);
  await endpoint.resume();
  await endpoint.until(() => texts(endpoint).size >= 100);
  await after.end();
  assertEquals((await after.ended).code, 0);
  return { arrived: texts(endpoint).size, doctor: doctor.code, builds };
}

/** Runs the tasks of the source kit. */
async function fromSource(endpoint: Endpoint, kit: string): Promise<Partial<Seen>> {
  const certs = `${kit}/certs`;
  await writeCerts(certs, endpoint.certificates);
  const task = (...args: string[]) => runCommand(["./deno", "task", ...args], { cwd: kit });
  const publisher = startChild(
    ["--endpoint", "localhost", "--port", `${PORT}`, "--source", "stdin", "--log-format", "json"],
    { command: ["./deno", "task", "--quiet", "publish"], cwd: kit },
  );
  await publisher.write(lines(1, 100));
  await publisher.end();
  assertEquals((await publisher.ended).code, 0);
  const demo = await task("demo");
  const tests = await task("test", "--filter", "/^(backoff|queue) /");
  const compiled = await task("compile");
  assertEquals(compiled.code, 0, compiled.stderr);
  const built = [...Deno.readDirSync(`${kit}/dist`)].map(({ name }) => name).sort();
  return { arrived: texts(endpoint).size, demo: demo.stdout, tests: tests.stdout, built };
}

function lines(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}`);
}

/** The lines that have arrived. */
function texts({ received }: Endpoint): Set<string> {
  return new Set(received.map(({ payload }) => /line \d+/.exec(String(payload))![0]));
}
