/**
 * The software bill of materials of an executable, as CycloneDX 1.6 in JSON. Pure: the same parts, the same text.
 */

import { createHash } from "node:crypto";
import type { DenoPart } from "./deno_contents.ts";
import type { Package } from "./packages.ts";

/** What is told of. */
export interface Parts {
  readonly version: string;
  readonly arch: string;
  /** Of the executable, in hex. */
  readonly sha256: string;
  readonly commit: string;
  /** Seconds since 1970 of the build. */
  readonly timeS: number;
  readonly packages: readonly Package[];
  /** Files of this project that stand in the bundle for a module of others. */
  readonly standIns: readonly string[];
  readonly runtime: Runtime;
}

/** The Deno in the executable. */
export interface Runtime {
  readonly version: string;
  /** Of the V8 in it. */
  readonly v8: string;
  /** The npm package it is from, with the archive's `sha512-…`; undefined: denort, from Deno's release. */
  readonly npm: { readonly name: string; readonly integrity: string } | undefined;
  /** SHA-256 of Deno's executable in hex; undefined: denort, of which the executable is made. */
  readonly sha256: string | undefined;
  /** What it is made of, besides V8. */
  readonly parts: readonly DenoPart[];
}

/** The bill as text. */
export function sbomText(parts: Parts): string {
  const { version, arch, sha256, commit, timeS, packages, standIns, runtime } = parts;
  const subject = {
    type: "application",
    "bom-ref": "mqtt443",
    name: "mqtt443",
    version,
    description: "publishes a gateway's telemetry over MQTT with mutual TLS on port 443",
    licenses: [licenseOf("MIT")],
    hashes: [{ alg: "SHA-256", content: sha256 }],
    properties: [property("arch", arch), property("commit", commit)],
  };
  const body = {
    metadata: {
      timestamp: new Date(timeS * 1000).toISOString(),
      lifecycles: [{ phase: "build" }],
      component: subject,
    },
    components: [
      denoComponent(runtime),
      ...packages.map(component),
      ...standIns.map((path) => standIn(path, version)),
    ],
    dependencies: [
      // A package that no other one brings is used by the program itself.
      {
        ref: "mqtt443",
        dependsOn: ["deno", ...roots(packages), ...standIns.map(standInRef)].sort(),
      },
      { ref: "deno", dependsOn: ["v8", ...runtime.parts.map(({ purl }) => purl)] },
      { ref: "v8" },
      ...runtime.parts.map(({ purl }) => ({ ref: purl })),
      ...standIns.map((path) => ({ ref: standInRef(path) })),
      ...packages.map((one) => ({ ref: refOf(one), dependsOn: one.uses.map(refIn(packages)) })),
    ],
    compositions: [
      { aggregate: "complete", assemblies: ["mqtt443"] },
      // Of Deno's own parts in Rust and C++ those are here that its bytes tell of.
      { aggregate: "incomplete", assemblies: ["deno"] },
    ],
  };
  const bill = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(body))}`,
    version: 1,
    ...body,
  };
  return `${JSON.stringify(bill, null, 2)}\n`;
}

function component(one: Package): Record<string, unknown> {
  const { name, version, integrity, license, home } = one;
  return {
    type: "library",
    "bom-ref": refOf(one),
    name,
    version,
    scope: "required",
    hashes: [sha512Of(integrity)],
    licenses: [licenseOf(license)],
    purl: refOf(one),
    ...(home === "" ? {} : { externalReferences: [{ type: "vcs", url: home }] }),
  };
}

/** A file of this project in place of a module of others, named as what it is. */
function standIn(path: string, version: string): Record<string, unknown> {
  return {
    type: "file",
    "bom-ref": standInRef(path),
    name: path,
    version,
    description: path.startsWith("tools/std/")
      ? "this project's own, in place of the package of JSR of that name"
      : "this project's own, in place of a module of MQTT.js or of what it needs",
    licenses: [licenseOf("MIT")],
  };
}

function standInRef(path: string): string {
  return `stand-in:${path}`;
}

function partComponent(
  { name, version, purl, license, source }: DenoPart,
): Record<string, unknown> {
  return {
    ...{ type: "library", "bom-ref": purl, name, version, purl },
    ...(license !== undefined && { licenses: [licenseOf(license)] }),
    ...(source !== undefined && { properties: [property("source", source)] }),
  };
}

function denoComponent({ version, v8, npm, sha256, parts }: Runtime): Record<string, unknown> {
  return {
    type: "platform",
    "bom-ref": "deno",
    name: "deno",
    version,
    scope: "required",
    ...(sha256 !== undefined && { hashes: [{ alg: "SHA-256", content: sha256 }] }),
    licenses: [licenseOf("MIT")],
    purl: npm === undefined
      ? `pkg:github/denoland/deno@v${version}`
      : `pkg:npm/${purlName(npm.name)}@${version}`,
    externalReferences: [
      { type: "vcs", url: "https://github.com/denoland/deno" },
      ...(npm === undefined ? [] : [{
        type: "distribution",
        url: `https://registry.npmjs.org/${npm.name}`,
        hashes: [sha512Of(npm.integrity)],
      }]),
    ],
    components: [{
      type: "library",
      "bom-ref": "v8",
      name: "v8",
      version: v8,
      licenses: [licenseOf("BSD-3-Clause")],
      purl: `pkg:github/v8/v8@${v8.replace(/-.*$/, "")}`,
    }, ...parts.map(partComponent)],
  };
}

function refOf({ name, version }: Package): string {
  return `pkg:npm/${purlName(name)}@${version}`;
}

function refIn(packages: readonly Package[]): (name: string) => string {
  return (name) => refOf(packages.find((one) => one.name === name)!);
}

function roots(packages: readonly Package[]): string[] {
  const used = new Set(packages.flatMap(({ uses }) => uses));
  return packages.filter(({ name }) => !used.has(name)).map(refOf);
}

/** A package URL writes the `@` of a scope as %40. */
function purlName(name: string): string {
  return name.replace(/^@/, "%40");
}

function licenseOf(expression: string): Record<string, unknown> {
  return /^[\w.+-]+$/.test(expression)
    ? { license: { id: expression, acknowledgement: "declared" } }
    : { expression, acknowledgement: "declared" };
}

function sha512Of(integrity: string): { alg: "SHA-512"; content: string } {
  const base64 = integrity.replace(/^sha512-/, "");
  return { alg: "SHA-512", content: Uint8Array.fromBase64(base64).toHex() };
}

function property(name: string, value: string): { name: string; value: string } {
  return { name: `mqtt443:${name}`, value };
}

/** A UUID (version 8 of RFC 9562: of one's own making) from what the bill says. */
function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `a${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
