/** What a soak does to the program and its endpoint, one trouble at a time. */

import type { Endpoint } from "../endpoint/mod.ts";
import type { Pki } from "../endpoint/mod.ts";
import type { Forwarder } from "../endpoint/forwarder.ts";
import type { Device } from "./device.ts";

/** What troubles work on. */
export interface Site {
  readonly device: Device;
  readonly endpoint: Endpoint;
  readonly link: Forwarder;
  readonly pki: Pki;
  /** Folder of `cert.pem` and `key.pem`. */
  readonly certs: string;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Waits, or less when the soak is ended. */
  readonly pause: (ms: number) => Promise<void>;
}

/** Settles when the trouble is over. */
export type Trouble = (site: Site) => Promise<void>;

/** CONNACK, and DISCONNECT "server shutting down" at once (MQTT 5). */
const HELLO_AND_GOODBYE = Uint8Array.of(0x20, 3, 0, 0, 0, 0xe0, 2, 0x8b, 0);

/** By name; each leaves all as it was, but for the certificates, which are new. */
export const TROUBLES: Readonly<Record<string, Trouble>> = {
  "link reset": (site) => outage(site, () => site.link.cut("rst")),
  "link closed": (site) => outage(site, () => site.link.cut("fin")),
  "link silent": (site) => outage(site, () => site.link.freeze()),
  async "endpoint restarted"({ endpoint, random, pause }) {
    endpoint.pause();
    endpoint.cut();
    await pause(500 + 4000 * random());
    await endpoint.resume();
  },
  "CONNACK withheld": ({ endpoint }) => once(endpoint, { noConnack: 1 }),
  "CONNACK refused": ({ endpoint }) => once(endpoint, { refuseConnect: 1 }),
  "handshake cut": ({ endpoint, random }) =>
    once(endpoint, { cutHandshake: 1, handshakeBytes: Math.floor(1500 * random()) }),
  "session ended at once": ({ endpoint }) => once(endpoint, { closeAfterConnack: 1 }),
  "DISCONNECT": ({ endpoint }) => once(endpoint, { rawAtConnect: 1, rawBytes: HELLO_AND_GOODBYE }),
  "PUBACK forgotten": ({ endpoint }) => Promise.resolve(void (endpoint.faults.forgetPuback = 1)),
  "hung up at PUBLISH": ({ endpoint }) =>
    Promise.resolve(void (endpoint.faults.closeAtPublish = 1)),
  async "certificate renewed"({ device, pki, certs }) {
    const { cert, key } = await pki.authority.issue("gw-7");
    await place(certs, "key.pem", key);
    await place(certs, "cert.pem", cert);
    device.signal("SIGHUP");
  },
  async "wrong certificate"({ device, pki, certs, pause }) {
    const before = await Deno.readTextFile(`${certs}/key.pem`);
    await place(certs, "key.pem", (await pki.authority.issue("gw-7")).key);
    device.signal("SIGHUP");
    await pause(1500);
    await place(certs, "key.pem", before);
    device.signal("SIGHUP");
  },
  async "process stopped"({ device, random, pause }) {
    device.signal("SIGSTOP");
    await pause(200 + 3000 * random());
    device.signal("SIGCONT");
  },
};

async function outage({ link, random, pause }: Site, cut: () => void): Promise<void> {
  link.pause();
  cut();
  await pause(100 + 4000 * random());
  await link.resume();
}

/** Sets faults that fire at the next connection, and makes one come. */
function once(endpoint: Endpoint, faults: Partial<Endpoint["faults"]>): Promise<void> {
  Object.assign(endpoint.faults, faults);
  endpoint.cut();
  return Promise.resolve();
}

/** Puts a file in place as a whole. */
async function place(folder: string, name: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${folder}/.${name}`, text, { mode: 0o600 });
  await Deno.rename(`${folder}/.${name}`, `${folder}/${name}`);
}
