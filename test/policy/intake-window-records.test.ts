// A window of runs that wait until their steps are recorded: the more of them are under way, the longer each of them waits.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { type IntakeBounds, IntakeWindow } from "#runtime/policy/intake-window.ts";
import { IntakeSimulation, type Shape } from "../support/intake-simulation.ts";

const bounds: IntakeBounds = { start: 4, floor: 1, ceiling: 100_000, waitMaxMs: 500 };

/** One loop that every message and every record passes, as the main thread is. */
function steps(count: number, tripMs: number, loopMs: number): Shape {
  return { servers: 1, serviceMs: 0.01, receiveMs: tripMs, claimMs: tripMs, settleMs: tripMs, loopMs, records: { count, tripMs } };
}

/** Of the loop, which is what limits. */
function capacity({ loopMs = 0, records }: Shape): number {
  return 1_000 / (loopMs * (1 + (records?.count ?? 0)));
}

describe("a window of runs that record steps", () => {
  for (const count of [1, 4, 8]) {
    for (const tripMs of [0.2, 5, 20]) {
      test(`does all that the loop can with ${count} of ${tripMs} ms each, and holds no more than three times what that needs`, () => {
        const shape = steps(count, tripMs, 0.1);
        const simulation = new IntakeSimulation(bounds, shape);
        simulation.run(12_000);
        const { perSecond, heldMax } = simulation.run(4_000);
        assert.ok(perSecond >= 0.9 * capacity(shape), `${perSecond} of ${capacity(shape)} a second with ${simulation.window.size}`);
        const perMs = capacity(shape) / 1_000;
        const needed = perMs * (3 + count) * tripMs;
        // And what goes together and waits for little: that costs nobody anything.
        assert.ok(heldMax <= 3 * needed + 1_536, `${heldMax} were held, ${needed} needed`);
      });
    }
  }

  test("counts of what records take no more than load makes of a trip", () => {
    const sizes = [0, 80, 10_000].map((recordingMs) => {
      const window = new IntakeWindow({ ...bounds, start: 20_000 });
      window.tripped(10, 10);
      for (let message = 0; message < 20_000; message += 1) window.took(0);
      for (let run = 0; run < 20_000; run += 1) {
        window.ran(0, 0, recordingMs + 1, recordingMs, 4);
        window.gave(1_000);
        window.took(1_000);
      }
      window.room(1_000, () => false);
      return window.size;
    });
    // Twenty a millisecond, held for two trips of 20 ms, the run, four records of twice 10 ms, and 20 ms.
    assert.deepEqual(sizes, [20 * (40 + 1 + 20), 20 * (40 + 81 + 20), 20 * (40 + 81 + 20)]);
  });
});
