// A window whose broker and store come to be farther away while it works.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { IntakeBounds } from "#runtime/policy/intake-window.ts";
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
});
