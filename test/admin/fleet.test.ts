// The workers of a pool see each other through the store: what each says of itself, for how long, and what is wrong first.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { createSqliteBoard } from "#runtime/adapters/sqlite/board.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { Fleet, noteEveryMs } from "#runtime/admin/fleet.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { WorkerView } from "#runtime/pipeline/worker-view.ts";
import type { PoolBoard } from "#runtime/ports/pool-board.ts";
import { queueName } from "#runtime/testing/world/model-broker.ts";
import { type Process, World } from "../support/pipeline-world.ts";

interface Member {
  readonly fleet: Fleet;
  readonly process: Process;
  /** What it has counted. */
  readonly counts: { completed: number; deadLettered: number };
  /** Goes over what its worker says. */
  seen: Partial<WorkerView>;
}

interface Pool {
  readonly world: World;
  readonly board: PoolBoard;
  /** Round trips to the store. */
  readonly asked: string[];
  /** The store does not answer, while it is true. */
  readonly down: { is: boolean };
  readonly join: (name: string) => Promise<Member>;
}

async function startPool(): Promise<Pool> {
  const world = new World();
  const store = createSqliteRunStore({ consumer: queueName, retentionMs: 60_000, path: ":memory:", clock: world.clock });
  await store.start();
  const asked: string[] = [];
  const shared = createSqliteBoard(store);
  const down = { is: false };
  const ask = <Answer>(what: string, answer: () => Promise<Answer>): Promise<Answer> => {
    asked.push(what);
    return down.is ? Promise.reject(new StoreUnavailableError("expected the store to answer")) : answer();
  };
  const board: PoolBoard = {
    put: (...args) => ask("put", () => shared.put(...args)),
    list: (...args) => ask("list", () => shared.list(...args)),
    take: (...args) => ask("take", () => shared.take(...args)),
    stop: () => Promise.resolve(),
  };
  return {
    world,
    board,
    asked,
    down,
    async join(name) {
      const process = await world.start();
      const counts = { completed: 0, deadLettered: 0 };
      const view = (): WorkerView => ({ ...process.worker.view(), ...member.seen });
      const fleet = new Fleet({ board, clock: world.clock, workerId: name, host: "h", version: "1.2.3", threads: 2, view, counts: () => counts });
      const member: Member = { fleet, process, counts, seen: {} };
      fleet.start();
      return member;
    },
  };
}

test("each worker shows all of its pool: state and why, rate, lag, what it holds; what is wrong stands first", async () => {
  const { world, join } = await startPool();
  const [a, b, c] = [await join("a"), await join("b"), await join("c")];
  b.process.worker.pause();
  c.seen = { storeUp: false };
  a.counts.completed = 100;
  a.counts.deadLettered = 1;
  await world.clock.advance(10_000);
  const { workers, trouble } = await b.fleet.list();
  assert.equal(trouble, "");
  assert.deepEqual(
    workers.map(({ name, state, why, isThisOne }) => [name, state, why.join(), isThisOne]),
    [
      ["c", "not-ready", "it waits for the store", false],
      ["b", "paused", "it was paused by hand", true],
      ["a", "ready", "", false],
    ],
  );
  const [, , ready] = workers;
  assert.deepEqual([ready?.version, ready?.host, ready?.threads, ready?.sources], ["1.2.3", "h", 2, [queueName]]);
  assert.deepEqual([ready?.completedPerSecond, ready?.deadLettersPerMinute, ready?.adminUrl], [10, 6, null]);
});

test("one command an interval is all that it costs the store", async () => {
  const { world, asked, join } = await startPool();
  await join("a");
  asked.length = 0;
  await world.clock.advance(10 * noteEveryMs);
  assert.deepEqual(
    asked,
    Array.from({ length: 10 }, () => "put"),
  );
});

test("one that stops says that it drains, and is gone once it has", async () => {
  const { world, join } = await startPool();
  const [a, b] = [await join("a"), await join("b")];
  b.fleet.drains();
  await world.clock.advance(1);
  const stateOf = async (name: string): Promise<string | undefined> => (await a.fleet.list()).workers.find((worker) => worker.name === name)?.state;
  assert.equal(await stateOf("b"), "draining");
  await b.fleet.stop();
  assert.equal(await stateOf("b"), undefined);
});

test("a note that cannot be read hides no other worker, and is counted", async () => {
  const { board, join } = await startPool();
  const [a] = [await join("a"), await join("b")];
  await board.put("workers", "newer", JSON.stringify({ name: "newer", circuitsOpen: 3 }), 60_000);
  await board.put("workers", "broken", "{", 60_000);
  const { workers, trouble } = await a.fleet.list();
  assert.deepEqual(workers.map(({ name }) => name).toSorted(), ["a", "b"]);
  assert.match(trouble, /^2 workers left a note/);
});

test("a note that nobody renews ends", async () => {
  const { world, board, join } = await startPool();
  const a = await join("a");
  await board.put("workers", "killed", JSON.stringify({ ...(await a.fleet.list()).workers[0], name: "killed" }), 4 * noteEveryMs);
  assert.equal((await a.fleet.list()).workers.length, 2);
  await world.clock.advance(5 * noteEveryMs);
  assert.deepEqual(
    (await a.fleet.list()).workers.map(({ name }) => name),
    ["a"],
  );
});

test("where the store does not answer a worker shows itself, says why, and is seen again when it does", async () => {
  const { world, board, down, join } = await startPool();
  const a = await join("a");
  down.is = true;
  await world.clock.advance(5 * noteEveryMs);
  const shown = await a.fleet.list();
  assert.deepEqual([shown.workers.map(({ name }) => name), shown.trouble], [["a"], "expected the store to answer"]);
  down.is = false;
  assert.deepEqual(await board.list("workers"), []);
  await world.clock.advance(noteEveryMs);
  assert.equal((await board.list("workers"))[0]?.name, "a");
});
