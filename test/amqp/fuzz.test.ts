// A little of what `npm run fuzz -- amqp` does at length, so that the fuzzer itself is kept in order.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { amqpTarget } from "../../bench/fuzz/amqp/target.ts";

const cases = 600;

test(`${cases} cases of hostile input end as they should`, async () => {
  const outcomes = new Map<string, number>();
  for (let index = 0; index < cases; index++) {
    const seed = Math.imul(index + 1, 0x9e37_79b9) >>> 0;
    try {
      const { outcome } = await amqpTarget.runCase(seed);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    } catch (error) {
      throw new Error(`case with seed ${seed}`, { cause: error });
    }
  }
  for (const outcome of ["local", "peer", "sasl", "violation amqp:decode-error", "violation amqp:connection:framing-error", "violation amqp:not-allowed"]) {
    assert.ok((outcomes.get(outcome) ?? 0) > 0, `expected a case that ends by ${outcome}, found ${[...outcomes.keys()].join(", ")}`);
  }
});
