// What a failure of the database means, by its code.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { failureAtCommit, failureBefore } from "#runtime/postgres/errors.ts";
import { SkillError } from "#runtime/index.ts";

const failure = (code: string): Error => Object.assign(new Error("found"), { code });

test("only the server's own answer to a commit is certain", () => {
  for (const code of ["23505", "40001", "25P02", "XX000", "P0001"]) assert.equal(failureAtCommit(failure(code)).definite, true, code);
  // Of connections, of a server that ends, of mappers and sockets.
  for (const code of ["08006", "57P01", "40003", "P1017", "P2028", "EPIPE", "ECONNRESET", "ABCDE"])
    assert.equal(failureAtCommit(failure(code)).definite, false, code);
});

test("before the commit, what the data refuses is for good, what the way to it refuses may pass, and what is the author's stays as it is", () => {
  const kindOf = (code: string): unknown => {
    const error = failureBefore(failure(code), "holdfast_steps");
    return error instanceof SkillError ? [error.code, error.retryable, error.definite] : error;
  };
  assert.deepEqual(kindOf("23505"), ["23505", false, true]);
  assert.deepEqual(kindOf("40P01"), ["40P01", true, true]);
  assert.deepEqual(kindOf("EPIPE"), ["DATABASE_UNAVAILABLE", true, true]);
  const own = new RangeError("of the effect");
  assert.equal(failureBefore(own, "holdfast_steps"), own);
});
