/**
 * A gateway: a machine with a systemd of its own on which the service is installed, and its endpoint.
 *
 * The program runs as the bundle with the grants of an executable for any endpoint, and this machine's endpoint added;
 * or as an executable.
 */

import type { Grants } from "../../../lib/core/build.ts";
import { generalGrants, grantFlags } from "../../../lib/settings/grants.ts";
import { BUNDLE_FLAGS } from "../../../tools/build/fresh.ts";
import { makeBundle } from "../../../tools/build/bundle.ts";
import { compile } from "../../../tools/build/compile.ts";
import { type Endpoint, startEndpoint } from "../../../tools/endpoint/mod.ts";
import { V8_FLAGS } from "../../../tools/build/v8_flags.ts";
import { pki, seqsOf, writeIdentity } from "../../support/publishing.ts";
import { boot, canBoot, type Machine, UNITS } from "./machine.ts";

const KIT = new URL("../../../tools/kit/files/", import.meta.url).pathname;
/** The shipped unit. */
export const UNIT = `${KIT}mqtt443.service`;
/** The user that the service runs as. */
export const USER_ID = 64_443;
const SETTINGS = "/etc/mqtt443/mqtt443.json";

/** A test that needs a machine. */
export function atMachine(name: string, fn: () => Promise<void>): void {
  const needs = canBoot ? "" : " (needs root and systemd)";
  Deno.test({ name: `${name}${needs}`, ignore: !canBoot, fn });
}

const bundle = canBoot ? (await makeBundle()).code : "";

/** A gateway, and what it does. */
export interface Gateway extends AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly machine: Machine;
  /** Runs systemctl in the machine. */
  systemctl(...args: readonly string[]): Promise<string>;
  /** Properties of the service. */
  show(...properties: readonly string[]): Promise<Record<string, string>>;
  /** The service's log so far. */
  log(): string;
  /** Settles when so many lines of the log have had that text in them. @default once */
  said(text: string, times?: number): Promise<void>;
  /** The `seq` of each message received, in order of arrival. */
  seqs(): number[];
}

/** What differs between gateways. */
export interface GatewayOptions {
  /** More lines for the unit's section [Service]. */
  readonly service?: readonly string[];
  /** More units, and parts of them, by name. */
  readonly units?: Readonly<Record<string, string>>;
  /** Whether it is an executable for this endpoint that runs, and not the bundle. @default false */
  readonly isExecutable?: boolean;
  /** Changes the files before the start; they lie below that folder. */
  readonly prepare?: (files: string) => Promise<void>;
  /** Puts the files below that folder, in place of those of an installed service. */
  readonly layOut?: (files: string, port: number) => Promise<void>;
}

/** Boots a gateway, with the files of an installed service. */
export async function makeGateway(options: GatewayOptions = {}): Promise<Gateway> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "mqtt443-test-" });
  cleanup.defer(() => Deno.remove(folder, { recursive: true }));
  const endpoint = cleanup.use(await startEndpoint({ certificates: pki }));
  const files = `${folder}/files`;
  await writeFiles(files, {
    [`${UNITS}/mqtt443.service.d/test.conf`]: [
      "[Service]",
      // There is no journal here.
      "StandardOutput=append:/run/mqtt443.log",
      "StandardError=inherit",
      ...options.service ?? [],
    ].join("\n"),
    ...Object.fromEntries(
      Object.entries(options.units ?? {}).map(([name, text]) => [`${UNITS}/${name}`, text]),
    ),
    ...usersWithout("mqtt443"),
    "/usr/local/lib/mqtt443/mqtt443.js": bundle,
  });
  await (options.layOut ?? layOutInstalled)(files, endpoint.port);
  await options.prepare?.(files);
  const mounts = options.isExecutable
    ? { "/usr/local/bin/mqtt443": await executable(folder, `${files}${SETTINGS}`) }
    : { "/usr/local/lib/mqtt443/deno": Deno.execPath() };
  const machine = cleanup.use(await boot({ folder, files, mounts }));
  // Of this machine, should it run the service too.
  await machine.run("rm", "-rf", "/var/lib/mqtt443");
  const systemctl = (...args: readonly string[]) => machine.run("systemctl", "--no-pager", ...args);
  const disposal = cleanup.move();
  return {
    endpoint,
    machine,
    systemctl,
    async show(...properties) {
      const text = await systemctl("show", "mqtt443", ...properties.map((name) => `-p${name}`));
      return Object.fromEntries(
        text.trim().split("\n").map((line) => line.split(/=(.*)/s) as [string, string]),
      );
    },
    log: () => Deno.readTextFileSync(`${machine.root}/run/mqtt443.log`),
    async said(text, times = 1) {
      // The log of a service that runs grows on, so that tail sees that nobody listens any more.
      const follow = 'tail -n +1 -F /run/mqtt443.log | grep -F -m "$2" -- "$1"';
      await machine.run("sh", "-c", follow, "sh", text, String(times));
    },
    seqs: () => seqsOf(endpoint.received),
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

/** The files that name users and groups: this machine's, without one of them. */
export function usersWithout(name: string): Record<string, string> {
  const paths = ["/etc/passwd", "/etc/group", "/etc/shadow"];
  const lines = (path: string) =>
    Deno.readTextFileSync(path).split("\n").filter((line) => !line.startsWith(`${name}:`));
  return Object.fromEntries(paths.map((path) => [path, lines(path).join("\n")]));
}

async function layOutInstalled(files: string, port: number): Promise<void> {
  await writeFiles(files, {
    [`${UNITS}/mqtt443.service`]: await Deno.readTextFile(UNIT),
    [`${UNITS}/mqtt443-wait.target`]: await Deno.readTextFile(`${KIT}mqtt443-wait.target`),
    [SETTINGS]: settingsText(port),
    "/usr/local/bin/mqtt443": program(port),
  });
  for (
    const [path, line] of [["passwd", `${USER_ID}::/var/lib/mqtt443:/bin/false`], [
      "group",
      "",
    ]] as const
  ) {
    const text = `mqtt443:x:${USER_ID}:${line}\n`;
    await Deno.writeTextFile(`${files}/etc/${path}`, text, { append: true });
  }
  await Deno.chmod(`${files}/usr/local/bin/mqtt443`, 0o755);
  await writeIdentity(`${files}/etc/mqtt443/certs`, pki);
  await own(`${files}/etc/mqtt443/certs`);
}

/** Settings of a gateway whose endpoint is at that port of this machine. */
export function settingsText(port: number): string {
  return JSON.stringify({
    ...{ endpoint: "localhost", port, clientId: "gw-7" },
    ...{ interval: "100ms", backoffMax: "1s", logFormat: "json", logLevel: "debug" },
  });
}

/** What stands for an executable for any endpoint. */
export function program(port: number): string {
  const general = generalGrants();
  const grants: Grants = { ...general, net: [...general.net, `localhost:${port}`] };
  const flags = [...BUNDLE_FLAGS, "--no-code-cache", V8_FLAGS];
  const words = [...flags, ...grantFlags(grants)].map((word) => `'${word}'`).join(" ");
  const folder = "/usr/local/lib/mqtt443";
  return `#!/bin/sh\nexport DENO_NO_UPDATE_CHECK=1\nexec ${folder}/deno run ${words} ${folder}/mqtt443.js "$@"\n`;
}

/** Builds an executable for these settings and this machine. */
async function executable(folder: string, settings: string): Promise<string> {
  const targets = [Deno.build.target];
  const [built] = await compile({ settings, targets, out: `${folder}/dist` });
  return built!.path;
}

/** Writes files below a folder. */
export async function writeFiles(
  folder: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    const path = `${folder}${name}`;
    await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(path, text);
  }
}

/** Gives a directory and what is in it to a user. @default the service's */
export async function own(directory: string, user = USER_ID): Promise<void> {
  await Deno.chown(directory, user, user);
  for (const { name } of Deno.readDirSync(directory)) {
    await Deno.chown(`${directory}/${name}`, user, user);
  }
}

/** Lines of a log that tell of something wrong. */
export function troublesOf(log: string): string[] {
  return log.split("\n").filter((line) => !/^$|"level":"(debug|info)"/.test(line));
}
