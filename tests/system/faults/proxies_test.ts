/** A proxy at its worst: cut at random with the program killed besides, and saying all kinds of things. */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { openConnection } from "../../../lib/connection/mod.ts";
import { oneLine } from "../../../lib/core/text.ts";
import { openFiles } from "../../../tools/bench/process.ts";
import { startForwarder } from "../../../tools/endpoint/forwarder.ts";
import { makePki } from "../../../tools/endpoint/mod.ts";
import { seeded } from "../../../tools/shared/seeded.ts";
import { lastQueued, startChild } from "../../support/children.ts";
import { failureOf, identityOf, settingsFor } from "../../support/connecting.ts";
import { firsts, makeRig, numbered, range, seqsOf } from "../../support/publishing.ts";
import { startProxy } from "../../support/scripted_proxy.ts";

Deno.test.sanitizer({ ops: true, resources: true });

const KINDS = ["http", "socks5"] as const;
const INFLIGHT = 20;
/** Lives of the program, each with cuts of the link to the proxy, or of its tunnels. */
const LIVES = 8;
const CUTS = 3;
const LOT = 20;

function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

for (const scheme of KINDS) {
  Deno.test(`publisher loses nothing through a ${scheme} proxy that is cut at random on both sides, in ${LIVES} lives that end by kill -9 (L2, Q2)`, async () => {
    await using rig = await makeRig({ faults: { pubackDelayMs: 5 } });
    await using proxy = await startProxy({ scheme });
    await using link = await startForwarder(proxy.port);
    const random = seeded(17);
    const flags = [
      ...rig.flags,
      ...["--proxy", `${scheme}://127.0.0.1:${link.port}`, "--connect-timeout", "2s"],
      ...["--source", "stdin", "--inflight", `${INFLIGHT}`, "--ack-timeout", "1s"],
    ];
    let reported = 0;
    let lines = 0;
    for (let life = 0; life < LIVES; life++) {
      const child = startChild(["publish", ...flags]);
      try {
        for (let cut = 0; cut < CUTS; cut++) {
          await child.until(() => child.events("connected").length > cut);
          for (let lot = 0; lot < 5; lot++) {
            await child.write([...numbered(lines + 1, lines + LOT)]);
            lines += LOT;
          }
          await pass(random() * 100);
          // The last one is the kill.
          if (cut === CUTS - 1) break;
          const how = (["rst", "fin", "silence", "proxy"] as const)[Math.floor(random() * 4)]!;
          if (how === "silence") link.freeze();
          else if (how === "proxy") proxy.cut();
          else link.cut(how);
        }
      } finally {
        await child.kill();
      }
      reported = Math.max(reported, lastQueued(child));
    }
    const rest = rig.publish(["--proxy", proxy.url, "--source", "stdin"]);
    assertEquals(await rest.code, 0);
    const seqs = seqsOf(rig.endpoint.received);
    const first = firsts(seqs);
    assert(reported > LIVES * LOT, `${reported}`);
    assertEquals(first, range(1, first.length), "in order, and without a gap");
    assert(first.length >= reported, `${first.length} of ${reported}`);
    // The window, and as many that were acknowledged in the turn of the cut and had not left the disk.
    assertLessOrEqual(seqs.length - first.length, LIVES * CUTS * 2 * INFLIGHT);
  });
}

/** What a proxy may say, out of which the hostile answers are made. */
const GOOD = {
  http: [
    "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n",
    'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="a"\r\nContent-Length: 3\r\n\r\nabc',
    "HTTP/1.1 302 Found\r\nLocation: http://a/\r\n\r\n",
  ].map((text) => new TextEncoder().encode(text)),
  socks5: [
    Uint8Array.of(5, 0, 0, 1, 127, 0, 0, 1, 1, 187),
    Uint8Array.of(5, 0, 0, 3, 3, 97, 98, 99, 1, 187),
    Uint8Array.of(5, 4, 0, 1, 0, 0, 0, 0, 0, 0),
  ],
} as const;

/** An answer with bytes changed, cut out, repeated or put in. */
function mutated(answer: Uint8Array, random: () => number): Uint8Array {
  const bytes = [...answer];
  const below = (most: number) => Math.floor(random() * most);
  for (let times = below(6); times > 0; times--) {
    const at = below(bytes.length + 1);
    switch (below(4)) {
      case 0:
        bytes.splice(at, 1, below(256));
        break;
      case 1:
        bytes.splice(at, below(8));
        break;
      case 2:
        bytes.splice(at, 0, ...bytes.slice(at, at + below(20)));
        break;
      default:
        bytes.splice(at, 0, ...Array.from({ length: below(40) }, () => below(256)));
    }
  }
  return Uint8Array.from(bytes);
}

const ANSWERS = 600;

for (const scheme of KINDS) {
  Deno.test(`connection survives ${ANSWERS} hostile answers of a ${scheme} proxy, each told, and keeps nothing open (S5)`, async () => {
    const pki = await makePki();
    const random = seeded(5);
    const steps = new Set<string | undefined>();
    let fds = 0;
    for (let round = 0; round < ANSWERS; round++) {
      const answer = mutated(GOOD[scheme][round % 3]!, random);
      await using proxy = await startProxy({ scheme, answer });
      const settings = settingsFor(8443, {
        proxy: proxy.url,
        connectTimeout: 1000,
        ...(round % 2 === 0 && { proxyAuthFile: "auth" }),
      });
      const identity = {
        ...identityOf(pki),
        proxyAuth: round % 2 === 0 ? "gw:marked-secret" : undefined,
      };
      const failure = await failureOf(openConnection(settings, identity));
      steps.add(failure.step);
      assert(!`${failure.message}${failure.hint}`.includes("marked-secret"));
      const said = `${failure.message}${failure.hint}`;
      // As it is printed: nothing of the answer is left that could move a cursor.
      assertEquals(oneLine(said), said);
      await proxy.until(() => proxy.open() === 0);
      if (round === ANSWERS / 10) fds = openFiles();
    }
    assertEquals([...steps].toSorted(), ["proxy", "tls"]);
    assertLessOrEqual(openFiles(), fds + 2);
  });
}
