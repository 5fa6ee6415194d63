/** Through squid, where it is installed, beside the direct way of the same run: rate, start, memory at 1 Hz. */

import { runBulk } from "./bulk_run.ts";
import type { Form } from "./ours.ts";
import { delay, kill } from "./process.ts";
import { type Figure, OURS } from "./report.ts";
import { commandOf, programPath } from "./run.ts";
import { freePort, isListening, type PhaseOptions } from "./servers.ts";
import { measureAgain, starterOf } from "./start.ts";
import { measureSteady } from "./steady.ts";
import { PEERS, TARGETS } from "./targets.ts";

/** What {@linkcode measureProxy} is told. */
export interface ProxyOptions extends PhaseOptions {
  readonly form: Form;
  readonly starts: number;
  readonly runs: number;
  readonly messages: number;
  readonly settleMs: number;
  readonly watchMs: number;
}

/** Measures both ways in turn; nothing where there is no squid. */
export async function measureProxy(options: ProxyOptions): Promise<Figure[]> {
  const { form, servers: { main: server, paths }, dir, runs, starts, messages, signal } = options;
  const program = programPath("squid");
  if (program === undefined) return [];
  await using squid = await startSquid(program, options);
  const through: Form = {
    name: OURS,
    command: (args, fresh) => form.command([...args, ...(isLocal(args) ? [] : squid.flags)], fresh),
  };
  const direct: Form = { ...form, name: PEERS.direct };
  const forms = [through, direct] as const;

  const rates: Record<string, number[]> = {};
  const common = { server, paths, messages, inflight: 100, signal, state: `${dir}/state-proxy` };
  for (let turn = 0; turn < runs; turn++) {
    for (const way of forms) {
      const { perS } = await runBulk({ ...common, form: way, durability: "none" });
      (rates[way.name] ??= []).push(perS);
    }
  }
  const starters = forms.map((way) => starterOf(way, options));
  const times = await measureAgain(starters, { runs: starts, signal });
  const steady = await measureSteady({ ...options, forms, peers: [] });
  const rss = steady.find(({ id }) => id === "rss")!;
  return [
    {
      id: "proxy rate",
      what: "QoS 1 in memory, window 100, through squid",
      unit: "messages/s",
      samples: rates,
      targets: TARGETS.proxyRate,
    },
    {
      id: "proxy start",
      what: "process start to first PUBACK, through squid",
      unit: "ms",
      samples: times,
      targets: TARGETS.proxyStart,
    },
    { ...rss, id: "proxy rss", what: `${rss.what}, through squid`, targets: TARGETS.proxyRss },
  ];
}

/** A command that connects to nothing. */
function isLocal(args: readonly string[]): boolean {
  return args[0] === "version";
}

async function startSquid(
  program: string,
  { servers: { main }, dir, signal }: ProxyOptions,
): Promise<AsyncDisposable & { readonly flags: readonly string[] }> {
  const port = freePort();
  const config = `${dir}/squid.conf`;
  await Deno.writeTextFile(
    config,
    `http_port 127.0.0.1:${port}
pid_filename none
cache deny all
access_log none
cache_log /dev/null
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
visible_hostname bench
acl endpoint port ${main.port}
http_access allow endpoint
`,
  );
  const child = commandOf({ program, args: ["-N", "-f", config] }, {
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const stop = async () => {
    kill(child, "SIGKILL");
    await child.status;
  };
  try {
    while (!await isListening(port)) await delay(20, signal);
  } catch (error) {
    await stop();
    throw error;
  }
  return { flags: ["--proxy", `http://127.0.0.1:${port}`], [Symbol.asyncDispose]: stop };
}
