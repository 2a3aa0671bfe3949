import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { RetryLedger, retryLedgerBytes } from "#runtime/policy/retry-ledger.ts";

test("a new ledger allows nothing, and counts what it refuses", () => {
  const ledger = new RetryLedger();
  assert.deepEqual([ledger.take(), ledger.take(), ledger.taken, ledger.refused], [false, false, 0, 2]);
});

test("grants as many as are allowed beyond a count, whoever takes them, and no more when less is allowed later", () => {
  const memory = new SharedArrayBuffer(retryLedgerBytes);
  const [one, other] = [new RetryLedger(memory), new RetryLedger(memory)];
  one.allow(0, 3);
  assert.deepEqual([one.take(), other.take(), one.taken, other.taken], [true, true, 2, 2]);
  one.allow(2, 0);
  assert.deepEqual([one.take(), other.take(), one.refused], [false, false, 2]);
  one.allow(2, -5);
  assert.equal(other.take(), false);
  // One was taken after the count was read: it is one of the two.
  one.allow(1, 2);
  assert.deepEqual([other.take(), other.take(), one.taken], [true, false, 3]);
});

test("goes on past the end of its counts", () => {
  const memory = new SharedArrayBuffer(retryLedgerBytes);
  const ledger = new RetryLedger(memory);
  new Int32Array(memory)[0] = 2 ** 31 - 2;
  ledger.allow(ledger.taken, 4);
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => ledger.take()),
    [true, true, true, true, false],
  );
  assert.equal(ledger.taken, -(2 ** 31) + 2);
  ledger.allow(ledger.taken, Number.MAX_SAFE_INTEGER);
  assert.equal(ledger.take(), true);
});

test("grants exactly what was allowed last, whatever came before", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 20 }), fc.nat({ max: 25 })), { maxLength: 30 }), (rounds) => {
      const ledger = new RetryLedger();
      let refused = 0;
      for (const [allowed, asked] of rounds) {
        ledger.allow(ledger.taken, allowed);
        let granted = 0;
        for (let retry = 0; retry < asked; retry += 1) if (ledger.take()) granted += 1;
        assert.equal(granted, Math.min(allowed, asked));
        refused += asked - granted;
      }
      assert.equal(ledger.refused, refused);
    }),
  );
});
