/**
 * The intake: lines of all clients become messages in the queue, and each line is answered.
 *
 * Rules: what has arrived from all clients in one turn of the event loop shares one commit, in parts of at most
 * {@linkcode PART_LINES} lines, in which each client has its share; receipts leave after the commit, in the order of the
 * lines, and one turn later, so that what a client sent before it went away is read first. Where messages go is the
 * caller's business: `put` comes in.
 */

import type { Server, Socket } from "node:net";
import { messageOf, UserError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { Client, type ClientLine } from "./client.ts";
import type { Draft } from "./draft.ts";
import { unreadReceipts } from "./errors.ts";
import { type Answer, notNow, receiptOf, type Refusal } from "./receipt.ts";

/** Most lines of one commit. */
const PART_LINES = 1200;
/** About the most characters of one commit. */
const PART_BYTES = 1024 * 1024;
/** Most clients at a time. */
const MOST_CLIENTS = 64;
/** How long a stop waits for the last receipts to be written, in ms. */
const FLUSH_MS = 500;

/** Puts messages into the queue in one commit, and answers for each. @throws If the storage fails: none was taken. */
export type Put = (drafts: readonly Draft[]) => readonly Answer[];

/** What the intake works with. */
export interface IntakeOptions {
  /** Begins a commit: gives what makes a message of a line, or says why it cannot be one. */
  readonly drafter: () => (line: ClientLine) => Draft | Refusal;
  /** What the queue may hold: a part is at most a quarter of it. */
  readonly limits: { readonly messages: number; readonly bytes: number };
  readonly log: Logger;
  /** Told of lines that were taken, and of each that was not. */
  readonly reports: IntakeReports;
}

/** What the intake tells. */
export interface IntakeReports {
  handedIn(messages: number): void;
  refused(refusal: Refusal): void;
  /** What is odd about a line that was taken. */
  odd(cause: string): void;
  /** A client does not read its receipts. */
  unread(error: UserError): void;
}

/** Takes lines from the clients of a socket. */
export class Intake {
  readonly #server: Server;
  readonly #options: IntakeOptions;
  readonly #clients = new Set<Client>();
  /** Undefined until {@linkcode Intake.start}: clients wait. */
  #put: Put | undefined;
  #isTurnDue = false;
  readonly #failed = Promise.withResolvers<never>();

  /** @param server It listens already. */
  constructor(server: Server, options: IntakeOptions) {
    this.#server = server;
    this.#failed.promise.catch(() => {});
    this.#options = options;
    server.on("connection", (socket: Socket) => this.#connect(socket));
  }

  /** Rejects with what is a bug. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Lines are taken from now on. */
  start(put: Put): void {
    this.#put = put;
    this.#wake();
  }

  /** Takes no client and reads no line any more; settles when what was read is answered. */
  async stop(): Promise<void> {
    this.#server.close();
    while (
      this.#put !== undefined && this.#takePart((client) => client.hasLines)
    ) { /* the next one */ }
    this.#put = undefined;
    const clients = [...this.#clients];
    for (const client of clients) client.write();
    const closed = Promise.all(clients.map((client) => client.closed));
    for (const client of clients) client.close();
    const timer = setTimeout(() => {
      for (const client of clients) client.destroy();
    }, FLUSH_MS);
    await closed;
    clearTimeout(timer);
  }

  #connect(socket: Socket): void {
    if (this.#clients.size >= MOST_CLIENTS) {
      const full = notNow(`too many clients: at most ${MOST_CLIENTS} at a time`);
      this.#options.reports.refused(full);
      socket.on("error", () => {});
      socket.end(receiptOf(full), () => socket.destroy());
      return;
    }
    const client: Client = new Client(socket, {
      onLines: () => this.#wake(),
      onUnread: () => this.#options.reports.unread(unreadReceipts()),
      // What was read is taken all the same.
      onClose: () => client.hasLines ? this.#wake() : this.#clients.delete(client),
    });
    this.#clients.add(client);
  }

  /** Has a turn run after what has arrived is read. */
  #wake(): void {
    if (this.#isTurnDue || this.#put === undefined) return;
    this.#isTurnDue = true;
    setImmediate(() => {
      try {
        this.#turn();
      } catch (error) {
        this.#failed.reject(error);
      }
    });
  }

  #turn(): void {
    this.#isTurnDue = false;
    for (const client of this.#clients) {
      if (client.isGone) this.#clients.delete(client);
      else if (client.isOwed) client.write();
    }
    if (this.#put !== undefined && this.#takePart((client) => client.isReady)) this.#wake();
    else if ([...this.#clients].some((client) => client.isOwed)) this.#wake();
  }

  /** Takes a part of the lines into the queue, and answers them; false if there are none. */
  #takePart(isReady: (client: Client) => boolean): boolean {
    const clients = [...this.#clients].filter(isReady);
    if (clients.length === 0) return false;
    const { messages, bytes } = this.#options.limits;
    const most = Math.min(PART_LINES, Math.max(1, Math.floor(messages / 4)));
    const mostBytes = Math.min(PART_BYTES, bytes / 4) / clients.length;
    const answers: [Client, Answer | undefined][] = [];
    const drafts: Draft[] = [];
    const draftOf = this.#options.drafter();
    for (const client of clients.slice(0, most)) {
      for (const line of client.take(Math.max(1, Math.floor(most / clients.length)), mostBytes)) {
        const made = draftOf(line);
        if ("error" in made) answers.push([client, made]);
        else {
          drafts.push(made);
          answers.push([client, undefined]);
        }
      }
    }
    const put = drafts.length === 0 ? [] : this.#putAll(drafts);
    let next = 0;
    let handedIn = 0;
    for (const [client, refusal] of answers) {
      const answer = refusal ?? put[next++]!;
      if (typeof answer === "number") handedIn++;
      else this.#options.reports.refused(answer);
      client.answer(receiptOf(answer));
    }
    if (handedIn > 0) {
      this.#options.reports.handedIn(handedIn);
      const seq = put.findLast((answer) => typeof answer === "number");
      this.#options.log.debug("accepted", { messages: handedIn, seq, clients: clients.length });
    }
    return true;
  }

  #putAll(drafts: readonly Draft[]): readonly Answer[] {
    try {
      return this.#put!(drafts);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const refusal = notNow(`storage: ${messageOf(error)}`);
      return drafts.map(() => refusal);
    }
  }
}
