import { assertEquals } from "@std/assert";
import { growthOf, openAccount } from "../../tools/soak/account.ts";

Deno.test("the account of a soak finds what is missing, repeated and out of order", () => {
  const account = openAccount();
  for (const seq of [1, 2, 4, 3, 4, 7]) account.take(seq);
  assertEquals(account.missing(7), [5, 6]);
  assertEquals([account.arrived, account.repeats, account.outOfOrder], [6, 1, 1]);
});

Deno.test("the account of a soak is whole when each came in its turn", () => {
  const account = openAccount();
  for (let seq = 1; seq <= 100; seq++) account.take(seq);
  assertEquals(account.missing(100), []);
  assertEquals([account.repeats, account.outOfOrder], [0, 0]);
});

Deno.test("growth leaves out the warm-up and single peaks", () => {
  const flat = [20, 50, 60, 61, 60, 60, 61, 60, 60, 60, 150, 60];
  const leak = flat.map((rssMiB, second) => rssMiB + 3 * second);
  const growth = (rss: number[]) => growthOf(rss.map((rssMiB) => ({ rssMiB, fds: 10 })));
  assertEquals(growth(flat), { rssMiB: 0, fds: 0 });
  assertEquals(growth(leak).rssMiB > 12, true);
});
