/**
 * Deep equality of the `@std/assert` stand-in (see mod.ts).
 *
 * @module
 */

import { types } from "node:util";

/** Objects of these classes are equal if their texts are. */
const COMPARED_AS_TEXT: ReadonlySet<unknown> = new Set(
  [
    RegExp,
    URL,
    URLSearchParams,
    Intl.Locale,
    ...Object.values(temporalClasses()),
  ].map((type) => type.prototype),
);

function temporalClasses(): Record<string, { prototype: unknown }> {
  const { Temporal } = globalThis as unknown as {
    Temporal?: Record<string, { prototype: unknown }>;
  };
  if (Temporal === undefined) return {};
  const names = Object.getOwnPropertyNames(Temporal).filter((name) => name !== "Now");
  return Object.fromEntries(names.map((name) => [name, Temporal[name]!]));
}

/**
 * Whether two values are deeply equal: same prototype (an object without one
 * counts as plain), same properties (a missing one is not an undefined one),
 * equal values in them. `NaN` is equal to itself, `0` to `-0`.
 *
 * @throws {TypeError} If there is a `WeakMap` or `WeakSet` on both sides.
 */
export function equal(a: unknown, b: unknown): boolean {
  return isEqual(a, b, new Map());
}

/** Pairs that are being compared, so that circles end. */
type Pairs = Map<unknown, unknown>;

function isEqual(a: unknown, b: unknown, pairs: Pairs): boolean {
  if (isSame(a, b)) return true;
  if (!isObject(a) || !isObject(b)) return false;
  if (a instanceof Date && b instanceof Date) {
    return Object.is(a.getTime(), b.getTime());
  }
  const kind = prototypeOf(a);
  if (kind !== prototypeOf(b)) return false;
  if (types.isTypedArray(a) || types.isAnyArrayBuffer(a)) {
    return isSameNumbers(numbers(a), numbers(b));
  }
  if (a instanceof WeakMap || a instanceof WeakSet) {
    const name = a instanceof WeakMap ? "WeakMap" : "WeakSet";
    throw new TypeError(`Cannot compare ${name} instances`);
  }
  if (a instanceof WeakRef) {
    return isEqual(a.deref(), (b as WeakRef<WeakKey>).deref(), pairs);
  }
  if (pairs.get(a) === b) return true;
  if (Object.keys(a).length !== Object.keys(b).length) return false;
  pairs.set(a, b);
  if (a instanceof Map || a instanceof Set) {
    return isEqualCollection(a, b as typeof a, pairs);
  }
  if (COMPARED_AS_TEXT.has(kind)) return String(a) === String(b);
  return [...propertiesOf(a, kind).union(propertiesOf(b, kind))].every((key) =>
    isEqual(Reflect.get(a, key), Reflect.get(b, key), pairs) &&
    key in a === key in b
  );
}

function isSame(a: unknown, b: unknown): boolean {
  return a === b || Object.is(a, b);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function prototypeOf(object: object): object {
  return Object.getPrototypeOf(object) ?? Object.prototype;
}

type Numbers = ArrayLike<unknown>;

function numbers(value: unknown): Numbers {
  return types.isAnyArrayBuffer(value) ? new Uint8Array(value) : value as Numbers;
}

function isSameNumbers(a: Numbers, b: Numbers): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!isSame(a[i], b[i])) return false;
  return true;
}

/** For each entry of `a` there must be an equal one in `b`, in any place. */
function isEqualCollection(
  a: Map<unknown, unknown> | Set<unknown>,
  b: typeof a,
  pairs: Pairs,
): boolean {
  if (a.size !== b.size) return false;
  if (![...a.keys()].some(isReference)) {
    return [...a].every((entry) =>
      a instanceof Set ? b.has(entry) : hasEqual(entry as Entry, b, pairs)
    );
  }
  const wanted = [...b.entries()];
  const found = [...a.entries()].filter(([key, value]) =>
    wanted.some(([otherKey, otherValue]) =>
      isEqual(key, otherKey, pairs) &&
      (key === value && otherKey === otherValue ||
        isEqual(value, otherValue, pairs))
    )
  );
  return found.length === a.size;
}

type Entry = [key: unknown, value: unknown];

function hasEqual([key, value]: Entry, b: unknown, pairs: Pairs): boolean {
  const other = b as Map<unknown, unknown>;
  return other.has(key) && isEqual(value, other.get(key), pairs);
}

function isReference(value: unknown): boolean {
  return isObject(value) || typeof value === "function";
}

/**
 * What to compare: of plain objects and arrays what can be enumerated, of
 * others also what is hidden (an error's message) or inherited (a getter).
 */
function propertiesOf(object: object, kind: object): Set<PropertyKey> {
  if (kind === Object.prototype || kind === Array.prototype) {
    return new Set(
      Reflect.ownKeys(object).filter((key) =>
        Object.prototype.propertyIsEnumerable.call(object, key)
      ),
    );
  }
  const keys = new Set<PropertyKey>();
  let at: object | null = object;
  while (at && at !== Object.prototype && at !== Array.prototype) {
    for (const key of Reflect.ownKeys(at)) keys.add(key);
    at = Object.getPrototypeOf(at);
  }
  return keys;
}
