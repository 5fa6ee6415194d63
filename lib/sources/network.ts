/**
 * Bytes that went through the network interfaces, as counters that never fall.
 *
 * What an interface is, the kernel says (/sys/class/net), and not its name. The total is what went over a wire or the air,
 * each byte once: interfaces with hardware behind them and none below them (a switch's ports have the port to the CPU below
 * them), and PPP over a serial line. Bridges, VLANs, tunnels, containers and PPP over Ethernet carry bytes that are
 * counted there; CAN buses are no network. Where there is no hardware at all, as in a container, what is not carried by
 * another one is counted. Each interface with hardware, and PPP, has readings of its own if there are several.
 *
 * A counter starts with what the kernel says when it is first read, and grows by what is added: an interface that goes
 * takes nothing away, and one that starts again from 0 goes on from where it was.
 */

import type { Reading } from "../core/message.ts";
import { below, type Host, readIfThere } from "./host.ts";
import { slug } from "./names.ts";
import { sourceError } from "./read_all.ts";

/** Most interfaces that get readings of their own. */
export const MAX_LISTED = 16;
/** How long it holds what an interface is, ms: it may be put into a bridge. */
const RESCAN_MS = 60_000;

/** Kinds of hardware as /sys/class/net/…/type tells them (linux/if_arp.h). */
const ARPHRD = { can: "280", ppp: "512", loopback: "772", none: "65534" };

/** A line of /proc/net/dev. */
export interface NetLine {
  readonly name: string;
  readonly receive: number;
  readonly transmit: number;
}

/** Parses /proc/net/dev; a malformed line is left out. */
export function parseNetDev(text: string): NetLine[] {
  return text.split("\n").flatMap((line) => {
    const colon = line.lastIndexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).trim();
    const fields = line.slice(colon + 1).trim().split(/\s+/);
    const [receive, transmit] = [counter(fields[0]), counter(fields[8])];
    return name === "" || receive === undefined || transmit === undefined
      ? []
      : [{ name, receive, transmit }];
  });
}

function counter(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,20}$/.test(text) ? Number(text) : undefined;
}

/** What the kernel says of an interface. */
export interface Interface {
  /** Its number, another one after it was plugged in anew. */
  readonly index: string;
  /** ARPHRD number. */
  readonly type: string;
  /** Entries of its folder: `device`, `lower_eth0`, `master`. */
  readonly entries: readonly string[];
}

/** How an interface is counted. */
export type Role = "counted" | "listed" | undefined;

/**
 * Says which interfaces are counted, and which have readings of their own at most. Pure.
 *
 * @param pppoe Whether PPP goes over Ethernet here.
 */
export function rolesOf(
  interfaces: ReadonlyMap<string, Interface>,
  pppoe: boolean,
): Map<string, Role> {
  const isOwn = ({ type, entries }: Interface) =>
    type !== ARPHRD.loopback && type !== ARPHRD.can &&
    !entries.some((entry) => entry.startsWith("lower_"));
  const isHardware = ({ entries }: Interface) => entries.includes("device");
  const hasHardware = [...interfaces.values()].some((each) => isHardware(each) && isOwn(each));
  const roleOf = (name: string, each: Interface): Role => {
    if (each.type === ARPHRD.ppp) return pppoe ? "listed" : "counted";
    if (each.type === ARPHRD.can || (hasHardware && !isHardware(each))) return undefined;
    if (isOwn(each)) {
      const isInner = each.type === ARPHRD.none || each.entries.includes("master") || name === "lo";
      return hasHardware || !isInner ? "counted" : undefined;
    }
    return hasHardware ? "listed" : undefined;
  };
  return new Map([...interfaces].map(([name, each]) => [name, roleOf(name, each)]));
}

interface Count {
  index: string;
  readonly last: { receive: number; transmit: number };
  readonly sum: { receive: number; transmit: number };
}

const WAYS = ["receive", "transmit"] as const;

/** Counts bytes over the life of the process. */
export class NetworkCounter {
  readonly #host: Host;
  readonly #now: () => Date;
  readonly #counts = new Map<string, Count>();
  readonly #total = { receive: 0, transmit: 0 };
  #interfaces = new Map<string, Interface>();
  #roles = new Map<string, Role>();
  #foundAtMs = -Infinity;
  /** Those that have no readings of their own, to be told. */
  #leftOut: readonly string[] = [];
  #isTold = false;

  constructor(host: Host, now: () => Date) {
    this.#host = host;
    this.#now = now;
  }

  /**
   * Reads the counters; none where nothing below /proc may be read, as Deno does not know them.
   *
   * @throws {UserError} When they must not be read.
   */
  read(): Reading[] {
    const { proc } = this.#host;
    if (proc === null) return [];
    const lines = parseNetDev(readIfThere(below(proc, "/proc/net/dev")) ?? "");
    this.#look(lines);
    const known = lines.filter(({ name }) => this.#roles.get(name) !== undefined);
    for (const line of known) this.#add(line);
    if (this.#counts.size === 0) return [];
    const listed = known.length > 1 ? known : [];
    this.#leftOut = listed.slice(MAX_LISTED).map(({ name }) => name);
    return [
      ...readings("network", this.#total),
      ...listed.slice(0, MAX_LISTED).flatMap(({ name }) =>
        readings(`network_${slug(name)}`, this.#counts.get(name)!.sum)
      ),
    ];
  }

  #add({ name, ...bytes }: NetLine): void {
    const { index } = this.#interfaces.get(name)!;
    const zero = () => ({ receive: 0, transmit: 0 });
    const count = this.#counts.get(name) ?? { index, last: zero(), sum: zero() };
    this.#counts.set(name, count);
    for (const way of WAYS) {
      const isAnew = count.index !== index || bytes[way] < count.last[way];
      const more = isAnew ? bytes[way] : bytes[way] - count.last[way];
      count.last[way] = bytes[way];
      count.sum[way] += more;
      if (this.#roles.get(name) === "counted") this.#total[way] += more;
    }
    count.index = index;
  }

  /** Looks what the interfaces are: when a name is new or another device's, and once a minute. */
  #look(lines: readonly NetLine[]): void {
    const ageMs = this.#now().getTime() - this.#foundAtMs;
    const isSame = lines.every(({ name }) => {
      const known = this.#interfaces.get(name);
      return known !== undefined &&
        (this.#roles.get(name) === undefined || known.index === this.#file(name, "ifindex"));
    });
    if (isSame && ageMs >= 0 && ageMs < RESCAN_MS) return;
    this.#interfaces = new Map(lines.map(({ name }) => [name, {
      index: this.#file(name, "ifindex"),
      type: this.#file(name, "type"),
      entries: entriesOf(below(this.#host.sys, `/sys/class/net/${name}`)),
    }]));
    const sessions = readIfThere(below(this.#host.proc!, "/proc/net/pppoe")) ?? "";
    this.#roles = rolesOf(this.#interfaces, /^[\dA-Fa-f]+\s+[\da-fA-F:]{17}/m.test(sessions));
    this.#foundAtMs = this.#now().getTime();
  }

  #file(name: string, file: string): string {
    return readIfThere(below(this.#host.sys, `/sys/class/net/${name}/${file}`))?.trim() ?? "";
  }

  /** @throws {UserError} Once, when there are more interfaces than have readings of their own. */
  tell(): Reading[] {
    if (this.#isTold || this.#leftOut.length === 0) return [];
    this.#isTold = true;
    throw sourceError(
      "system",
      `only the first ${MAX_LISTED} network interfaces have readings of their own: ` +
        `left out are ${this.#leftOut.join(", ")}`,
      "the total counts them all; to read one of them: " +
        `file:NAME_bytes_total=/sys/class/net/${this.#leftOut[0]}/statistics/rx_bytes`,
    );
  }
}

function readings(prefix: string, bytes: { receive: number; transmit: number }): Reading[] {
  return WAYS.map((way) => ({ name: `${prefix}_${way}_bytes_total`, value: bytes[way] }));
}

function entriesOf(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), ({ name }) => name);
  } catch {
    return []; // nothing below /sys can be read: nothing is known of it
  }
}
