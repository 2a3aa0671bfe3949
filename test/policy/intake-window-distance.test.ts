// A window whose broker and store come to be farther away while it works.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { type IntakeBounds, IntakeWindow } from "#runtime/policy/intake-window.ts";
import { IntakeSimulation, type Shape } from "../support/intake-simulation.ts";

const bounds: IntakeBounds = { start: 4, floor: 1, ceiling: 10_000, waitMaxMs: 500 };
const at = (tripMs: number, loopMs: number): Shape => ({ servers: 1, serviceMs: 0.01, receiveMs: tripMs, claimMs: tripMs, settleMs: tripMs, loopMs });

describe("a window whose way becomes longer", () => {
  for (const [loopMs, tripMs] of [
    [0.033, 40],
    [0.1, 40],
    [0.1, 100],
    [0.5, 40],
  ] as const) {
    test(`to ${tripMs} ms a trip does within two seconds what one does that began there, at ${1 / loopMs} messages a millisecond`, () => {
      const there = new IntakeSimulation(bounds, at(tripMs, loopMs));
      there.run(6_000);
      const wanted = there.run(2_000).perSecond;
      for (const tripBeforeMs of [0.2, 2, 8]) {
        const simulation = new IntakeSimulation(bounds, at(tripBeforeMs, loopMs));
        simulation.run(6_000);
        simulation.shape = at(tripMs, loopMs);
        simulation.run(2_000);
        const found = simulation.run(2_000).perSecond;
        assert.ok(found >= 0.9 * wanted, `from ${tripBeforeMs} ms: ${found} of ${wanted} a second with ${simulation.window.size}`);
      }
    });
  }

  test("does not look for it again and again where load is what makes trips long", () => {
    const simulation = new IntakeSimulation(bounds, at(2, 0.1));
    simulation.run(3_000);
    const steady = simulation.run(17_000);
    assert.ok(steady.perSecond >= 0.95 * 10_000, `${steady.perSecond} a second`);
  });

  for (const [why, leastMs, size] of [
    ["goes on with what is of use where trips were long for load alone", 20, 10 * (40 + 1 + 20)],
    ["goes back to its size where the way has become longer", 160, 10_000],
  ] as const) {
    test(`that doubts it while it holds too much ${why}`, () => {
      const window = new IntakeWindow({ ...bounds, start: 10_000 });
      const run = (runs: number, nowMs: number): void => {
        for (let each = 0; each < runs; each += 1) {
          window.took(nowMs);
          window.ran(nowMs, 0, 1);
          window.gave(nowMs);
        }
      };
      window.tripped(10, 10);
      for (let trip = 0; trip < 100; trip += 1) window.tripped(100, 100);
      // It is known by now.
      run(10_000, 4_000);
      window.room(4_000, () => false);
      for (let message = 0; message < 10_000; message += 1) window.took(4_000);
      run(10_000, 5_000);
      window.room(5_000, () => false);
      assert.equal(window.size, 2_500);
      window.tripped(leastMs / 2, leastMs / 2);
      run(2_500, 6_000);
      window.room(6_000, () => false);
      assert.equal(window.size, size);
    });
  }
});
