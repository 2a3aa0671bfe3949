import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { RetryBudget } from "#runtime/policy/retry-budget.ts";

function spendAll(budget: RetryBudget): number {
  let spent = 0;
  while (budget.spend()) spent += 1;
  return spent;
}

describe("retry budget", () => {
  test("has its reserve at the start, and no more", () => {
    assert.equal(spendAll(new RetryBudget(0.2, 10)), 10);
  });

  test("refuses a retry when there is no whole token left, and goes on once runs have earned one", () => {
    const budget = new RetryBudget(0.5, 1);
    assert.deepEqual([budget.spend(), budget.spend()], [true, false]);
    budget.earn(1);
    assert.equal(budget.spend(), false);
    budget.earn(1);
    assert.equal(budget.spend(), true);
  });

  test("never saves more than its reserve", () => {
    const budget = new RetryBudget(0.2, 5);
    budget.earn(1_000_000);
    assert.equal(spendAll(budget), 5);
  });

  test("grants at most its reserve and its share of the fresh runs, whatever the order", () => {
    fc.assert(
      fc.property(fc.constantFrom(0.1, 0.2, 0.5, 1), fc.integer({ min: 1, max: 50 }), fc.array(fc.integer({ min: 0, max: 40 })), (ratio, reserve, steps) => {
        const budget = new RetryBudget(ratio, reserve);
        let earned = 0;
        let spent = 0;
        for (const step of steps) {
          if (step === 0) {
            if (budget.spend()) spent += 1;
          } else {
            budget.earn(step);
            earned += step;
          }
          assert.ok(spent <= reserve + earned * ratio + 1e-9, `${spent} of ${reserve} + ${earned} × ${ratio}`);
        }
      }),
    );
  });
});
