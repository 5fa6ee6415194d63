/** The queue against its model, with all seeds, and each bit of its header. */

import { flipHeaderBits } from "../../support/damaging.ts";
import { checkSeeds } from "../../support/queue_model.ts";

for (const place of ["memory", "a file"] as const) {
  Deno.test(`queue in ${place} does what its model does, whatever the order: 2,000 seeds (Q16, Q17, Q7)`, () => {
    checkSeeds(place, 2000);
  });
}

Deno.test("queue loses nothing to a flipped bit in its header, whichever it is (Q18)", () => {
  flipHeaderBits(1);
});
