import { assertEquals } from "@std/assert";
import { describeBlocks, isCutShort, pemBlocks } from "../../lib/identity/pem.ts";

function block(label: string, body = "AAAA"): string {
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}

Deno.test("pemBlocks finds the blocks in their order", () => {
  const text = block("CERTIFICATE", "AAAA") + block("CERTIFICATE", "BBBB") + block("PRIVATE KEY");
  assertEquals(pemBlocks(text).map(({ label }) => label), [
    "CERTIFICATE",
    "CERTIFICATE",
    "PRIVATE KEY",
  ]);
  assertEquals(pemBlocks(text)[1]!.text, block("CERTIFICATE", "BBBB"));
});

Deno.test("pemBlocks gives the same block for CRLF, a byte order mark and text around it", () => {
  const plain = block("CERTIFICATE", "AAAA\nBBBB");
  const variants = [
    plain,
    plain.replaceAll("\n", "\r\n"),
    `\uFEFF${plain}`,
    `Bag Attributes\n  friendlyName: gw-7\n${plain}# the end`,
    plain.trimEnd(),
  ];
  for (const text of variants) {
    assertEquals(pemBlocks(text), [{ label: "CERTIFICATE", text: plain }]);
  }
});

Deno.test("pemBlocks passes over a block without its end, or with another's", () => {
  assertEquals(pemBlocks("-----BEGIN CERTIFICATE-----\nAAAA\n"), []);
  assertEquals(pemBlocks("-----BEGIN CERTIFICATE-----\nAAAA\n-----END PRIVATE KEY-----\n"), []);
});

Deno.test("isCutShort sees a block without its end, wherever it is", () => {
  const cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
  assertEquals(isCutShort(block("CERTIFICATE")), false);
  assertEquals([cut, block("CERTIFICATE") + cut, cut + block("CERTIFICATE")].map(isCutShort), [
    true,
    true,
    true,
  ]);
});

Deno.test("a megabyte of beginnings without an end is read in linear time", () => {
  assertEquals(pemBlocks("-----BEGIN A-----\n".repeat(58_000)), []);
});

Deno.test("describeBlocks says what a file holds instead", () => {
  const cases: [text: string, words: string][] = [
    ["", "it is empty"],
    [" \r\n", "it is empty"],
    ["junk", "it holds no PEM block (no -----BEGIN line)"],
    ["-----BEGIN CERTIFICATE-----\nAA", "its PEM block is cut short"],
    [block("PUBLIC KEY"), "it holds: public key"],
    [
      block("CERTIFICATE") + block("CERTIFICATE") + block("EC PRIVATE KEY"),
      "it holds: certificate, ec private key",
    ],
  ];
  for (const [text, words] of cases) assertEquals(describeBlocks(text), words);
});
