/** Reads DER, in which certificates and keys are written. Pure. */

/** One element of DER. */
export interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Its whole length, with tag and length. */
  readonly size: number;
}

/** The elements inside the first one; undefined where the bytes are not DER. What follows the first one is ignored. */
export function children(der: Uint8Array): Element[] | undefined {
  const whole = elementAt(der, 0);
  return whole && elementsIn(whole.content);
}

/** The elements, one after the other; undefined where the bytes are not DER. */
export function elementsIn(bytes: Uint8Array): Element[] | undefined {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const element = elementAt(bytes, at);
    if (element === undefined) return undefined;
    found.push(element);
    at += element.size;
  }
  return found;
}

/** The element that begins there, or undefined. */
export function elementAt(bytes: Uint8Array, at: number): Element | undefined {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) return undefined;
  const more = first < 0x80 ? 0 : first & 0x7f;
  if (more > 4) return undefined;
  const start = at + 2 + more;
  const length = more === 0
    ? first
    : bytes.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0);
  const end = start + length;
  if (end > bytes.length) return undefined;
  return { tag, content: bytes.subarray(start, end), size: end - at };
}

/** An object identifier in dots. */
export function oid(content: Uint8Array): string {
  const numbers: number[] = [];
  let number = 0;
  for (const byte of content) {
    number = number * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      numbers.push(number);
      number = 0;
    }
  }
  const [head = 0, ...rest] = numbers;
  const top = Math.min(2, Math.floor(head / 40));
  return [top, head - top * 40, ...rest].join(".");
}
