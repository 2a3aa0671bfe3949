// The drill on faults in its short form; `npm run drill -- faults` is the long one.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { faults } from "../../bench/drills/faults/faults.ts";
import { drillFault } from "../../bench/drills/faults/run.ts";
import { isLong } from "../support/long.ts";

const shortForm: readonly string[] = ["redis-emptied"];

for (const fault of faults.filter(({ name }) => isLong || shortForm.includes(name))) {
  test(`the promise holds through ${fault.name}: ${fault.what}`, { timeout: 240_000 }, async () => {
    const { violations, ...figures } = await drillFault(fault, { workers: 2, rate: 40, seed: 5 });
    assert.deepEqual(violations, [], JSON.stringify(figures));
    assert.ok(figures.completed > 100, JSON.stringify(figures));
  });
}
