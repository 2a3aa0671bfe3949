import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import type { ConcurrencyPolicy } from "#runtime/core/skill.ts";
import { AdaptiveLimit, baseMaxAgeMs, windowCalls, windowMs } from "#runtime/policy/adaptive-limit.ts";

const bounds: ConcurrencyPolicy = { mode: "adaptive", min: 1, max: 200 };

/** Feeds one window in which all calls took so long. */
function feed(limit: AdaptiveLimit, latencyMs: number, nowMs: number, { inUse = 1_000, failed = 0 } = {}): number {
  for (let call = 0; call < windowCalls; call += 1) limit.sample(latencyMs, inUse, call < failed, nowMs - windowMs + (call * windowMs) / (windowCalls - 1));
  return limit.limit;
}

/** A server that works on `capacity` calls at once, `serviceMs` each, and lets the others wait, under as much load as the limit lets. */
function saturate(limit: AdaptiveLimit, server: { capacity: number; serviceMs: number }, fromMs: number, forMs: number): number {
  let nowMs = fromMs;
  while (nowMs < fromMs + forMs) {
    const inUse = limit.limit;
    const latencyMs = server.serviceMs * Math.max(1, inUse / server.capacity);
    nowMs += windowMs;
    feed(limit, latencyMs, nowMs, { inUse });
  }
  return nowMs;
}

describe("adaptive limit", () => {
  test("begins where it is told, within its bounds", () => {
    assert.deepEqual(
      [new AdaptiveLimit(bounds, 32).limit, new AdaptiveLimit(bounds, 500).limit, new AdaptiveLimit({ ...bounds, min: 50 }, 32).limit],
      [32, 200, 50],
    );
    assert.deepEqual(new AdaptiveLimit(bounds, 32).view(), { policy: bounds, limit: 32, baseMs: undefined, latencyMs: undefined });
  });

  test("changes at the end of a window only: after enough calls and enough time", () => {
    const limit = new AdaptiveLimit(bounds, 16);
    for (let call = 1; call < windowCalls; call += 1) assert.equal(limit.sample(10, 16, false, 0), false);
    assert.equal(limit.sample(10, 16, false, windowMs - 1), false);
    assert.equal(limit.sample(10, 16, false, windowMs), true);
    // 16 and a fifth of its root.
    assert.equal(limit.view().limit, 16);
    const few = new AdaptiveLimit(bounds, 16);
    few.sample(10, 16, false, 0);
    assert.equal(few.sample(10, 16, false, 10 * windowMs), false);
  });

  test("grows by a fifth of its root while calls take no longer than one and a half times the base", () => {
    const limit = new AdaptiveLimit(bounds, 100);
    assert.equal(feed(limit, 10, 200), 102);
    assert.equal(feed(limit, 15, 400), 104);
    assert.equal(limit.view().baseMs, 10);
    assert.equal(limit.view().latencyMs, 15);
  });

  test("shrinks when they take longer, by half at the most before smoothing", () => {
    const limit = new AdaptiveLimit(bounds, 100);
    feed(limit, 10, 200, { inUse: 0 });
    // 100 × 0.8 + (100 × 0.75 + 10) × 0.2
    assert.equal(feed(limit, 20, 400), 97);
    const other = new AdaptiveLimit(bounds, 100);
    feed(other, 10, 200, { inUse: 0 });
    // 100 × 0.8 + (100 × 0.5 + 10) × 0.2
    assert.equal(feed(other, 1_000, 400), 92);
  });

  test("does not grow while less than half of it is used, and shrinks all the same", () => {
    const limit = new AdaptiveLimit(bounds, 100);
    assert.deepEqual([feed(limit, 10, 200, { inUse: 49 }), feed(limit, 10, 400, { inUse: 50 })], [100, 102]);
    assert.ok(feed(limit, 30, 600, { inUse: 10 }) < 102);
  });

  test("backs off by a tenth when more than a tenth of the calls fail", () => {
    const limit = new AdaptiveLimit(bounds, 100);
    assert.equal(feed(limit, 10, 200, { failed: 2 }), 90);
    assert.equal(feed(limit, 10, 400, { failed: 1 }), 91);
  });

  test("calls that take no time are no reason to shrink", () => {
    const limit = new AdaptiveLimit(bounds, 100);
    assert.deepEqual([feed(limit, 0, 200), feed(limit, 0, 400)], [102, 104]);
  });

  test("measures its base again with a quarter of the runs when it was not met for long, and goes on with as many as before", () => {
    const limit = new AdaptiveLimit(bounds, 100);
    feed(limit, 10, 200, { inUse: 0 });
    assert.equal(feed(limit, 14, baseMaxAgeMs, { inUse: 0 }), 100);
    assert.equal(feed(limit, 14, 200 + baseMaxAgeMs, { inUse: 0 }), 25);
    // More are at it yet.
    assert.equal(feed(limit, 14, 400 + baseMaxAgeMs, { inUse: 26 }), 25);
    assert.equal(feed(limit, 14, 600 + baseMaxAgeMs, { inUse: 25 }), 25);
    // These began before.
    for (let call = 0; call < 2 * windowCalls; call += 1) limit.sample(201, 25, false, 800 + baseMaxAgeMs);
    assert.deepEqual([limit.limit, limit.view().baseMs], [25, 10]);
    assert.equal(feed(limit, 12, 1_000 + baseMaxAgeMs, { inUse: 25 }), 100);
    assert.equal(limit.view().baseMs, 12);
    // From now on for as long again.
    assert.equal(feed(limit, 13, 800 + 2 * baseMaxAgeMs, { inUse: 0 }), 100);
    assert.equal(feed(limit, 13, 1_000 + 2 * baseMaxAgeMs, { inUse: 0 }), 25);
    const narrow = new AdaptiveLimit({ ...bounds, min: 80 }, 100);
    feed(narrow, 10, 200, { inUse: 0 });
    assert.equal(feed(narrow, 14, 200 + baseMaxAgeMs, { inUse: 0 }), 80);
  });

  test("calls that fail at once are no measure of how long one takes", () => {
    const limit = new AdaptiveLimit(bounds, 100);
    feed(limit, 10, 200, { inUse: 0 });
    assert.equal(feed(limit, 0, 400, { failed: windowCalls }), 90);
    assert.deepEqual([limit.view().baseMs, limit.view().latencyMs], [10, 10]);
    for (let call = 1; call <= windowCalls; call += 1) limit.sample(call === 1 ? 1_000 : 11, 100, call === 1, 400 + 20 * call);
    assert.deepEqual([limit.view().baseMs, limit.view().latencyMs], [10, 11]);
    const unknown = new AdaptiveLimit(bounds, 100);
    assert.equal(feed(unknown, 0, 200, { failed: windowCalls }), 90);
    assert.equal(unknown.view().baseMs, undefined);
  });

  test("takes a base that is met again for a new one", () => {
    const limit = new AdaptiveLimit(bounds, 100);
    feed(limit, 10, 200, { inUse: 0 });
    feed(limit, 10, baseMaxAgeMs, { inUse: 0 });
    assert.equal(feed(limit, 14, 200 + baseMaxAgeMs, { inUse: 0 }), 100);
  });

  test("does not take one for it that is met under load, which may be that of an overload", () => {
    const limit = new AdaptiveLimit({ ...bounds, max: 100 }, 100);
    feed(limit, 10, 200, { inUse: 100 });
    feed(limit, 10, baseMaxAgeMs, { inUse: 26 });
    assert.equal(feed(limit, 9, 200 + baseMaxAgeMs, { inUse: 100 }), 25);
    assert.equal(limit.view().baseMs, 9);
  });

  test("gets other bounds while it runs", () => {
    const limit = new AdaptiveLimit(bounds, 100);
    limit.change({ mode: "adaptive", min: 1, max: 20 });
    assert.deepEqual([limit.limit, limit.view().policy.max], [20, 20]);
    limit.change({ mode: "adaptive", min: 60, max: 90 });
    assert.equal(limit.limit, 60);
  });

  test("comes near to what the server works on at once, from wherever it begins, and stays there", () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 60 }), fc.integer({ min: 2, max: 200 }), fc.integer({ min: 1, max: 200 }), (capacity, first, serviceMs) => {
        const limit = new AdaptiveLimit(bounds, first);
        let nowMs = saturate(limit, { capacity, serviceMs }, 0, 110_000);
        const seen: number[] = [];
        for (let look = 0; look < 50; look += 1) {
          nowMs = saturate(limit, { capacity, serviceMs }, nowMs, windowMs);
          seen.push(limit.limit);
        }
        // While the base is measured there are half as many.
        const most = Math.max(...seen);
        assert.ok(most >= capacity * 0.9 && most <= capacity * 3 + 10, `expected about ${capacity}, found ${seen.join()}`);
      }),
      { numRuns: 60 },
    );
  });

  test("shrinks in a slow spell that load makes worse, and comes back after it", () => {
    const limit = new AdaptiveLimit(bounds, 40);
    let nowMs = saturate(limit, { capacity: 40, serviceMs: 10 }, 0, 20_000);
    const before = limit.limit;
    nowMs = saturate(limit, { capacity: 4, serviceMs: 10 }, nowMs, 10_000);
    assert.ok(limit.limit < before / 2, `${limit.limit} instead of ${before}`);
    saturate(limit, { capacity: 40, serviceMs: 10 }, nowMs, 60_000);
    assert.ok(limit.limit >= 20, `${limit.limit}`);
  });

  test("a dependency that has become slow by itself gets its share again once its base is known", () => {
    const limit = new AdaptiveLimit(bounds, 40);
    let nowMs = saturate(limit, { capacity: 40, serviceMs: 10 }, 0, 10_000);
    nowMs = saturate(limit, { capacity: 40, serviceMs: 200 }, nowMs, 20_000);
    assert.ok(limit.limit < 40, `${limit.limit}`);
    saturate(limit, { capacity: 40, serviceMs: 200 }, nowMs, 120_000);
    assert.ok(limit.limit >= 20, `${limit.limit}`);
  });

  test("is never beyond its bounds, whatever it hears", () => {
    const heard = fc.record({
      latencyMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
      inUse: fc.nat({ max: 500 }),
      failed: fc.boolean(),
      waitMs: fc.integer({ min: -50, max: 2_000 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 50, max: 300 }),
        fc.nat({ max: 400 }),
        fc.array(heard, { maxLength: 400 }),
        (min, max, first, all) => {
          const limit = new AdaptiveLimit({ mode: "adaptive", min, max }, first);
          let nowMs = 0;
          for (const { latencyMs, inUse, failed, waitMs } of all) {
            nowMs += waitMs;
            limit.sample(latencyMs, inUse, failed, nowMs);
            assert.ok(Number.isInteger(limit.limit) && limit.limit >= min && limit.limit <= max, `${limit.limit}`);
          }
        },
      ),
    );
  });
});
