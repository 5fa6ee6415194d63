/** Real proxies from Debian, in the shape that sites have them: squid, tinyproxy, microsocks. */

import { type Child, spawn } from "./child.ts";
import { findPrograms, freePorts, started } from "./brokers.ts";

const programs = await findPrograms(["squid", "tinyproxy", "microsocks"]);
const SQUID_LIB = "/usr/lib/squid";

/** A running proxy. Disposing of it ends it. */
export interface RealProxy extends AsyncDisposable {
  readonly port: number;
  /** For `--proxy`. */
  readonly url: string;
  /** What it has logged, on either output. */
  readonly log: () => string;
  /** Kills it, and with it every tunnel. */
  kill(): Promise<void>;
  /** Starts it again at the same port. */
  start(): Promise<void>;
}

/** What a proxy is told. */
export interface RealOptions {
  /** A directory of the test's own. */
  readonly dir: string;
  /** `user:password` that it wants. */
  readonly auth?: string;
  /** Ports that a tunnel may lead to besides 443. */
  readonly ports?: readonly number[];
  /** @default 127.0.0.1 */
  readonly host?: string;
}

/** squid: Basic, tunnels to 443 and the ports that are named, `inspects` TLS with a CA of its own where told to. */
export async function startSquid(
  { dir, auth, ports = [], host = "127.0.0.1", ca }: RealOptions & {
    /** PEM of certificate and key, in one file: it opens every TLS connection. */
    readonly ca?: string;
  },
): Promise<RealProxy> {
  const [port] = freePorts(1) as [number];
  const at = `${dir}/squid-${port}`;
  await Deno.mkdir(at);
  // As root it becomes the user proxy.
  await Deno.chmod(dir, 0o755);
  await Deno.chmod(at, 0o777);
  if (ca !== undefined) {
    await run(`${SQUID_LIB}/security_file_certgen`, "-c", "-s", `${at}/certificates`, "-M", "4MB");
    await run("chown", "-R", "proxy", `${at}/certificates`);
  }
  const [user, password] = auth?.split(":") ?? [];
  if (auth !== undefined) {
    const hash = await run("openssl", "passwd", "-apr1", password!);
    await Deno.writeTextFile(`${at}/users`, `${user}:${hash}`);
  }
  const bump = `ssl-bump tls-cert=${ca} generate-host-certificates=on`;
  const config = `${at}/squid.conf`;
  await Deno.writeTextFile(
    config,
    `
http_port ${host}:${port} ${ca === undefined ? "" : bump}
${
      ca === undefined
        ? ""
        : `sslcrtd_program ${SQUID_LIB}/security_file_certgen -s ${at}/certificates -M 4MB
sslcrtd_children 1
ssl_bump bump all`
    }
pid_filename none
cache deny all
cache_mem 8 MB
access_log stdio:${at}/access.log
cache_log ${at}/cache.log
netdb_filename none
pinger_enable off
coredump_dir none
shutdown_lifetime 0 seconds
visible_hostname squid.test
acl SSL_ports port 443 ${ports.join(" ")}
acl CONNECT method CONNECT
http_access deny CONNECT !SSL_ports
http_access deny !CONNECT
${
      auth === undefined ? "" : `auth_param basic program ${SQUID_LIB}/basic_ncsa_auth ${at}/users
auth_param basic children 1
auth_param basic realm plant 7
acl known proxy_auth REQUIRED
http_access deny !known`
    }
http_access allow all
`,
  );
  return await keep(
    port,
    `http://${host}:${port}`,
    () => spawn(programs.squid, ["-N", "-d", "1", "-f", config]),
    (child) => started(child, /Accepting (SSL bumped )?HTTP Socket connections/i),
  );
}

/** tinyproxy. */
export async function startTinyproxy(
  { dir, auth, ports = [], host = "127.0.0.1" }: RealOptions,
): Promise<RealProxy> {
  const [port] = freePorts(1) as [number];
  const config = `${dir}/tinyproxy-${port}.conf`;
  await Deno.writeTextFile(
    config,
    [
      `Port ${port}`,
      `Listen ${host}`,
      "Timeout 600",
      "MaxClients 50",
      "LogLevel Info",
      ...[443, ...ports].map((port) => `ConnectPort ${port}`),
      ...(auth === undefined ? [] : [`BasicAuth ${auth.replace(":", " ")}`]),
      "",
    ].join("\n"),
  );
  return await keep(
    port,
    `http://${host}:${port}`,
    () => spawn(programs.tinyproxy, ["-d", "-c", config]),
    () => listening(host, port),
  );
}

/** microsocks: SOCKS5. */
export async function startMicrosocks(
  { auth, host = "127.0.0.1" }: Pick<RealOptions, "auth" | "host">,
): Promise<RealProxy> {
  const [port] = freePorts(1) as [number];
  const [user, password] = auth?.split(":") ?? [];
  const who = auth === undefined ? [] : ["-u", user!, "-P", password!];
  return await keep(
    port,
    `socks5://${host}:${port}`,
    () => spawn(programs.microsocks, ["-i", host, "-p", `${port}`, ...who]),
    () => listening(host, port),
  );
}

async function keep(
  port: number,
  url: string,
  spawned: () => Child,
  ready: (child: Child) => Promise<unknown>,
): Promise<RealProxy> {
  const children: Child[] = [];
  const start = async () => {
    const child = spawned();
    children.push(child);
    try {
      await ready(child);
    } catch (error) {
      await child.stop();
      throw error;
    }
  };
  const kill = async () => {
    const child = children.at(-1)!;
    child.signal("SIGKILL");
    await child.ended;
  };
  await start();
  return {
    port,
    url,
    log: () => children.flatMap(({ stdout, stderr }) => [...stdout.all, ...stderr.all]).join("\n"),
    kill,
    start,
    [Symbol.asyncDispose]: async () => void await children.at(-1)!.stop(),
  };
}

/** Settles when something listens there. */
async function listening(host: string, port: number): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  for (;;) {
    try {
      (await Deno.connect({ hostname: host, port })).close();
      return;
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function run(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  if (!success) throw new Error(`${program}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
