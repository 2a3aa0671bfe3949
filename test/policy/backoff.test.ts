import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type RetryPolicy, defaultRetryPolicy } from "#runtime/core/skill.ts";
import {
  askedPauseMaxMs,
  askedPauseMs,
  callDelayMs,
  immediateDelayMs,
  postponeBaseMs,
  postponeDelayMs,
  postponeMaxMs,
  postponementsCountedMax,
  countedPostponements,
  queueDelayMs,
} from "#runtime/policy/backoff.ts";

const low = (): number => 0;
const high = (): number => 1 - Number.EPSILON;
const policy = fc.record({
  attemptsMax: fc.integer({ min: 1, max: 20 }),
  immediateMax: fc.integer({ min: 0, max: 5 }),
  immediateDelayMs: fc.integer({ min: 0, max: 86_400_000 }),
  baseDelayMs: fc.integer({ min: 0, max: 86_400_000 }),
  delayFactor: fc.double({ min: 1, max: 100, noNaN: true }),
  delayMaxMs: fc.integer({ min: 0, max: 86_400_000 }),
  jitter: fc.constant("equal" as const),
  lossesMax: fc.integer({ min: 2, max: 100 }),
});
const retry = fc.integer({ min: 1, max: 20 });
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("backoff", () => {
  test("follows the default timeline: 200–400 ms in place, then 30–60 s, then 5–10 min", () => {
    assert.deepEqual([immediateDelayMs(defaultRetryPolicy, 1, low), immediateDelayMs(defaultRetryPolicy, 1, high)], [200, 400]);
    assert.deepEqual([queueDelayMs(defaultRetryPolicy, 1, low), queueDelayMs(defaultRetryPolicy, 1, high)], [30_000, 60_000]);
    assert.deepEqual([queueDelayMs(defaultRetryPolicy, 2, low), queueDelayMs(defaultRetryPolicy, 2, high)], [300_000, 600_000]);
  });

  test("doubles the pause in place with each retry", () => {
    assert.deepEqual(
      [1, 2, 3].map((number) => immediateDelayMs(defaultRetryPolicy, number, low)),
      [200, 400, 800],
    );
  });

  test("keeps every pause through the queue between its bounded base and twice that", () => {
    fc.assert(
      fc.property(policy, retry, chance, (given, number, random) => {
        const delayMs = queueDelayMs(given, number, () => random);
        const least = Math.min(given.delayMaxMs, given.baseDelayMs * given.delayFactor ** (number - 1));
        assert.ok(Number.isInteger(delayMs), `${delayMs}`);
        assert.ok(delayMs >= Math.floor(least) && delayMs <= Math.ceil(least * 2), `${delayMs} of ${least}`);
        assert.ok(delayMs <= 2 * given.delayMaxMs);
      }),
    );
  });

  test("never shortens the pause through the queue from one retry to the next, with the same chance", () => {
    fc.assert(
      fc.property(policy, retry, chance, (given, number, random) =>
        assert.ok(queueDelayMs(given, number + 1, () => random) >= queueDelayMs(given, number, () => random)),
      ),
    );
  });

  test("spreads a pause as its jitter says", () => {
    const delays = (jitter: RetryPolicy["jitter"], number: number): number[] =>
      [low, () => 0.5, high].map((random) =>
        queueDelayMs({ ...defaultRetryPolicy, baseDelayMs: 100, delayFactor: 10, delayMaxMs: 5_000, jitter }, number, random),
      );
    assert.deepEqual(delays("none", 2), [1_000, 1_000, 1_000]);
    assert.deepEqual(delays("equal", 2), [1_000, 1_500, 2_000]);
    assert.deepEqual(delays("full", 2), [0, 1_000, 2_000]);
    assert.deepEqual(delays("none", 3), [5_000, 5_000, 5_000]);
    assert.deepEqual(delays("full", 3), [0, 5_000, 10_000]);
    assert.deepEqual(delays("decorrelated", 1), [100, 200, 300]);
    assert.deepEqual(delays("decorrelated", 2), [100, 350, 900]);
    assert.deepEqual([delays("decorrelated", 20)[0], delays("decorrelated", 20)[2]], [100, 5_000]);
    assert.deepEqual(
      [low, high].map((random) => immediateDelayMs({ ...defaultRetryPolicy, jitter: "decorrelated" }, 2, random)),
      [200, 1_800],
    );
  });

  test("never waits longer than the bound with its jitter, nor, decorrelated, less than the base", () => {
    const jitters = fc.constantFrom("none" as const, "equal" as const, "full" as const, "decorrelated" as const);
    fc.assert(
      fc.property(policy, jitters, retry, fc.infiniteStream(chance), (given, jitter, number, chances) => {
        const delayMs = queueDelayMs({ ...given, jitter }, number, () => chances.next().value ?? 0);
        const most = jitter === "equal" || jitter === "full" ? 2 * given.delayMaxMs : given.delayMaxMs;
        assert.ok(Number.isInteger(delayMs) && delayMs >= 0 && delayMs <= most, `${delayMs} of ${most}`);
        if (jitter === "decorrelated") assert.ok(delayMs >= Math.min(given.baseDelayMs, given.delayMaxMs));
      }),
    );
  });

  test("postpones for at least what is asked, and by itself for no longer than the maximum", () => {
    fc.assert(
      fc.property(fc.nat({ max: 1_000_000 }), fc.integer({ min: 0, max: 1_000_000 }), chance, (postponements, atLeastMs, random) => {
        const delayMs = postponeDelayMs(postponements, { atLeastMs }, () => random);
        assert.ok(delayMs >= atLeastMs && delayMs >= postponeBaseMs / 2, `${delayMs}`);
        assert.ok(delayMs <= Math.max(atLeastMs, postponeMaxMs) + 100, `${delayMs}`);
      }),
    );
  });

  test("postpones longer the more often it was postponed, up to a count that no header can pass", () => {
    const delays = [0, 1, 2, 3, 4, 5, 6, 1e15].map((postponements) => postponeDelayMs(postponements, {}, low));
    assert.deepEqual(delays, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    assert.equal(postponementsCountedMax, 6);
  });

  test("counts as many postponements as make the next pause about as long as all before it", () => {
    // Each as short as chance makes it, and as long.
    for (const part of [0.5, 1]) {
      const ages = [0, 1, 2, 3, 4, 5, 6].map((count) => (2 ** count - 1) * postponeBaseMs * part);
      assert.deepEqual(
        ages.map((ageMs) => countedPostponements(6, ageMs)),
        [0, 1, 2, 3, 4, 5, 6],
      );
    }
    assert.deepEqual([countedPostponements(6, 3_000), countedPostponements(0, 1e9), countedPostponements(2, -5)], [2, 0, 0]);
  });

  test("doubles no further than until there should be room, and never below the shortest pause", () => {
    const paused = (atMostMs: number): number[] => [0, 1, 2, 3, 4].map((postponements) => postponeDelayMs(postponements, { atMostMs }, low));
    assert.deepEqual(paused(3_000), [500, 1_000, 1_500, 1_500, 1_500]);
    assert.deepEqual(paused(10), [500, 500, 500, 500, 500]);
    assert.equal(postponeDelayMs(0, { atLeastMs: 5_000, atMostMs: 2_000 }, low), 5_000);
  });

  test("honours a pause that a dependency asks for, within a bound, and ignores nonsense", () => {
    assert.deepEqual([undefined, 0, -5, Number.NaN, 1_500, Number.POSITIVE_INFINITY].map(askedPauseMs), [0, 0, 0, 0, 1_500, askedPauseMaxMs]);
  });

  test("doubles the pause between tries of a call up to its bound, and spreads it as its jitter says", () => {
    const call = { baseDelayMs: 100, delayMaxMs: 300, jitter: "equal" } as const;
    assert.deepEqual(
      [1, 2, 3, 4].map((retry) => [callDelayMs(call, retry, () => 0), callDelayMs(call, retry, () => 0.5)]),
      [
        [100, 150],
        [200, 300],
        [300, 450],
        [300, 450],
      ],
    );
    assert.equal(
      callDelayMs({ ...call, jitter: "none" }, 2, () => 0.5),
      200,
    );
    assert.equal(
      callDelayMs({ ...call, jitter: "decorrelated" }, 1, () => 1),
      300,
    );
  });

  test("spreads postponed messages by half their pause, and a tenth of a second more", () => {
    assert.deepEqual(
      [0, 0.5, 1].map((chance) => postponeDelayMs(0, {}, () => chance)),
      [500, 800, 1_100],
    );
    assert.deepEqual(
      [0, 0.5, 1].map((chance) => postponeDelayMs(0, { atLeastMs: 7_000 }, () => chance)),
      [7_000, 7_050, 7_100],
    );
  });
});
