/**
 * A registry on the loopback that plays jsr.io: Deno asks it where `JSR_URL` names it. It has the stand-ins of tools/std,
 * published as JSR publishes packages, under the versions that deno.json names.
 */

import { createHash } from "node:crypto";
import { join } from "node:path";

const STD = join(import.meta.dirname!, "../../tools/std");

/** A registry; disposing stops it. */
export interface Registry extends AsyncDisposable {
  /** For `JSR_URL`. */
  readonly url: string;
  /** How many requests have come. */
  readonly asked: number;
}

/** Starts a registry; `answer` takes the place of the packages. */
export function startRegistry(answer?: () => Response): Registry {
  const files = new Map(packages().flatMap((one) => [...one.files]));
  const closing = new AbortController();
  let asked = 0;
  const server = Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    signal: closing.signal,
    onListen() {},
  }, (request) => {
    asked++;
    if (answer !== undefined) return answer();
    const { pathname } = new URL(request.url);
    const text = files.get(pathname);
    if (text === undefined) return new Response("not found", { status: 404 });
    const type = pathname.endsWith(".json") ? "application/json" : "application/typescript";
    return new Response(text, { headers: { "content-type": type } });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    get asked() {
      return asked;
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await server.finished;
    },
  };
}

/** The text of deno.lock with what this registry has in place of what jsr.io has. */
export function lockFor(text: string): string {
  const { specifiers, jsr: _, ...lock } = JSON.parse(text);
  const published = packages();
  const names = published.map(({ id }) => id.replace(/@[^@]+$/, ""));
  return JSON.stringify({
    ...lock,
    specifiers: Object.fromEntries(
      Object.entries(specifiers).filter(([key]) =>
        !key.startsWith("jsr:") || names.some((name) => key.startsWith(`jsr:${name}@`))
      ),
    ),
    jsr: Object.fromEntries(
      published.map(({ id, manifest }) => [id, { integrity: sha256(manifest) }]),
    ),
  });
}

interface Published {
  /** `@std/cli@1.0.32` */
  readonly id: string;
  /** The text that describes the version. */
  readonly manifest: string;
  /** All that the registry has of it, by path. */
  readonly files: ReadonlyMap<string, string>;
}

function packages(): Published[] {
  return [...Deno.readDirSync(STD)].map(({ name: folder }) => {
    const read = (file: string) => Deno.readTextFileSync(join(STD, folder, file));
    const { name, version, exports } = JSON.parse(read("deno.json"));
    const sources = [...Deno.readDirSync(join(STD, folder))].map(({ name }) => name)
      .filter((name) => name.endsWith(".ts"))
      .map((file) => [file, read(file)] as const);
    const manifest = JSON.stringify({
      manifest: Object.fromEntries(
        sources.map(([file, text]) => [
          `/${file}`,
          { size: new TextEncoder().encode(text).length, checksum: `sha256-${sha256(text)}` },
        ]),
      ),
      exports: typeof exports === "string" ? { ".": exports } : exports,
    });
    return {
      id: `${name}@${version}`,
      manifest,
      files: new Map([
        [`/${name}/meta.json`, JSON.stringify({ versions: { [version]: {} } })],
        [`/${name}/${version}_meta.json`, manifest],
        ...sources.map(([file, text]) => [`/${name}/${version}/${file}`, text] as const),
      ]),
    };
  });
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
