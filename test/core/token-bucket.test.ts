import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type Bucket, drawFrom, fullAfterMs } from "#runtime/core/token-bucket.ts";

const rate = { perMinute: 60, capacity: 10 };

describe("token bucket", () => {
  test("keeps level and time, and gives what was needed even where less is wanted", () => {
    assert.deepEqual(drawFrom(undefined, rate, { need: 3, want: 1, back: 0, waitMaxMs: 0 }, 7), {
      bucket: { level: 7, atMs: 7 },
      grant: { granted: 3, level: 10, afterMs: 0 },
    });
  });

  test("takes what comes in time and not a unit more", () => {
    const empty: Bucket = { level: 0, atMs: 0 };
    assert.deepEqual(drawFrom(empty, rate, { need: 1, want: 9, back: 0, waitMaxMs: 3_999 }, 0).grant, { granted: 3, level: 0, afterMs: 1_000 });
    assert.equal(drawFrom(empty, rate, { need: 1, want: 9, back: 0, waitMaxMs: 1_000 }, 0).grant.granted, 1);
    assert.equal(drawFrom(empty, rate, { need: 1, want: 9, back: 0, waitMaxMs: 999 }, 0).grant.granted, 0);
  });

  test("a clock that goes backwards fills nothing and loses nothing", () => {
    assert.deepEqual(drawFrom({ level: 2, atMs: 5_000 }, rate, { need: 1, want: 1, back: 0, waitMaxMs: 0 }, 0).bucket, { level: 1, atMs: 5_000 });
  });

  test("is full after the time that it takes", () => {
    assert.deepEqual(
      [fullAfterMs({ level: 4, atMs: 0 }, rate), fullAfterMs({ level: 10, atMs: 0 }, rate), fullAfterMs({ level: -5, atMs: 0 }, rate)],
      [6_000, 0, 15_000],
    );
  });

  test("gives within any time no more than it held and what flowed in, whoever draws what", () => {
    const draw = fc.record({
      waitMs: fc.integer({ min: 0, max: 3_000 }),
      need: fc.integer({ min: 1, max: 12 }),
      more: fc.nat({ max: 20 }),
      waitMaxMs: fc.nat({ max: 5_000 }),
    });
    fc.assert(
      fc.property(fc.array(draw, { maxLength: 60 }), (draws) => {
        let bucket: Bucket | undefined;
        let nowMs = 0;
        let taken = 0;
        let latestMs = 0;
        for (const { waitMs, need, more, waitMaxMs } of draws) {
          nowMs += waitMs;
          const answer = drawFrom(bucket, rate, { need, want: need + more, back: 0, waitMaxMs }, nowMs);
          ({ bucket } = answer);
          const { granted, level, afterMs } = answer.grant;
          assert.ok(granted === 0 || (granted >= need && granted <= need + more), `${granted}`);
          assert.equal(granted > 0, afterMs <= waitMaxMs);
          taken += granted;
          // The last of the units taken is usable then, except for what is owed by a need that is larger than the bucket.
          latestMs = Math.max(latestMs, nowMs + Math.max(0, (Math.min(granted, Math.max(rate.capacity, granted > need ? granted : 0)) - level) * 1_000));
          assert.ok(taken <= rate.capacity + latestMs / 1_000 + Math.max(0, need - rate.capacity) + 1e-6, `${taken} by ${latestMs}`);
        }
      }),
    );
  });
});
