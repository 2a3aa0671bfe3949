import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { UsageAverage } from "#runtime/policy/usage-average.ts";

describe("usage average", () => {
  test("expects what it was told, and one of each at least, before anything is known", () => {
    assert.deepEqual(new UsageAverage({ requests: 1, tokens: 500 }).of("a"), { requests: 1, tokens: 500 });
    assert.deepEqual(new UsageAverage({ requests: 0, tokens: 0 }).of("a"), { requests: 1, tokens: 1 });
  });

  test("believes the first run of a kind, and takes each further one for a tenth", () => {
    const average = new UsageAverage({ requests: 1, tokens: 500 });
    average.learn("a", { requests: 4, tokens: 100 });
    assert.deepEqual(average.of("a"), { requests: 4, tokens: 100 });
    average.learn("a", { requests: 14, tokens: 1_100 });
    assert.deepEqual(average.of("a"), { requests: 5, tokens: 200 });
    assert.deepEqual(average.of("b"), { requests: 1, tokens: 500 });
  });

  test("counts in whole units, the nearest", () => {
    const average = new UsageAverage({ requests: 1, tokens: 0 });
    average.learn("a", { requests: 1.4, tokens: 1.6 });
    assert.deepEqual(average.of("a"), { requests: 1, tokens: 2 });
  });

  test("lies between the least and the most that was used, and comes to what is used again and again", () => {
    const usage = fc.record({ requests: fc.integer({ min: 1, max: 50 }), tokens: fc.integer({ min: 1, max: 10_000 }) });
    fc.assert(
      fc.property(fc.array(usage, { minLength: 1, maxLength: 40 }), usage, (used, last) => {
        const average = new UsageAverage({ requests: 1, tokens: 0 });
        for (const one of used) average.learn("a", one);
        for (const unit of ["requests", "tokens"] as const) {
          const all = used.map((one) => one[unit]);
          const { [unit]: found } = average.of("a");
          assert.ok(found >= Math.min(...all) && found <= Math.max(...all), `${found}`);
        }
        for (let run = 0; run < 120; run += 1) average.learn("a", last);
        assert.deepEqual(average.of("a"), { ...last });
      }),
    );
  });
});
