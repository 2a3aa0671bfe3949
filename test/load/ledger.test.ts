import { strict as assert } from "node:assert";
import { test } from "node:test";
import { HashIndex, digestOf } from "#load/stand-ins/hash-index.ts";
import { type CallArrival, Ledger } from "#load/stand-ins/ledger.ts";

function call(key: string | undefined, change: Partial<CallArrival> = {}): CallArrival {
  return { key, run: "evt-1", step: "post", epoch: 1, atMs: 1_000, requestChecksum: 1, ...change };
}

test("the index numbers digests in the order they came and finds them again past many growths", () => {
  const index = new HashIndex(50_000);
  const digests = Array.from({ length: 50_000 }, (_, number) => digestOf(`key ${number}`));
  for (const [number, digest] of digests.entries()) {
    assert.equal(index.find(digest), undefined);
    assert.equal(index.add(digest), number);
  }
  assert.ok(digests.every((digest, number) => index.find(digest) === number));
  assert.equal(index.add(digestOf("one too many")), undefined);
  assert.equal(index.size, 50_000);
});

test("digests that share a slot are told apart", () => {
  const index = new HashIndex(100);
  const alike = Array.from({ length: 50 }, (_, high) => ({ high, low: 7 }));
  for (const digest of alike) index.add(digest);
  assert.deepEqual(
    alike.map((digest) => index.find(digest)),
    alike.map((_, row) => row),
  );
});

test("a full ledger refuses new keys, counts them, and still knows the old ones", () => {
  const ledger = new Ledger(2);
  for (const key of ["a", "b"]) assert.equal(ledger.arrive(call(key)).kind, "booked");
  assert.deepEqual(ledger.arrive(call("c")), { kind: "refused", why: "full" });
  assert.equal(ledger.arrive(call("a")).kind, "booked");
  assert.equal(ledger.summary().refused, 1);
  assert.equal(ledger.summary().distinctKeys, 2);
});

test("the first call of a repeated key is told as from a different run when it was", () => {
  const ledger = new Ledger();
  ledger.arrive(call("a", { run: "evt-1" }));
  ledger.arrive(call("a", { run: "evt-2", atMs: 2_000 }));
  assert.deepEqual(
    ledger.repeats()[0]?.calls.map(({ run, atMs }) => [run, atMs]),
    [
      ["(a different run)", 1_000],
      ["evt-2", 2_000],
    ],
  );
});

test("a call is kept in about a hundred bytes", () => {
  const ledger = new Ledger();
  const before = process.memoryUsage().arrayBuffers;
  const calls = 262_144;
  for (let number = 0; number < calls; number++) {
    const arrival = call(`0123456789abcdef0123456789abcdef-${number}`, { run: `evt-${number}` });
    const entry = ledger.arrive(arrival);
    assert.ok(entry.kind === "booked");
    ledger.effect(entry, arrival);
  }
  const bytesPerCall = (process.memoryUsage().arrayBuffers - before) / calls;
  assert.equal(ledger.summary().effects, calls);
  assert.equal(ledger.summary().effectsAgain, 0);
  assert.ok(bytesPerCall < 150, `expected under 150 bytes a call, got ${bytesPerCall.toFixed(0)}`);
});
