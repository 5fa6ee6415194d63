/** The checks of `doctor` that need the network, in their order. */

import { openFirstHop, targetOf } from "../connection/mod.ts";
import type { Check } from "./checks.ts";
import { identityOf } from "../identity/mod.ts";
import type { World } from "../core/process.ts";
import type { Case } from "./local.ts";
import { reachChecks, type Site } from "./reach.ts";
import { sessionChecks } from "./session.ts";

/** The online checks, and the end of what they hold open. */
export function onlineChecks(
  world: World,
  facts: Case,
): { checks: Check[]; close: () => Promise<void> } {
  const settings = () => facts.loaded!.settings;
  const target = () => targetOf(settings(), { caFiles: facts.files?.ca ?? [] });
  const identity = () => identityOf(facts.files!, facts.parsed!);
  const site: Site = {
    world,
    settings,
    identity,
    isOutOfDate: () => facts.isOutOfDate ?? false,
    target,
    hasProxy: () => facts.loaded?.settings.proxy !== undefined,
    open: (signal) => openFirstHop(target(), identity(), { signal, now: world.now }),
  };
  const session = sessionChecks(site, () => facts.isBusy ?? false);
  return { checks: [...reachChecks(site), ...session.checks], close: session.close };
}
