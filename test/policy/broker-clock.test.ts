import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { BrokerClock } from "#runtime/policy/broker-clock.ts";

const hourMs = 3_600_000;
const lockMs = 60_000;
const originMs = Date.UTC(2030, 0, 1);

/** A broker and a worker whose wall clock is `aheadMs` ahead of the broker's. */
class Scene {
  aheadMs: number;
  /** Since the start, by every clock that is right. */
  passedMs = 0;
  readonly told: number[] = [];
  readonly clock: BrokerClock;

  constructor(aheadMs: number) {
    this.aheadMs = aheadMs;
    this.clock = new BrokerClock({ wallMs: () => this.brokerMs + this.aheadMs, monotonicMs: () => 5_000 + this.passedMs }, (distanceMs) =>
      this.told.push(distanceMs),
    );
  }

  get brokerMs(): number {
    return originMs + this.passedMs;
  }

  /** How far the result is from the broker's time. */
  get errorMs(): number {
    return this.clock.nowMs() - this.brokerMs;
  }

  /** A message that was enqueued so long ago comes after a way of `wayMs`. */
  receive(ageMs: number, wasAwaited = false, { wayMs = 10, wholeLockMs = lockMs } = {}): void {
    const lockedUntilMs = this.brokerMs + wholeLockMs;
    const enqueuedAtMs = this.brokerMs - ageMs;
    this.passedMs += wayMs;
    this.clock.received({ attempt: 1, enqueuedAtMs, lockedUntilMs }, wasAwaited);
  }

  receiveFresh(times = 3): void {
    for (let count = 0; count < times; count += 1) {
      this.passedMs += 1_000;
      this.receive(0, true);
    }
  }

  lockLeftMs(leftMs: number): number {
    return this.clock.lockLeftMs(this.brokerMs + leftMs);
  }
}

describe("the broker's clock", () => {
  test("is our own while nothing has come, and while that is right", () => {
    const scene = new Scene(0);
    assert.deepEqual([scene.errorMs, scene.lockLeftMs(20_000)], [0, 20_000]);
    scene.receive(hourMs);
    scene.receiveFresh();
    scene.receive(hourMs);
    assert.deepEqual([scene.errorMs, scene.lockLeftMs(50_000), scene.told], [0, 50_000, []]);
  });

  test("is known from new messages, to within the way that they took, however wrong our own is", () => {
    for (const aheadMs of [hourMs, -hourMs, 10_000, -10_000]) {
      const scene = new Scene(aheadMs);
      scene.receiveFresh();
      assert.ok(scene.errorMs <= 0 && scene.errorMs >= -10, `${aheadMs}: ${scene.errorMs}`);
      assert.ok(Math.abs(scene.lockLeftMs(50_000) - 50_000) <= 10);
      assert.deepEqual(
        scene.told.map((told) => Math.round(told / 1_000)),
        [-aheadMs / 1_000],
      );
    }
  });

  test("is never wrong by more than four minutes with a backlog alone, and a lock is then never taken to last for long", () => {
    for (const aheadMs of [hourMs, -hourMs]) {
      for (const wholeLockMs of [5_000, 30_000, 60_000, 300_000]) {
        const scene = new Scene(aheadMs);
        scene.receive(24 * hourMs, false, { wholeLockMs });
        assert.ok(Math.abs(scene.errorMs) <= 240_010, `${aheadMs}, ${wholeLockMs}: ${scene.errorMs}`);
        assert.ok(scene.lockLeftMs(wholeLockMs) <= 5_000);
        assert.equal(scene.told.length, 1);
      }
    }
  });

  test("is not put right by one message that was held up on its way", () => {
    const scene = new Scene(0);
    scene.receive(0, true, { wayMs: 30_000 });
    assert.deepEqual([scene.errorMs, scene.told], [0, []]);
    scene.receiveFresh();
    scene.receive(0, true, { wayMs: 30_000 });
    assert.deepEqual([scene.errorMs, scene.told], [0, []]);
  });

  test("is told of again when the distance changes, and goes on when our own clock is set", () => {
    const scene = new Scene(hourMs);
    scene.receiveFresh();
    scene.passedMs += 600_000;
    scene.receiveFresh();
    assert.equal(scene.told.length, 1);
    scene.aheadMs = 0;
    assert.ok(Math.abs(scene.errorMs) <= 10, "expected a clock that is set to change nothing before there is something new to know");
    scene.receiveFresh();
    assert.deepEqual([scene.errorMs, scene.told.map((told) => Math.round(told / 1_000))], [0, [-3_600, 0]]);
  });

  test("is found again after the machine has slept, during which our monotonic clock stood still", () => {
    const scene = new Scene(0);
    scene.receiveFresh();
    const asleepMs = 2 * hourMs;
    let monotonicBehindMs = 0;
    const clock = new BrokerClock({ wallMs: () => scene.brokerMs, monotonicMs: () => scene.passedMs - monotonicBehindMs }, (told) => scene.told.push(told));
    const receive = (): void => clock.received({ attempt: 1, enqueuedAtMs: scene.brokerMs, lockedUntilMs: scene.brokerMs + lockMs }, true);
    for (let count = 0; count < 3; count += 1) receive();
    scene.passedMs += asleepMs;
    monotonicBehindMs = asleepMs;
    receive();
    assert.equal(clock.nowMs(), scene.brokerMs);
    assert.deepEqual(scene.told, []);
  });

  test("is found again after our monotonic clock has leapt: no bound from before it holds", () => {
    const scene = new Scene(0);
    let leaptMs = 0;
    const clock = new BrokerClock({ wallMs: () => scene.brokerMs, monotonicMs: () => scene.passedMs + leaptMs }, (told) => scene.told.push(told));
    const receive = (wasAwaited: boolean): void =>
      clock.received({ attempt: 1, enqueuedAtMs: scene.brokerMs, lockedUntilMs: scene.brokerMs + lockMs }, wasAwaited);
    for (let count = 0; count < 3; count += 1) receive(true);
    receive(false);
    leaptMs = hourMs;
    scene.passedMs += 1_000;
    receive(true);
    assert.deepEqual([clock.nowMs() - scene.brokerMs, scene.told], [0, []]);
    assert.equal(clock.latestMs() - scene.brokerMs, 2_000);
  });

  test("doubts our own clock from two seconds behind what came, also without a fresh message", () => {
    for (const [aheadMs, lockLeftMs] of [
      [-2_000, 30_000],
      [-2_001, 5_000],
    ] as const) {
      const scene = new Scene(aheadMs);
      scene.receive(0, false, { wayMs: 0 });
      assert.equal(scene.lockLeftMs(hourMs), lockLeftMs, `${aheadMs}`);
    }
  });

  test("learns nothing from a message whose times cannot be read", () => {
    const scene = new Scene(hourMs);
    scene.clock.received({ attempt: 1, enqueuedAtMs: 0, lockedUntilMs: 0 }, true);
    assert.deepEqual([scene.errorMs, scene.told], [hourMs, []]);
  });

  test("learns nothing from a message of which one time cannot be read, either", () => {
    for (const [enqueuedAtMs, lockedUntilMs] of [
      [0, originMs],
      [originMs, 0],
      [-1, originMs],
      [originMs, -1],
    ] as const) {
      const scene = new Scene(hourMs);
      scene.clock.received({ attempt: 1, enqueuedAtMs, lockedUntilMs }, true);
      assert.deepEqual([scene.errorMs, scene.told], [hourMs, []]);
    }
  });

  test("takes only first deliveries that were awaited for fresh ones", () => {
    const scene = new Scene(-hourMs);
    const receive = (attempt: number, wasAwaited: boolean): void =>
      scene.clock.received({ attempt, enqueuedAtMs: scene.brokerMs - 100_000, lockedUntilMs: scene.brokerMs + lockMs }, wasAwaited);
    for (let count = 0; count < 4; count += 1) receive(2, true);
    for (let count = 0; count < 4; count += 1) receive(1, false);
    assert.equal(scene.errorMs, 0, "expected the default lock to be counted back from its end");
    for (let count = 0; count < 3; count += 1) receive(1, true);
    assert.equal(scene.errorMs, -100_000);
  });

  test("believes our own clock to exactly two seconds from fresh receipts, and tells of a distance from three seconds on", () => {
    for (const [aheadMs, errorMs, told] of [
      [2_000, 2_000, []],
      [2_001, 0, []],
      [-2_000, 0, []],
      [-2_001, 0, []],
      [2_999, 0, []],
      [3_000, 0, [-3_000]],
      [-3_000, 0, [3_000]],
    ] as const) {
      const scene = new Scene(aheadMs);
      for (let count = 0; count < 3; count += 1) scene.receive(0, true, { wayMs: 0 });
      assert.deepEqual([scene.errorMs, scene.told], [errorMs, told], `${aheadMs}`);
    }
  });

  test("forgets what it knew when our clocks have moved apart by more than two seconds, and not before", () => {
    for (const [movedMs, isForgotten] of [
      [2_000, false],
      [2_001, true],
      [-2_000, false],
      [-2_001, true],
    ] as const) {
      const scene = new Scene(0);
      for (let count = 0; count < 3; count += 1) scene.receive(0, true, { wayMs: 0 });
      assert.equal(scene.lockLeftMs(hourMs), 300_000);
      scene.aheadMs = movedMs;
      scene.clock.renewed(scene.brokerMs + lockMs);
      // Without fresh receipts a lock is never taken to last for long.
      assert.equal(scene.lockLeftMs(hourMs) < 300_000, isForgotten, `${movedMs}`);
    }
  });

  test("learns from renewals how far our own clock can be ahead at most", () => {
    const scene = new Scene(hourMs);
    scene.clock.renewed(scene.brokerMs + lockMs);
    assert.deepEqual([scene.errorMs, scene.told], [0, [-hourMs]]);
    assert.equal(scene.lockLeftMs(hourMs), 5_000);
    const right = new Scene(0);
    right.clock.renewed(right.brokerMs + lockMs);
    assert.deepEqual([right.errorMs, right.told, right.lockLeftMs(hourMs), right.lockLeftMs(20_000)], [0, [], 30_000, 20_000]);
  });

  test("keeps the best of the last five to ten minutes, and lets older ones go", () => {
    const scene = new Scene(-hourMs);
    for (let count = 0; count < 3; count += 1) scene.receive(0, true, { wayMs: 0 });
    assert.equal(scene.errorMs, 0);
    scene.passedMs += 299_000;
    scene.receive(500, true, { wayMs: 0 });
    assert.equal(scene.errorMs, 0);
    scene.passedMs += 1_000;
    scene.receive(400, true, { wayMs: 0 });
    assert.equal(scene.errorMs, 0, "expected the window before to be kept as well");
    scene.passedMs += 300_000;
    scene.receive(300, true, { wayMs: 0 });
    assert.equal(scene.errorMs, -300);
  });

  test("is never behind by more than the way, nor ahead by more than two seconds, once three messages came fresh", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -2 * hourMs, max: 2 * hourMs }),
        fc.array(fc.tuple(fc.nat({ max: 500 }), fc.nat({ max: 60_000 })), { minLength: 3, maxLength: 30 }),
        (aheadMs, messages) => {
          const scene = new Scene(aheadMs);
          for (const [wayMs, pauseMs] of messages) {
            scene.receive(0, true, { wayMs });
            scene.passedMs += pauseMs;
          }
          assert.ok(scene.errorMs >= -500 && scene.errorMs <= 2_000, `${scene.errorMs}`);
          assert.ok(scene.clock.latestMs() >= scene.brokerMs - 500);
        },
      ),
    );
  });

  test("keeps a lock's remainder between one second and the longest lock", () => {
    const scene = new Scene(0);
    scene.receiveFresh();
    assert.deepEqual([scene.lockLeftMs(-5_000), scene.lockLeftMs(hourMs)], [1_000, 300_000]);
  });

  test("says a time that is surely not past: two seconds ahead at most after a fresh receipt, a lock's length before", () => {
    for (const aheadMs of [0, hourMs, -hourMs]) {
      const scene = new Scene(aheadMs);
      scene.receive(hourMs);
      const before = scene.clock.latestMs() - scene.brokerMs;
      assert.ok(before >= 0 && before <= hourMs + lockMs, `${before}`);
      scene.receiveFresh();
      const after = scene.clock.latestMs() - scene.brokerMs;
      assert.ok(after >= 0 && after <= 2_000, `${aheadMs}: ${after}`);
    }
  });
});
