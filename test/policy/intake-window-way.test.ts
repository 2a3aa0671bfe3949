// What an intake window learns of its way and of its rate: when it looks for the least trips, what it makes of what it finds, and which time counts.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { IntakeWindow } from "#runtime/policy/intake-window.ts";
import { bounds, busy, found } from "../support/watched-window.ts";

const size = 10_000;
const probed = size / 4;

/** A window that is far too large: trips take 200 ms by now, of which the least were 20. */
class Far {
  readonly window = new IntakeWindow({ ...bounds, start: size });

  readonly #runMs: number;

  constructor(tripMs = 100, leastMs = 10, runMs = 1) {
    this.#runMs = runMs;
    this.trip(leastMs, 1);
    this.trip(tripMs, 200);
    // Little is held: it is enough.
    this.judge(size, 100);
    for (let message = 0; message < size; message += 1) this.window.took(100);
  }

  /** Claims and settlements. */
  trip(tripMs: number, times: number): void {
    for (let trip = 0; trip < times; trip += 1) this.window.tripped(tripMs, tripMs);
  }

  /** So many runs have ended by then; returns its size. */
  judge(runs: number, nowMs: number, waitMs = 0): number {
    for (let run = 0; run < runs; run += 1) {
      this.window.took(nowMs);
      this.window.ran(nowMs, waitMs, this.#runMs);
      this.window.gave(nowMs);
    }
    this.window.room(nowMs, busy);
    return this.window.size;
  }
}

describe("an intake window that doubts its least trips", () => {
  test("looks for them after half a second, with a quarter of its size, and takes nothing more at once meanwhile", () => {
    assert.notEqual(new Far().judge(size, 499), probed);
    const far = new Far();
    assert.deepEqual([far.judge(size, 500), far.window.begunAll(500), far.window.size], [probed, 0, probed]);
  });

  test("looks for them with all that runs, and a quarter of the rest, where runs take longer than the trips", () => {
    // 20 in a millisecond, each for so long: 4,000 are in the threads.
    const sizeFor = (runMs: number): number => new Far(100, 10, runMs).judge(size, 600);
    assert.equal(sizeFor(199), probed);
    assert.equal(sizeFor(201), probed + (3 / 4) * 20 * 201);
  });

  test("does not while its runs wait as long as is wanted: then they wait for threads", () => {
    assert.notEqual(new Far().judge(size, 600, 220), probed);
  });

  test("does not while trips take less than half as long again, or less than 10 ms", () => {
    const probes = (tripMs: number, leastMs: number): boolean => new Far(tripMs, leastMs).judge(size, 600) === probed;
    assert.deepEqual([probes(14, 10), probes(16, 10), probes(4, 0.1), probes(6, 0.1)], [false, true, false, true]);
  });

  test("where that was found to be due to load looks again after four seconds, or after half of one when trips take half as long again, or less than half as much is done and the main thread has time left", () => {
    const looksAgain = (tripMs: number, afterMs: number, perMs = 20, isDriven = true): boolean => {
      const far = new Far();
      far.window.isDriven = isDriven;
      far.judge(size, 600);
      // While little is held they are as short as ever.
      far.trip(10, 1);
      const before = far.judge(probed, 1_000);
      far.trip(tripMs, 200);
      return far.judge(perMs * (afterMs - 400), 600 + afterMs) === Math.ceil(before / 4);
    };
    assert.deepEqual([looksAgain(100, 3_900), looksAgain(100, 4_000), looksAgain(140, 600), looksAgain(160, 600)], [false, true, false, true]);
    assert.deepEqual([looksAgain(100, 600, 11), looksAgain(100, 600, 9), looksAgain(100, 499, 9), looksAgain(100, 600, 9, false)], [false, true, false, false]);
  });

  test("keeps the least that it knew, where that is less than it finds; one that it has not met for long it forgets", () => {
    /** What it comes to with 15 in a millisecond, where it found so much in place of 10 ms. */
    const sizeAfter = (atMs: number, leastMs: number): number => {
      const far = new Far();
      assert.equal(far.judge(size, atMs), probed);
      far.trip(leastMs, 1);
      far.judge(probed, atMs + 400);
      for (let look = 1; look <= 8; look += 1) far.judge(1_500, atMs + 400 + 100 * look);
      return far.window.size;
    };
    // For twice the least way, 1 ms of a run and 20 ms.
    const [least5, least10, least15] = [5, 10, 15].map((leastMs) => 15 * (4 * leastMs + 21));
    assert.deepEqual([sizeAfter(500, 15), sizeAfter(500, 5), sizeAfter(20_000, 15), sizeAfter(20_000, 5)], [least10, least5, least15, least5]);
  });

  test("takes the way to be longer where the least is half as long again as before, and not where it is less", () => {
    const sizeAfter = (leastMs: number): number => {
      const far = new Far(20, 10);
      assert.equal(far.judge(size, 600), probed);
      far.trip(leastMs, 1);
      return far.judge(probed, 1_000);
    };
    // With 20 in a millisecond, for 40 + 1 + 20 ms; or it is sought again.
    assert.deepEqual([sizeAfter(12.5), sizeAfter(15.5)], [1_220, size]);
  });

  test("looks again after half a second, once, where what it found is longer than the way that it believed in, and trips are hardly longer by now", () => {
    /** Trips take 400 ms for a moment, and at least 120 while little is held; then so long. */
    const misjudged = (tripMs: number, foundMs = 60): Far => {
      const far = new Far(200);
      assert.equal(far.judge(size, 600), probed);
      far.trip(foundMs, 1);
      assert.ok(far.judge(probed, 1_000) < size);
      far.trip(tripMs, 200);
      return far;
    };
    /** Whether it does at that time, for it has what it can have use of; so many more have ended in a millisecond by then. */
    const looksAgain = (far: Far, nowMs: number, sinceMs = 1_000): boolean => {
      const { size: before } = far.window;
      return far.judge(40 * (nowMs - sinceMs), nowMs) === Math.ceil(before / 4);
    };
    assert.deepEqual(
      [
        [70, 1_099],
        [70, 1_100],
        [110, 1_100],
        [130, 1_100],
      ].map(([tripMs = 0, nowMs = 0]) => looksAgain(misjudged(tripMs), nowMs)),
      [false, true, true, false],
    );
    // The way that it believed in, give or take half of it.
    assert.deepEqual([looksAgain(misjudged(20, 14), 1_100), looksAgain(misjudged(20, 16), 1_100)], [false, true]);
    const twice = misjudged(70);
    assert.ok(looksAgain(twice, 1_100));
    twice.trip(30, 1);
    twice.judge(probed, 1_200);
    twice.trip(50, 200);
    assert.ok(!looksAgain(twice, 5_099, 1_200));
  });

  test("goes back to its size where nothing was measured meanwhile, keeps what it knew, and looks again half a second later", () => {
    const fruitless = (): Far => {
      const far = new Far();
      far.judge(size, 600);
      assert.equal(far.judge(probed, 700), size);
      return far;
    };
    // It is of no use to hold so much: that is known still.
    const before = fruitless().judge(size, 1_199, 220);
    assert.ok(before < size && before !== probed, `${before}`);
    assert.equal(fruitless().judge(size, 1_200, 220), probed);
  });

  test("forgets them in a lull", () => {
    const watched = found(size, 1);
    watched.empty();
    watched.nowMs += 10_000;
    watched.judge(0, 0, 0);
    watched.whole(20, 1);
    watched.window.tripped(50, 50);
    watched.turn(1_000);
    // 20 in a millisecond, for 200 + 100 + 20 ms.
    assert.equal(watched.whole(0, 100), 20 * 320);
  });
});

describe("the rate of an intake window", () => {
  /** A window of which 10 in a millisecond left, for 200 ms, until none was held. */
  function emptied(): IntakeWindow {
    const { window } = found(2_000, 1);
    for (let message = 0; message < 1_000; message += 1) window.gave(50);
    for (let message = 0; message < 1_000; message += 1) window.gave(250);
    return window;
  }

  /** What it comes to with runs of 100 ms that begin at once. */
  function judged(window: IntakeWindow, cameMs: number, nowMs: number): number {
    while (!window.isFull) window.took(cameMs);
    for (let run = 0; run < 2_000; run += 1) window.ran(cameMs, 0, 100);
    window.room(nowMs, busy);
    return window.size;
  }

  test("is of the time in which there were some to leave, and of gaps that fetching the next explains", () => {
    const sizeAfter = (gapMs: number): number => judged(emptied(), 250 + gapMs, 250 + gapMs);
    // 50 ms and the least way of 2 ms; of use is what leaves in 4 + 100 + 20 ms.
    assert.deepEqual([sizeAfter(52), sizeAfter(53), sizeAfter(1_000)], [Math.ceil((124 * 2_000) / 252), 1_240, 1_240]);
  });

  /** So many that came while little was held leave when it is used up again. */
  function usedUpAgain(stragglers: number): IntakeWindow {
    const window = emptied();
    for (let message = 0; message < 100; message += 1) window.took(1_250);
    for (const nowMs of [1_300, 1_350]) window.room(nowMs, busy);
    for (let run = 0; run < stragglers; run += 1) {
      window.ran(1_250, 0, 1);
      window.gave(1_360);
    }
    return window;
  }

  /** 10 in a millisecond leave, for 100 ms. */
  function flow(window: IntakeWindow, fromMs: number): void {
    while (!window.isFull) window.took(fromMs);
    window.ran(fromMs, 0, 100);
    window.gave(fromMs);
    for (let message = 1; message < 1_000; message += 1) window.gave(fromMs + 100);
  }

  test("is not of those that came while it was not used up", () => {
    assert.equal(judged(usedUpAgain(1), 1_360, 1_420), 1_240);
    const window = usedUpAgain(90);
    flow(window, 1_400);
    assert.equal(judged(window, 1_400, 1_500), Math.ceil(10 * (4 + (90 + 2_001 * 100) / 2_091 + 20)));
  });

  test("is not of those that left before it was measured again, though for too short a time to tell", () => {
    const { window } = found(2_000, 1);
    for (const nowMs of [50, 90]) for (let message = 0; message < 1_000; message += 1) window.gave(nowMs);
    flow(window, 1_000);
    assert.equal(judged(window, 1_000, 1_100), 1_240);
  });

  test("is over a way at least: what is settled together leaves together", () => {
    /** Runs of a millisecond that wait as long as is wanted: it shrinks if anything. */
    const sizeAt = (nowMs: number): number => {
      const { window } = found(2_000, 40);
      const judge = (atMs: number): number => {
        while (!window.isFull) window.took(atMs);
        for (let run = 0; run < 2_000; run += 1) window.ran(atMs, 20, 1);
        window.room(atMs, busy);
        return window.size;
      };
      for (const atMs of [50, 250]) for (let message = 0; message < 1_000; message += 1) window.gave(atMs);
      assert.equal(judge(250), 2_000);
      window.gave(260);
      return judge(nowMs);
    };
    // One has left since 250; a way takes 80 ms.
    assert.deepEqual([sizeAt(329), sizeAt(330)], [2_000, 4]);
  });
});
