/** What the checks of `doctor` found out, for later ones: each check returns what it adds, and changes nothing. */

import { type Hop, openFirstHop, targetOf } from "../connection/mod.ts";
import type { Connection } from "../connection/mod.ts";
import type { Target } from "../core/endpoint.ts";
import type { World } from "../core/process.ts";
import {
  type Identity,
  type IdentityFiles,
  identityOf,
  type ParsedIdentity,
} from "../identity/mod.ts";
import type { LoadedSettings, Settings } from "../settings/mod.ts";
import type { Finding } from "./finding.ts";

/** Everything that a check can find out. */
export interface Facts {
  readonly loaded: LoadedSettings;
  readonly files: IdentityFiles;
  readonly parsed: ParsedIdentity;
  /** The device certificate is not valid at this time. */
  readonly isOutOfDate: boolean;
  /** Another mqtt443 runs on this state directory, most likely with this client id. */
  readonly isBusy: boolean;
  /** Addresses of what is connected to first. */
  readonly addresses: readonly string[];
  /** What became of ALPN in the TLS handshake. */
  readonly alpn: Finding;
  /** The issuer of the certificate shown under a name of AWS's, where it is not AWS's. */
  readonly inspectedBy: string;
  /** Addresses that failed in TLS where another did not: publish leaves them, and so do the checks after it. */
  readonly avoid: ReadonlySet<string>;
  /** The session that the check mqtt-connect opened. */
  readonly connection: Connection;
}

/** What is known when a check looks. */
export type Known = Partial<Facts>;

/** A fact that a check which this one needs has found out. */
export function need<K extends keyof Facts>(known: Known, name: K): Facts[K] {
  const fact = known[name];
  if (fact === undefined) throw new Error(`no check before this one found out ${name}`);
  return fact as Facts[K];
}

/** What the online checks work with. */
export interface Site {
  readonly world: World;
  readonly settings: Settings;
  readonly identity: Identity;
  readonly target: Target;
  /** The device certificate is not valid at this time. */
  readonly isOutOfDate: boolean;
  /** Addresses that are tried last. */
  readonly avoid: ReadonlySet<string>;
  /** Who inspects TLS on the way, if that was seen. */
  readonly inspectedBy: string | undefined;
  /** Opens the way to the endpoint, through the proxy if there is one. */
  readonly open: OpenHop;
}

/** Opens the way to the endpoint, through the proxy if there is one; addresses to avoid are tried last. */
export type OpenHop = (signal: AbortSignal, avoid?: ReadonlySet<string>) => Promise<Hop>;

/** The endpoint as it is reached with these settings, before the files are known. */
export function targetIn(known: Known): Target {
  return targetOf(need(known, "loaded").settings, { caFiles: known.files?.ca ?? [] });
}

/** The site that the settings and the files make. */
export function siteOf(world: World, known: Known): Site {
  const { settings } = need(known, "loaded");
  const identity = identityOf(need(known, "files"), need(known, "parsed"));
  const target = targetIn(known);
  return {
    world,
    settings,
    identity,
    target,
    isOutOfDate: known.isOutOfDate ?? false,
    inspectedBy: known.inspectedBy,
    avoid: known.avoid ?? new Set(),
    open: (signal, avoid) =>
      openFirstHop(target, identity, {
        signal,
        now: world.now,
        ...(avoid && { avoid: new Set(avoid) }),
      }),
  };
}
