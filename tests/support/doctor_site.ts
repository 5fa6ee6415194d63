/** A device with good files and its endpoint, to which `doctor` is sent. */

import { assertEquals, assertMatch } from "@std/assert";
import type { Report } from "../../lib/doctor/checks.ts";
import { type EndpointOptions, startEndpoint, writeCerts } from "../../tools/endpoint/mod.ts";
import { inFolder, type Outcome, run } from "./command_line.ts";
import { type Fault, pki } from "./doctor_cases.ts";
import { TEST_PROXY } from "./program.ts";

/** What a test needs of it. */
export interface Site {
  /** Flags by which doctor meets the endpoint. */
  readonly args: readonly string[];
  readonly certs: string;
  readonly endpointPort: number;
  readonly received: () => readonly { topic: string; payload: string }[];
  readonly connections: () => number;
}

/** Makes one for an action. */
export async function withSite(
  options: EndpointOptions,
  action: (site: Site) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const certs = `${folder}/certs`;
    await writeCerts(certs, pki);
    await using endpoint = await startEndpoint({ certificates: pki, ...options });
    await action({
      args: [
        ...["--endpoint", "localhost", "--port", String(endpoint.port)],
        ...["--certs", certs, "--state", `${folder}/state`, "--client-id", "gw-7"],
        // The temporary folder may be in memory, which doctor would warn of.
        ...["--durability", "crash"],
        ...(TEST_PROXY === undefined ? [] : ["--proxy", TEST_PROXY]),
      ],
      certs,
      endpointPort: endpoint.port,
      received: () => endpoint.received,
      connections: () => endpoint.connects.length,
    });
  });
}

/** Runs a command: in this process, or as a process. */
export type Runner = (args: readonly string[]) => Promise<Outcome>;

/** Runs doctor; a flag in `more` takes the place of the same one in `args`. */
export async function examine(
  args: readonly string[],
  more: readonly string[] = [],
  runner: Runner = run,
): Promise<Report> {
  const kept = args.filter((_, index) => !more.includes(args[index - (index % 2)]!));
  const { code, stdout, stderr } = await runner(["doctor", "--json", ...kept, ...more]);
  assertEquals(stderr.includes("error:"), false, stderr);
  const report = JSON.parse(stdout) as Report;
  assertEquals(code, report.exitCode);
  return report;
}

/** That doctor's first finding that is not ok names the fault. */
export async function assertNamed(fault: Fault, runner: Runner): Promise<void> {
  await withSite(fault.endpoint ?? {}, async ({ args, certs, endpointPort }) => {
    await fault.files?.(certs);
    await withFront(fault.front, endpointPort, async (port) => {
      const there = port === undefined ? [] : ["--port", String(port)];
      const more = fault.args?.map((arg) => arg.replace("{certs}", certs)) ?? [];
      const report = await examine(args, [...there, ...more], runner);
      const found = report.checks.find(({ status }) => status === (fault.status ?? "fail"));
      assertEquals(found?.name, fault.check, JSON.stringify(report, null, 1));
      assertMatch([found!.saw, found!.cause, found!.hint].join("\n"), fault.says);
      assertEquals(report.exitCode, fault.exitCode);
    });
  });
}

/** Lets `front` have each connection of a port of its own. */
async function withFront(
  front: Fault["front"],
  endpointPort: number,
  action: (port: number | undefined) => Promise<void>,
): Promise<void> {
  if (front === undefined) return await action(undefined);
  const open = new Set<Deno.TcpConn>();
  const serving: Promise<void>[] = [];
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = (async () => {
    for await (const connection of listener) {
      open.add(connection);
      serving.push(
        front(connection, endpointPort).catch(() => {}).finally(() => close(connection)),
      );
    }
  })();
  const close = (connection: Deno.TcpConn) => {
    if (!open.delete(connection)) return;
    try {
      connection.close();
    } catch { /* closed with its stream */ }
  };
  try {
    await action(listener.addr.port);
  } finally {
    listener.close();
    await accepting;
    for (const connection of open) close(connection);
    await Promise.all(serving);
  }
}
