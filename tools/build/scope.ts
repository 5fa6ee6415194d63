/** What an executable may do: for one settings file, or for any endpoint of AWS. */

import type { Build } from "../../lib/core/build.ts";
import { parseCommand } from "../../lib/commands/arguments.ts";
import { generalGrants, siteGrants } from "../../lib/settings/grants.ts";
import { loadSettings } from "../../lib/settings/mod.ts";
import { CERTS_PATHS } from "../../lib/settings/places.ts";

const NO_ENVIRONMENT = { get: () => undefined, set() {}, delete() {}, toObject: () => ({}) };

/**
 * The scope, from a settings file alone: what this machine has in its environment or its folders plays no part.
 *
 * @param settingsPath Without it, the general one.
 * @param proxyPorts With the general one: at which ports of private addresses a proxy may be.
 * @throws {UserError} If the file does not validate, or names no endpoint.
 */
export function scopeOf(
  settingsPath: string | undefined,
  proxyPorts: readonly number[] = [],
): Pick<Build, "scope" | "grants"> {
  if (settingsPath === undefined) return { scope: "general", grants: generalGrants(proxyPorts) };
  const { settings, origins } = loadSettings(
    parseCommand(["publish", "--config", settingsPath]),
    { env: NO_ENVIRONMENT, hostName: () => "gateway" },
    { needEndpoint: true },
  );
  const isCertsGiven = "certs" in origins;
  const certs = isCertsGiven ? settings.certs : CERTS_PATHS[0];
  return {
    scope: "site",
    grants: siteGrants({ ...settings, certs }, isCertsGiven, "statusFile" in origins),
  };
}
