import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { fitted, wrapped } from "#load/dev/fitted.ts";

const head = ["bulkhead", "in use", "waiting", "circuit"];
const rows = [
  ["notifier", "3 of 32", "0 of 128", "closed"],
  ["model", "32 of 32", "128 of 128", "half-open"],
];

test("a table has borders where the terminal is wide enough, and is names and values where it is not", () => {
  assert.match(fitted(head, rows, 80), /┌.*bulkhead.*half-open/su);
  assert.equal(
    fitted(head, rows, 30),
    "bulkhead notifier\nin use 3 of 32\nwaiting 0 of 128\ncircuit closed\nbulkhead model\nin use 32 of 32\nwaiting 128 of 128\ncircuit half-open",
  );
});

test("no line is wider than the terminal", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 10, max: 120 }),
      fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
      fc.array(fc.string({ maxLength: 40 })),
      (columns, row, parts) => {
        for (const text of [fitted(head, [...rows, row], columns), wrapped(parts, columns)]) {
          for (const line of text.split("\n")) assert.ok(line.length <= columns, `${line.length} of ${columns}: ${line}`);
        }
      },
    ),
  );
});
