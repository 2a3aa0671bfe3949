import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type Bucket, type BucketDraw, type BucketGrant, type BucketRate, drawFrom } from "#runtime/core/token-bucket.ts";
import { promiseMaxMs, RateShare, shareMs } from "#runtime/policy/rate-share.ts";

/** One unit a second, five at once. */
const slow: BucketRate = { perMinute: 60, capacity: 5 };
/** A thousand a second. */
const fast: BucketRate = { perMinute: 60_000, capacity: 5_000 };

function shareOf(rate: BucketRate = slow): RateShare<string> {
  return new RateShare<string>(rate);
}

/** A share that has got this. */
function granted(grant: Partial<BucketGrant>, rate: BucketRate = slow, nowMs = 0): RateShare<string> {
  const share = shareOf(rate);
  grant_(share, grant, nowMs);
  return share;
}

function grant_(share: RateShare<string>, grant: Partial<BucketGrant>, nowMs = 0): void {
  share.answered({ need: 1, want: 1, back: 0, waitMaxMs: 5_000 }, { granted: 0, level: 0, afterMs: 0, ...grant }, nowMs);
}

function take(share: RateShare<string>): string[] {
  const taken: string[] = [];
  for (let place = share.first(); place !== undefined; place = share.first()) {
    taken.push(place.waiter);
    share.dequeue();
  }
  return taken;
}

describe("rate share", () => {
  test("spends what it has been given, and nothing that is not here yet", () => {
    const share = granted({ granted: 3, level: 2 });
    assert.equal(share.owned, 3);
    assert.deepEqual([share.canSpend(2, 0), share.canSpend(3, 0)], [true, false]);
    share.spend(2);
    assert.deepEqual([share.owned, share.canSpend(1, 999), share.canSpend(1, 1_000), share.canSpend(2, 9_000)], [1, false, true, false]);
  });

  test("what was taken in advance flows in after those who were before", () => {
    const share = granted({ granted: 2, level: -3 }, slow, 1_000);
    assert.deepEqual(
      [4_999, 5_000, 5_999, 6_000].map((nowMs) => [share.canSpend(1, nowMs), share.canSpend(2, nowMs)]),
      [
        [false, false],
        [true, false],
        [true, false],
        [true, true],
      ],
    );
  });

  test("several flows add up, each in its time", () => {
    const share = granted({ granted: 2, level: 1 });
    grant_(share, { granted: 2, level: -1 }, 0);
    assert.deepEqual(
      [0, 1_000, 2_000, 3_000].map((nowMs) => [1, 2, 3, 4].filter((units) => share.canSpend(units, nowMs)).length),
      [1, 2, 3, 4],
    );
  });

  test("what needs more than the bucket holds begins when so much is here, and the next one waits for the rest", () => {
    const share = granted({ granted: 8, level: 5 });
    assert.equal(share.canSpend(8, 0), true);
    share.spend(8);
    grant_(share, { granted: 1, level: -3 }, 0);
    assert.deepEqual([share.canSpend(1, 3_999), share.canSpend(1, 4_000)], [false, true]);
  });

  test("says when the first one that waits can go on", () => {
    const share = shareOf();
    assert.equal(share.dueMs(0), Number.POSITIVE_INFINITY);
    share.enqueue("a", 2, 9_000);
    assert.equal(share.dueMs(1_000), 8_000);
    grant_(share, { granted: 2, level: 0.5 }, 0);
    assert.deepEqual([share.dueMs(0), share.dueMs(1_000), share.dueMs(1_500)], [1_500, 500, 0]);
    share.dequeue();
    share.enqueue("big", 7, 60_000);
    grant_(share, { granted: 5, level: 0 }, 1_500);
    // It begins with as many as the bucket holds: two that are here, and three of those that flow in.
    assert.equal(share.dueMs(1_500), 3_000);
  });

  test("is never due at once for what is not quite here", () => {
    const share = granted({ granted: 1, level: 0.9999 }, slow);
    share.enqueue("a", 1, 9_000);
    assert.equal(share.dueMs(0), 1);
    assert.equal(share.canSpend(1, 1), true);
  });

  test("asks for the first one that waits without units, and wants some for those behind", () => {
    const share = shareOf(fast);
    share.enqueue("a", 100, 5_000);
    share.enqueue("b", 100, 6_000);
    assert.deepEqual(share.ask(1_000), { need: 100, want: 200, back: 0, waitMaxMs: 4_000 });
    assert.equal(share.ask(1_000), undefined, "expected one draw at a time");
    grant_(share, { granted: 150, level: 5_000 }, 1_000);
    assert.deepEqual(share.ask(1_000), { need: 50, want: 50, back: 0, waitMaxMs: 5_000 });
    grant_(share, { granted: 50, level: 5_000 }, 1_000);
    assert.equal(share.ask(1_000), undefined, "expected nothing to be drawn beyond what is needed");
  });

  test("wants no more than half a second's worth, unless one needs more", () => {
    const share = shareOf(fast);
    share.enqueue("a", 400, 5_000);
    share.enqueue("b", 400, 5_000);
    assert.deepEqual(share.ask(0), { need: 400, want: 500, back: 0, waitMaxMs: 5_000 });
    const other = shareOf(slow);
    other.enqueue("a", 3, 5_000);
    other.enqueue("b", 3, 5_000);
    assert.deepEqual(other.ask(0), { need: 3, want: 3, back: 0, waitMaxMs: 5_000 });
  });

  test("adds what was used beyond to what it needs", () => {
    const share = shareOf(fast);
    share.correct(-70);
    share.enqueue("a", 30, 5_000);
    assert.deepEqual(share.ask(0), { need: 100, want: 100, back: 0, waitMaxMs: 5_000 });
  });

  test("draws in advance once half of what was spent lately is gone, and only what is there at once", () => {
    const share = granted({ granted: 200, level: 5_000 }, fast);
    assert.equal(share.ask(0), undefined, "expected nothing in advance where nothing was spent");
    share.spend(100);
    assert.equal(share.ask(0), undefined, "expected a share that is half full to be enough");
    share.spend(60);
    assert.deepEqual(share.ask(0), { need: 1, want: 160, back: 0, waitMaxMs: 0 });
  });

  test("draws in advance by what was spent before the last look, too, and never more than half a second's worth", () => {
    const share = granted({ granted: 900, level: 5_000 }, fast);
    share.spend(900);
    share.look(0);
    assert.deepEqual(share.ask(0), { need: 1, want: 500, back: 0, waitMaxMs: 0 });
    const single = granted({ granted: 1, level: 5_000 }, fast);
    single.spend(1);
    assert.equal(single.ask(0), undefined, "expected a single unit not to be worth a draw in advance");
    const pair = granted({ granted: 2, level: 5_000 }, fast);
    pair.spend(2);
    assert.equal(pair.ask(0)?.want, 2);
  });

  test("wants for those behind the first what was spent lately, too", () => {
    const share = granted({ granted: 300, level: 5_000 }, fast);
    share.spend(300);
    share.look(0);
    share.enqueue("a", 10, 5_000);
    assert.equal(share.ask(0)?.want, 310);
  });

  test("an empty bucket is not asked in advance again before the next look, and keeps nobody out", () => {
    const share = granted({ granted: 10, level: 10 }, fast);
    share.spend(10);
    const draw = share.ask(0);
    assert.ok(draw !== undefined);
    share.answered(draw, { granted: 0, level: 0, afterMs: 1 }, 0);
    assert.equal(share.isOut(0, 0), false);
    assert.equal(share.ask(shareMs - 1), undefined);
    assert.ok(share.ask(shareMs) !== undefined);
  });

  test("knows until when nothing is to be had, and asks for nothing meanwhile", () => {
    const share = shareOf();
    share.enqueue("a", 1, 5_000);
    const draw = share.ask(0);
    assert.ok(draw !== undefined);
    share.answered(draw, { granted: 0, level: -9, afterMs: 10_000 }, 0);
    assert.deepEqual([share.isOut(9_999, 0), share.isOut(10_000, 0), share.isOut(5_000, 5_000)], [true, false, false]);
    assert.deepEqual([share.outForMs(4_000), share.outForMs(20_000)], [6_000, 0]);
    assert.equal(share.ask(0), undefined);
    share.enqueue("b", 1, 20_000);
    assert.equal(share.ask(0), undefined, "expected those behind to wait for the first to be refused");
    share.refuse(0);
    assert.deepEqual(share.ask(0), { need: 1, want: 1, back: 0, waitMaxMs: 20_000 });
  });

  test("refuses those whose units do not come in time, and keeps the others in their order", () => {
    const share = shareOf();
    share.enqueue("covered", 1, 5_000);
    share.enqueue("large", 4, 5_000);
    share.enqueue("small", 1, 5_000);
    share.enqueue("patient", 3, 8_000);
    grant_(share, { granted: 2, level: 2 }, 0);
    grant_(share, { granted: 0, level: 0, afterMs: 8_000 }, 0);
    assert.deepEqual(share.refuse(0), [{ waiter: "large", forMs: 8_000 }]);
    assert.equal(share.waiting, 3);
    assert.deepEqual(take(share), ["covered", "small", "patient"]);
    assert.equal(share.waiting, 0);
  });

  test("refuses what has waited until its time, drawn for or not", () => {
    const share = granted({ granted: 1, level: -9 });
    share.enqueue("covered", 1, 4_000);
    share.enqueue("not", 1, 4_000);
    assert.deepEqual(share.refuse(3_999), []);
    assert.deepEqual(
      share.refuse(4_000).map(({ waiter }) => waiter),
      ["covered", "not"],
    );
  });

  test("tells those it refuses to come one after the other, and never later than ten minutes from now", () => {
    const share = granted({ granted: 0, afterMs: 3_000 }, slow, 1_000);
    assert.deepEqual([share.promise(2, 1_000), share.promise(1, 1_000), share.promise(1, 1_500)], [3_000, 5_000, 5_500]);
    assert.equal(share.promise(1, 60_000), 0, "expected promises that are over to be forgotten");
    share.promise(2_000, 60_000);
    assert.equal(share.promise(1, 60_000), promiseMaxMs);
  });

  test("gives back what nobody has spent from one look to the next", () => {
    const share = granted({ granted: 10, level: 100 }, fast);
    assert.equal(share.canSpend(10, 0), true);
    assert.equal(share.look(0), 0, "expected what has just come to be kept");
    share.spend(4);
    assert.equal(share.look(0), 6);
    assert.equal(share.owned, 0);
    assert.equal(share.look(0), 0);
  });

  test("gives back what has flowed in and nobody asked for since", () => {
    const share = granted({ granted: 10, level: 0 }, fast);
    const inMs = (10 * 60_000) / fast.perMinute;
    assert.deepEqual([share.look(inMs - 1), share.look(inMs), share.look(inMs + shareMs), share.owned], [0, 0, 10, 0]);
  });

  test("keeps what flows in, and what someone waits for", () => {
    const share = granted({ granted: 2, level: 0 });
    assert.deepEqual([share.look(0), share.look(0), share.owned], [0, 0, 2]);
    const other = granted({ granted: 4, level: 4 });
    other.canSpend(4, 0);
    other.enqueue("a", 5, 5_000);
    other.look(0);
    assert.equal(other.look(0), 0);
    other.ask(0);
    other.dequeue();
    assert.equal(other.look(0), 0, "expected nothing to be given back while more is drawn");
  });

  test("what was used beyond is charged at the next look, what was not used is there again", () => {
    const share = granted({ granted: 10, level: 100 }, fast);
    share.spend(10);
    share.correct(-25);
    assert.equal(share.owned, -25);
    assert.equal(share.look(0), -25);
    assert.equal(share.owned, 0);
    share.correct(3);
    assert.equal(share.canSpend(3, 0), true);
    share.look(0);
    assert.equal(share.look(0), 3);
  });

  test("a correction is no spending, and takes some back", () => {
    const share = granted({ granted: 100, level: 1_000 }, fast);
    share.spend(100);
    share.correct(90);
    share.spend(85);
    assert.equal(share.ask(0)?.want, 95);
    const other = granted({ granted: 10, level: 1_000 }, fast);
    other.spend(4);
    other.correct(9);
    other.spend(15);
    assert.equal(other.ask(0)?.want, 15);
  });

  test("those that go on are before those that begin; some can be taken out", () => {
    const share = shareOf();
    share.enqueue("b", 1, 5_000);
    share.enqueueFirst("a", 2, 4_000);
    share.enqueue("c", 1, 5_000);
    assert.deepEqual(share.first(), { waiter: "a", isFirst: true, order: Number.POSITIVE_INFINITY, cost: 2, untilMs: 4_000 });
    assert.deepEqual(
      share.remove((waiter) => waiter !== "c"),
      ["a", "b"],
    );
    assert.equal(share.waiting, 1);
    assert.deepEqual(share.ask(0), { need: 1, want: 1, back: 0, waitMaxMs: 5_000 });
  });

  test("those that go on, and those that begin, are each in their order, whenever they came here", () => {
    const share = shareOf();
    share.enqueue("d", 1, 5_000, 4);
    share.enqueueFirst("b", 1, 5_000, 5);
    share.enqueue("e", 1, 5_000);
    share.enqueue("c", 1, 5_000, 3);
    share.enqueueFirst("a", 1, 5_000, 2);
    share.enqueue("d2", 1, 5_000, 4);
    const served: (string | undefined)[] = [];
    for (let place = share.first(); place !== undefined; place = share.first()) {
      served.push(place.waiter);
      share.dequeue();
    }
    assert.deepEqual(served, ["a", "b", "c", "d", "d2", "e"]);
  });

  test("those that were taken out or have gone want nothing any more", () => {
    const share = granted({ granted: 2, level: 2 });
    share.enqueueFirst("a", 2, 5_000);
    share.enqueue("b", 1, 5_000);
    share.dequeue();
    share.spend(2);
    assert.deepEqual(share.ask(0), { need: 1, want: 1, back: 0, waitMaxMs: 5_000 });
    const emptied = shareOf();
    emptied.dequeue();
    emptied.enqueue("c", 2, 0);
    emptied.refuse(0);
    assert.equal(emptied.ask(0), undefined);
  });

  test("someone whose time is over asks for what comes at once only", () => {
    const share = shareOf();
    share.enqueue("a", 1, 1_000);
    assert.equal(share.ask(1_000)?.waitMaxMs, 1);
  });

  test("is idle when a new one would know as much", () => {
    const share = shareOf(fast);
    assert.equal(share.isIdle(0), true);
    share.enqueue("a", 1, 5_000);
    assert.equal(share.isIdle(0), false);
    const draw = share.ask(0);
    share.dequeue();
    assert.equal(share.isIdle(0), false, "expected a draw that is out to be waited for");
    share.answered(draw as BucketDraw, { granted: 0, level: 0, afterMs: 9_000 }, 0);
    assert.deepEqual([share.isIdle(8_999), share.isIdle(9_000)], [false, true]);
    grant_(share, { granted: 1, level: 1 }, 9_000);
    assert.equal(share.isIdle(9_000), false);
    share.spend(1);
    assert.equal(share.isIdle(9_000), false, "expected what is spent to be remembered");
    share.look(0);
    assert.equal(share.isIdle(9_000), false);
    share.look(0);
    assert.equal(share.isIdle(9_000), true);
  });

  test("another rate counts at once, and what was known of the bucket is forgotten", () => {
    const share = granted({ granted: 0, afterMs: 60_000 });
    share.promise(100, 0);
    share.change(fast);
    assert.deepEqual([share.rate, share.isOut(0, 0), share.promise(1, 0)], [fast, false, 0]);
  });

  test("shares of one bucket spend in any minute no more than it gives in one and a little", () => {
    const step = fc.record({ worker: fc.nat({ max: 2 }), waitMs: fc.nat({ max: 400 }), cost: fc.integer({ min: 1, max: 6 }) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 50, maxLength: 400 }), (steps) => {
        const pool = new Pool({ perMinute: 600, capacity: 20 }, 3);
        for (const { worker, waitMs, cost } of steps) pool.step(worker, waitMs, cost);
        pool.check();
      }),
      { numRuns: 50 },
    );
  });
});

/** Workers that draw on one bucket and spend whenever they may, looking every `shareMs`. */
class Pool {
  readonly #rate: BucketRate;
  readonly #shares: RateShare<number>[];
  #bucket: Bucket | undefined;
  #nowMs = 0;
  readonly #spent: { readonly atMs: number; readonly units: number }[] = [];

  constructor(rate: BucketRate, workers: number) {
    this.#rate = rate;
    this.#shares = Array.from({ length: workers }, () => new RateShare<number>(rate));
  }

  step(worker: number, waitMs: number, cost: number): void {
    const before = Math.floor(this.#nowMs / shareMs);
    this.#nowMs += waitMs;
    if (Math.floor(this.#nowMs / shareMs) > before)
      for (const share of this.#shares) this.#draw({ need: 0, want: 0, waitMaxMs: 0, back: share.look(this.#nowMs) });
    this.#shares[worker]?.enqueue(cost, cost, this.#nowMs + 2_000);
    for (const share of this.#shares) {
      const draw = share.ask(this.#nowMs);
      if (draw !== undefined) share.answered(draw, this.#draw(draw), this.#nowMs);
      for (let place = share.first(); place !== undefined && share.canSpend(place.cost, this.#nowMs); place = share.first()) {
        share.dequeue();
        share.spend(place.cost);
        this.#spent.push({ atMs: this.#nowMs, units: place.cost });
      }
      share.refuse(this.#nowMs);
    }
  }

  #draw(draw: BucketDraw): BucketGrant {
    const { bucket, grant } = drawFrom(this.#bucket, this.#rate, draw, this.#nowMs);
    this.#bucket = bucket;
    return grant;
  }

  check(): void {
    const { perMinute, capacity } = this.#rate;
    for (const { atMs: fromMs } of this.#spent) {
      const units = this.#spent.filter(({ atMs }) => atMs >= fromMs && atMs <= fromMs + 10_000).reduce((sum, one) => sum + one.units, 0);
      const most = capacity + ((10_000 + 2 * shareMs + 2_000) * perMinute) / 60_000;
      assert.ok(units <= most, `expected ${most} units in ten seconds at most, found ${units}`);
    }
  }
}
