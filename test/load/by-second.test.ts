import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { BySecond } from "#load/dev/by-second.ts";

test("messages are counted in the second in which they ended, evenly between two looks", () => {
  const bySecond = new BySecond(60);
  bySecond.look(0, 0);
  bySecond.look(500, 100);
  bySecond.look(1_500, 300);
  bySecond.look(2_000, 300);
  bySecond.look(2_400, 310);
  assert.deepEqual(bySecond.list(), [200, 100, 10]);
});

test("nothing is counted twice or left out, however looks fall, and only the first seconds are listed", () => {
  const looks = fc.array(fc.tuple(fc.integer({ min: 1, max: 2_500 }), fc.integer({ min: 0, max: 900 })), { maxLength: 40 });
  fc.assert(
    fc.property(looks, (steps) => {
      const [all, first] = [new BySecond(1_000), new BySecond(3)];
      let atMs = 0;
      let ended = 0;
      for (const [afterMs, more] of steps) {
        atMs += afterMs;
        ended += more;
        all.look(atMs, ended);
        first.look(atMs, ended);
      }
      assert.equal(
        all.list().reduce((sum, count) => sum + count, 0),
        ended,
      );
      assert.ok(all.list().every((count) => count >= 0));
      assert.ok(first.list().length <= 3);
      assert.deepEqual(first.list(), all.list().slice(0, 3));
    }),
  );
});
