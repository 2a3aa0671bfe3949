import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { ChurningTable } from "#runtime/core/churning.ts";

const step = fc.constantFrom("set", "set", "getOrSet", "delete", "delete this", "get");

function compare<Key extends number | string>(makeTable: () => ChurningTable<Key, number>, key: fc.Arbitrary<Key>): void {
  fc.assert(
    fc.property(fc.array(fc.tuple(step, key), { maxLength: 400, size: "max" }), (steps) => {
      const table = makeTable();
      const map = new Map<Key, number>();
      let last = 0;
      for (const [what, of] of steps) {
        last += 1;
        if (what === "set") {
          table.set(of, last);
          map.set(of, last);
        } else if (what === "getOrSet") {
          if (!map.has(of)) map.set(of, last);
          assert.equal(table.getOrSet(of, last), map.get(of));
        } else if (what === "delete this") {
          assert.equal(table.delete(of, last), false);
          assert.equal(table.delete(of, map.get(of) ?? last), map.delete(of));
        } else if (what === "delete") assert.equal(table.delete(of), map.delete(of));
        assert.equal(table.get(of), map.get(of));
        assert.equal(table.size, map.size);
      }
      const visited: number[] = [];
      table.forEach((item) => visited.push(item));
      assert.deepEqual(new Set(visited), new Set(map.values()));
      assert.equal(visited.length, map.size);
      const ordered = [...map].sort(([one], [other]) => (one < other ? -1 : 1));
      assert.deepEqual(
        [...table.values()],
        ordered.map(([, value]) => value),
      );
    }),
    { numRuns: 300 },
  );
}

test("numbers are found as in a map, whatever came and went", () => {
  compare(
    () => ChurningTable.byNumber<number>(),
    fc.oneof(fc.nat({ max: 60 }), fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 40, Number.MAX_SAFE_INTEGER)),
  );
});

test("texts are found as in a map, whatever came and went", () => {
  compare(() => ChurningTable.byText<number>(), fc.oneof(fc.string({ maxLength: 2 }), fc.uuid()));
});

test("what is deleted while the values are gone through is left out", () => {
  const table = ChurningTable.byNumber<string>();
  for (let number = 0; number < 100; number += 1) table.set(number, `item ${number}`);
  const seen: string[] = [];
  for (const item of table.values()) {
    seen.push(item);
    table.delete(seen.length * 2 - 1);
  }
  assert.equal(seen.length, 50);
});

test("a million that pass through leave its places as they are", () => {
  const table = ChurningTable.byNumber<number>();
  for (let number = 1; number <= 1_000_000; number += 1) {
    table.set(number, number);
    if (number > 1_000) assert.equal(table.delete(number - 1_000), true);
  }
  assert.equal(table.size, 1_000);
  assert.deepEqual([...table.values()].slice(0, 2), [999_001, 999_002]);
});
