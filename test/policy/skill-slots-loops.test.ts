// How many runs of a skill are under way at once, as its threads' loops tell: by exactly what, and for how long that is believed.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { SkillSlots } from "#runtime/policy/skill-slots.ts";

const lookEveryMs = 1_000;

/** Slots of one thread with so many runs under way and one that waits. */
function withRuns(atOnce: number, takesTurns = false): SkillSlots<number> {
  const slots = new SkillSlots<number>(1, undefined, takesTurns);
  for (let run = 0; run < atOnce; run += 1) assert.ok(slots.enter(run));
  return slots;
}

/** Four runs have ended, and all have held the loop for this part of the time; returns how many may be under way then. */
function look(slots: SkillSlots<number>, part: number): number {
  for (let run = 0; run < 4; run += 1) slots.ran(200, 0);
  slots.heldLoops(part * lookEveryMs, lookEveryMs);
  return slots.concurrentMax;
}

function leave(slots: SkillSlots<number>, runs: number): void {
  for (let run = 0; run < runs; run += 1) slots.leave();
}

/** A hundred at once held the loop all the time: fifty are tried, and fifty are under way, with one that waits. */
function halved(): SkillSlots<number> {
  const slots = withRuns(100);
  assert.equal(slots.enter(100), false);
  assert.equal(look(slots, 1), 50);
  leave(slots, 50);
  // So many are under way from here on.
  assert.equal(look(slots, 0.85), 50);
  return slots;
}

describe("slots, by the loops of their threads", () => {
  test("know what has ended since they were looked at, and from four runs on can tell", () => {
    const slots = new SkillSlots<number>(1, undefined);
    assert.deepEqual([slots.ended, slots.canTell, slots.loopUse, slots.serviceMs, slots.left], [0, false, 0, 0, 0]);
    for (let run = 0; run < 3; run += 1) slots.ran(200, 50);
    assert.deepEqual([slots.ended, slots.canTell, slots.serviceMs, slots.ownMs], [3, false, 200, 150]);
    slots.ran(200, 50);
    assert.deepEqual([slots.ended, slots.canTell], [4, true]);
    slots.heldLoops(5_000, lookEveryMs);
    assert.deepEqual([slots.ended, slots.canTell, slots.loopUse], [0, false, 1]);
    slots.enter(1);
    slots.enter(2);
    slots.leave();
    assert.deepEqual([slots.left, slots.inUse], [1, 1]);
  });

  test("are half as many from nine tenths of the time on", () => {
    assert.equal(look(withRuns(100), 0.9), 50);
    assert.equal(look(withRuns(100), 0.89), 100);
    assert.equal(look(withRuns(100, true), 1), 100);
    // Half of those there may be, if that is less than half of those that are.
    const slots = withRuns(100);
    assert.deepEqual([look(slots, 1), look(slots, 1)], [50, 25]);
  });

  test("are half of the most that were under way at once since they were looked at", () => {
    const slots = withRuns(0);
    look(slots, 0.5);
    for (let run = 0; run < 10; run += 1) slots.enter(run);
    leave(slots, 6);
    slots.enter(10);
    assert.equal(look(slots, 1), 5);
    // Five are left of them, and no more have come.
    assert.equal(look(slots, 1), 3);
  });

  test("are twice as many again where the loops are free for more than a fifth, all are in use and some wait", () => {
    assert.equal(look(halved(), 0.79), 100);
    assert.equal(look(halved(), 0.8), 50);
    const hasNoneWaiting = halved();
    hasNoneWaiting.clear();
    assert.equal(look(hasNoneWaiting, 0.5), 50);
    const hasOneLess = halved();
    hasOneLess.leave();
    look(hasOneLess, 0.85);
    assert.equal(look(hasOneLess, 0.5), 50);
  });

  test("are not halved again to what was too few, for a minute of looks", () => {
    const slots = halved();
    assert.equal(look(slots, 0.5), 100);
    for (let run = 0; run < 50; run += 1) slots.enter(run);
    for (let second = 1; second < 60; second += 1) assert.equal(look(slots, 1), 100, `after ${second} looks`);
    assert.equal(look(slots, 1), 50);
  });

  test("count a run for a twentieth of what is known of those before, and the first for all", () => {
    const slots = new SkillSlots<number>(1, undefined);
    slots.ran(10, 2);
    assert.deepEqual([slots.serviceMs, slots.ownMs], [10, 8]);
    slots.ran(30, 2);
    assert.deepEqual([slots.serviceMs, slots.ownMs], [11, 9]);
  });

  test("are found by the loops unless it is said that their runs take turns", () => {
    const slots = new SkillSlots<number>(1, undefined);
    for (let run = 0; run < 100; run += 1) slots.enter(run);
    assert.equal(look(slots, 1), 50);
  });

  test("ask of nobody whether it has waited where none waits", () => {
    assert.equal(
      new SkillSlots<number>(1, 1).expire(() => assert.fail("expected nobody to be asked about")),
      undefined,
    );
  });

  test("let all that waits go", () => {
    const slots = new SkillSlots<number>(1, 1);
    for (let run = 0; run < 4; run += 1) slots.enter(run);
    slots.clear();
    assert.deepEqual([slots.waiting, slots.inUse, slots.expire(() => true)], [0, 1, undefined]);
  });
});
