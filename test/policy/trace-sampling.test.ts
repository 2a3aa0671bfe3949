import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { isRemarkable, isTraceChosen } from "#runtime/policy/trace-sampling.ts";

const policy = { ratio: 0.01, slowMs: 1_000, followParent: true };
const traceIds = fc.stringMatching(/^[0-9a-f]{32}$/);
const anyIds = fc.oneof(traceIds, fc.uuid(), fc.string({ minLength: 1, maxLength: 40 }));
const plain = { hasSucceeded: true, attempt: 1, durationMs: 10, hasStumbled: false };

let seed = 1;
const draw = (): number => (seed = (seed * 48_271) % 2_147_483_647);
const traceId = (): string => Array.from({ length: 32 }, () => (draw() % 16).toString(16)).join("");

for (const [what, make] of [
  ["W3C's", traceId],
  ["those with dashes", () => traceId().replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")],
  ["words with numbers", () => `order-${draw() % 1_000_000}`],
  ["words with the time", () => `order-${1_764_460_800_000 + (draw() % 1_000_000_000)}`],
  ["words with numbers that are filled up", () => `run-${String(draw() % 1_000_000).padStart(13, "0")}`],
] as const) {
  test(`of many traces about the ratio is chosen, none at 0 and all at 1: ${what}`, () => {
    const ids = Array.from({ length: 50_000 }, make);
    const chosen = ids.filter((id) => isTraceChosen(policy, id, undefined)).length;
    assert.ok(chosen > 400 && chosen < 600, `expected about 500 of 50 000, got ${chosen}`);
    assert.equal(ids.filter((id) => isTraceChosen({ ...policy, ratio: 0 }, id, undefined)).length, 0);
    assert.equal(ids.filter((id) => isTraceChosen({ ...policy, ratio: 1 }, id, undefined)).length, ids.length);
  });
}

test("what is chosen at a ratio is chosen at every greater one, by whichever worker", () => {
  fc.assert(
    fc.property(anyIds, fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), (id, one, other) => {
      const [less, more] = [Math.min(one, other), Math.max(one, other)];
      if (isTraceChosen({ ...policy, ratio: less }, id, undefined)) assert.ok(isTraceChosen({ ...policy, ratio: more }, id, undefined));
    }),
  );
});

const [low, high] = ["0".repeat(31) + "1", "f".repeat(32)];
const from = (id: string, flags: string): string => `00-${id}-00f067aa0ba902b7-${flags}`;

test("a message that says whether its trace is kept decides, where that is followed; of the flags the last bit alone says it", () => {
  assert.deepEqual([isTraceChosen(policy, low, from(low, "01")), isTraceChosen(policy, high, from(high, "00"))], [true, false]);
  assert.deepEqual([isTraceChosen(policy, low, from(low, "03")), isTraceChosen(policy, high, from(high, "02"))], [true, false]);
  const deaf = { ...policy, followParent: false };
  assert.deepEqual([isTraceChosen(deaf, low, from(low, "01")), isTraceChosen(deaf, high, from(high, "00"))], [false, true]);
});

test("of a message that was made in another trace the event's own is asked; an event whose id is no trace id goes by its message", () => {
  assert.deepEqual([isTraceChosen(policy, low, from(high, "01")), isTraceChosen(policy, high, from(low, "00"))], [false, true]);
  assert.deepEqual([isTraceChosen(policy, "trace-1", from(low, "01")), isTraceChosen(policy, "trace-1", from(high, "00"))], [true, false]);
  const deaf = { ...policy, followParent: false };
  assert.deepEqual([isTraceChosen(deaf, "trace-1", from(low, "01")), isTraceChosen(deaf, "trace-1", from(high, "00"))], [false, true]);
});

test("failures, retries, repeated calls and slow runs are told of whether chosen or not, and nothing else is", () => {
  assert.equal(isRemarkable(policy, plain), false);
  const causes = [{ hasSucceeded: false }, { attempt: 2 }, { hasStumbled: true }, { durationMs: 1_000 }];
  for (const cause of causes) assert.equal(isRemarkable(policy, { ...plain, ...cause }), true, JSON.stringify(cause));
});
