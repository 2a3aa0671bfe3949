import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type RetryBudgetPolicy, defaultRetryBudgetPolicy } from "#runtime/core/skill.ts";
import { RetryLedger } from "#runtime/policy/retry-ledger.ts";
import { RetryBudget } from "#runtime/policy/retry-budget.ts";

function budgetOf(changes: Partial<RetryBudgetPolicy>): RetryBudget {
  return new RetryBudget({ ratio: 0, perSecondMin: 0, windowMs: 1_000, ...changes });
}

function spendAll(budget: RetryBudget, nowMs: number): number {
  let spent = 0;
  while (budget.spend(nowMs)) spent += 1;
  return spent;
}

describe("retry budget", () => {
  test("grants its minimum a second over the whole window, without any message", () => {
    assert.equal(spendAll(budgetOf({ perSecondMin: 5, windowMs: 2_000 }), 0), 10);
    assert.equal(spendAll(new RetryBudget(defaultRetryBudgetPolicy), 0), 100);
  });

  test("grants a share of the messages on top", () => {
    const budget = budgetOf({ perSecondMin: 2, ratio: 0.5 });
    budget.earn(7, 0);
    assert.equal(spendAll(budget, 0), 5);
  });

  test("grants as many as messages have earned to the last one, without losing one to rounding", () => {
    const budget = budgetOf({ ratio: 0.1 });
    for (let message = 0; message < 30; message += 1) budget.earn(1, message);
    assert.equal(spendAll(budget, 30), 3);
  });

  test("refuses when nothing is left, and counts what it granted and refused", () => {
    const budget = budgetOf({ perSecondMin: 1 });
    assert.deepEqual([budget.spend(0), budget.spend(0), budget.spend(0)], [true, false, false]);
    const { left, granted, refused } = budget.view(0);
    assert.deepEqual([left, granted, refused], [0, 1, 2]);
  });

  test("forgets what was earned once the window has passed", () => {
    const budget = budgetOf({ ratio: 1 });
    budget.earn(3, 50);
    assert.equal(budget.view(999).left, 3);
    assert.equal(budget.view(1_000).left, 0);
  });

  test("grants again what was spent once the window has passed, a tenth at a time", () => {
    const budget = budgetOf({ perSecondMin: 4 });
    budget.spend(0);
    budget.spend(150);
    budget.spend(950);
    assert.deepEqual(
      [999, 1_000, 1_099, 1_100, 1_899, 1_900].map((nowMs) => budget.view(nowMs).left),
      [1, 2, 2, 3, 3, 4],
    );
  });

  test("starts over after a long silence", () => {
    const budget = budgetOf({ perSecondMin: 4, ratio: 1 });
    budget.earn(10, 0);
    assert.equal(spendAll(budget, 0), 14);
    assert.equal(budget.view(1e9).left, 4);
    assert.equal(spendAll(budget, 1e9), 4);
  });

  test("a clock that goes backwards grants nothing more, and counts go on", () => {
    const budget = budgetOf({ perSecondMin: 2 });
    assert.equal(spendAll(budget, 5_000), 2);
    assert.deepEqual([budget.spend(-5_000), budget.spend(4_000), budget.spend(5_999)], [false, false, false]);
    assert.equal(spendAll(budget, 6_000), 2);
  });

  test("is changed while it runs: what was spent stays spent, and another window starts over", () => {
    const budget = budgetOf({ perSecondMin: 2 });
    spendAll(budget, 0);
    budget.change({ perSecondMin: 5 }, 0);
    assert.equal(budget.view(0).left, 3);
    budget.change({ perSecondMin: 1 }, 0);
    assert.equal(budget.view(0).left, 0);
    budget.change({ windowMs: 3_000 }, 0);
    assert.deepEqual([budget.view(0).left, budget.view(0).policy], [3, { ratio: 0, perSecondMin: 1, windowMs: 3_000 }]);
  });

  test("what threads take is counted once it is seen, and forgotten with the window", () => {
    const ledger = new RetryLedger();
    const budget = new RetryBudget({ ratio: 0, perSecondMin: 3, windowMs: 1_000 }, ledger);
    assert.equal(ledger.take(), false);
    budget.look(0);
    assert.deepEqual([ledger.take(), ledger.take()], [true, true]);
    assert.equal(budget.spend(10), true);
    assert.deepEqual([budget.spend(20), ledger.take()], [false, false]);
    const { left, granted, refused, ofCalls } = budget.view(20);
    assert.deepEqual([left, granted, refused, ofCalls], [0, 3, 3, { granted: 2, refused: 2 }]);
    budget.look(999);
    assert.equal(ledger.take(), false);
    budget.look(1_000);
    assert.equal(ledger.take(), true);
  });

  test("another window starts over also for what threads took and nobody has seen", () => {
    const ledger = new RetryLedger();
    const budget = new RetryBudget({ ratio: 1, perSecondMin: 2, windowMs: 1_000 }, ledger);
    budget.earn(3, 0);
    assert.deepEqual([ledger.take(), ledger.take()], [true, true]);
    budget.change({ windowMs: 2_000 }, 0);
    const { left, granted } = budget.view(0);
    assert.deepEqual([left, granted], [4, 2]);
    assert.deepEqual([budget.view(1_999).left, budget.view(2_000).left, budget.view(9_000).left], [4, 4, 4]);
  });

  test("threads never take more than the budget allows, and may at once when a message or a change earns more", () => {
    const ledger = new RetryLedger();
    const budget = new RetryBudget({ ratio: 0.5, perSecondMin: 0, windowMs: 1_000 }, ledger);
    budget.earn(4, 0);
    assert.deepEqual([ledger.take(), ledger.take(), ledger.take()], [true, true, false]);
    budget.change({ perSecondMin: 1 }, 0);
    assert.deepEqual([ledger.take(), ledger.take()], [true, false]);
    budget.change({ perSecondMin: 0 }, 0);
    assert.equal(budget.view(0).left, 0);
    assert.equal(ledger.take(), false);
    budget.earn(4, 0);
    assert.deepEqual([ledger.take(), ledger.take()], [true, false]);
  });

  test("grants within any window no more than its minimum and its share of what arrived within it", () => {
    const step = fc.record({ waitMs: fc.integer({ min: 0, max: 400 }), messages: fc.integer({ min: 0, max: 9 }), retries: fc.integer({ min: 0, max: 9 }) });
    fc.assert(
      fc.property(fc.constantFrom(0, 0.2, 0.5, 1), fc.integer({ min: 0, max: 6 }), fc.array(step, { maxLength: 80 }), (ratio, perSecondMin, steps) => {
        const budget = budgetOf({ ratio, perSecondMin });
        const log: { readonly slice: number; readonly messages: number; readonly retries: number }[] = [];
        let nowMs = 0;
        for (const { waitMs, messages, retries } of steps) {
          nowMs += waitMs;
          budget.earn(messages, nowMs);
          const slice = Math.floor(nowMs / 100);
          const within = log.filter((entry) => entry.slice > slice - 10);
          const sum = (key: "messages" | "retries"): number => within.reduce((total, entry) => total + entry[key], 0);
          const left = Math.max(0, Math.floor(perSecondMin + ratio * (sum("messages") + messages) - sum("retries") + 1e-9));
          assert.ok(Math.abs(budget.view(nowMs).left - left) <= (ratio === 0.2 ? 1 : 0), `${budget.view(nowMs).left} instead of ${left}`);
          let granted = 0;
          for (let retry = 0; retry < retries; retry += 1) if (budget.spend(nowMs)) granted += 1;
          assert.ok(granted <= left);
          log.push({ slice, messages, retries: granted });
        }
      }),
    );
  });
});
