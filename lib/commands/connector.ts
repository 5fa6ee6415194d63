/**
 * Connects with the identity in the files. They are read again before each attempt, so a certificate can be renewed
 * without a restart; a new pair that is wrong is told, and the old one used on.
 */

import { type Connection, openConnection } from "../connection.ts";
import { failureFields, type UserError } from "../errors.ts";
import { fileError, type Identity, inspectIdentity } from "../identity.ts";
import { readIdentityFiles } from "../identity_files.ts";
import type { Logger } from "../log.ts";
import { createRepeats } from "../reports.ts";
import type { Settings } from "../settings.ts";
import { limitTrust } from "../transport.ts";
import { BUILT_AT } from "../version.ts";
import type { World } from "../world.ts";

/** Opens sessions. */
export interface Connector {
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  /** The identity last read. */
  readonly identity: () => Identity;
}

/**
 * Reads and checks the identity, and limits whom TLS trusts.
 *
 * @throws {UserError} With exit code 78 if the identity cannot be used.
 */
export function createConnector(settings: Settings, world: World, log: Logger): Connector {
  const repeats = createRepeats(world.monotonicMs);
  let identity = loadIdentity(settings, world.now());
  limitTrust(world.env, identity.caPems.length > 0);
  const warn = () => {
    for (const warning of identity.warnings) log.warn("warning", failureFields(warning));
  };
  warn();
  return {
    identity: () => identity,
    connect(signal) {
      try {
        const before = identity.facts.fingerprint;
        const read = loadIdentity(settings, world.now());
        checkTrust(identity, read);
        identity = read;
        if (identity.facts.fingerprint !== before) {
          log.info("start", { certificate: identity.facts.subject });
          warn();
        }
      } catch (error) {
        if (repeats.due("identity")) log.error("warning", failureFields(error as UserError));
      }
      return openConnection(settings, identity, { signal, now: world.now });
    },
  };
}

/** Deno chooses its trust store once: whether there is a CA file cannot change while it runs. */
function checkTrust(before: Identity, now: Identity): void {
  if ((before.caPems.length > 0) === (now.caPems.length > 0)) return;
  throw fileError(
    "Cannot go over between public roots and a CA of your own while running; the old files are used on",
    "restart mqtt443",
  );
}

/** Reads and checks the identity. @throws {UserError} With exit code 78. */
export function loadIdentity(settings: Settings, now: Date): Identity {
  const { files, texts } = readIdentityFiles(settings);
  return inspectIdentity(files, texts, { now, builtAt: BUILT_AT });
}
