/** kill -9 under clients that hand in lines; tests/system/faults has it 200 times. */

import { assertGreater } from "@std/assert";
import { seeded } from "../../tools/shared/seeded.ts";
import { killUnderClients } from "../support/intake_kills.ts";

Deno.test.sanitizer({ ops: true, resources: true });

Deno.test("kill -9 under 12 clients leaves no receipt without its message (I1)", async () => {
  assertGreater(await killUnderClients(5, seeded(18)), 5);
});
