// What runs take changes at once, and the distance with it: a window finds what it then needs, holds no more for long than can begin soon, and starves nobody.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { IntakeSimulation, type Shape } from "../support/intake-simulation.ts";

const waitMaxMs = 500;
const bounds = { start: 8, floor: 2, ceiling: 10_000, waitMaxMs };

interface Way {
  readonly serviceMs: number;
  readonly tripMs: number;
}

const ways: fc.Arbitrary<Way> = fc.record({ serviceMs: fc.integer({ min: 1, max: 300 }), tripMs: fc.integer({ min: 1, max: 40 }) });
const servers = fc.integer({ min: 1, max: 32 });

function shapeOf(serversMax: number, { serviceMs, tripMs }: Way): Shape {
  return { servers: serversMax, serviceMs, receiveMs: tripMs, claimMs: tripMs, settleMs: tripMs };
}

function begun(serversMax: number, way: Way): IntakeSimulation {
  const simulation = new IntakeSimulation({ ...bounds, floor: serversMax, start: 4 * serversMax }, shapeOf(serversMax, way));
  simulation.run(4_000 + 20 * way.serviceMs);
  return simulation;
}

/** Until what it held when things changed has ended, three times over: it is judged by runs that came after each of its steps. */
function settleMs(simulation: IntakeSimulation, serversMax: number, { serviceMs, tripMs }: Way): number {
  const drainMs = (Math.max(simulation.window.size, simulation.window.held) * serviceMs) / serversMax;
  return 4_000 + 20 * (serviceMs + tripMs) + 3 * drainMs;
}

function check(simulation: IntakeSimulation, serversMax: number, { serviceMs }: Way): void {
  const steady = simulation.run(4_000 + 20 * serviceMs);
  const capacity = (serversMax * 1_000) / serviceMs;
  assert.ok(steady.perSecond >= 0.8 * capacity, `${steady.perSecond} of ${capacity} a second with ${simulation.window.size}`);
  assert.ok(steady.waitMeanMs <= 1.1 * waitMaxMs + serviceMs, `waits ${steady.waitMeanMs} ms on average with ${simulation.window.size}`);
}

describe("an intake window finds what it needs", () => {
  test("after every step of what runs take, and of how far away broker and store are", () => {
    fc.assert(
      fc.property(servers, ways, fc.array(ways, { minLength: 1, maxLength: 3 }), (serversMax, before, steps) => {
        const simulation = begun(serversMax, before);
        for (const after of steps) {
          simulation.shape = shapeOf(serversMax, after);
          simulation.run(settleMs(simulation, serversMax, after));
          check(simulation, serversMax, after);
        }
      }),
      {
        numRuns: 60,
        examples: [
          [
            6,
            { serviceMs: 1, tripMs: 1 },
            [
              { serviceMs: 52, tripMs: 19 },
              { serviceMs: 1, tripMs: 36 },
            ],
          ],
          [1, { serviceMs: 2, tripMs: 4 }, [{ serviceMs: 255, tripMs: 4 }]],
          [6, { serviceMs: 1, tripMs: 9 }, [{ serviceMs: 1, tripMs: 36 }]],
          [13, { serviceMs: 1, tripMs: 9 }, [{ serviceMs: 1, tripMs: 33 }]],
        ],
      },
    );
  });
});
