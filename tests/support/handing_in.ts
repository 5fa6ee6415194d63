/** Clients of the socket on which lines are handed in, and what became of their lines. */

import { assert, assertEquals } from "@std/assert";
import type { Rig } from "./publishing.ts";

/** A receipt, as a client reads it. */
export type Receipt =
  | { readonly ok: true; readonly seq: number }
  | { readonly ok: false; readonly error: string; readonly retry: boolean };

/** One client. */
export interface HandingIn extends Disposable {
  /** Writes bytes as they are, and text as UTF-8; false if the other side has gone. */
  write(data: string | Uint8Array): Promise<boolean>;
  /** Reads until there are so many receipts in all; returns those not returned before. */
  receipts(wanted: number): Promise<Receipt[]>;
  /** Sends no more, and reads the receipts that are still to come. */
  end(): Promise<Receipt[]>;
}

/** Connects to the socket. */
export async function handIn(path: string): Promise<HandingIn> {
  const connection = await Deno.connect({ transport: "unix", path });
  const buffer = new Uint8Array(64 * 1024);
  const decoder = new TextDecoder();
  const found: Receipt[] = [];
  let told = 0;
  let isClosed = false;
  let rest = "";
  const read = async () => {
    const length = await connection.read(buffer).catch(() => null);
    if (length === null) return false;
    const lines = (rest + decoder.decode(buffer.subarray(0, length), { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) found.push(JSON.parse(line));
    return true;
  };
  const news = () => found.slice(told, told = found.length);
  return {
    async write(data) {
      const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
      try {
        for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
        return true;
      } catch {
        return false;
      }
    },
    async receipts(wanted) {
      while (found.length < wanted) {
        if (!await read()) throw new Error(`closed after ${found.length} of ${wanted} receipts`);
      }
      return news();
    },
    async end() {
      await connection.closeWrite();
      while (await read()) { /* the next ones */ }
      return news();
    },
    [Symbol.dispose]() {
      if (!isClosed) connection.close();
      isClosed = true;
    },
  };
}

/** Hands in lines by a client of its own; returns their receipts. */
export async function handInAll(path: string, text: string | Uint8Array): Promise<Receipt[]> {
  using client = await handIn(path);
  const [, receipts] = await Promise.all([client.write(text), client.receipts(linesIn(text))]);
  return receipts;
}

/** The `seq` of each; all were taken. */
export function seqsIn(receipts: readonly Receipt[]): number[] {
  return receipts.map((receipt) => {
    assert(receipt.ok, JSON.stringify(receipt));
    return receipt.seq;
  });
}

/** Why a line was not taken. */
export function refusalOf(receipt: Receipt | undefined): { error: string; retry: boolean } {
  assert(receipt !== undefined && !receipt.ok, JSON.stringify(receipt));
  return { error: receipt.error, retry: receipt.retry };
}

/** Options of an endpoint that does not look like AWS, whose 100 messages a second would be kept. */
export const FAST = { limits: { receiveMaximum: 1000 } };

/** The flags of a publisher that only takes what is handed in, and its socket. */
export function listening(rig: Rig): { path: string; flags: string[] } {
  const path = `${rig.folder}/in.sock`;
  return { path, flags: ["--listen", path, "--source", "none"] };
}

/** Open file descriptors of a process. */
export function descriptorsOf(pid: number): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}

/** Asserts that these are received, each once, in any order. */
export function assertSame(found: readonly number[], wanted: readonly number[]): void {
  assertEquals([...found].sort((a, b) => a - b), [...wanted].sort((a, b) => a - b));
}

function linesIn(text: string | Uint8Array): number {
  const decoded = typeof text === "string" ? text : new TextDecoder().decode(text);
  return decoded.split("\n").filter((line) => line.replace(/\r$/, "") !== "").length;
}
