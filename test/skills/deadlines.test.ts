import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { Deadlines, type Expiring } from "#runtime/skills/host/deadlines.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";

type Item = { -readonly [Key in keyof Expiring]: Expiring[Key] };

/** What happens: one more whose deadline is so far away, the end of one of those there are, or time. */
const happening = fc.oneof(
  fc.record({ kind: fc.constant("add" as const), by: fc.integer({ min: 1, max: 50 }) }),
  fc.record({ kind: fc.constant("delete" as const), by: fc.nat(9) }),
  fc.record({ kind: fc.constant("advance" as const), by: fc.integer({ min: 1, max: 20 }) }),
);

test("each expires at its deadline unless it has ended before, and none that has ended is kept", () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 60 }), (happenings) => {
      const clock = new ManualClock(0);
      const expired: Item[] = [];
      const deadlines = new Deadlines<Item>(runtimeClock(clock), (item) => void expired.push(item));
      const there = new Set<Item>();
      for (const { kind, by } of happenings) {
        if (kind === "add") {
          const item: Item = { deadlineMs: clock.now() + by, place: -1 };
          there.add(item);
          deadlines.add(item);
        } else if (kind === "delete") {
          const item = [...there][by];
          if (item !== undefined) deadlines.delete(item);
          if (item !== undefined) there.delete(item);
        } else {
          clock.advance(by);
          for (const item of expired.splice(0)) assert.ok(there.delete(item), "one expired that had ended");
          // A look comes up to 2 ms after the one before.
          for (const { deadlineMs } of there) assert.ok(deadlineMs + 2 > clock.now(), "one is over its deadline and has not expired");
        }
      }
      for (const item of there) deadlines.delete(item);
      // The timer that is set by then finds nothing, and is the last one: what was kept would be looked at for ever.
      clock.advance(60);
      assert.equal(clock.pending, 0);
      assert.deepEqual(expired, []);
    }),
  );
});

test("the last one that was added is let go as others are", () => {
  const clock = new ManualClock(0);
  const deadlines = new Deadlines<Item>(runtimeClock(clock), () => assert.fail("it had ended"));
  const [first, last] = [5, 10].map((deadlineMs): Item => ({ deadlineMs, place: -1 })) as [Item, Item];
  deadlines.add(first);
  deadlines.add(last);
  deadlines.delete(last);
  deadlines.delete(first);
  clock.advance(5);
  assert.equal(clock.pending, 0);
});
