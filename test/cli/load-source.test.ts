// Which of several sources a change is for.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { theOne } from "../../runtime/cli/load-source.ts";

test("a change is for the one source that has what is meant; where several have it, they are named; where none has, the first one says so", async () => {
  const chosen = (...having: readonly string[]): Promise<string> =>
    theOne(
      ["a", "b", "c"],
      async (one) => having.includes(one),
      (one) => one,
      "there are such dead letters",
    );
  assert.deepEqual([await chosen("b"), await chosen()], ["b", "a"]);
  await assert.rejects(chosen("a", "c"), /--source: expected one of a, c, for there are such dead letters in each of them, found none; nothing was changed/);
});
