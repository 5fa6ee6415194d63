/**
 * The checks of `doctor` up to a way to the endpoint: DNS, TCP, proxy. With a proxy DNS and TCP are about it.
 */

import {
  addressesOf,
  explainTimeout,
  explainTransport,
  openTcp,
  withProxyHint,
} from "../connection/mod.ts";
import { firstHop, place } from "../core/endpoint.ts";
import type { UserError } from "../core/errors.ts";
import type { World } from "../core/process.ts";
import type { Check } from "./checks.ts";
import { type Known, need, siteOf, targetIn } from "./facts.ts";
import { type Finding, findingOf, ok } from "./finding.ts";

/** DNS, TCP and proxy, in this order. */
export function reachChecks(world: World): Check[] {
  return [
    {
      name: "dns",
      needs: ["settings"],
      async look(known) {
        const addresses = await lookUp(world, known);
        const { endpoint, isProxy } = firstHop(targetIn(known));
        const saw = `${isProxy ? "the proxy " : ""}${endpoint} is ${addresses.join(", ")}`;
        const evidence = addresses.map((address) => ({ probe: "dns", name: endpoint, address }));
        return { ...ok(saw), evidence, facts: { addresses } };
      },
    },
    {
      name: "tcp",
      needs: ["dns"],
      async look(known) {
        try {
          const who = targetIn(known).proxy === undefined ? "" : "the proxy at ";
          return ok(`connected to ${who}${await reach(world, known)}`);
        } catch (error) {
          const finding = findingOf(error as UserError);
          const tried = need(known, "addresses").join(", ");
          return { ...finding, saw: `${finding.saw}; tried ${tried}` };
        }
      },
    },
    {
      name: "proxy",
      needs: ["tcp", "files", "file-modes"],
      idle: ({ loaded }) => loaded && !loaded.settings.proxy ? "none is set" : undefined,
      look: (known) => lookAtProxy(world, known),
    },
  ];
}

/** Every address of the endpoint. */
async function lookUp(world: World, known: Known): Promise<string[]> {
  const at = firstHop(targetIn(known));
  return await inTime(world, known, "dns", (signal) => addressesOf(at, signal));
}

/** Connects and closes; returns the address that answered. */
async function reach(world: World, known: Known): Promise<string> {
  const at = firstHop(targetIn(known));
  const socket = await inTime(world, known, "tcp", (signal) => openTcp(at, { signal }));
  const peer = `${socket.remoteAddress}:${socket.remotePort}`;
  socket.destroy();
  return peer;
}

/** Has the proxy open the tunnel, and closes it. */
async function lookAtProxy(world: World, known: Known): Promise<Finding> {
  const site = siteOf(world, known);
  const { proxy, ...target } = site.target;
  const hop = await inTime(world, known, "proxy", site.open);
  hop.tcp.destroy();
  return ok(`${proxy!.scheme} proxy ${place(proxy!)} opened a tunnel to ${place(target)}`);
}

/** One step of an attempt, with the whole attempt's time. @throws {UserError} */
async function inTime<T>(
  world: World,
  known: Known,
  step: "dns" | "tcp" | "proxy",
  action: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { settings } = need(known, "loaded");
  const { connectTimeout } = settings;
  const target = targetIn(known);
  const signal = AbortSignal.timeout(connectTimeout);
  try {
    return await action(signal);
  } catch (error) {
    if (signal.aborted) throw explainTimeout(step, connectTimeout, target);
    const told = explainTransport(error, firstHop(target), world.now());
    throw withProxyHint(told, world.env, settings);
  }
}
