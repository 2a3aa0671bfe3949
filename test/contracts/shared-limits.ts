// What every keeper of the buckets of limits must do. An adapter's test calls it with a fresh one.
import { strict as assert } from "node:assert";
import { describe, type TestContext, test } from "node:test";
import type { BucketGrant } from "#runtime/core/token-bucket.ts";
import type { LimitDraw, SharedLimits } from "#runtime/ports/shared-limits.ts";

export interface SharedLimitsHarness {
  /** Started; of buckets that all limits of one harness share, where the adapter is made for that. */
  open(): Promise<SharedLimits>;
  /** Lets so much time pass, a little more at most. */
  pass(ms: number): Promise<void>;
}

/** Of what is kept, in units. */
const slack = 0.01;

export function drawOf(overrides: Partial<LimitDraw> = {}): LimitDraw {
  return { key: "mailer/requests", perMinute: 60, capacity: 10, need: 1, want: 1, back: 0, waitMaxMs: 0, ...overrides };
}

async function drawOne(limits: SharedLimits, overrides: Partial<LimitDraw> = {}): Promise<BucketGrant> {
  const [grant] = await limits.draw([drawOf(overrides)]);
  assert.ok(grant !== undefined, "expected a grant for the draw");
  return grant;
}

/** What a bucket tells, while time passes on real clocks, too: as much as has passed since this was made may have been filled in, and no more. */
class Since {
  readonly #fromMs = performance.now();

  level(found: number, expected: number, perMinute: number = drawOf().perMinute): void {
    const most = expected + ((performance.now() - this.#fromMs) * perMinute) / 60_000;
    assert.ok(found >= expected - slack && found <= most + slack, `expected a level of ${expected} to ${most}, found ${found}`);
  }

  afterMs(found: number, expected: number): void {
    const least = expected - (performance.now() - this.#fromMs);
    assert.ok(found >= least - 1 && found <= expected + 1, `expected a wait of ${least} to ${expected} ms, found ${found}`);
  }
}

export function sharedLimitsContract(name: string, makeHarness: (t: TestContext) => Promise<SharedLimitsHarness>): void {
  describe(`shared limits: ${name}`, () => {
    test("a bucket that nobody knows is full, and gives what is wanted as far as it goes", async (t) => {
      const limits = await (await makeHarness(t)).open();
      const since = new Since();
      assert.deepEqual(await drawOne(limits, { need: 1, want: 7 }), { granted: 7, level: 10, afterMs: 0 });
      const { granted, level, afterMs } = await drawOne(limits, { need: 1, want: 7 });
      assert.deepEqual([granted, afterMs], [3, 0]);
      since.level(level, 3);
    });

    test("an empty one gives nothing that does not come in time, says when it would, and stays as it is", async (t) => {
      const limits = await (await makeHarness(t)).open();
      const since = new Since();
      await drawOne(limits, { need: 10, want: 10 });
      const refused = await drawOne(limits, { need: 5, want: 5, waitMaxMs: 3_000 });
      assert.equal(refused.granted, 0);
      since.afterMs(refused.afterMs, 5_000);
      since.afterMs((await drawOne(limits, { need: 5, want: 5, waitMaxMs: 3_000 })).afterMs, 5_000);
    });

    test("what comes in time is taken in advance, and whoever is next comes after it", async (t) => {
      const limits = await (await makeHarness(t)).open();
      const since = new Since();
      await drawOne(limits, { need: 10, want: 10 });
      const first = await drawOne(limits, { need: 2, want: 2, waitMaxMs: 5_000 });
      const second = await drawOne(limits, { need: 2, want: 2, waitMaxMs: 5_000 });
      assert.deepEqual([first.granted, second.granted], [2, 2]);
      since.afterMs(first.afterMs, 2_000);
      since.afterMs(second.afterMs, 4_000);
      since.level(second.level, -2);
    });

    test("it fills at its rate, and never beyond what it holds", async (t) => {
      const harness = await makeHarness(t);
      const limits = await harness.open();
      const fast = { perMinute: 60_000, capacity: 100 };
      await drawOne(limits, { ...fast, need: 100, want: 100 });
      await harness.pass(60);
      const { level } = await drawOne(limits, { ...fast, need: 1, want: 1 });
      assert.ok(level >= 60 && level <= 100, `expected 60 to 100 units after 60 ms at one a millisecond, found ${level}`);
      await harness.pass(200);
      assert.equal((await drawOne(limits, { ...fast, need: 1, want: 1 })).level, 100);
    });

    test("units that come back are there again, and those used beyond are missing", async (t) => {
      const limits = await (await makeHarness(t)).open();
      const since = new Since();
      await drawOne(limits, { need: 8, want: 8 });
      assert.equal((await drawOne(limits, { need: 0, want: 0, back: 5 })).granted, 0);
      since.level((await drawOne(limits)).level, 7);
      await drawOne(limits, { need: 0, want: 0, back: -20 });
      since.level((await drawOne(limits)).level, -14);
      await drawOne(limits, { need: 0, want: 0, back: 1_000 });
      assert.equal((await drawOne(limits)).level, 10);
    });

    test("more than it holds is given when it is full, and owed afterwards", async (t) => {
      const limits = await (await makeHarness(t)).open();
      const since = new Since();
      assert.deepEqual(await drawOne(limits, { need: 25, want: 25 }), { granted: 25, level: 10, afterMs: 0 });
      since.level((await drawOne(limits)).level, -15);
    });

    test("keys are apart, and draws of one call are made in their order", async (t) => {
      const limits = await (await makeHarness(t)).open();
      const grants = await limits.draw([
        drawOf({ key: "mailer/requests/tenant=a%20b", need: 10, want: 10 }),
        drawOf({ key: "mailer/requests/tenant=c", need: 10, want: 10 }),
        drawOf({ key: "mailer/requests/tenant=c" }),
      ]);
      assert.deepEqual(
        grants.map(({ granted }) => granted),
        [10, 10, 0],
      );
    });

    test("another rate counts from the next draw on", async (t) => {
      const limits = await (await makeHarness(t)).open();
      const since = new Since();
      await drawOne(limits, { need: 10, want: 10 });
      since.afterMs((await drawOne(limits, { perMinute: 600 })).afterMs, 100);
      const { level } = await drawOne(limits, { perMinute: 1, capacity: 2 });
      assert.ok(level <= 2, `${level}`);
    });

    test("started twice and stopped twice is as good as once", async (t) => {
      const limits = await (await makeHarness(t)).open();
      await limits.start();
      assert.equal((await drawOne(limits)).granted, 1);
      await limits.stop();
      await limits.stop();
    });
  });
}
