/**
 * Bytes that went through the network interfaces since the machine was started.
 *
 * The total is what went over a wire or the air, each byte once: interfaces that only pass on what another one
 * carries (loopback, bridges, containers, bonds, VLANs, tunnels) are left out, and so are CAN buses. Where two to eight are counted
 * there is one pair of readings for each as well, as one of them may be a metered link.
 */

import type { Reading } from "../core/message.ts";
import { below, readIfThere } from "./host.ts";
import { slug, uniqueNames } from "./names.ts";

/** Most interfaces that get readings of their own; a message is not a switch's port list. */
const MAX_LISTED = 8;

/** Names the kernel and container tools give to interfaces that carry no bytes of their own. */
const VIRTUAL =
  /^(lo$|v?can\d|slcan|ifb\d|dummy|veth|docker|br\d|br-|bridge|virbr|vnet|lxc|lxd|podman|cni|flannel|cali|cilium|kube|bond|team|tun|tap|wg|tailscale|zt|sit\d|gre|ip6tnl|ip_vti|ip6_vti|tunl|erspan|macvlan|macvtap|ipvlan|vxlan|vlan|nlmon)|\./;

/** Parses /proc/net/dev; a malformed line is left out, and with no interface left there are no readings. */
export function parseNetDev(text: string): Reading[] {
  const unique = uniqueNames();
  const listed: Reading[] = [];
  let [receive, transmit, count] = [0, 0, 0];
  for (const line of text.split("\n")) {
    const colon = line.lastIndexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).trim();
    if (name === "" || VIRTUAL.test(name)) continue;
    const fields = line.slice(colon + 1).trim().split(/\s+/);
    const received = counter(fields[0]);
    const transmitted = counter(fields[8]);
    if (received === undefined || transmitted === undefined) continue;
    const label = unique(slug(name));
    listed.push(
      { name: `network_${label}_receive_bytes`, value: received },
      { name: `network_${label}_transmit_bytes`, value: transmitted },
    );
    receive += received;
    transmit += transmitted;
    count++;
  }
  if (count === 0) return [];
  const total: Reading[] = [
    { name: "network_receive_bytes", value: receive },
    { name: "network_transmit_bytes", value: transmit },
  ];
  return count > 1 && count <= MAX_LISTED ? [...total, ...listed] : total;
}

/**
 * Reads the network bytes.
 *
 * @param root Root of /proc, or null when nothing below it may be read: Deno does not know these, they are absent.
 * @throws {UserError} When they must not be read.
 */
export function readNetDev(root: string | null = "/"): Reading[] {
  if (root === null) return [];
  return parseNetDev(readIfThere(below(root, "/proc/net/dev")) ?? "");
}

function counter(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,20}$/.test(text) ? Number(text) : undefined;
}
