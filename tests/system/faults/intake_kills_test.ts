/** kill -9 under clients that hand in lines, as often as it takes to hit every instant. */

import { assertGreater } from "@std/assert";
import { seeded } from "../../../tools/shared/seeded.ts";
import { killUnderClients } from "../../support/intake_kills.ts";

Deno.test.sanitizer({ ops: true, resources: true });

Deno.test("kill -9 under 12 clients, 200 times, leaves no receipt without its message (I1)", async () => {
  assertGreater(await killUnderClients(200, seeded(2018)), 10_000);
});
