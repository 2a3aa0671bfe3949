/** A thread is given no more bodies than its heap takes, and keeps none once its runs have read them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunOrder } from "#runtime/ports/executor.ts";
import { bodyBytesWithin, freeThread } from "#runtime/adapters/threads/free-thread.ts";
import { Lane } from "#runtime/adapters/threads/lane.ts";
import { packOrders, releaseSlab, unpackOrders } from "#runtime/adapters/threads/orders.ts";
import { RunEntry } from "#runtime/adapters/threads/run-entry.ts";
import type { PoolThread, ThreadPool } from "#runtime/adapters/threads/thread-pool.ts";
import { defaultOrder } from "../../contracts/executor.ts";

const heapBytes = 48 * 1024 ** 2;

function order(runId: number, bodyBytes: number, skill = "large", codec: "json" | "msgpack" = "json"): RunOrder {
  const plain = defaultOrder(skill);
  return { ...plain, runId, route: { ...plain.route, codec }, body: Buffer.alloc(bodyBytes) };
}

/** A lane of one thread that begins what it is given at once and ends nothing by itself. */
function stage(): { readonly lane: Lane; readonly thread: { held: number; heldBytes: number }; readonly give: (...orders: RunOrder[]) => RunEntry[] } {
  const thread = { isUsable: true, tasks: 0, held: 0, heldBytes: 0, posted: 0, unbegun: 0 } as unknown as PoolThread;
  const bodyBytesMax = bodyBytesWithin(heapBytes);
  const pool = { threads: [thread], bodyBytesMax, findFree: (bytes: number) => freeThread([thread], bytes, bodyBytesMax), post: () => undefined };
  const lane = new Lane(pool as unknown as ThreadPool, [], {
    nowMs: () => 0,
    isOneAtATime: false,
    runs: () => [],
    failed: () => undefined,
    untold: () => undefined,
  });
  const give = (...orders: RunOrder[]): RunEntry[] => {
    const entries = orders.map((one) => new RunEntry(lane, one, 0));
    for (const entry of entries) lane.enqueue(entry);
    lane.dispatch();
    return entries;
  };
  return { lane, thread, give };
}

test("a thread holds as many large bodies as an eighth of its heap takes, and gets the next as one ends", () => {
  const { lane, thread, give } = stage();
  const entries = give(...Array.from({ length: 12 }, (_, index) => order(index, 1_000_000)));
  assert.equal(thread.held, 6);
  const ended = entries[0]!;
  ended.isAnswered = true;
  assert.equal(lane.forget(ended), true);
  lane.dispatch();
  assert.equal(thread.held, 6);
  assert.equal(thread.heldBytes, 6_000_000);
});

test("small bodies go to a thread that is full of large ones; one larger than all goes to a thread that holds none", () => {
  const { thread, give } = stage();
  give(order(1, 20_000_000), order(2, 1_000_000), order(3, 300, "small"));
  assert.equal(thread.held, 2);
  assert.equal(thread.heldBytes, 20_000_300);
});

test("small bodies of a skill do not wait for a large one of the same skill that finds no room; large ones keep their order", () => {
  const { lane, thread, give } = stage();
  const [first, second, third, small] = give(order(1, 20_000_000), order(2, 6_000_000), order(3, 1_000_000), order(4, 300));
  const given = [first, second, third, small].map((entry) => entry!.thread === thread);
  assert.deepEqual([given, thread.held, lane.unbegun], [[true, false, false, true], 2, 2]);
});

test("a skill has one turn a round, whatever the sizes of its bodies, which take turns within it", () => {
  const { give } = stage();
  const [small, large] = [300, 10_000];
  const entries = give(
    ...[small, small, large, large].map((bytes, index) => order(index, bytes, "both")),
    ...[small, small, small].map((bytes, index) => order(10 + index, bytes, "one")),
  );
  const tickets = entries.toSorted((one, other) => one.sequence - other.sequence).map(({ ticket }) => ticket);
  assert.deepEqual(tickets, [0, 10, 2, 11, 1, 12, 3]);
});

test("small bodies of the same skill count among those that go before one that finds no room", () => {
  const { thread, give } = stage();
  give(order(0, 300, "other"));
  const [large] = give(order(1, 20_000_000));
  for (let task = 2; task < 66; task += 2) {
    assert.equal(large!.thread, undefined, `after ${task - 2} tasks`);
    give(order(task, 300), order(task + 1, 300, "other"));
  }
  give();
  assert.equal(large!.thread, thread);
});

test("a body that finds no room goes all the same once 64 tasks of others have gone first", () => {
  const { thread, give } = stage();
  give(order(0, 300, "small"));
  const [large] = give(order(1, 20_000_000));
  for (let task = 2; task < 66; task += 1) {
    assert.equal(large!.thread, undefined, `after ${task - 2} tasks`);
    give(order(task, 300, "small"));
  }
  give();
  assert.equal(large!.thread, thread);
});

test("a body waits for room of its own, whatever one before it that was answered meanwhile had waited", () => {
  const { lane, thread, give } = stage();
  give(order(0, 300, "other"));
  const [answered] = give(order(1, 20_000_000));
  answered!.isAnswered = true;
  lane.forget(answered!);
  for (let task = 2; task < 70; task += 1) give(order(task, 300, "other"));
  const [large] = give(order(70, 20_000_000));
  assert.equal(large!.thread, undefined, `expected it to wait beside ${thread.held} runs`);
});

test("a slab is given back once its runs have begun, unless what they read shares it", () => {
  const slabOf = (codec: "json" | "msgpack"): readonly [Uint8Array, ReturnType<typeof unpackOrders>] => {
    const given = order(1, 200_000, "large", codec);
    const slab = packOrders("large", [{ ticket: 1, order: given, body: given.body, leaseUntilMs: 1 }]);
    return [slab, unpackOrders(slab)];
  };
  const [json, fromJson] = slabOf("json");
  releaseSlab(fromJson);
  assert.equal(json.byteLength, 0);
  const [msgpack, fromMsgpack] = slabOf("msgpack");
  releaseSlab(fromMsgpack);
  assert.ok(msgpack.byteLength > 200_000);
});
