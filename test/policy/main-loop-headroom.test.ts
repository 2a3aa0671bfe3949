// Whether the main thread is what limits, as far as its use of its time tells.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { MainLoopHeadroom, loopBusyFrom, loopLookMs } from "#runtime/policy/main-loop-headroom.ts";

test("a loop is free below 85 % of its time, as of a look each second", () => {
  const uses = [loopBusyFrom, loopBusyFrom - 0.01, 1];
  const loop = new MainLoopHeadroom(() => uses.shift()!);
  assert.equal(loop.isFree(0), false);
  assert.equal(loop.isFree(loopLookMs - 1), false);
  assert.equal(loop.isFree(loopLookMs), true);
  assert.equal(loop.isFree(2 * loopLookMs - 1), true);
  assert.equal(loop.isFree(2 * loopLookMs), false);
  assert.deepEqual(uses, []);
});
