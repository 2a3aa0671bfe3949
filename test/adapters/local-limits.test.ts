// The buckets of one process, on the test's clock.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { LocalLimits } from "#runtime/adapters/system/local-limits.ts";
import { drawOf, sharedLimitsContract } from "../contracts/shared-limits.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

sharedLimitsContract("local", async () => {
  const clock = new SimClock();
  return {
    async open() {
      const limits = new LocalLimits(clock);
      await limits.start();
      return limits;
    },
    pass: (ms) => clock.advance(ms),
  };
});

test("buckets of ever new keys are forgotten once they are full again", async () => {
  const clock = new SimClock();
  const limits = new LocalLimits(clock);
  for (let round = 0; round < 20; round += 1) {
    await limits.draw(Array.from({ length: 1_000 }, (_, tenant) => drawOf({ key: `mailer/requests/tenant=${round}-${tenant}` })));
    await clock.advance(2_000);
  }
  assert.ok(limits.kept <= 3_000, `expected 20 000 buckets that are full not to be kept, found ${limits.kept}`);
});
