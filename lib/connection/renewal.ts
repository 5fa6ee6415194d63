/**
 * Connects with the identity in the files. They are read again before each attempt and on demand, so a certificate can
 * be renewed without a restart.
 *
 * Rules: a wrong new pair is logged, and the old one stays in use; if a new pair gets no session, log it and alternate
 * between it and the last one that got a session, until either connects; a run never changes between public roots and a
 * CA of the user's own.
 */

import {
  authorityWarning,
  checkClock,
  checkDates,
  clockWarning,
  createExpiryWatch,
  type ExpiryWatch,
  fileError,
  type Identity,
  loadIdentity,
} from "../identity/mod.ts";
import { openConnection } from "./open.ts";
import type { Connection, Opening } from "./types.ts";
import { EXIT, failureFields, UserError } from "../core/errors.ts";
import { createRepeats, type Logger, type Repeats } from "../core/log.ts";
import type { Settings } from "../settings/mod.ts";
import { BUILT_AT } from "../core/build.ts";
import type { World } from "../core/process.ts";
import { withProxyHint } from "./trust.ts";

/** Opens sessions with the identity in the files. */
export class Connector {
  readonly #settings: Settings;
  readonly #world: World;
  readonly #log: Logger;
  readonly #repeats: Repeats;
  readonly #expiry: ExpiryWatch;
  /** Addresses that failed, which are tried last. */
  readonly #avoid = new Set<string>();
  /** The identity last read and found good. */
  #identity: Identity;
  /** What the last attempt used. */
  #used: Identity;
  /** The last one that got a session. */
  #proven: Identity | undefined;
  /** Whether the next attempt uses the proven one, because the one in the files got no session. */
  #isProvensTurn = false;
  /** No attempt was made since the files were read. */
  #isFresh = true;

  /**
   * Reads and checks the identity.
   *
   * @throws {UserError} With exit code 78 if the identity cannot be used.
   */
  constructor(settings: Settings, world: World, log: Logger) {
    this.#settings = settings;
    this.#world = world;
    this.#log = log;
    this.#repeats = createRepeats(world.monotonicMs);
    this.#identity = this.#used = loadIdentity(settings);
    const { certFile, facts, caFiles, authorities } = this.#identity;
    const clock = this.#clock();
    const warnings = [
      clockWarning(certFile, facts, clock),
      authorityWarning(caFiles, authorities, clock),
    ];
    for (const warning of warnings) if (warning) log.warn("warning", failureFields(warning));
    const identity = () => this.#identity;
    this.#expiry = createExpiryWatch({ identity, ...world, builtAt: BUILT_AT, log });
    this.#expiry.look();
  }

  /** The identity last read and found good. */
  identity(): Identity {
    return this.#identity;
  }

  /** Warns of a certificate that runs out, if it has come nearer to its end since the last warning. */
  lookAtExpiry(): void {
    this.#expiry.look();
  }

  /** Reads the files now and logs the outcome. Returns whether they hold another identity than the one in use. */
  reload(): boolean {
    try {
      this.#read();
      this.#isProvensTurn = false;
    } catch (error) {
      this.#log.error("warning", failureFields(error));
      return false;
    }
    if (!isSame(this.#identity, this.#used)) return true;
    const cause = "the certificate files were read again, and hold what is in use";
    this.#log.info("start", { certificate: subjectOf(this.#identity), cause });
    return false;
  }

  /**
   * Reads the files again and opens a session.
   *
   * @throws {UserError} If no session comes about.
   */
  async connect(signal: AbortSignal, opening: Opening = {}): Promise<Connection> {
    try {
      if (!this.#isFresh) this.#read();
      this.#isFresh = false;
    } catch (error) {
      if (this.#repeats.due("identity")) this.#log.error("warning", failureFields(error));
    }
    // Whom to trust, and what a proxy is told, is always what the files say.
    const { certPem, keyPem, certFile, facts, password } = this.#proven ?? this.#identity;
    this.#used = this.#isProvensTurn
      ? { ...this.#identity, certPem, keyPem, certFile, facts, password }
      : this.#identity;
    try {
      const { now } = this.#world;
      const connection = await openConnection(this.#settings, this.#used, {
        ...opening,
        signal,
        now,
        avoid: this.#avoid,
      });
      if (!this.#isProvensTurn) this.#proven = this.#identity;
      this.#isProvensTurn = false;
      return connection;
    } catch (error) {
      const told = withProxyHint(error, this.#world.env, this.#settings);
      throw signal.aborted ? error : this.#takeTurns(told);
    }
  }

  #clock() {
    return { now: this.#world.now(), builtAt: BUILT_AT };
  }

  /** @throws {UserError} If the files cannot be used; then the identity is what it was. */
  #read(): void {
    const found = loadIdentity(this.#settings);
    if (isSame(found, this.#identity)) return;
    checkTrust(this.#identity, found);
    const clock = this.#clock();
    const { certFile, facts } = found;
    if (certFile && facts && checkClock(clock) === undefined) checkDates(certFile, facts, clock);
    if (!isSameDevice(found, this.#identity)) this.#isProvensTurn = false;
    this.#identity = found;
    this.#log.info("start", { certificate: subjectOf(found) });
    this.#expiry.look();
  }

  /** What to throw after a failed attempt; the next one may be the proven identity's turn. */
  #takeTurns(error: unknown): unknown {
    const proven = this.#proven;
    const wasProvensTurn = this.#isProvensTurn;
    this.#isProvensTurn = false;
    if (!(error instanceof UserError) || proven === undefined || wasProvensTurn) return error;
    const isRefused = error.exitCode === EXIT.refused || error.step === "mqtt";
    // A proxy that refuses has not seen it.
    if (!isRefused || error.step === "proxy" || isSameDevice(proven, this.#identity)) return error;
    this.#isProvensTurn = true;
    const cause =
      `No session with the renewed certificate (${subjectOf(this.#identity)}): ${error.message}; ` +
      `the next attempt uses the old one (${subjectOf(proven)})`;
    if (this.#repeats.due("renewed")) {
      this.#log.error("warning", { ...failureFields(error), cause });
    }
    // Not as slow as after a refusal: the old one may well be taken.
    return error.with({ exitCode: EXIT.unavailable, cause });
  }
}

/** Whether two identities are one to an endpoint. */
function isSameDevice(one: Identity, other: Identity): boolean {
  return (["certPem", "keyPem", "password"] as const).every((name) => one[name] === other[name]);
}

/** Whether they are that, trust the same CAs, and tell a proxy the same. */
function isSame(one: Identity, other: Identity): boolean {
  return isSameDevice(one, other) && one.proxyAuth === other.proxyAuth &&
    (["caPems", "proxyCaPems"] as const).every((name) => `${one[name]}` === `${other[name]}`);
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
