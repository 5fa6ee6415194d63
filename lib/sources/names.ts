/** Names of readings made from what the kernel calls a thing: `[a-z0-9_]`, never twice. Pure. */

/**
 * Turns a label of the kernel into a part of a name.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { slug } from "./names.ts";
 *
 * assertEquals(slug("Package id 0\n"), "package_id_0");
 * assertEquals(slug("cpu-thermal"), "cpu_thermal");
 * ```
 */
export function slug(label: string): string {
  return label.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(
    /^_+|_+$/g,
    "",
  );
}

/** Returns a function that hands out each name once: the second `nvme` becomes `nvme_2`. */
export function uniqueNames(): (name: string) => string {
  const used = new Set<string>();
  return (name) => {
    let unique = name;
    for (let n = 2; used.has(unique); n++) unique = `${name}_${n}`;
    used.add(unique);
    return unique;
  };
}
