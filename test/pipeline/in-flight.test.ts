import { strict as assert } from "node:assert";
import { test } from "node:test";
import { InFlight } from "#runtime/pipeline/in-flight.ts";
import type { Work } from "#runtime/pipeline/work.ts";
import { skillPolicy } from "../support/pipeline-world.ts";

const database = 0;
const mailer = 1;

function workOf(inFlight: InFlight): Work {
  const work = { runId: inFlight.nextRunId(), isUndecided: true, skill: undefined } as unknown as Work;
  inFlight.add(work);
  return work;
}

test("messages that are not admitted yet count for the dependencies that they use, and for each until it is known which", () => {
  const inFlight = new InFlight();
  const [first, second, third] = [workOf(inFlight), workOf(inFlight), workOf(inFlight)];
  const left = (): readonly number[] => [inFlight.undecided, ...[[database], [mailer], [database, mailer], []].map((uses) => inFlight.undecidedOf(uses))];
  assert.deepEqual(left(), [3, 3, 3, 3, 3]);
  inFlight.routed(first, skillPolicy("stores", { uses: [database] }));
  inFlight.routed(second, skillPolicy("computes"));
  assert.deepEqual(left(), [3, 2, 1, 2, 1]);
  inFlight.decided(third);
  assert.deepEqual(left(), [2, 1, 0, 1, 0]);
  inFlight.decided(first);
  inFlight.decided(first);
  assert.deepEqual(left(), [1, 0, 0, 0, 0]);
  inFlight.decided(second);
  assert.deepEqual(left(), [0, 0, 0, 0, 0]);
});
