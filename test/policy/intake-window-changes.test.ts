// How far an intake window changes, and by what; see also its simulation in intake-window.test.ts.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { IntakeWindow, judgeEveryMs } from "#runtime/policy/intake-window.ts";
import { bounds, busy, dry, found, Watched } from "../support/watched-window.ts";

const lullMs = 10_000;

describe("an intake window changes", () => {
  test("to twice as much until it has once been enough, then by what is missing, by one at least and to twice as much at most", () => {
    const watched = new Watched();
    assert.equal(watched.whole(0, 190), 16);
    // Enough: they waited as long as is wanted.
    assert.equal(watched.whole(10, 190), 16);
    // Held for 190 ms, of 200 that are wanted.
    assert.equal(watched.whole(0, 190), 17);
    // Held for 35 ms, of 40 that are wanted.
    const large = new Watched({ start: 100 });
    large.whole(20, 30);
    assert.equal(large.whole(5, 30), 114);
    assert.equal(large.whole(0, 1), 228);
  });

  test("to twice as much again after a lull", () => {
    const watched = new Watched();
    watched.whole(20, 190);
    assert.equal(watched.whole(0, 190), 9);
    watched.empty();
    watched.nowMs += lullMs;
    assert.equal(watched.judge(0, 0, 0), 8);
    assert.equal(watched.whole(0, 190), 16);
  });

  test("by the time of its trips, too: what is claimed and settled is held meanwhile", () => {
    const sizeWith = (claimMs: number | undefined, settleMs: number | undefined): number => {
      const watched = new Watched({ start: 1_000 });
      for (let trip = 0; trip < 200; trip += 1) watched.window.tripped(claimMs, settleMs);
      return watched.whole(600, 400);
    };
    // Held for 400 ms and 10 more, of 1 000; with 200 ms of trips for 600 and 210 more, of 1 200.
    assert.deepEqual([sizeWith(undefined, undefined), sizeWith(0, 0)], [500, 500]);
    for (const [claimMs, settleMs] of [
      [200, undefined],
      [undefined, 200],
      [100, 100],
    ] as const) {
      const size = sizeWith(claimMs, settleMs);
      assert.ok(size >= 674 && size <= 675, `${size}`);
    }
  });

  test("up to half of the wait that is allowed at most, however far the trips", () => {
    const watched = new Watched({ enoughMs: 1_000 });
    assert.deepEqual([watched.whole(250, 10), watched.whole(249, 10)], [8, 9]);
  });

  test("when a wait is longer than allowed, shorter than wanted, and not at either", () => {
    const watched = new Watched();
    assert.deepEqual([watched.whole(500, 10), watched.whole(10, 10)], [8, 8]);
    assert.equal(watched.whole(501, 10), 4);
  });

  test("when a wait is longer than a third of a lock, where that is less", () => {
    const watched = new Watched();
    watched.window.lockMs = 900;
    assert.deepEqual([watched.whole(300, 10), watched.window.turnsOverMs], [8, 310]);
    assert.equal(watched.whole(301, 10), 4);
    // Longer than three times the wait that is allowed, and one that is not known.
    for (const lockMs of [60_000, 0]) {
      const usual = new Watched();
      usual.window.lockMs = 900;
      usual.window.lockMs = lockMs;
      assert.deepEqual([usual.whole(500, 10), usual.whole(501, 10)], [8, 4]);
    }
  });

  test("by some runs where they waited too long, not by one, nor by some that did not", () => {
    assert.equal(new Watched({ start: 100 }).judge(10, 900, 10), 50);
    assert.equal(new Watched({ start: 100 }).judge(1, 900, 10), 100);
    const watched = new Watched({ start: 100 });
    assert.deepEqual([watched.judge(10, 5, 10), watched.window.serviceMs], [100, 0]);
  });

  test("by four runs that waited too long, and not by three; by four that waited as long as is allowed it is not found", () => {
    assert.deepEqual(
      [4, 3].map((runs) => new Watched({ start: 100 }).judge(runs, 900, 10)),
      [50, 100],
    );
    const watched = new Watched({ start: 100 });
    watched.judge(4, 500, 10);
    assert.equal(watched.window.canGrow, true);
  });

  test("by the most that it held since it was looked at last", () => {
    const watched = new Watched();
    for (let message = 0; message < 7; message += 1) watched.window.gave(1);
    watched.window.took(2);
    for (let run = 0; run < 8; run += 1) watched.window.ran(0, 0, 190);
    watched.window.room(judgeEveryMs, busy);
    assert.equal(watched.window.size, 16);
  });

  test("to twice as much at least while it is not found, where a little more is of use", () => {
    const watched = new Watched({ start: 100, waitMaxMs: 100 });
    watched.window.tripped(1, 1);
    watched.turn(75);
    // Worth four times 1.5 in a millisecond, for 4 + 1 + 20 ms.
    assert.equal(watched.whole(0, 1), 200);
  });

  test("by runs that came before it shrank to its floor where it was there already", () => {
    const watched = new Watched({ start: 2 });
    assert.equal(watched.whole(900, 10), 2);
    for (let run = 0; run < 2; run += 1) watched.window.ran(0, 0, 10);
    assert.equal(watched.judge(0, 0, 0), 4);
  });

  test("not for dry threads where its runs have waited for their turn", () => {
    const watched = new Watched();
    for (let look = 0; look < 5; look += 1) assert.equal(watched.judge(1, 100, 10, dry), 8);
  });

  test("by what was measured since it was to grow, where it may not", () => {
    const watched = new Watched();
    watched.window.growth = "none";
    assert.equal(watched.whole(0, 100), 8);
    assert.equal(watched.whole(900, 100), 4);
  });

  test("by runs that came before it was to grow beyond its ceiling: it has not changed", () => {
    const watched = new Watched({ ceiling: 8 });
    assert.equal(watched.whole(0, 10), 8);
    for (let run = 0; run < 8; run += 1) watched.window.ran(0, 900, 10);
    assert.equal(watched.judge(0, 0, 0), 4);
  });

  test("back to its start when nothing was held for ten seconds, not sooner, and not while something is", () => {
    const watched = new Watched();
    assert.equal(watched.whole(0, 10), 16);
    watched.nowMs = 1_000;
    for (let message = 0; message < 15; message += 1) watched.window.gave(watched.nowMs);
    watched.nowMs = 5_000;
    watched.window.gave(watched.nowMs);
    for (const nowMs of [1_000 + lullMs, 5_000 + lullMs - 1]) {
      watched.window.room(nowMs, busy);
      assert.equal(watched.window.size, 16);
    }
    watched.window.room(5_000 + lullMs + judgeEveryMs, busy);
    assert.equal(watched.window.size, 8);

    const held = new Watched();
    held.whole(0, 10);
    held.empty();
    held.window.took(1_000);
    held.window.room(20_000, busy);
    assert.equal(held.window.size, 16);
  });

  test("back to its start from exactly ten seconds on", () => {
    const watched = new Watched();
    watched.whole(0, 10);
    watched.empty();
    watched.window.room(watched.nowMs + lullMs, busy);
    assert.equal(watched.window.size, 8);
  });
});

describe("an intake window of which all is under way", () => {
  test("doubles at once, as far as its ceiling, and only while it is full", () => {
    const { window } = new Watched({ ceiling: 20 });
    assert.deepEqual([window.begunAll(1), window.size], [8, 16]);
    assert.deepEqual([window.begunAll(1), window.size], [0, 16]);
    for (let message = 0; message < 8; message += 1) window.took(1);
    assert.deepEqual([window.begunAll(2), window.size], [4, 20]);
    for (let message = 0; message < 4; message += 1) window.took(2);
    assert.deepEqual([window.begunAll(3), window.size], [0, 20]);
  });

  test("does not where its runs take longer than usual", () => {
    for (const growth of ["careful", "none"] as const) {
      const { window } = new Watched();
      window.growth = growth;
      assert.deepEqual([window.begunAll(1), window.size], [0, 8]);
    }
  });
});

describe("an intake window is of no use beyond", () => {
  /** The size that it comes to with so many that end in 50 ms, whose runs begin at once and take so long. */
  function sizeFrom(start: number, ended: number, serviceMs: number): number {
    const watched = found(start, 1);
    watched.turn(ended);
    return watched.whole(0, serviceMs);
  }

  test("what ends in two of the least trips, a run, and twice what is enough", () => {
    // 20 in a millisecond, for 4 + 100 + 20 ms.
    assert.equal(sizeFrom(10_000, 1_000, 100), 2_480);
  });

  test("what ends in two and a half of the least trips, where the main thread has time left; once it has none, what is held is left as it is", () => {
    const watched = found(10_000, 1);
    watched.window.isDriven = true;
    watched.turn(1_000);
    assert.equal(watched.whole(0, 100), 20 * (5 + 100 + 20));
    watched.window.isDriven = false;
    watched.turn(1_000);
    assert.equal(watched.whole(0, 100), 2_500);
  });

  test("that, of which receiving is one: it takes as long as what of a settlement is no claim", () => {
    const sizeWith = (claimMs: number, settleMs: number): number => {
      const watched = new Watched({ start: 10_000 });
      watched.whole(20, 1);
      watched.window.tripped(claimMs, settleMs);
      watched.turn(1_000);
      return watched.whole(0, 100);
    };
    // 20 in a millisecond, for twice 10 + 10 + 20, or twice 20 + 10, and for 100 + 20 ms.
    assert.deepEqual([sizeWith(10, 20), sizeWith(20, 10)], [20 * (80 + 120), 20 * (60 + 120)]);
  });

  test("what its runs need since it was changed, and not only the last of them", () => {
    const watched = found(10_000, 1);
    watched.turn(1_000);
    for (const serviceMs of [0, 200]) for (let run = 0; run < 5_000; run += 1) watched.window.ran(watched.nowMs, 0, serviceMs);
    assert.equal(watched.judge(0, 0, 0), 2_480);
  });

  test("that, whole where it is not known how many records a run waited for", () => {
    const watched = found(10_000, 1);
    watched.turn(1_000);
    for (let run = 0; run < 10_000; run += 1) watched.window.ran(watched.nowMs, 0, 100, 40);
    assert.equal(watched.judge(0, 0, 0), 2_480);
  });

  test("what pays by going together: 512, or what ends in half of the time in which a run should begin", () => {
    assert.deepEqual([sizeFrom(1_000, 1_000, 1), sizeFrom(1_000, 50, 1)], [512, 250]);
  });

  test("half as much again: so far it is left as it is", () => {
    assert.deepEqual([sizeFrom(768, 1_000, 1), sizeFrom(769, 1_000, 1)], [768, 512]);
  });

  test("that, where so much is held that it tells: two fifths", () => {
    const sizeWith = (held: number): number => {
      const { window, ...watched } = found(1_000, 1);
      while (window.held > 0) window.gave(watched.nowMs);
      window.room(watched.nowMs + judgeEveryMs, busy);
      for (let message = 0; message < held; message += 1) window.took(watched.nowMs + judgeEveryMs);
      for (let run = 0; run < 1_000; run += 1) window.ran(watched.nowMs + judgeEveryMs, 0, 1);
      window.room(watched.nowMs + 2 * judgeEveryMs, busy);
      return window.size;
    };
    assert.deepEqual([sizeWith(399), sizeWith(400)], [1_000, 512]);
  });

  test("that for dry threads either, unless it cannot be told yet", () => {
    const sizeWith = (serviceMs: number): number[] => {
      const watched = found(100, 1);
      return [0, 1].map(() => {
        watched.turn(30);
        return watched.judge(10, 0, serviceMs, dry);
      });
    };
    // 0.6 in a millisecond; runs that take as long as lies between two judgements say nothing of the rate.
    assert.deepEqual(
      [sizeWith(1), sizeWith(49), sizeWith(50)],
      [
        [100, 150],
        [100, 150],
        [100, 200],
      ],
    );
  });
});

describe("an intake window of which no run has ended that came since it was changed", () => {
  /** What it comes to for dry threads, 100 ms after it has come to 32; `leave` is told when. */
  function sizeAfter(waitMaxMs: number, leave: (window: IntakeWindow, nowMs: number) => void): number {
    const window = new IntakeWindow({ ...bounds, start: 16, waitMaxMs });
    window.tripped(1, 1);
    for (let message = 0; message < 16; message += 1) window.took(0);
    for (const nowMs of [50, 100]) window.room(nowMs, dry);
    assert.equal(window.size, 32);
    leave(window, 100);
    while (!window.isFull) window.took(100);
    for (const nowMs of [150, 200]) window.room(nowMs, dry);
    return window.size;
  }

  function left(window: IntakeWindow, messages: number, nowMs: number): void {
    for (let message = 0; message < messages; message += 1) {
      window.gave(nowMs);
      window.took(nowMs);
    }
  }

  test("grows without regard to the rate where those before took longer than lies between two judgements", () => {
    const size = sizeAfter(500, (window, nowMs) => {
      // 63 ms, for the newest counts for a tenth.
      for (const serviceMs of [70, 0]) window.ran(0, 0, serviceMs);
      window.gave(nowMs);
    });
    assert.equal(size, 64);
  });

  test("goes by what those before needed, of which the newest counts for a tenth", () => {
    const size = sizeAfter(100, (window, nowMs) => {
      for (let run = 0; run < 10; run += 1) window.ran(0, 0, run === 0 ? 40 : 0);
      left(window, 30, nowMs);
    });
    // Worth four times 0.3 in a millisecond, for 4 + 15.5 + 20 ms; without what runs need that would be 29.
    assert.equal(size, 64);
  });

  test("goes by the rate at which messages left since", () => {
    const sizeWith = (messages: number): number => sizeAfter(100, (window, nowMs) => left(window, messages, nowMs));
    // Worth four times 0.6 in a millisecond, or 0.3, for 4 + 20 ms.
    assert.deepEqual([sizeWith(60), sizeWith(30)], [64, 32]);
  });
});

describe("an intake window looks for the least trips again", () => {
  /** Twenty seconds, less so many, after it was looked for last, with trips that take so long by now. */
  function afterTwentySeconds(lessMs: number, tripMs: number): Watched {
    const watched = found(12, 100);
    for (let trip = 0; trip < 400; trip += 1) watched.window.tripped(tripMs, tripMs);
    watched.nowMs = 20_000 - lessMs;
    watched.turn(400);
    watched.whole(300, 1_000);
    return watched;
  }

  test("with a quarter of it, after twenty seconds in which they were not met", () => {
    assert.deepEqual([afterTwentySeconds(1, 130).window.size, afterTwentySeconds(0, 130).window.size], [12, 3]);
  });

  test("not where they were met again, give or take a quarter", () => {
    assert.equal(afterTwentySeconds(0, 124).window.size, 12);
  });

  test("for one window of runs, and does not grow meanwhile", () => {
    const watched = afterTwentySeconds(0, 130);
    for (let look = 0; look < 4; look += 1) assert.equal(watched.judge(0, 0, 0, dry), 3);
    assert.equal(watched.whole(0, 1), 12);
    // It is no longer looked for, and the next is twenty seconds away.
    watched.turn(10);
    assert.equal(watched.whole(300, 1_000), 12);
  });
});

describe("an intake window", () => {
  test("is full with as much as it is large, and stalls from when the first message came", () => {
    const window = new IntakeWindow(bounds);
    for (let message = 0; message < 7; message += 1) window.took(60_000);
    assert.deepEqual([window.isFull, window.isStalled(60_500), window.isStalled(70_000)], [false, false, true]);
    window.took(60_000);
    assert.equal(window.isFull, true);
  });

  test("is overfull by the rate since it was changed, and where it was changed twice at one time by that before", () => {
    const window = new IntakeWindow({ ...bounds, start: 100 });
    for (let message = 0; message < 100; message += 1) window.took(0);
    for (const [look, runs] of [100, 50].entries()) {
      for (let run = 0; run < runs; run += 1) window.ran(look * judgeEveryMs, 5_000, 1);
      if (look === 1) for (let message = 0; message < 50; message += 1) window.gave(99);
      window.room((look + 1) * judgeEveryMs, busy);
    }
    // One in a millisecond, so five hundred within the time in which a run should begin.
    while (window.held < 499) window.took(100);
    assert.deepEqual([window.size, window.isOverfull], [25, false]);
    window.took(100);
    assert.equal(window.isOverfull, true);
    const twice = new IntakeWindow({ ...bounds, start: 4, ceiling: 16 });
    for (const _ of [8, 16]) {
      while (!twice.isFull) twice.took(10);
      twice.begunAll(10);
    }
    // Twice the root of what was asked for beyond that.
    while (twice.held < 24) twice.took(10);
    assert.deepEqual([twice.size, twice.isOverfull], [16, true]);
  });

  test("is overfull by a rate over some time: two that end together within a millisecond are not two thousand a second", () => {
    const window = new IntakeWindow(bounds);
    while (!window.isFull) window.took(0);
    window.begunAll(1_000);
    for (let message = 0; message < 2; message += 1) window.gave(1_001);
    while (!window.isFull) window.took(1_001);
    window.begunAll(1_001);
    assert.equal(window.size, 32);
    // Twice the root of what was asked for beyond that.
    while (window.held < 42) window.took(1_001);
    assert.equal(window.isOverfull, false);
    window.took(1_001);
    assert.equal(window.isOverfull, true);
  });

  test("is overfull by a rate over twice as long as its runs take at least", () => {
    const window = new IntakeWindow({ ...bounds, start: 10 });
    while (!window.isFull) window.took(0);
    for (let run = 0; run < 10; run += 1) {
      window.ran(0, 0, judgeEveryMs);
      window.gave(judgeEveryMs);
    }
    window.room(judgeEveryMs, busy);
    while (window.held < window.size + Math.floor(2 * Math.sqrt(window.size))) window.took(judgeEveryMs);
    assert.equal(window.isOverfull, true);
  });

  test("goes on measuring at its ceiling, however dry threads are: it does not change any more", () => {
    const window = new IntakeWindow({ ...bounds, start: 10, ceiling: 10 });
    while (!window.isFull) window.took(0);
    for (const look of [1, 2, 3]) {
      for (let run = 0; run < 2; run += 1) window.ran(0, 0, 80);
      window.room(look * judgeEveryMs, () => true);
    }
    assert.equal(window.serviceMs, 80);
  });
});
