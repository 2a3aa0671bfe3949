// The drill on `holdfast debug` in its short form; `npm run drill -- debug` is the long one.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { drillDebug } from "../../bench/drills/debug/run.ts";
import { isLong } from "../support/long.ts";

const form = isLong ? { seconds: 12, kills: 3, letters: 5 } : { seconds: 2, kills: 0, letters: 1 };

test("dead letters that a drill has left come to the same failure on the same line, and nobody outside is asked", { timeout: 240_000 }, async () => {
  const { violations, ...figures } = await drillDebug({ ...form, seed: 3 });
  assert.deepEqual(violations, [], JSON.stringify(figures));
  assert.ok(figures.tests >= 1 && figures.answered >= 1, JSON.stringify(figures));
});
