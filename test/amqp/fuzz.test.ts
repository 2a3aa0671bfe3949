// A little of what `npm run fuzz -- amqp` does at length, so that the fuzzer itself is kept in order.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { amqpTarget } from "../../bench/fuzz/amqp/target.ts";

const cases = 600;

/** What a case must be able to come to, and in how many of a hundred it does at least. */
const depths: { readonly [what: string]: number } = {
  open: 60,
  session: 50,
  "attach of a sender": 35,
  "attach of a receiver": 35,
  delivery: 35,
  "message sent": 30,
  "outcome, settled": 15,
  "outcome, to be settled": 15,
  "settled by the peer": 10,
  drained: 10,
  "drain by the peer": 10,
  "deliveries left unsettled": 15,
  "(a peer that did all as it should)": 15,
  "both: delivery": 8,
  "both: outcome, settled": 3,
};

test(`${cases} cases of hostile input end as they should`, async () => {
  const outcomes = new Map<string, number>();
  const reached = new Map<string, number>();
  for (let index = 0; index < cases; index++) {
    const seed = Math.imul(index + 1, 0x9e37_79b9) >>> 0;
    try {
      const report = await amqpTarget.runCase(seed);
      outcomes.set(report.outcome, (outcomes.get(report.outcome) ?? 0) + 1);
      for (const what of report.reached ?? []) reached.set(what, (reached.get(what) ?? 0) + 1);
    } catch (error) {
      throw new Error(`case with seed ${seed}`, { cause: error });
    }
  }
  for (const outcome of ["local", "peer", "sasl", "violation amqp:decode-error", "violation amqp:connection:framing-error", "violation amqp:not-allowed"]) {
    assert.ok((outcomes.get(outcome) ?? 0) > 0, `expected a case that ends by ${outcome}, found ${[...outcomes.keys()].join(", ")}`);
  }
  for (const [what, percent] of Object.entries(depths)) {
    const found = ((reached.get(what) ?? 0) / cases) * 100;
    assert.ok(found >= percent, `expected "${what}" in at least ${percent} of a hundred cases, found ${found.toFixed(1)}`);
  }
});
