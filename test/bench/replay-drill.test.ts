// The drill on replays in its short form; `npm run drill -- replay` is the long one.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { drillReplay } from "../../bench/drills/replay/run.ts";

for (const source of ["queue", "subscription"] as const) {
  test(`mended events of a ${source} complete once, and canaries stop the others, while replays and the worker are killed`, { timeout: 170_000 }, async () => {
    const { violations, ...figures } = await drillReplay(source, { letters: 60, kills: 3, seed: 7 });
    assert.deepEqual(violations, [], JSON.stringify(figures));
    assert.equal(figures.completed, 30);
  });
}
