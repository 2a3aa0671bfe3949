import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setTimeout as passed } from "node:timers/promises";
import { watchLoopDelay } from "#runtime/adapters/system/loop-delay.ts";

/** Time for the loop to be looked at, more than once. */
const looks = (): Promise<void> => passed(150);

test("the loop's delay is the time for which it was blocked, told once", async () => {
  const delay = watchLoopDelay();
  await looks();
  delay();
  await looks();
  const endsAtMs = performance.now() + 400;
  while (performance.now() < endsAtMs);
  await looks();
  const longestMs = delay();
  assert.ok(longestMs > 350 && longestMs < 5_000, `${longestMs}`);
  await looks();
  assert.ok(delay() < longestMs);
});
