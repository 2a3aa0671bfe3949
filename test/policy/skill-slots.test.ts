import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { SkillSlots, runsPerThread } from "#runtime/policy/skill-slots.ts";

/** Many runs have taken so long, of which they waited `recordingMs` for their checkpoints. */
function measured(slots: SkillSlots<unknown>, serviceMs: number, recordingMs = 0): SkillSlots<unknown> {
  for (let run = 0; run < 1_000; run += 1) slots.ran(serviceMs, recordingMs);
  slots.adapt();
  return slots;
}

describe("slots of a skill", () => {
  test("are a hundred a thread where the author sets no limit", () => {
    assert.equal(new SkillSlots(3, undefined).concurrentMax, 3 * runsPerThread);
    assert.equal(runsPerThread, 100);
  });

  test("are as many as a thread ends within 20 ms when that is more", () => {
    const slots = measured(new SkillSlots(2, undefined), 0.05);
    assert.equal(slots.concurrentMax, 800);
    assert.equal(measured(slots, 1).concurrentMax, 200);
    assert.equal(measured(new SkillSlots(2, undefined), 0).concurrentMax, 20_000);
  });

  test("do not count what only waits for its checkpoints, and are the default while nothing is known", () => {
    const slots = new SkillSlots(2, undefined);
    slots.adapt();
    assert.deepEqual([slots.concurrentMax, slots.ownMs], [200, 0]);
    // Of 30 ms 20 are spent on the way to the store and back: of three that are in a thread, one is under way.
    assert.equal(measured(slots, 30, 20).concurrentMax, 600);
    assert.equal(slots.ownMs, 10);
    assert.equal(measured(new SkillSlots(2, undefined), 20, 20).concurrentMax, 2_000_000);
  });

  test("follow what runs come to take, not one of them alone", () => {
    const slots = measured(new SkillSlots(1, undefined), 0.1);
    slots.ran(1_000, 0);
    slots.adapt();
    assert.equal(slots.concurrentMax, 100);
    for (let run = 0; run < 300; run += 1) slots.ran(0.1, 0);
    slots.adapt();
    assert.ok(slots.concurrentMax > 190, `${slots.concurrentMax} slots`);
  });

  test("know the shortest run lately, and forget it once all take longer", () => {
    const slots = new SkillSlots(1, undefined);
    assert.equal(slots.leastMs, 0);
    for (const serviceMs of [9, 5, 7]) slots.ran(serviceMs, 0);
    assert.equal(slots.leastMs, 5);
    for (let run = 0; run < 64; run += 1) slots.ran(8, 0);
    assert.equal(slots.leastMs, 5);
    for (let run = 0; run < 64; run += 1) slots.ran(8, 0);
    assert.equal(slots.leastMs, 8);
    slots.ran(2, 0);
    assert.equal(slots.leastMs, 2);
  });

  test("are the author's where he sets them, however short the work", () => {
    assert.equal(measured(new SkillSlots(2, 3), 0.001).concurrentMax, 3);
  });

  test("are given in the order in which they were asked for", () => {
    const slots = new SkillSlots<string>(1, 1);
    assert.deepEqual([slots.enter("first"), slots.enter("second"), slots.enter("third")], [true, false, false]);
    assert.deepEqual([slots.inUse, slots.waiting, slots.next()], [1, 2, undefined]);
    slots.leave();
    assert.deepEqual([slots.next(), slots.next(), slots.inUse, slots.waiting], ["second", undefined, 1, 1]);
    slots.leave();
    assert.equal(slots.next(), "third");
  });

  test("let those go that have waited too long, and no others", () => {
    const slots = new SkillSlots<string>(1, 1);
    slots.enter("running");
    slots.enter("old");
    slots.enter("new");
    const isOld = (run: string): boolean => run === "old";
    assert.deepEqual([slots.expire(isOld), slots.expire(isOld), slots.waiting], ["old", undefined, 1]);
    slots.clear();
    assert.equal(slots.waiting, 0);
  });

  test("bound what is under way, and keep the order of what waits, whatever comes and goes", () => {
    const operations = fc.array(fc.constantFrom("enter", "leave", "next", "expire" as const), { maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), operations, (concurrentMax, list) => {
        const slots = new SkillSlots<number>(1, concurrentMax);
        let inUse = 0;
        const waiting: number[] = [];
        list.forEach((operation, run) => {
          if (operation === "enter") {
            const mayEnter = inUse < concurrentMax;
            assert.equal(slots.enter(run), mayEnter);
            if (mayEnter) inUse += 1;
            else waiting.push(run);
          }
          if (operation === "leave" && inUse > 0) {
            slots.leave();
            inUse -= 1;
          }
          if (operation === "next") {
            const expected = inUse < concurrentMax ? waiting.shift() : undefined;
            if (expected !== undefined) inUse += 1;
            assert.equal(slots.next(), expected);
          }
          if (operation === "expire")
            assert.equal(
              slots.expire((first) => first % 2 === 0),
              (waiting[0] ?? 1) % 2 === 0 ? waiting.shift() : undefined,
            );
          assert.deepEqual([slots.inUse, slots.waiting], [inUse, waiting.length]);
        });
      }),
    );
  });
});

describe("slots of a skill whose code holds its threads' loops", () => {
  const threads = 2;

  /** A second in which as many runs as there may be are under way; each holds its loop for `workMs` and waits for `waitMs` beside that. */
  function second(slots: SkillSlots<number>, workMs: number, waitMs: number): void {
    while (slots.waiting === 0) slots.enter(0);
    const aThread = slots.inUse / threads;
    const perThread = Math.min(1_000 / workMs, (aThread * 1_000) / (workMs + waitMs));
    const serviceMs = (aThread * 1_000) / perThread;
    for (let run = 0; run < perThread * threads; run += 1) {
      slots.ran(serviceMs, 0);
      slots.leave();
      while (slots.next() !== undefined);
      while (slots.waiting === 0) slots.enter(0);
    }
    slots.heldLoops(perThread * workMs * threads, 1_000);
  }

  function found(workMs: number, waitMs: number, takesTurns = false): SkillSlots<number> {
    const slots = new SkillSlots<number>(threads, undefined, takesTurns);
    for (let look = 0; look < 20; look += 1) second(slots, workMs, waitMs);
    return slots;
  }

  test("become as many as threads", () => {
    const slots = found(200, 0);
    assert.deepEqual([slots.concurrentMax, slots.loopUse], [threads, 1]);
  });

  test("are found between, where half of the work is waiting, and then stay", () => {
    const slots = found(50, 50);
    const size = slots.concurrentMax;
    assert.ok(size >= 2 * threads && size <= 4 * threads, `${size} slots`);
    for (let look = 0; look < 10; look += 1) {
      second(slots, 50, 50);
      assert.equal(slots.concurrentMax, size);
    }
    assert.ok(slots.loopUse >= 0.9, `${slots.loopUse} of the loops`);
  });

  test("stay a hundred a thread where runs wait, as many as a thread does in 20 ms where they are short, and many where runs of several sources take turns", () => {
    assert.equal(found(0.5, 100).concurrentMax, 100 * threads);
    assert.equal(found(1, 0).concurrentMax, 20 * threads);
    assert.equal(found(200, 0, true).concurrentMax, 100 * threads);
  });

  test("are more again when the work comes to wait", () => {
    const slots = found(200, 0);
    for (let look = 0; look < 20; look += 1) second(slots, 1, 199);
    assert.equal(slots.concurrentMax, 100 * threads);
  });
});
