import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { StorePartlyUnavailableError, StoreUnavailableError } from "#runtime/core/errors.ts";
import { GroupCommit, groupCallsMax, groupEveryMs, groupItemsMax, partPauseMs } from "#runtime/pipeline/group-commit.ts";
import { StoreGate } from "#runtime/pipeline/store-gate.ts";
import { TelemetryLog } from "../support/pipeline-world.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

function fixture(write: (items: readonly number[]) => Promise<string>, callsMax?: number) {
  const clock = new SimClock();
  const store = { isUp: true };
  const gate = new StoreGate({ store: { ping: async () => store.isUp }, clock, telemetry: new TelemetryLog(), holdMaxMs: 5_000 });
  const calls: (readonly number[])[] = [];
  const written: (readonly [items: readonly number[], answer: string])[] = [];
  const abandoned: number[] = [];
  const group = new GroupCommit<number, string>({
    clock,
    gate,
    callsMax,
    write: (items) => {
      calls.push(items);
      return write(items);
    },
    written: (items, answer) => written.push([items, answer]),
    abandoned: (items) => abandoned.push(...items),
  });
  return { clock, gate, store, group, calls, written, abandoned };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

describe("a group commit", () => {
  test("writes what one turn adds in one call, and answers each group with its own answer", async () => {
    const { clock, group, written } = fixture(async (items) => `answer to ${items.length}`);
    for (const item of [1, 2, 3]) group.add(item);
    await clock.settle();
    group.add(4);
    await clock.settle();
    assert.deepEqual(written, [
      [[1, 2, 3], "answer to 3"],
      [[4], "answer to 1"],
    ]);
  });

  test("has no more than its maximum of calls in flight, and no more than its maximum of items in one", async () => {
    const answers: (() => void)[] = [];
    const { clock, group, calls } = fixture(
      () =>
        new Promise((resolve) => {
          answers.push(() => resolve(""));
        }),
    );
    for (const item of range(0, groupItemsMax * 3)) group.add(item);
    await clock.settle();
    assert.deepEqual(
      calls.map((call) => call.length),
      Array(groupCallsMax).fill(groupItemsMax),
    );
    group.add(-1);
    answers[0]?.();
    await clock.settle();
    assert.deepEqual(calls[2], range(groupItemsMax * 2, groupItemsMax * 3));
    answers[1]?.();
    await clock.settle();
    assert.deepEqual(calls[3], [-1]);
  });

  test("has more calls on their way to a store that takes them at once, each full or a while after the last", async () => {
    const callsMax = 5;
    const answers: (() => void)[] = [];
    const { clock, group, calls } = fixture(() => new Promise((resolve) => answers.push(() => resolve(""))), callsMax);
    for (const item of [1, 2, 3, 4]) {
      group.add(item);
      await clock.settle();
    }
    // Two whatever they hold; what comes within a few milliseconds goes together.
    assert.deepEqual(calls, [[1], [2]]);
    await clock.advance(groupEveryMs - 1);
    assert.equal(calls.length, 2);
    await clock.advance(1);
    assert.deepEqual(calls.slice(2), [[3, 4]]);
    for (const item of range(0, groupItemsMax + 1)) group.add(item);
    await clock.settle();
    assert.deepEqual(
      calls.slice(3).map((call) => call.length),
      [groupItemsMax],
    );
    await clock.advance(groupEveryMs);
    for (const item of range(0, groupItemsMax)) group.add(item);
    await clock.advance(100);
    assert.deepEqual(
      calls.slice(4).map((call) => call.length),
      [1],
    );
    answers[0]?.();
    await clock.settle();
    assert.deepEqual(
      calls.slice(5).map((call) => call.length),
      [groupItemsMax],
    );
  });

  test("keeps the order of items over an outage, and writes each once more", async () => {
    let isDown = true;
    const { clock, group, gate, written } = fixture(async () => {
      if (isDown) throw new StoreUnavailableError("down");
      return "";
    });
    group.add(1);
    await clock.settle();
    assert.equal(gate.isOpen, false);
    group.add(2);
    await clock.settle();
    isDown = false;
    await clock.advance(1_000);
    assert.deepEqual(written, [[[1, 2], ""]]);
  });

  test("gives up what waits once the store was down for too long, and at once what comes after", async () => {
    const { clock, group, store, abandoned, calls } = fixture(async () => {
      throw new StoreUnavailableError("down");
    });
    store.isUp = false;
    group.add(1);
    await clock.advance(4_000);
    assert.deepEqual(abandoned, []);
    await clock.advance(4_000);
    group.add(2);
    await clock.settle();
    assert.deepEqual([abandoned, calls.length], [[1, 2], 1]);
  });

  test("asks nothing any more after a stop, and gives up what fails", async () => {
    let isDown = false;
    const { clock, group, gate, abandoned, calls } = fixture(async () => {
      if (isDown) throw new StoreUnavailableError("down");
      return "";
    });
    group.add(1);
    await clock.settle();
    isDown = true;
    group.add(2);
    gate.stop();
    await clock.advance(10_000);
    assert.deepEqual([abandoned, calls], [[2], [[1]]]);
  });

  test("finds the one item that the store refuses, and gives it up alone", async () => {
    const { clock, group, gate, written, abandoned } = fixture(async (items) => {
      if (items.includes(13)) throw new TypeError("expected a record, found something else");
      return "";
    });
    for (const item of range(0, 40)) group.add(item);
    await clock.settle();
    assert.deepEqual(abandoned, [13]);
    assert.deepEqual(
      written.flatMap(([items]) => items).toSorted((one, other) => one - other),
      range(0, 40).filter((item) => item !== 13),
    );
    assert.equal(gate.isOpen, true);
  });

  test("writes what a store with a lost part still takes, and what lies in the lost part when that is back", async () => {
    let isPartDown = true;
    const { clock, group, gate, written, abandoned } = fixture(async (items) => {
      const unreachable = items.flatMap((item, index) => (item % 3 === 0 ? [index] : []));
      if (isPartDown && unreachable.length > 0) throw new StorePartlyUnavailableError("a shard is down", unreachable);
      return "written";
    });
    for (const item of range(1, 8)) group.add(item);
    await clock.settle();
    assert.deepEqual(written, [[[1, 2, 4, 5, 7], "written"]]);
    assert.equal(gate.isOpen, true);
    for (const item of [8, 9, 10]) group.add(item);
    await clock.settle();
    assert.deepEqual(written.at(-1), [[8, 10], "written"]);
    isPartDown = false;
    await clock.advance(partPauseMs);
    assert.deepEqual(written.at(-1), [[3, 6, 9], "written"]);
    assert.deepEqual(abandoned, []);
  });

  test("waits for no part of the store once all of it is given up", async () => {
    const { clock, gate, group, abandoned } = fixture(async (items) => {
      throw new StorePartlyUnavailableError("a shard is down", [...items.keys()]);
    });
    let timers = 0;
    const after = clock.after.bind(clock);
    clock.after = (delayMs, action) => {
      timers += 1;
      const timer = after(delayMs, action);
      return {
        cancel: () => {
          timers -= 1;
          timer.cancel();
        },
      };
    };
    group.add(1);
    await clock.settle();
    assert.deepEqual([timers, abandoned], [1, []]);
    gate.stop();
    assert.deepEqual([timers, abandoned], [0, [1]]);
  });

  test("gives up what a lost part of the store would not take for too long, and nothing else", async () => {
    const { clock, group, written, abandoned } = fixture(async (items) => {
      const unreachable = items.flatMap((item, index) => (item === 2 ? [index] : []));
      if (unreachable.length > 0) throw new StorePartlyUnavailableError("a shard is down", unreachable);
      return "written";
    });
    for (const item of [1, 2, 3]) group.add(item);
    await clock.advance(4_500);
    assert.deepEqual(abandoned, []);
    await clock.advance(1_000);
    assert.deepEqual(abandoned, [2]);
    assert.deepEqual(written, [[[1, 3], "written"]]);
  });
});
