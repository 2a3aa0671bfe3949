import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type IntakeBounds, IntakeWindow, judgeEveryMs } from "#runtime/policy/intake-window.ts";
import { IntakeSimulation, type Shape } from "../support/intake-simulation.ts";

const bounds: IntakeBounds = { start: 8, floor: 2, ceiling: 10_000, waitMaxMs: 500 };
const near = { receiveMs: 2, claimMs: 2, settleMs: 2 };

/** What threads say: they have begun all that they were given, or not. */
const dry = (): boolean => true;
const busy = (): boolean => false;

function capacity({ servers, serviceMs }: Shape): number {
  return (servers * 1_000) / serviceMs;
}

describe("an intake window", () => {
  test("starts small and never leaves its bounds", () => {
    const window = new IntakeWindow({ start: 8, floor: 2, ceiling: 4, waitMaxMs: 500 });
    assert.equal(window.size, 4);
    assert.equal(window.room(0, dry), 4);
  });

  test("has room for what it does not hold", () => {
    const window = new IntakeWindow(bounds);
    window.took(0);
    window.took(0);
    assert.deepEqual([window.held, window.room(0, busy), window.isFull], [2, 6, false]);
    window.gave(1);
    assert.equal(window.room(1, busy), 7);
    window.gave(1);
    assert.throws(() => window.gave(1), /expected a held message to leave, found none/);
  });

  test("doubles without end in sight while those that ended took long, though none of those that came since it has ended", () => {
    for (const [serviceMs, size] of [
      [2_000, 64],
      [1, 32],
    ] as const) {
      const window = new IntakeWindow({ ...bounds, start: 16 });
      window.tripped(1, 1);
      for (let message = 0; message < 16; message += 1) window.took(0);
      for (let look = 1; look <= 2; look += 1) window.room(judgeEveryMs * look, dry);
      for (let run = 0; run < 4; run += 1) window.ran(0, 0, serviceMs);
      for (let run = 0; run < 4; run += 1) window.gave(judgeEveryMs * 2);
      for (let message = 0; message < 20; message += 1) window.took(judgeEveryMs * 2);
      for (let look = 3; look <= 4; look += 1) window.room(judgeEveryMs * look, dry);
      assert.equal(window.size, size, `runs of ${serviceMs} ms`);
    }
  });

  test("doubles while threads have begun all that they were given, seen twice in a row", () => {
    const window = new IntakeWindow(bounds);
    for (let message = 0; message < 8; message += 1) window.took(0);
    window.room(judgeEveryMs, dry);
    assert.equal(window.size, 8);
    window.room(judgeEveryMs * 2, dry);
    assert.equal(window.size, 16);
  });

  test("grows by one at a time, or not at all, while its runs take longer than usual, and shrinks all the same", () => {
    const window = new IntakeWindow(bounds);
    window.growth = "careful";
    for (let message = 0; message < 8; message += 1) window.took(0);
    for (let look = 1; look <= 4; look += 1) window.room(judgeEveryMs * look, dry);
    assert.equal(window.size, 10);
    window.growth = "none";
    for (let look = 5; look <= 20; look += 1) window.room(judgeEveryMs * look, dry);
    assert.equal(window.size, 10);
    for (let run = 0; run < 10; run += 1) window.ran(judgeEveryMs * 20, 0, 1);
    window.room(judgeEveryMs * 21, busy);
    assert.equal(window.size, 10);
    for (let run = 0; run < 10; run += 1) window.ran(judgeEveryMs * 21, 5_000, 1);
    window.room(judgeEveryMs * 22, busy);
    assert.equal(window.size, 5);
  });

  test("does not grow while threads have enough to do", () => {
    const window = new IntakeWindow(bounds);
    for (let message = 0; message < 8; message += 1) window.took(0);
    for (let look = 1; look < 100; look += 1) window.room(judgeEveryMs * look, busy);
    assert.equal(window.size, 8);
  });

  test("does not grow while it is not used up", () => {
    const window = new IntakeWindow(bounds);
    for (let message = 0; message < 3; message += 1) window.took(0);
    for (let look = 1; look < 100; look += 1) window.room(judgeEveryMs * look, dry);
    assert.equal(window.size, 8);
  });

  test("is looked at as soon as it may be, not more often", () => {
    const window = new IntakeWindow(bounds);
    for (let message = 0; message < 8; message += 1) window.took(0);
    window.room(judgeEveryMs, dry);
    window.room(judgeEveryMs * 2 - 1, dry);
    assert.equal(window.size, 8);
    window.room(judgeEveryMs * 2, dry);
    assert.equal(window.size, 16);
  });

  test("shrinks by as much as runs wait too long, by half at most", () => {
    const window = new IntakeWindow({ ...bounds, start: 100 });
    for (let run = 0; run < 100; run += 1) window.ran(0, 800, 190);
    window.room(judgeEveryMs, busy);
    // 190 ms of work and 10 ms of waiting are wanted, of 190 + 800.
    assert.equal(window.size, 50);
    const slower = new IntakeWindow({ ...bounds, start: 100 });
    for (let run = 0; run < 100; run += 1) slower.ran(0, 600, 1_390);
    slower.room(judgeEveryMs, busy);
    assert.equal(slower.size, 70);
  });

  test("judges only by runs that came after it was changed", () => {
    const window = new IntakeWindow({ ...bounds, start: 4 });
    for (let run = 0; run < 4; run += 1) window.ran(0, 5_000, 1);
    window.room(judgeEveryMs, busy);
    assert.equal(window.size, 2);
    for (let run = 0; run < 40; run += 1) window.ran(judgeEveryMs - 1, 0, 1);
    for (let message = 0; message < 2; message += 1) window.took(judgeEveryMs);
    window.room(judgeEveryMs * 2, busy);
    assert.equal(window.size, 2);
    for (let run = 0; run < 2; run += 1) window.ran(judgeEveryMs, 0, 1);
    window.room(judgeEveryMs * 3, busy);
    assert.equal(window.size, 4);
  });

  test("does not move while nothing ends for longer than runs take", () => {
    const window = new IntakeWindow({ ...bounds, start: 2 });
    assert.equal(window.isStalled(10_000), false);
    window.took(0);
    assert.deepEqual([window.isStalled(1_000), window.isStalled(1_001)], [false, true]);
    window.took(500);
    assert.equal(window.isStalled(1_001), true);
    window.gave(2_000);
    assert.deepEqual([window.isStalled(3_000), window.isStalled(3_001)], [false, true]);
    for (let run = 0; run < 2; run += 1) window.ran(2_000, 0, 1_000);
    window.room(3_000, busy);
    assert.deepEqual([window.serviceMs, window.isStalled(4_000), window.isStalled(4_001)], [1_000, false, true]);
    assert.equal(window.turnsOverMs, 1_500);
  });

  test("takes more than it is meant for until what was fetched for a larger one is here, and what chance may add", () => {
    const window = new IntakeWindow({ ...bounds, start: 4 });
    for (let run = 0; run < 4; run += 1) window.ran(0, 5_000, 1);
    window.room(judgeEveryMs, busy);
    for (let message = 0; message < 3; message += 1) window.took(judgeEveryMs);
    assert.deepEqual([window.size, window.isFull, window.isOverfull], [2, true, false]);
    for (let message = 3; message < 8; message += 1) {
      assert.equal(window.isOverfull, false, `with ${message} held`);
      window.took(judgeEveryMs);
    }
    assert.equal(window.isOverfull, true);
  });

  test("takes more than it is meant for where they end within the time in which a run should begin", () => {
    const window = new IntakeWindow({ ...bounds, start: 100 });
    for (let message = 0; message < 100; message += 1) window.took(0);
    for (let message = 0; message < 50; message += 1) window.gave(judgeEveryMs - 1);
    for (let run = 0; run < 100; run += 1) window.ran(0, 5_000, 1);
    window.room(judgeEveryMs, busy);
    // One in a millisecond, so five hundred within the time.
    for (let message = 50; message < 499; message += 1) window.took(judgeEveryMs);
    assert.deepEqual([window.isFull, window.isOverfull], [true, false]);
    window.took(judgeEveryMs);
    assert.equal(window.isOverfull, true);
  });

  test("can grow until it has been found, or has reached its ceiling, or its runs take longer than usual", () => {
    const window = new IntakeWindow({ ...bounds, ceiling: 16 });
    assert.equal(window.canGrow, true);
    window.growth = "careful";
    assert.equal(window.canGrow, false);
    window.growth = "free";
    for (let message = 0; message < 8; message += 1) window.took(0);
    window.room(judgeEveryMs, dry);
    window.room(judgeEveryMs * 2, dry);
    assert.deepEqual([window.size, window.canGrow], [16, false]);
    // Dry, and yet not to grow: its runs wait.
    const waits = new IntakeWindow(bounds);
    for (let message = 0; message < 8; message += 1) waits.took(0);
    waits.ran(0, 100, 1);
    const grows = [1, 2, 3].map((look) => {
      waits.room(judgeEveryMs * look, dry);
      return waits.canGrow;
    });
    assert.deepEqual(grows, [true, true, false]);
    const found = new IntakeWindow(bounds);
    for (let message = 0; message < 8; message += 1) found.took(0);
    for (let run = 0; run < 8; run += 1) found.ran(0, 100, 1);
    found.room(judgeEveryMs, busy);
    assert.equal(found.canGrow, false);
  });

  test("forgets what it learnt when nothing was held for ten seconds", () => {
    const window = new IntakeWindow(bounds);
    for (let message = 0; message < 8; message += 1) window.took(0);
    for (let look = 1; look < 8; look += 1) window.room(judgeEveryMs * look, dry);
    assert.ok(window.size > 8);
    for (let message = 0; message < 8; message += 1) window.gave(1_000);
    window.room(10_999, dry);
    assert.ok(window.size > 8);
    window.room(11_050, dry);
    assert.equal(window.size, 8);
  });
});

describe("a worker with an intake window, simulated", () => {
  test("that two threads hold for 200 ms each leaves the backlog to others", () => {
    const simulation = new IntakeSimulation(bounds, { servers: 2, serviceMs: 200, ...near });
    simulation.run(5_000);
    const steady = simulation.run(10_000);
    assert.ok(steady.perSecond >= 9.9, `${steady.perSecond} a second`);
    assert.ok(steady.heldMax <= 8, `${steady.heldMax} held`);
  });

  test("finds what short work needs within a second, near and far", () => {
    for (const [oneWayMs, part] of [
      [0.5, 0.98],
      [5, 0.98],
      [20, 0.7],
    ] as const) {
      const shape: Shape = { servers: 1, serviceMs: 0.05, receiveMs: 2 * oneWayMs, claimMs: 2 * oneWayMs, settleMs: 2 * oneWayMs };
      const simulation = new IntakeSimulation({ ...bounds, start: 16 }, shape);
      simulation.run(1_000);
      const steady = simulation.run(1_000);
      assert.ok(steady.perSecond >= part * capacity(shape), `${oneWayMs} ms away: ${steady.perSecond} of ${capacity(shape)} a second`);
    }
  });

  test("finds what thirty thousand a second from afar need within a second, and gives back what that was too much", () => {
    const shape: Shape = { servers: 1, serviceMs: 0.01, receiveMs: 40, claimMs: 40, settleMs: 40, loopMs: 0.033 };
    const simulation = new IntakeSimulation({ ...bounds, start: 4 }, shape);
    simulation.run(1_100);
    const early = simulation.run(400);
    assert.ok(early.perSecond >= 0.9 * 30_000, `${early.perSecond} a second`);
    simulation.run(1_000);
    const steady = simulation.run(1_000);
    // In 30 300 a second: two round trips of each kind and 20 ms.
    assert.ok(steady.perSecond >= 0.95 * 30_000 && simulation.window.size <= 5_500, `${steady.perSecond} a second with ${simulation.window.size}`);
  });

  test("gives work that only waits all the places there are", () => {
    const shape: Shape = { servers: 200, serviceMs: 100, ...near };
    const simulation = new IntakeSimulation(bounds, shape);
    simulation.run(1_500);
    const steady = simulation.run(2_000);
    assert.ok(steady.perSecond >= 0.95 * capacity(shape), `${steady.perSecond} of ${capacity(shape)} a second`);
    assert.ok(steady.heldMax <= 600, `${steady.heldMax} held`);
  });

  test("holds no more than is of use where threads are quick and the main thread is what limits", () => {
    for (const tripMs of [1, 20]) {
      const shape: Shape = { servers: 1, serviceMs: 0.01, receiveMs: tripMs, claimMs: tripMs, settleMs: tripMs, loopMs: 0.1 };
      const simulation = new IntakeSimulation({ ...bounds, start: 4 }, shape);
      simulation.run(4_000);
      const steady = simulation.run(21_000);
      assert.ok(steady.perSecond >= 0.95 * 10_000, `${tripMs} ms: ${steady.perSecond} a second`);
      // In 10 000 a second: what two round trips of each kind and 20 ms of waiting take, or as many as pay by going together, and half as much again.
      assert.ok(steady.heldMax <= 1.5 * Math.max(512, 10 * (4 * tripMs + 20)), `${tripMs} ms: ${steady.heldMax} held`);
    }
  });

  test("grows when messages come faster, and holds little while few come", () => {
    const simulation = new IntakeSimulation(bounds, { servers: 4, serviceMs: 5, ...near, perSecond: 100 });
    const slow = simulation.run(3_000);
    assert.ok(slow.heldMax <= 20, `${slow.heldMax} held`);
    simulation.shape = { ...simulation.shape, perSecond: 700 };
    simulation.run(1_000);
    const fast = simulation.run(2_000);
    assert.ok(fast.perSecond >= 690, `${fast.perSecond} a second`);
  });

  test("shrinks when runs come to take longer, and does not swing", () => {
    const simulation = new IntakeSimulation(bounds, { servers: 2, serviceMs: 1, ...near });
    simulation.run(2_000);
    simulation.shape = { ...simulation.shape, serviceMs: 100 };
    simulation.run(10_000);
    const sizes = new Set<number>();
    for (let second = 0; second < 10; second += 1) {
      const { waitMaxMs } = simulation.run(1_000);
      assert.ok(waitMaxMs <= 1.5 * bounds.waitMaxMs, `waited ${waitMaxMs} ms`);
      sizes.add(simulation.window.size);
    }
    assert.ok(sizes.size <= 3, `sizes ${[...sizes].join()}`);
  });

  // Messages come from as far away as they are settled.
  const shapes: fc.Arbitrary<Omit<Shape, "receiveMs">> = fc.record({
    servers: fc.integer({ min: 1, max: 64 }),
    serviceMs: fc.integer({ min: 1, max: 400 }),
    claimMs: fc.integer({ min: 1, max: 40 }),
    settleMs: fc.integer({ min: 1, max: 40 }),
  });

  test("never starves and never hoards, whatever the work and the way", () => {
    fc.assert(
      fc.property(shapes, (drawn) => {
        const shape: Shape = { ...drawn, receiveMs: drawn.settleMs };
        const simulation = new IntakeSimulation({ ...bounds, floor: shape.servers, start: 4 * shape.servers }, shape);
        simulation.run(4_000 + 20 * shape.serviceMs);
        const steady = simulation.run(4_000 + 20 * shape.serviceMs);
        assert.ok(steady.perSecond >= 0.9 * capacity(shape), `${steady.perSecond} of ${capacity(shape)} a second`);
        assert.ok(steady.waitMeanMs <= 1.1 * bounds.waitMaxMs + shape.serviceMs, `waits ${steady.waitMeanMs} ms on average`);
      }),
      { numRuns: 100 },
    );
  });
});
