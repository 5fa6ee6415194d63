/**
 * `assertObjectMatch` of the `@std/assert` stand-in (see mod.ts).
 *
 * @module
 */

import { assertEquals } from "./compare.ts";

type Loose = Record<PropertyKey, unknown>;

/** Asserts that an object has the properties of another, at every depth. */
export function assertObjectMatch(
  // deno-lint-ignore no-explicit-any
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  // Both go through the same narrowing, which makes plain objects of all.
  assertEquals(narrow(actual, expected), narrow(expected, expected), msg);
}

/** The part of an object that another one has too. */
function narrow(object: Loose, like: Loose): Loose {
  const pairs = new WeakMap<object, object>();
  return narrowObject(object, like);

  function narrowObject(object: Loose, like: Loose): Loose {
    if (object === null || !/^(object|function)$/.test(typeof object)) {
      throw new TypeError(
        `Cannot assertObjectMatch ${object === null ? null : `type ${typeof object}`}`,
      );
    }
    if (pairs.get(object) === like) return object;
    pairs.set(object, like);
    const ownKeys = Reflect.ownKeys(object);
    const likeKeys = Reflect.ownKeys(like);
    const shared = ownKeys.filter((key) => likeKeys.includes(key));
    // Nothing in common: keep all, so that the message shows what was there.
    const isForeign = shared.length === 0 && likeKeys.length > 0;
    const result: Loose = {};
    for (const key of isForeign ? ownKeys : shared) {
      const value = isForeign ? object[key] : narrowValue(object[key], like[key]);
      Object.defineProperty(result, key, {
        value,
        configurable: true,
        enumerable: true,
        writable: true,
      });
    }
    return result;
  }

  function narrowArray(array: unknown[], like: unknown[]): unknown[] {
    if (pairs.get(array) === like) return array;
    pairs.set(array, like);
    return Array.from(
      { length: Math.min(array.length, like.length) },
      (_, i) => narrowValue(array[i], like[i]),
    );
  }

  function narrowValue(value: unknown, like: unknown): unknown {
    if (!isObject(value) || !isObject(like)) return value;
    if (value instanceof RegExp || value instanceof Date) return value;
    if (Array.isArray(value) && Array.isArray(like)) {
      return narrowArray(value, like);
    }
    if (value instanceof Set && like instanceof Set) {
      return value.intersection(like);
    }
    if (value instanceof Map && like instanceof Map) {
      const entries = [...value].filter(([key]) => like.has(key));
      return new Map(
        entries.map(([key, value]) => {
          const other = like.get(key);
          const isBoth = isObject(value) && isObject(other);
          return [key, isBoth ? narrowObject(value, other) : value];
        }),
      );
    }
    return narrowObject(value, like);
  }
}

function isObject(value: unknown): value is Loose {
  return typeof value === "object" && value !== null;
}
