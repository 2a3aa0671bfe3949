// The table of failure classes in the documentation is what the code's table makes; the failing test shows the table to put there.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { failureClassTable } from "../support/failure-class-table.ts";
import { readDocument } from "../support/markdown.ts";

test("the table of failure classes is what the code's table makes", () => {
  const document = readDocument("runtime/policy/README.md");
  const start = document.indexOf("| from |");
  const end = document.indexOf("\n\n", start);
  assert.equal(document.slice(start, end), failureClassTable(), "expected runtime/policy/README.md to hold this table; put it there");
});
