// What is left of an intake window after a time in which there was less to do than it could hold.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { IntakeWindow } from "#runtime/policy/intake-window.ts";

const roomEveryMs = 5;
const dry = (): boolean => true;

interface Stream {
  readonly fromMs: number;
  readonly forMs: number;
  /** Messages that can leave in a millisecond. */
  readonly perMs: number;
  readonly wayMs: number;
  /** Messages that come in a millisecond; without end where it is left out. */
  readonly comePerMs?: number;
}

/** Messages come as long as there is room, and leave after their way; room is asked for only while some are there or come. Returns the smallest window. */
function stream(window: IntakeWindow, { fromMs, forMs, perMs, wayMs, comePerMs = Infinity }: Stream): number {
  const came: number[] = [];
  let least = Infinity;
  for (let nowMs = fromMs; nowMs < fromMs + forMs || came.length > 0; nowMs += 1) {
    for (let ended = 0; ended < perMs && came.length > 0 && came[0]! + wayMs <= nowMs; ended += 1) {
      window.ran(came.shift()!, 0, 0.01);
      window.gave(nowMs);
    }
    if (nowMs >= fromMs + forMs || nowMs % roomEveryMs !== 0) continue;
    const room = came.length === 0 ? Math.max(0, window.size - window.held) : window.room(nowMs, dry);
    for (let message = 0; message < Math.min(room, Math.ceil(comePerMs * roomEveryMs)); message += 1) {
      window.took(nowMs);
      came.push(nowMs);
    }
    least = Math.min(least, window.size);
  }
  return least;
}

function leastAfter(tripMs: number, perMs: number, between: (window: IntakeWindow, fromMs: number) => number): readonly [before: number, after: number] {
  const window = new IntakeWindow({ start: 4, floor: 1, ceiling: 10_000, waitMaxMs: 500 });
  window.tripped(tripMs, 2 * tripMs);
  const busy = { perMs, wayMs: 4 * tripMs };
  stream(window, { ...busy, fromMs: 0, forMs: 5_000 });
  const before = window.size;
  return [before, stream(window, { ...busy, fromMs: between(window, 6_000), forMs: 1_500 })];
}

describe("an intake window that has found its size keeps it", () => {
  const far = fc.integer({ min: 5, max: 40 });
  const quick = fc.integer({ min: 2, max: 10 });

  test("over a time without messages", () => {
    fc.assert(
      fc.property(far, quick, fc.integer({ min: 100, max: 9_000 }), (tripMs, perMs, lullMs) => {
        const [before, after] = leastAfter(tripMs, perMs, (_, fromMs) => fromMs + lullMs);
        assert.ok(after >= 0.75 * before, `${after} of ${before}`);
      }),
      { numRuns: 20 },
    );
  });

  test("over a time with few messages", () => {
    fc.assert(
      fc.property(far, quick, fc.integer({ min: 500, max: 3_000 }), (tripMs, perMs, fewMs) => {
        const [before, after] = leastAfter(tripMs, perMs, (window, fromMs) => {
          stream(window, { fromMs, forMs: fewMs, perMs, wayMs: 4 * tripMs, comePerMs: 0.1 });
          return fromMs + fewMs + 500;
        });
        assert.ok(after >= 0.75 * before, `${after} of ${before}`);
      }),
      { numRuns: 20 },
    );
  });
});
