// What becomes of an intake window when what it was found for changes: the distance, the sizes, and whether anything comes at all.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import type { IntakeBounds } from "#runtime/policy/intake-window.ts";
import { IntakeSimulation, type Shape, type Stretch } from "../support/intake-simulation.ts";

const bounds: IntakeBounds = { start: 8, floor: 2, ceiling: 10_000, waitMaxMs: 500 };
const serviceMs = fc.integer({ min: 2, max: 300 });
/** Up to 8 000 in a second. */
const longerMs = fc.integer({ min: 2, max: 300 });
const tripMs = fc.integer({ min: 1, max: 40 });

function start(shape: Shape, budgetBytes?: number): IntakeSimulation {
  return new IntakeSimulation({ ...bounds, floor: shape.servers, start: 4 * shape.servers }, shape, budgetBytes);
}

function at(trip: number): Pick<Shape, "receiveMs" | "claimMs" | "settleMs"> {
  return { receiveMs: trip, claimMs: trip, settleMs: trip };
}

/** Lets it find its window, once what is here already has begun, and sees what comes of it. */
function found(simulation: IntakeSimulation): Stretch {
  const { serviceMs: runMs, servers } = simulation.shape;
  simulation.run(3_000 + 20 * runMs + (simulation.window.held * runMs) / servers);
  return simulation.run(3_000 + 20 * runMs);
}

/** Nearly as fast as the servers are, also while it still grows, and nothing waits far longer than it should before it begins. */
function assertFound(stretch: Stretch, { servers, serviceMs: runMs }: Shape, what: string): void {
  const capacity = (servers * 1_000) / runMs;
  assert.ok(stretch.perSecond >= 0.6 * capacity, `${what}: ${stretch.perSecond} of ${capacity} a second`);
  assert.ok(stretch.waitMeanMs <= 2 * bounds.waitMaxMs + runMs, `${what}: waits ${stretch.waitMeanMs} ms on average`);
  assert.ok(stretch.waitMaxMs <= 4 * bounds.waitMaxMs + 2 * runMs, `${what}: waits up to ${stretch.waitMaxMs} ms`);
}

describe("an intake window is found again", () => {
  test("after every step of the distance", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 16 }), longerMs, fc.array(tripMs, { minLength: 2, maxLength: 4 }), (servers, runMs, steps) => {
        const simulation = start({ servers, serviceMs: runMs, ...at(5) });
        for (const [index, trip] of steps.entries()) {
          simulation.shape = { ...simulation.shape, ...at(trip) };
          assertFound(found(simulation), simulation.shape, `step ${index}, to ${trip} ms`);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("after every step of the size, within the budget of bytes, and without starving", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), serviceMs, sizes, (servers, runMs, steps) => {
        const budgetBytes = 10_000;
        const shape: Shape = { servers, serviceMs: runMs, ...at(2) };
        const simulation = start({ ...shape, bytes: 100 }, budgetBytes);
        for (const [index, bytes] of steps.entries()) {
          simulation.shape = { ...shape, bytes };
          const stretch = found(simulation);
          assert.ok(stretch.heldBytesMax <= Math.max(budgetBytes, bytes), `step ${index}, to ${bytes}: ${stretch.heldBytesMax} bytes`);
          // Of what fits some is on its way while the rest is served; and one less is expected to fit while sizes are still remembered that differ.
          const fitting = Math.max(1, Math.floor(budgetBytes / bytes) - 1);
          const perSecond = Math.min(servers, fitting) / ((runMs + 6) / 1_000);
          assert.ok(stretch.perSecond >= 0.75 * perSecond, `step ${index}, to ${bytes}: ${stretch.perSecond} of ${perSecond} a second`);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("after every lull, while nothing is held during it", () => {
    const lulls = fc.array(fc.integer({ min: 100, max: 25_000 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 2, max: 100 }), tripMs, lulls, (servers, runMs, trip, steps) => {
        const perSecond = (0.8 * servers * 1_000) / runMs;
        const busyShape: Shape = { servers, serviceMs: runMs, ...at(trip), perSecond };
        const simulation = start(busyShape);
        simulation.run(3_000);
        for (const [index, lullMs] of steps.entries()) {
          simulation.shape = { ...busyShape, perSecond: 0 };
          // What was under way ends first.
          simulation.run(2_000 + 4 * runMs);
          assert.deepEqual([simulation.run(lullMs).completed, simulation.window.held], [0, 0], `lull ${index}`);
          simulation.shape = busyShape;
          simulation.run(2_000 + 20 * runMs);
          const stretch = simulation.run(5_000);
          assert.ok(stretch.perSecond >= 0.9 * perSecond, `after lull ${index} of ${lullMs} ms: ${stretch.perSecond} of ${perSecond} a second`);
          assert.ok(stretch.waitMeanMs <= bounds.waitMaxMs, `after lull ${index}: waits ${stretch.waitMeanMs} ms`);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe("an intake window", () => {
  test("stays as it is while nothing changes: no size is far from the others", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 16 }), serviceMs, tripMs, (servers, runMs, trip) => {
        const simulation = start({ servers, serviceMs: runMs, ...at(trip) });
        found(simulation);
        const sizes: number[] = [];
        for (let look = 0; look < 10; look += 1) {
          simulation.run(500);
          sizes.push(simulation.window.size);
        }
        // It is probed with a quarter of it now and then, for less than a look or two.
        const usual = sizes.toSorted((one, other) => one - other).slice(2);
        assert.ok((usual.at(-1) ?? 0) <= 2.5 * (usual[0] ?? 0), `sizes ${sizes.join()}`);
      }),
      { numRuns: 40 },
    );
  });
});
