import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { CertificateFacts } from "../../lib/identity/certificate.ts";
import { UserError } from "../../lib/core/errors.ts";
import { createExpiryWatch } from "../../lib/identity/expiry.ts";
import type { Fields } from "../../lib/core/log.ts";
import {
  authorityWarning,
  checkDates,
  clockWarning,
  expiryStage,
} from "../../lib/identity/validity.ts";

const DAY_MS = 86_400_000;
const BUILT_AT = new Date("2027-01-01T00:00:00Z");
const FACTS: CertificateFacts = {
  subject: "CN=gw-7",
  issuer: "CN=a CA",
  validFrom: new Date("2027-02-01T00:00:00Z"),
  validTo: new Date("2027-06-01T12:00:00Z"),
  fingerprint: "AA:BB",
};

/** So many days before the end of the certificate. */
function daysBefore(days: number): Date {
  return new Date(FACTS.validTo.getTime() - days * DAY_MS);
}

function refusal(action: () => unknown): UserError {
  const error = assertThrows(action, UserError);
  assertEquals([error.exitCode, error.step], [78, "files"]);
  assertMatch(error.hint, /timedatectl/);
  return error;
}

Deno.test("dates refuse an expired certificate with the day (X4)", () => {
  const { message } = refusal(() => checkDates("certs/cert.pem", FACTS, { now: daysBefore(-1) }));
  assertMatch(message, /"certs\/cert\.pem": subject "CN=gw-7".*expired on 2027-06-01$/);
});

Deno.test("dates refuse a certificate that is not valid yet", () => {
  const now = new Date("2027-01-31T00:00:00Z");
  const { message } = refusal(() => checkDates("certs/cert.pem", FACTS, { now }));
  assertMatch(message, /subject "CN=gw-7".*not valid yet at 2027-01-31T/);
});

Deno.test("dates warn of a certificate in its last 30 days, and not before (X4)", () => {
  const [warning, ...more] = checkDates("certs/cert.pem", FACTS, { now: daysBefore(29.5) });
  assertEquals(more, []);
  assertEquals(
    warning?.message,
    'Device certificate "certs/cert.pem" expires in 29 days, on 2027-06-01',
  );
  assertEquals(checkDates("certs/cert.pem", FACTS, { now: daysBefore(30) }), []);
});

Deno.test("a clock before the program was built judges no dates, and is told (X5)", () => {
  const clock = { now: new Date(0), builtAt: BUILT_AT };
  const warning = clockWarning("certs/cert.pem", FACTS, clock);
  assertMatch(warning!.message, /^The clock says 1970-01-01T.*before this program was built/);
  assertMatch(warning!.hint, /timedatectl/);
});

Deno.test("a certificate from the future is a sign of a wrong clock, and no refusal (X5)", () => {
  const clock = { now: new Date("2027-01-31T00:00:00Z"), builtAt: BUILT_AT };
  const warning = clockWarning("certs/cert.pem", FACTS, clock);
  assertMatch(
    warning!.message,
    /valid from 2027-02-01T.* only, and this device says it is 2027-01-31T.*: the clock is prob/,
  );
});

Deno.test("a clock that can be right refuses an expired certificate, and lets a valid one be", () => {
  const at = (now: Date) => clockWarning("certs/cert.pem", FACTS, { now, builtAt: BUILT_AT });
  refusal(() => at(daysBefore(-1)));
  assertEquals(at(daysBefore(3)), undefined);
});

Deno.test("expiry has the stages 30, 7, 1 days and the end (X4)", () => {
  const stages = [31, 30, 29.9, 7, 6.9, 1, 0.9, 0, -0.1, -400]
    .map((days) => expiryStage(FACTS.validTo, daysBefore(days)));
  assertEquals(stages, [Infinity, Infinity, 30, 30, 7, 7, 1, 1, 0, 0]);
});

/** A watch on a clock and an identity that the test sets, and what it said. */
function watched() {
  const said: [level: string, cause: string][] = [];
  const at = (level: string) => (_event: string, fields?: Fields) =>
    void said.push([level, String(fields?.cause)]);
  const state = { now: daysBefore(100), facts: FACTS };
  const watch = createExpiryWatch({
    identity: () => ({ certFile: "certs/cert.pem", facts: state.facts }),
    now: () => state.now,
    builtAt: BUILT_AT,
    log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
  });
  /** Looks every hour over some days; returns what was said. */
  const pass = (from: number, to: number) => {
    for (let days = from; days >= to; days -= 1 / 24) {
      state.now = daysBefore(days);
      watch.look();
    }
    return said.splice(0);
  };
  return { state, watch, said, pass };
}

Deno.test("expiry is told once at 30, 7 and 1 days, and at the end, of a year of looks (X4)", () => {
  const { pass } = watched();
  const said = pass(300, -65);
  assertEquals(said.map(([level]) => level), ["warn", "warn", "warn", "error"]);
  assertEquals(said.map(([, cause]) => /expires in (\d+) days|expired at/.exec(cause)?.[1]), [
    "29",
    "6",
    "0",
    undefined,
  ]);
  assertMatch(
    said[3]![1],
    /expired at 2027-06-01T12:00:00\.000Z: the endpoint no longer accepts it/,
  );
});

Deno.test("expiry is told at the start if it is near, at its stage alone (X4)", () => {
  const { pass } = watched();
  assertEquals(pass(3, 2).length, 1);
  assertEquals(pass(2, 0.5).length, 1);
});

Deno.test("expiry of a renewed certificate is told anew (X4)", () => {
  const { state, pass } = watched();
  assertEquals(pass(3, 2).length, 1);
  state.facts = { ...FACTS, fingerprint: "CC:DD", validTo: daysBefore(-300) };
  assertEquals(pass(2, 1).length, 0);
  state.facts = { ...FACTS, fingerprint: "EE:FF" };
  assertEquals(pass(2, 1.5).length, 1);
});

Deno.test("expiry is not judged by a clock that cannot be right (X4)", () => {
  const { state, watch, said } = watched();
  state.now = new Date(0);
  watch.look();
  assertEquals(said, []);
});

Deno.test("CA certificates are not judged by a clock that cannot be right, but for their rights (G16)", () => {
  const clock = { now: new Date("2001-01-01"), builtAt: new Date("2026-01-01") };
  const old = {
    ...FACTS,
    isCa: true,
    validFrom: new Date("2000-01-01"),
    validTo: new Date("2000-02-01"),
  };
  assertEquals(authorityWarning(["ca.pem"], [old], clock), undefined);
  assertMatch(
    authorityWarning(["ca.pem"], [{ ...old, isCa: false }], clock)!.message,
    /^Of the CA certificates in "ca\.pem" .* is not marked as a CA; servers/,
  );
  const right = { ...clock, now: new Date("2026-02-01") };
  assertMatch(
    authorityWarning(["ca.pem"], Array(5).fill(old), right)!.message,
    /expired on 2000-02-01, and so on \(2 more\); servers/,
  );
});
