/** What a ClientHello offers, read from its bytes (RFC 8446 section 4.1.2). */

/** The parts that tests look at. */
export interface ClientHello {
  /** TLS versions offered: 0x0303 is 1.2, 0x0304 is 1.3. */
  readonly versions: readonly number[];
  readonly cipherSuites: readonly number[];
  /** Server names of SNI. */
  readonly serverNames: readonly string[];
  /** Protocols of ALPN. */
  readonly protocols: readonly string[];
}

const SERVER_NAME = 0;
const ALPN = 16;
const SUPPORTED_VERSIONS = 43;

/** Reads a ClientHello that fits into one TLS record. @throws {RangeError} If the bytes are none. */
export function parseClientHello(bytes: Uint8Array): ClientHello {
  const record = reader(bytes);
  if (record.number(1) !== 22) throw new RangeError("no handshake record");
  record.skip(2);
  const handshake = reader(record.block(2));
  if (handshake.number(1) !== 1) throw new RangeError("no ClientHello");
  const hello = reader(handshake.block(3));
  const legacyVersion = hello.number(2);
  hello.skip(32);
  hello.block(1);
  const cipherSuites = numbers(hello.block(2), 2);
  hello.block(1);
  const extensions = new Map<number, Uint8Array>();
  const list = reader(hello.block(2));
  while (list.left() > 0) extensions.set(list.number(2), list.block(2));
  const versions = extensions.get(SUPPORTED_VERSIONS);
  return {
    versions: versions === undefined ? [legacyVersion] : numbers(reader(versions).block(1), 2),
    cipherSuites,
    serverNames: texts(extensions.get(SERVER_NAME), (names) => {
      names.skip(1);
      return names.block(2);
    }),
    protocols: texts(extensions.get(ALPN), (names) => names.block(1)),
  };
}

interface Reader {
  number(bytes: number): number;
  skip(bytes: number): void;
  /** What a length of so many bytes announces. */
  block(lengthBytes: number): Uint8Array;
  left(): number;
}

function reader(bytes: Uint8Array): Reader {
  let at = 0;
  const take = (length: number) => {
    if (at + length > bytes.length) throw new RangeError("too short");
    at += length;
    return bytes.subarray(at - length, at);
  };
  const number = (length: number) => take(length).reduce((sum, byte) => sum * 256 + byte, 0);
  return {
    number,
    skip: (length) => void take(length),
    block: (lengthBytes) => take(number(lengthBytes)),
    left: () => bytes.length - at,
  };
}

function numbers(bytes: Uint8Array, size: number): number[] {
  const items = reader(bytes);
  const found: number[] = [];
  while (items.left() > 0) found.push(items.number(size));
  return found;
}

function texts(extension: Uint8Array | undefined, next: (list: Reader) => Uint8Array): string[] {
  if (extension === undefined) return [];
  const list = reader(reader(extension).block(2));
  const found: string[] = [];
  while (list.left() > 0) found.push(new TextDecoder().decode(next(list)));
  return found;
}
