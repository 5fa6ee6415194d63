import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  explainConnack,
  explainDisconnect,
  PublishRefusedError,
  reasonName,
} from "../../lib/connection/reason_codes.ts";

const TARGET = {
  endpoint: "gw.example",
  port: 443,
  alpn: "x-amzn-mqtt-ca",
  clientId: "gw-7",
  tlsMin: "1.2" as const,
  caFiles: [],
};
const EVERY_CODE = Array.from({ length: 256 }, (_, code) => code);

Deno.test("reasonName has a name for every code of both versions", () => {
  for (const version of ["5", "3.1.1"] as const) {
    for (const code of EVERY_CODE) {
      assertMatch(reasonName(code, version), /^(0x)?[0-9a-f]+ [a-zA-Z]/);
    }
  }
});

Deno.test("reasonName writes codes as each version's documents do", () => {
  assertEquals(reasonName(0x87), "0x87 not authorized");
  assertEquals(reasonName(0x05), "0x05 unknown reason");
  assertEquals(reasonName(5, "3.1.1"), "5 not authorized");
  assertEquals(reasonName(7, "3.1.1"), "7 unknown reason");
});

Deno.test("no explanation of any code says undefined or lacks a hint", () => {
  for (const code of EVERY_CODE) {
    const errors = [
      explainConnack(code, "5", TARGET),
      explainConnack(code, "3.1.1", TARGET),
      explainDisconnect(code, TARGET),
      new PublishRefusedError(code, "a/b"),
    ];
    for (const { message, hint } of errors) {
      assertEquals(/undefined/.test(message + hint), false, message);
      assert(hint.length > 5 && !message.endsWith("."), message);
    }
  }
});

Deno.test("a CONNACK that may pass by itself is unreachable, any other is a refusal", () => {
  const transient = [0x80, 0x83, 0x88, 0x89, 0x97, 0x9f];
  const lasting = [0x84, 0x85, 0x86, 0x87, 0x8a, 0x90, 0x9b, 0xc8];
  assertEquals(
    transient.map((code) => explainConnack(code, "5", TARGET).exitCode).join(),
    "69,69,69,69,69,69",
  );
  for (const code of lasting) assertEquals(explainConnack(code, "5", TARGET).exitCode, 77);
  const old = [1, 2, 3, 4, 5, 7].map((code) => explainConnack(code, "3.1.1", TARGET).exitCode);
  assertEquals(old, [77, 77, 69, 77, 77, 77]);
});

Deno.test("CONNACK not authorized names the policy statement with the client id", () => {
  for (const error of [explainConnack(0x87, "5", TARGET), explainConnack(5, "3.1.1", TARGET)]) {
    assertEquals(error.step, "mqtt");
    assertMatch(error.message, /^gw\.example:443 refused the session: CONNACK .*not authorized$/);
    assertMatch(error.hint, /iot:Connect for client\/gw-7/);
  }
});

Deno.test("DISCONNECT session taken over names the duplicate client id", () => {
  const error = explainDisconnect(0x8e, TARGET);
  assertMatch(error.message, /DISCONNECT 0x8e session taken over/);
  assertMatch(error.hint, /--client-id/);
  assertEquals(error.exitCode, 77);
});

Deno.test("DISCONNECT shutting down asks for patience", () => {
  const error = explainDisconnect(0x8b, TARGET);
  assertEquals(error.exitCode, 69);
  assertMatch(error.hint, /^it is tried again; if it stays so for some minutes, ask/);
});

Deno.test("a code's hint fits what it answers", () => {
  assertMatch(new PublishRefusedError(0x97, "a").hint, /lower --max-rate/);
  assertMatch(explainConnack(0x97, "5", TARGET).hint, /^it is tried again/);
  assertMatch(explainConnack(0x90, "5", TARGET).hint, /broker's log/);
  assertMatch(
    explainConnack(200, "3.1.1", TARGET).hint,
    /^ask who runs the broker what that means/,
  );
});

Deno.test("PUBACK not authorized names the policy statement with the topic", () => {
  const error = new PublishRefusedError(0x87, "dt/x");
  assertMatch(error.message, /refused a message to "dt\/x": PUBACK 0x87 not authorized/);
  assertMatch(error.hint, /iot:Publish on topic\/dt\/x/);
  assertEquals([error.step, error.exitCode, error.transient], ["publish", 77, false]);
});

Deno.test("a refused message is kept for later if the reason may pass, else set aside", () => {
  const transient = (code: number) => new PublishRefusedError(code, "a").transient;
  assertEquals([0x80, 0x83, 0x91, 0x97].map(transient), [true, true, true, true]);
  assertEquals([0x87, 0x90, 0x95, 0x99, 0xc8].map(transient), [false, false, false, false, false]);
});
