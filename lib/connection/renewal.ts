/**
 * Connects with the identity in the files. They are read again before each attempt and on demand, so a certificate can
 * be renewed without a restart.
 *
 * Rules: a new pair that is wrong is told, and the old one used on; a new pair with which no session comes about is
 * told too, and takes turns with the last one that had a session, until one of them has; whether public roots or a CA of
 * one's own vouch for the endpoint never changes while running.
 */

import {
  authorityWarning,
  checkClock,
  checkDates,
  clockWarning,
  createExpiryWatch,
  fileError,
  type Identity,
  loadIdentity,
} from "../identity/mod.ts";
import { openConnection } from "./open.ts";
import type { Connection } from "./types.ts";
import { EXIT, failureFields, UserError } from "../core/errors.ts";
import { createRepeats, type Logger } from "../core/log.ts";
import type { Settings } from "../settings/mod.ts";
import { BUILT_AT } from "../core/build.ts";
import type { World } from "../core/process.ts";
import { withProxyHint } from "./trust.ts";

/** Opens sessions. */
export interface Connector {
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  /** The identity last read and found good. */
  readonly identity: () => Identity;
  /** Reads the files now and says what came of it; returns whether they hold another identity than the one in use. */
  readonly reload: () => boolean;
  /** Tells of a certificate that runs out, if it has come nearer to its end than when last told. */
  readonly lookAtExpiry: () => void;
}

/**
 * Reads and checks the identity.
 *
 * @throws {UserError} With exit code 78 if the identity cannot be used.
 */
export function createConnector(settings: Settings, world: World, log: Logger): Connector {
  const repeats = createRepeats(world.monotonicMs);
  const avoid = new Set<string>();
  const clock = () => ({ now: world.now(), builtAt: BUILT_AT });
  let identity = loadIdentity(settings);
  /** No attempt was made since. */
  let isFresh = true;
  /** What the last attempt used. */
  let used = identity;
  /** The last with which a session came about. */
  let proven: Identity | undefined;
  /** Whether it is the proven one's turn, as the files' own did not serve. */
  let isProvensTurn = false;

  const warning = clockWarning(identity.certFile, identity.facts, clock());
  if (warning) log.warn("warning", failureFields(warning));
  const doubt = authorityWarning(identity.caFiles, identity.authorities, clock());
  if (doubt) log.warn("warning", failureFields(doubt));
  const expiry = createExpiryWatch({ identity: () => identity, ...world, builtAt: BUILT_AT, log });
  expiry.look();

  /** @throws {UserError} If the files cannot be used; then the identity is what it was. */
  const read = () => {
    const found = loadIdentity(settings);
    if (isSame(found, identity)) return;
    checkTrust(identity, found);
    const { certFile, facts } = found;
    if (certFile && facts && checkClock(clock()) === undefined) {
      checkDates(certFile, facts, clock());
    }
    const isRenewed = !isSameDevice(found, identity);
    identity = found;
    if (isRenewed) isProvensTurn = false;
    log.info("start", { certificate: subjectOf(identity) });
    expiry.look();
  };
  const takeTurns = (error: unknown): unknown => {
    const wasProvensTurn = isProvensTurn;
    isProvensTurn = false;
    if (!(error instanceof UserError) || proven === undefined || wasProvensTurn) return error;
    const isRefused = error.exitCode === EXIT.refused || error.step === "mqtt";
    // A proxy that refuses has not seen it.
    if (!isRefused || error.step === "proxy" || isSameDevice(proven, identity)) return error;
    isProvensTurn = true;
    const cause = `No session with the renewed certificate (${subjectOf(identity)}): ` +
      `${error.message}; the next attempt uses the old one (${subjectOf(proven)})`;
    if (repeats.due("renewed")) log.error("warning", { ...failureFields(error), cause });
    // Not as slow as after a refusal: the old one may well be taken.
    return error.with({ exitCode: EXIT.unavailable, cause });
  };

  return {
    identity: () => identity,
    lookAtExpiry: expiry.look,
    reload() {
      try {
        read();
        isProvensTurn = false;
      } catch (error) {
        log.error("warning", failureFields(error));
        return false;
      }
      if (!isSame(identity, used)) return true;
      const cause = "the certificate files were read again, and hold what is in use";
      log.info("start", { certificate: subjectOf(identity), cause });
      return false;
    },
    async connect(signal) {
      try {
        if (!isFresh) read();
        isFresh = false;
      } catch (error) {
        if (repeats.due("identity")) log.error("warning", failureFields(error));
      }
      // Whom to trust, and what a proxy is told, is always what the files say.
      const { certPem, keyPem, certFile, facts, password } = proven ?? identity;
      used = isProvensTurn ? { ...identity, certPem, keyPem, certFile, facts, password } : identity;
      try {
        const connection = await openConnection(settings, used, { signal, now: world.now, avoid });
        if (!isProvensTurn) proven = identity;
        isProvensTurn = false;
        return connection;
      } catch (error) {
        throw signal.aborted ? error : takeTurns(withProxyHint(error, world.env, settings));
      }
    },
  };
}

/** Whether two identities are one to an endpoint. */
function isSameDevice(one: Identity, other: Identity): boolean {
  return (["certPem", "keyPem", "password"] as const).every((name) => one[name] === other[name]);
}

/** Whether they are that, trust the same CAs, and tell a proxy the same. */
function isSame(one: Identity, other: Identity): boolean {
  return isSameDevice(one, other) && one.proxyAuth === other.proxyAuth &&
    (["caPems", "proxyCaPems"] as const).every((name) =>
      one[name].join("") === other[name].join("")
    );
}

/** What the log calls an identity. */
function subjectOf({ facts }: Identity): string {
  return facts?.subject ?? "none";
}

/** A CA file that is gone is more likely a mistake than a wish to trust every public CA instead. */
function checkTrust(before: Identity, now: Identity): void {
  if ((before.caPems.length > 0) === (now.caPems.length > 0)) return;
  throw fileError(
    "trust-changed",
    "Cannot go over between public roots and a CA of your own while running; the old files are used on",
    "restart mqtt443",
  );
}
