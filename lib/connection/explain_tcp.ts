/** What a failure of DNS or TCP means. Pure. */

import { isIP } from "node:net";
import { BUILD, grantHint } from "../core/build.ts";
import { nameOf, type Target } from "../core/endpoint.ts";
import { EXIT, type UserError } from "../core/errors.ts";
import { failure, hostOf, type Place, type Words } from "./words.ts";

/** The error of a process whose grants do not hold the endpoint. */
export function explainNotGranted(target: Place): UserError {
  return failure(notGranted(target));
}

/** A permission that is missing. */
export function notCapable(error: unknown, target: Target): Words | undefined {
  const { name, code, syscall } = error as { name?: string; code?: string; syscall?: string };
  // `node:dns` says EPERM; of `connect` it would be the firewall of this device.
  const isDenied = name === "NotCapable" || (code === "EPERM" && syscall === "getaddrinfo");
  return isDenied ? notGranted(target) : undefined;
}

function notGranted(target: Place): Words {
  // Networks are granted, where they are, for addresses alone.
  const byAddress = target.isProxy && BUILD && isIP(target.endpoint) === 0 &&
    BUILD.grants.net.some((host) => host.includes("/"));
  return {
    code: "not-granted",
    message: `Cannot connect to ${nameOf(target)}: this process was not granted to reach it`,
    hint: byAddress ? `give the proxy by its address; ${grantHint()}` : grantHint(),
    step: "settings",
    exitCode: EXIT.config,
  };
}

/** What the C library says for the codes that `node:dns` gives. */
const RESOLVER: Readonly<Record<string, string>> = {
  ENOTFOUND: "Name or service not known",
  EAI_AGAIN: "Temporary failure in name resolution",
};

/** What the C library says for codes of `connect`. */
const UNREACHABLE: Readonly<Record<string, string>> = {
  ENETUNREACH: "Network is unreachable",
  EHOSTUNREACH: "No route to host",
  ENETDOWN: "Network is down",
};

/** What `node:dns` and `connect` say. */
export function network(error: unknown, target: Target): Words | undefined {
  const head = `Cannot connect to ${nameOf(target)}`;
  const { code = "", syscall } = error as { code?: string; syscall?: string };
  if (syscall === "getaddrinfo") {
    return {
      code: "dns-failed",
      message: `Cannot find the address of ${hostOf(target)}: ${RESOLVER[code] ?? code}`,
      hint: `check --endpoint, and the name server (\`getent hosts ${target.endpoint}\`)`,
      step: "dns",
    };
  }
  if (code === "ECONNREFUSED") {
    return {
      code: "tcp-refused",
      message: `${head}: connection refused`,
      hint: "nothing listens there, or a firewall says no: check --endpoint and --port",
      step: "tcp",
    };
  }
  if (code in UNREACHABLE) {
    return {
      code: "tcp-unreachable",
      message: `${head}: ${UNREACHABLE[code]}`,
      hint: "this device has no route to it: check cable, gateway and `ip route`",
      step: "tcp",
    };
  }
  if (code === "EPERM" || code === "EACCES") {
    return {
      code: "tcp-forbidden",
      message: `${head}: a firewall on this device forbids it`,
      hint: "as root look at `nft list ruleset` (or `iptables -S OUTPUT`)",
      step: "tcp",
    };
  }
  if (code === "ETIMEDOUT") {
    return {
      code: "tcp-timeout",
      message: `${head}: no answer`,
      hint: "a firewall may drop the packets: ask for outgoing TCP to that host and port",
      step: "tcp",
    };
  }
  return undefined;
}
