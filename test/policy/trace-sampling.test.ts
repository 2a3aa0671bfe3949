import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { isChosen, isTold } from "#runtime/policy/trace-sampling.ts";

const policy = { ratio: 0.01, slowMs: 1_000, followParent: true };
const traceIds = fc.stringMatching(/^[0-9a-f]{32}$/);
const plain = { isChosen: false, hasSucceeded: true, attempt: 1, durationMs: 10, hasStumbled: false };

test("of many traces about the ratio is chosen, none at 0 and all at 1", () => {
  let seed = 1;
  const digits = (): string => Array.from({ length: 32 }, () => ((seed = (seed * 48_271) % 2_147_483_647) % 16).toString(16)).join("");
  const ids = Array.from({ length: 50_000 }, digits);
  const chosen = ids.filter((traceId) => isChosen(policy, traceId, undefined)).length;
  assert.ok(chosen > 400 && chosen < 600, `expected about 500 of 50 000, got ${chosen}`);
  assert.equal(ids.filter((traceId) => isChosen({ ...policy, ratio: 0 }, traceId, undefined)).length, 0);
  assert.equal(ids.filter((traceId) => isChosen({ ...policy, ratio: 1 }, traceId, undefined)).length, ids.length);
});

test("what is chosen at a ratio is chosen at every greater one, by whichever worker", () => {
  fc.assert(
    fc.property(traceIds, fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), (traceId, one, other) => {
      const [less, more] = [Math.min(one, other), Math.max(one, other)];
      if (isChosen({ ...policy, ratio: less }, traceId, undefined)) assert.ok(isChosen({ ...policy, ratio: more }, traceId, undefined));
    }),
  );
});

test("a message that says whether its trace is kept decides, where that is followed", () => {
  const [low, high] = ["0".repeat(31) + "1", "f".repeat(32)];
  assert.deepEqual([isChosen(policy, low, true), isChosen(policy, high, false)], [true, false]);
  const deaf = { ...policy, followParent: false };
  assert.deepEqual([isChosen(deaf, low, true), isChosen(deaf, high, false)], [false, true]);
});

test("failures, retries, repeated calls and slow runs are told of whether chosen or not, and nothing else is", () => {
  assert.equal(isTold(policy, plain), false);
  const causes = [{ isChosen: true }, { hasSucceeded: false }, { attempt: 2 }, { hasStumbled: true }, { durationMs: 1_000 }];
  for (const cause of causes) assert.equal(isTold(policy, { ...plain, ...cause }), true, JSON.stringify(cause));
});
