// The structures under the entities, against plain arrays and maps.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { DeadlineHeap } from "#load/broker/entities/deadline-heap.ts";
import { DuplicateHistory } from "#load/broker/entities/duplicate-history.ts";
import { LockTable } from "#load/broker/entities/lock-table.ts";
import { fresh, type MessageContent, StoredMessage } from "#load/broker/entities/message.ts";
import { SequenceIndex } from "#load/broker/entities/sequence-index.ts";
import { Consumers } from "#load/broker/entities/consumers.ts";

const sequence = fc.oneof(fc.nat(100), fc.nat(5000), fc.constantFrom(31, 32, 1023, 1024, 1025, 2 ** 31, 2 ** 32 + 5, 2 ** 53 - 1));

test("an index holds what was set, in order", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom("set", "delete", "seek"), sequence), { maxLength: 200, size: "max" }), (steps) => {
      const index = new SequenceIndex<string>();
      const model = new Map<number, string>();
      for (const [op, number] of steps) {
        if (op === "set") {
          index.set(number, `v${number}`);
          model.set(number, `v${number}`);
        } else if (op === "delete") assert.equal(index.delete(number), model.delete(number));
        const sorted = [...model.keys()].sort((a, b) => a - b);
        const following = sorted.find((key) => key >= number);
        assert.equal(index.atOrAfter(number), following === undefined ? undefined : model.get(following));
        assert.equal(index.get(number), model.get(number));
        assert.equal(index.first(), sorted[0] === undefined ? undefined : model.get(sorted[0]));
        assert.equal(index.size, model.size);
      }
    }),
    { numRuns: 500 },
  );
});

interface Item {
  readonly number: number;
  key: number;
  place: number;
}

test("a heap gives the earliest deadline, whatever leaves or moves", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom("add", "remove", "update", "take"), fc.nat(30), fc.nat(30)), { maxLength: 200, size: "max" }), (steps) => {
      const heap = new DeadlineHeap<Item>({
        deadline: (item) => item.key,
        rank: (item) => item.number,
        place: (item) => item.place,
        setPlace: (item, place) => {
          item.place = place;
        },
      });
      const items: Item[] = [];
      let last = 0;
      for (const [op, pick, key] of steps) {
        const picked = items[pick % Math.max(1, items.length)];
        if (op === "add") {
          const item = { number: ++last, key, place: -1 };
          items.push(item);
          heap.add(item);
        } else if (op === "remove" && picked !== undefined) {
          heap.remove(picked);
          items.splice(items.indexOf(picked), 1);
          assert.equal(picked.place, -1);
        } else if (op === "update" && picked !== undefined) {
          picked.key = key;
          heap.update(picked);
        } else if (op === "take") {
          const top = heap.peek();
          if (top !== undefined) {
            heap.remove(top);
            items.splice(items.indexOf(top), 1);
          }
        }
        assert.equal(heap.size, items.length);
        const [first] = [...items].sort((a, b) => a.key - b.key || a.number - b.number);
        assert.equal(heap.peek(), first);
        assert.equal(heap.earliest, first?.key ?? Infinity);
      }
    }),
    { numRuns: 500 },
  );
});

const content: MessageContent = {
  bare: Buffer.alloc(0),
  durable: true,
  priority: 4,
  timeToLiveMs: undefined,
  annotations: undefined,
  annotationCount: 0,
  messageId: "message",
  sessionId: undefined,
  partitionKey: undefined,
  scheduledAtMs: undefined,
};

test("locks are in the order in which they end, whatever ends or is renewed before", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom("lock", "lock", "unlock", "renew", "end"), fc.nat(30), fc.integer({ min: 1, max: 30 })), {
        maxLength: 200,
        size: "max",
      }),
      (steps) => {
        const table = new LockTable();
        const locked: StoredMessage[] = [];
        let last = 0;
        for (const [op, pick, untilMs] of steps) {
          const picked = locked[pick % Math.max(1, locked.length)];
          if (op === "lock") {
            const message = new StoredMessage(fresh(content), (last += 1) % 7, 0);
            table.lock(message, last, "holder", untilMs);
            locked.push(message);
          } else if (op === "unlock" && picked !== undefined) {
            table.unlock(picked);
            locked.splice(locked.indexOf(picked), 1);
          } else if (op === "renew" && picked !== undefined) table.renew(picked, untilMs);
          else if (op === "end") {
            const ended = table.ended(untilMs);
            if (ended === undefined) continue;
            table.unlock(ended);
            locked.splice(locked.indexOf(ended), 1);
          }
          const [first] = [...locked].sort((a, b) => a.lockedUntilMs - b.lockedUntilMs || a.sequenceNumber - b.sequenceNumber);
          assert.equal(table.earliest, first?.lockedUntilMs ?? Infinity);
          const ended = table.ended(Infinity);
          assert.deepEqual([ended?.lockedUntilMs, ended?.sequenceNumber], [first?.lockedUntilMs, first?.sequenceNumber]);
          assert.equal(table.size, locked.length);
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("a history forgets ids as their window passes", () => {
  const history = new DuplicateHistory(100);
  assert.equal(history.isRepeat("a", 0), false);
  assert.equal(history.isRepeat("b", 50), false);
  assert.equal(history.isRepeat("a", 99), true);
  assert.equal(history.isRepeat("a", 100), false);
  assert.equal(history.isRepeat("b", 149), true);
  assert.equal(history.size, 2);
  assert.equal(history.isRepeat("c", 1000), false);
  assert.equal(history.size, 1);
});

test("consumers with credit take turns", () => {
  const consumers = new Consumers();
  const names = ["a", "b", "c"];
  const all = names.map((name) => ({ name, mode: "peekLock" as const, deliver: (): void => undefined }));
  const [a, b, c] = all;
  assert.ok(a && b && c);
  consumers.setCredit(a, 2);
  consumers.setCredit(b, 100);
  consumers.setCredit(c, 100);
  assert.deepEqual(
    Array.from({ length: 8 }, () => consumers.next()?.name),
    ["a", "b", "c", "a", "b", "c", "b", "c"],
  );
  consumers.remove(b);
  assert.deepEqual(
    Array.from({ length: 3 }, () => consumers.next()?.name),
    ["c", "c", "c"],
  );
  consumers.setCredit(c, 0);
  assert.equal(consumers.next(), undefined);
  consumers.setCredit(a, 1);
  assert.equal(consumers.next()?.name, "a");
  assert.equal(consumers.next(), undefined);
});
