/** A name server for one name, on an address of its own: it answers, refuses, fails or is silent, as told. */

import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import { once } from "node:events";

/** What it says: an IPv4 address, "no such name", "I failed", or nothing. */
export type Answer = { readonly address: string } | "nxdomain" | "servfail" | "silence";

/** A running name server. */
export interface NameServer extends AsyncDisposable {
  /** For resolv.conf. */
  readonly address: string;
  answer: Answer;
  /** Questions so far. */
  readonly questions: number;
}

const PORT = 53;
const HEADER_BYTES = 12;
const RCODES = { nxdomain: 3, servfail: 2 } as const;
const TYPE_A = 1;
/** Much longer than any test: who asks again in it, asks afresh. */
const TTL_S = 3600;

/** Starts one on an address of the loopback network. Needs root, for the port. */
export async function startNameServer(answer: Answer): Promise<NameServer> {
  const socket = createSocket("udp4");
  const [a, b] = crypto.getRandomValues(new Uint8Array(2));
  const address = `127.53.${a}.${1 + b! % 254}`;
  const server = {
    address,
    answer,
    questions: 0,
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
  socket.on("message", (question, { port, address }) => {
    server.questions++;
    if (server.answer !== "silence") socket.send(replyTo(question, server.answer), port, address);
  });
  socket.bind(PORT, address);
  await once(socket, "listening");
  return server;
}

/** The reply to a question (RFC 1035 section 4.1). */
function replyTo(question: Buffer, answer: Exclude<Answer, "silence">): Buffer {
  let end = HEADER_BYTES;
  while (question[end] !== 0) end += 1 + question[end]!;
  end += 5;
  const isForA = question.readUInt16BE(end - 4) === TYPE_A;
  const found = typeof answer === "object" && isForA ? [answer.address] : [];
  const header = Buffer.alloc(HEADER_BYTES);
  question.copy(header, 0, 0, 2);
  // A reply, with recursion.
  header.writeUInt16BE(0x8180 | (typeof answer === "object" ? 0 : RCODES[answer]), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(found.length, 6);
  const records = found.map((address) => {
    const record = Buffer.alloc(16);
    // The name is the one in the question.
    record.writeUInt16BE(0xc000 | HEADER_BYTES, 0);
    record.writeUInt16BE(TYPE_A, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(TTL_S, 6);
    record.writeUInt16BE(4, 10);
    record.set(address.split(".").map(Number), 12);
    return record;
  });
  return Buffer.concat([header, question.subarray(HEADER_BYTES, end), ...records]);
}
