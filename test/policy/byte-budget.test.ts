import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { ByteBudget } from "#runtime/policy/byte-budget.ts";

describe("a budget of bytes", () => {
  test("is no bound before a message has come", () => {
    for (const bytes of [0, 100]) assert.equal(new ByteBudget(bytes).room(), Number.POSITIVE_INFINITY);
  });

  test("has room for as many as are likely to fit beside what is held", () => {
    const budget = new ByteBudget(1_000);
    budget.took(100);
    budget.took(100);
    assert.deepEqual([budget.heldBytes, budget.expectedBytes, budget.room()], [200, 100, 8]);
    budget.gave(100);
    assert.equal(budget.room(), 9);
  });

  test("expects the worse when sizes differ", () => {
    const budget = new ByteBudget(100_000);
    budget.took(100);
    budget.took(900);
    // The mean is 200, the deviation 200.
    assert.equal(budget.expectedBytes, 200 + 4 * 200);
    budget.took(100);
    // Of the mean it is off by 100, which makes the mean deviation 175.
    assert.equal(budget.expectedBytes, 187.5 + 4 * 175);
  });

  test("serves a message that is larger than all of it by itself", () => {
    const budget = new ByteBudget(1_000);
    budget.took(5_000);
    assert.deepEqual([budget.room(), budget.leftBytes, budget.isEmpty], [0, -4_000, false]);
    budget.gave(5_000);
    assert.deepEqual([budget.room(), budget.leftBytes, budget.isEmpty], [1, 1_000, true]);
    assert.throws(() => budget.gave(1), /expected a held message to leave, found none/);
  });

  test("counts what waits for long as held, but not as what a message that is larger than all of it waits for", () => {
    const budget = new ByteBudget(1_000);
    for (const bytes of [300, 300]) {
      budget.took(bytes);
      budget.rests(bytes);
    }
    assert.deepEqual([budget.heldBytes, budget.isEmpty, budget.restsTooMuch], [600, true, true]);
    budget.took(400);
    assert.deepEqual([budget.isEmpty, budget.room()], [false, 0]);
    budget.gave(400);
    assert.equal(budget.room(), 1);
    budget.goesOn(300);
    assert.deepEqual([budget.isEmpty, budget.restsTooMuch], [false, false]);
  });

  test("has less room beside what has grown, and expects no other sizes for that", () => {
    const budget = new ByteBudget(1_000);
    budget.took(100);
    budget.grew(500);
    assert.deepEqual([budget.heldBytes, budget.expectedBytes, budget.room()], [600, 100, 4]);
    budget.grew(-500);
    budget.gave(100);
    assert.deepEqual([budget.heldBytes, budget.room()], [0, 10]);
  });

  test("is not exceeded by messages of one size, however they come and go", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 1, max: 100_000 }), fc.array(fc.boolean(), { maxLength: 300 }), (bytes, all, steps) => {
        const budget = new ByteBudget(all);
        let held = 0;
        for (const takes of steps) {
          if (takes && budget.room() > 0 && (held > 0 || budget.expectedBytes > 0 || held === 0)) {
            budget.took(bytes);
            held += 1;
          } else if (held > 0) {
            budget.gave(bytes);
            held -= 1;
          }
          assert.ok(budget.heldBytes <= Math.max(all, bytes), `${budget.heldBytes} of ${all}`);
        }
      }),
    );
  });
});
