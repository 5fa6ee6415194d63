import { assert, assertEquals, assertLessOrEqual, assertMatch } from "@std/assert";
import type { Connection } from "../../lib/connection/types.ts";
import { EXIT, UserError } from "../../lib/core/errors.ts";
import type { Fields } from "../../lib/core/log.ts";
import { Outage } from "../../lib/publisher/outage.ts";
import { seeded } from "../../tools/shared/seeded.ts";
import { judgeWaits, type Verdict } from "../support/waits.ts";

interface Said {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly event: string;
  readonly fields: Fields;
}

interface Bench {
  readonly outage: Outage;
  readonly said: Said[];
  /** Lines that a log at level info holds. */
  readonly lines: () => Said[];
  readonly pass: (ms: number) => void;
  readonly nowMs: () => number;
}

function makeBench(seed = 1, backoffMax = 120_000): Bench {
  let nowMs = 0;
  const said: Said[] = [];
  const note = (level: Said["level"]) => (event: string, fields: Fields = {}) =>
    void said.push({ level, event, fields });
  const outage = new Outage({
    settings: { backoffMax, mqttVersion: "5", clientId: "gw-7" },
    target: {
      endpoint: "host",
      port: 443,
      alpn: "x",
      clientId: "gw-7",
      tlsMin: "1.2",
      caFiles: [],
    },
    log: { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") },
    random: seeded(seed),
    monotonicMs: () => nowMs,
  });
  return {
    outage,
    said,
    lines: () => said.filter(({ level }) => level !== "debug"),
    pass: (ms) => void (nowMs += ms),
    nowMs: () => nowMs,
  };
}

const CONNECTION = {
  facts: {
    alpn: "x",
    peer: "127.0.0.1:443",
    receiveMaximum: 100,
    limits: {},
    isAws: false,
    ms: 1,
  },
} as unknown as Connection;
const refused = new UserError("refused", {
  code: "session-hung-up",
  hint: "policy",
  exitCode: EXIT.refused,
  step: "mqtt",
});
const gone = new UserError("hung up", {
  code: "session-hung-up",
  hint: "wait",
  exitCode: EXIT.unavailable,
  step: "mqtt",
});
const unanswered = new UserError("no CONNACK", {
  code: "session-hung-up",
  hint: "wait",
  exitCode: EXIT.unavailable,
  step: "mqtt",
});
const CONNECT_TIMEOUT_MS = 15_000;
const SEEDS = Array.from({ length: 20 }, (_, index) => index + 1);

Deno.test("outage starts its waits anew only after 30 s up with a delivery (C2, C3)", () => {
  const { outage } = makeBench();
  for (let i = 0; i < 6; i++) outage.failed(gone);
  const short = outage.ended(gone, { ms: 29_000, delivered: 5, inFlight: 0 });
  assert(short >= 1000);
  const good = outage.ended(gone, { ms: 30_000, delivered: 1, inFlight: 0 });
  assertLessOrEqual(good, 2000);
});

Deno.test("outage does not count a long session without a delivery as good", () => {
  const { outage } = makeBench(3);
  for (let i = 0; i < 9; i++) outage.failed(gone);
  const waits = Array.from(
    { length: 20 },
    () => outage.ended(gone, { ms: 60_000, delivered: 0, inFlight: 0 }),
  );
  assert(Math.max(...waits) > 2000);
});

Deno.test("outage makes at most 13 attempts in 120 s on a link that drops each session (C2)", () => {
  for (const seed of SEEDS) {
    const { outage, pass, nowMs } = makeBench(seed);
    const waits: number[] = [];
    while (nowMs() < 120_000) {
      outage.connecting();
      outage.connected(CONNECTION);
      pass(100);
      const ms = outage.ended(gone, { ms: 100, delivered: 0, inFlight: 0 });
      waits.push(ms);
      pass(ms);
    }
    assertLessOrEqual(waits.length, 13, `seed ${seed}`);
    assertEquals(judgeWaits(waits), "jitter", `seed ${seed}: ${waits}`);
  }
});

// Withheld CONNACKs cost the time of an attempt; the sixth CONNECT is answered, and the session then ended.
for (const [backoffMax, mostMs] of [[120_000, 700_000], [16_000, 270_000]] as const) {
  Deno.test(
    `outage makes 12 CONNECTs, ten of them unanswered, in ${mostMs / 1000} s at a cap of ${
      backoffMax / 1000
    } s (C1; Device Advisor MQTT_Connect_Jitter_Backoff_Retries)`,
    () => {
      for (const seed of SEEDS) {
        const { outage, pass, nowMs } = makeBench(seed, backoffMax);
        const waits: number[] = [];
        for (let connect = 1; connect < 12; connect++) {
          outage.connecting();
          const isAnswered = connect === 6;
          pass(isAnswered ? 100 : CONNECT_TIMEOUT_MS);
          if (isAnswered) outage.connected(CONNECTION);
          const ms = isAnswered
            ? outage.ended(gone, { ms: 100, delivered: 1, inFlight: 0 })
            : outage.failed(unanswered);
          waits.push(ms);
          pass(ms);
        }
        assertEquals(judgeWaits(waits), "jitter", `seed ${seed}: ${waits}`);
        assertLessOrEqual(nowMs(), mostMs, `seed ${seed}`);
      }
    },
  );
}

Deno.test("the page of the connection tells how long Device Advisor's jitter case takes, and which case is not passed (D24)", async () => {
  const page = await Deno.readTextFile(
    new URL("../../lib/connection/README.md", import.meta.url),
  );
  const text = page.replace(/\s+/g, " ");
  assertMatch(text, /No Puback\* wants .* same connection .*\*\*not passed\*\*/);
  const figures = (pattern: RegExp) => pattern.exec(text)!.slice(1).map(Number);
  const [least, most, median] = figures(/takes (\d+) to (\d+) s \(the median is (\d+) s\)/);
  assertAbout(jitterCaseS(120_000), [[0.05, least!], [0.5, median!], [0.95, most!]]);
  // What AWS gives the case unless it is told otherwise.
  assert(least! > 300);
  const [least16, most16] = figures(/--backoff-max 16s` it takes (\d+) to (\d+) s and passes/);
  assertAbout(jitterCaseS(16_000), [[0.05, least16!], [0.95, most16!]]);
  assert(jitterCaseS(16_000).at(-1)! < 300);
});

/** How long 1,000 seeded devices take until the twelfth CONNECT, in s, the shortest first. */
function jitterCaseS(backoffMax: number): number[] {
  return Array.from({ length: 1000 }, (_, index) => {
    const { outage, pass, nowMs } = makeBench(index + 1, backoffMax);
    for (let connect = 1; connect < 12; connect++) {
      const isAnswered = connect === 6;
      pass(isAnswered ? 100 : CONNECT_TIMEOUT_MS);
      pass(
        isAnswered
          ? outage.ended(gone, { ms: 100, delivered: 0, inFlight: 0 })
          : outage.failed(unanswered),
      );
    }
    return nowMs() / 1000;
  }).toSorted((a, b) => a - b);
}

/** The figures are those parts of the sorted list, within 3 %. */
function assertAbout(sorted: readonly number[], wanted: readonly (readonly [number, number])[]) {
  for (const [part, figure] of wanted) {
    const is = sorted[Math.floor(part * sorted.length)]!;
    assert(Math.abs(is / figure - 1) < 0.03, `${figure}: ${is}`);
  }
}

/** What 200 seeded devices do in 300 s with five losses: the waits, and that all of them pass in time. */
function playFive(lose: (bench: Bench, nth: number) => number): Verdict[] {
  return Array.from({ length: 200 }, (_, index) => {
    const bench = makeBench(index + 1);
    const waits: number[] = [];
    for (let nth = 1; nth <= 5; nth++) {
      waits.push(lose(bench, nth));
      bench.pass(waits.at(-1)!);
    }
    assertLessOrEqual(bench.nowMs(), 300_000, `seed ${index + 1}`);
    return judgeWaits(waits);
  });
}

/** With five random waits it happens that the last ones are the shorter ones. */
function assertMostlyJitter(verdicts: readonly Verdict[]): void {
  const jitter = verdicts.filter((verdict) => verdict === "jitter").length;
  assert(jitter >= 0.97 * verdicts.length, `jitter in ${jitter} of ${verdicts.length}`);
  assert(verdicts.every((verdict) => verdict === "jitter" || verdict === "not-growing"));
}

Deno.test("outage reconnects over five short sessions within 300 s (C2; Device Advisor MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection)", () => {
  assertMostlyJitter(playFive(({ outage, pass }) => {
    outage.connected(CONNECTION);
    pass(100);
    return outage.ended(gone, { ms: 100, delivered: 1, inFlight: 0 });
  }));
});

Deno.test("outage reconnects five times after a server's disconnect within 300 s (Device Advisor MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect)", () => {
  assertMostlyJitter(playFive(({ outage, pass }, nth) => {
    if (nth === 1) {
      outage.connected(CONNECTION);
      return outage.ended(gone, { ms: 5000, delivered: 1, inFlight: 0 });
    }
    pass(CONNECT_TIMEOUT_MS);
    return outage.failed(unanswered);
  }));
});

Deno.test("outage that lasts an hour or two never stops the attempts, and ends within 2 min of its cause (C9)", () => {
  for (const awayMs of [30 * 60_000, 60 * 60_000, 120 * 60_000]) {
    for (const seed of SEEDS) {
      const { outage, pass, nowMs } = makeBench(seed);
      let attempts = 0;
      while (nowMs() < awayMs) {
        attempts++;
        pass(outage.failed(gone));
      }
      assert(attempts > awayMs / 120_000, `${attempts} attempts in ${awayMs} ms`);
      assertLessOrEqual(nowMs() - awayMs, 120_000);
    }
  }
});

Deno.test("a fleet of 100 never has more than a fifth of its CONNECTs in one second from the 5th retry on (C10)", () => {
  for (const seed of SEEDS) {
    const perSecond = new Map<number, number>();
    for (let device = 0; device < 100; device++) {
      const { outage, pass, nowMs } = makeBench(seed * 1000 + device);
      // All are thrown out at one instant, after a day of good service.
      pass(outage.ended(gone, { ms: 86_400_000, delivered: 9, inFlight: 0 }));
      for (let retry = 1; nowMs() < 3_600_000; retry++) {
        const second = Math.floor(nowMs() / 1000);
        if (retry >= 5) perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
        pass(outage.failed(gone));
      }
    }
    assertLessOrEqual(Math.max(...perSecond.values()), 20, `seed ${seed}`);
  }
});

Deno.test("two devices that take one client id from each other connect at most 40 times in 5 min (C6)", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const devices = [makeBench(seed), makeBench(seed + 100)];
    const nextMs = [0, 500];
    let owner: number | undefined;
    let connects = 0;
    let sinceMs = 0;
    for (;;) {
      const who = nextMs[0]! <= nextMs[1]! ? 0 : 1;
      const atMs = nextMs[who]!;
      if (atMs >= 300_000) break;
      connects++;
      devices[who]!.pass(atMs - devices[who]!.nowMs());
      devices[who]!.outage.connected(CONNECTION);
      if (owner !== undefined) {
        const thrown = devices[owner]!;
        thrown.pass(atMs - thrown.nowMs());
        const end = { ms: atMs - sinceMs, delivered: 1, inFlight: 0 };
        nextMs[owner] = atMs + thrown.outage.ended(gone, end);
      }
      owner = who;
      sinceMs = atMs;
      nextMs[who] = Infinity;
    }
    assertLessOrEqual(connects, 40, `seed ${seed}`);
  }
});

Deno.test("outage goes to the slow end after a refusal (C4)", () => {
  const { outage } = makeBench();
  assert(outage.failed(refused) >= 90_000);
});

Deno.test("outage goes to the slow end when sessions go on dying early", () => {
  const { outage } = makeBench();
  const end = { ms: 50, delivered: 0, inFlight: 1 };
  const waits = Array.from({ length: 12 }, () => outage.ended(gone, end));
  assert(waits.slice(5).every((ms) => ms >= 90_000), waits.join());
});

Deno.test("outage names a policy when each session dies right after a PUBLISH", () => {
  const { outage, said } = makeBench();
  for (let i = 0; i < 3; i++) outage.ended(gone, { ms: 50, delivered: 0, inFlight: 1 });
  assertMatch(String(said.at(-1)!.fields.cause), /3 times or more right after a PUBLISH/);
  assertMatch(String(said.at(-1)!.fields.hint), /lacks iot:Publish/);
});

Deno.test("outage names a duplicate client id when sessions that work die early (C6)", () => {
  const { outage, said } = makeBench();
  for (let i = 0; i < 3; i++) outage.ended(gone, { ms: 5000, delivered: 4, inFlight: 0 });
  assertMatch(String(said.at(-1)!.fields.hint), /another device uses client id "gw-7"/);
});

Deno.test("outage says the same no more than once a minute while offline", () => {
  const { outage, lines, pass } = makeBench(1, 5000);
  for (let i = 0; i < 200; i++) {
    outage.connecting();
    pass(outage.failed(gone));
  }
  const minutes = Map.groupBy(lines(), ({ event }) => event);
  assertEquals([...minutes.keys()].toSorted(), ["connecting", "retrying"]);
  for (const [event, said] of minutes) assertLessOrEqual(said.length, 11, event);
});

Deno.test("outage says of a link that comes and goes no more than a few lines a minute", () => {
  const { outage, lines, pass } = makeBench(1, 1000);
  for (let i = 0; i < 50; i++) {
    outage.connecting();
    outage.connected(CONNECTION);
    pass(100);
    pass(outage.ended(gone, { ms: 100, delivered: 0, inFlight: 0 }));
  }
  assertLessOrEqual(lines().length, 12);
});

Deno.test("outage leaves what the server said as the cause, however often it comes (D18)", () => {
  const { outage, said } = makeBench();
  const told = new UserError("DISCONNECT 0x9b QoS not supported", {
    code: "disconnected",
    reason: 0x9b,
    hint: "pass --qos 0; then messages can be lost",
    exitCode: EXIT.refused,
    step: "mqtt",
  });
  for (let i = 0; i < 4; i++) outage.ended(told, { ms: 50, delivered: 0, inFlight: 1 });
  assertMatch(
    String(said.at(-1)!.fields.cause),
    /0x9b QoS not supported, 3 times or more in a row$/,
  );
  assertEquals([said.at(-1)!.fields.hint, said.at(-1)!.fields.reason], [told.hint, "0x9b"]);
});

Deno.test("outage says of sessions that end each after the same time how long that is (D15)", () => {
  const { outage, said } = makeBench();
  for (const ms of [35_100, 34_900, 35_000]) {
    outage.ended(gone, { ms, delivered: 33, inFlight: 0 });
  }
  assertMatch(String(said.at(-1)!.fields.cause), /it ends each time after about 35 s$/);
  const irregular = makeBench();
  for (const ms of [35_000, 90_000, 12_000]) {
    irregular.outage.ended(gone, { ms, delivered: 33, inFlight: 0 });
  }
  assertEquals(/each time/.test(String(irregular.said.at(-1)?.fields.cause)), false);
});
