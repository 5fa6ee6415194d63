/** The queue against its model, with the first seeds. */

import { checkSeeds } from "../support/queue_model.ts";

for (const place of ["memory", "a file"] as const) {
  Deno.test(`queue in ${place} does what its model does, whatever the order: 40 seeds (Q16, Q17, Q7)`, () => {
    checkSeeds(place, 40);
  });
}
