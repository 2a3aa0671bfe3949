import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Ahead } from "#load/generator/ahead.ts";

function* numbers(end: number, made: number[]): Generator<{ readonly number: number }> {
  for (let number = 0; number < end; number++) {
    made.push(number);
    yield { number };
  }
}

function rest(ahead: Ahead<{ readonly number: number }>): number[] {
  const read: number[] = [];
  for (let next = ahead.next(); next.done !== true; next = ahead.next()) read.push(next.value.number);
  return read;
}

const unlimited = { itemsMax: Number.POSITIVE_INFINITY, bytesMax: Number.POSITIVE_INFINITY };
const never = new AbortController().signal;

test("items are made ahead up to the number and the bytes asked for, and read in their order", async () => {
  for (const [limits, madeAhead] of [
    [{ ...unlimited, itemsMax: 70 }, 70],
    [{ ...unlimited, bytesMax: 35 }, 4],
    [unlimited, 200],
  ] as const) {
    const made: number[] = [];
    const ahead = new Ahead(numbers(200, made), () => 10);
    await ahead.make(limits, never);
    assert.equal(made.length, madeAhead);
    assert.deepEqual(
      rest(ahead),
      Array.from({ length: 200 }, (_, at) => at),
    );
  }
});

test("making ahead lets others have their turn, and ends with the signal", async () => {
  const made: number[] = [];
  const controller = new AbortController();
  const ahead = new Ahead(numbers(1_000_000, made), () => 1);
  setImmediate(() => controller.abort());
  await ahead.make(unlimited, controller.signal);
  assert.ok(made.length < 1_000, `expected it to end soon, it made ${made.length}`);
});
