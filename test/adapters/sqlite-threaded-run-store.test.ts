import { strict as assert } from "node:assert";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, type TestContext, test } from "node:test";
import type { Worker } from "node:worker_threads";
import { isLong } from "../support/long.ts";
import { createThreadedSqliteRunStore, type ThreadedRunStoreOptions } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { ConfigurationError, StoreUnavailableError } from "#runtime/core/errors.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { claimOf, plainSteps, type RunStoreHarness, stepOf } from "../contracts/run-store-fixtures.ts";
import { forgettingContract } from "../contracts/forgetting.ts";
import { runStoreContract } from "../contracts/run-store.ts";
import { eventually, within } from "../support/eventually.ts";

const retentionMs = 3_600_000;
const leaseMs = 60_000;

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-store-"));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

function storeOn(t: TestContext, path: string, overrides: Partial<ThreadedRunStoreOptions> = {}): RunStore {
  const store = createThreadedSqliteRunStore({ consumer: "orders", retentionMs, path, clock: systemClock, ...overrides });
  t.after(() => store.stop());
  return store;
}

/** Starts the store and tells its thread. */
async function startedWith(store: RunStore): Promise<Worker> {
  const made = once(process, "worker");
  await store.start();
  const [thread] = (await made) as [Worker];
  return thread;
}

async function harness(): Promise<RunStoreHarness> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-store-"));
  const opened: RunStore[] = [];
  return {
    async open(overrides = {}) {
      const store = createThreadedSqliteRunStore({ consumer: "orders", retentionMs, ...overrides, path: join(folder, "runs.sqlite"), clock: systemClock });
      opened.push(store);
      await store.start();
      return store;
    },
    async advance(ms) {
      const target = Date.now() + ms + 1;
      await eventually(`${ms} ms to pass`, () => Date.now() >= target);
    },
    async stop() {
      await Promise.all(opened.map((store) => store.stop()));
      await rm(folder, { recursive: true });
    },
  };
}

runStoreContract("sqlite in a thread", harness, { modelRuns: isLong ? 40 : 10, isShared: true });

forgettingContract("sqlite in a thread", async (t) => {
  const folder = await makeFolder(t);
  const path = join(folder, "runs.sqlite");
  return {
    make: (options) => storeOn(t, path, options),
    async empty() {
      for (const file of await readdir(folder)) await rm(join(folder, file));
    },
  };
});

describe("threaded sqlite run store", () => {
  test("lets each of several processes on one file own a run of its own", { timeout: 60_000 }, async (t) => {
    const path = join(await makeFolder(t), "runs.sqlite");
    const children = [1, 2, 3].map((worker) => fork(new URL("./sqlite-claimer.ts", import.meta.url), [path, String(worker)], { stdio: "inherit" }));
    const claimed = await Promise.all(
      children.map(async (child) => {
        const closed = once(child, "close");
        const [report] = (await once(child, "message")) as [{ readonly acquired: string[]; readonly written: number }];
        assert.deepEqual(await closed, [0, null]);
        return report;
      }),
    );
    const all = claimed.flatMap((report) => report.acquired);
    assert.deepEqual([all.length, new Set(all).size], [2_000, 2_000]);
    assert.equal(
      claimed.reduce((sum, report) => sum + report.written, 0),
      2_000,
    );
  });

  test("waits off the main thread for another's write lock, gives the call up in time, and goes on once it is free", async (t) => {
    const path = join(await makeFolder(t), "runs.sqlite");
    const patient = storeOn(t, path);
    const hasty = storeOn(t, path, { callTimeoutMs: 500 });
    await patient.start();
    await hasty.start();
    const holder = new DatabaseSync(path);
    t.after(() => holder.close());
    holder.exec("BEGIN IMMEDIATE");
    const claimed = patient.claim([claimOf("a")], leaseMs);
    await assert.rejects(
      hasty.claim([claimOf("b")], leaseMs),
      (error: unknown) => error instanceof StoreUnavailableError && /'claim' within 500 ms/.test(error.message),
    );
    assert.equal(await hasty.ping(), false);
    holder.exec("ROLLBACK");
    assert.equal((await claimed)[0]?.kind, "acquired");
    await eventually("the hasty store to answer again", () => hasty.ping());
    assert.notEqual(await hasty.read("b"), undefined, "expected the claim that was given up to have been made: its outcome was unknown");
  });

  test("says that the file stays locked, by itself", { timeout: 20_000 }, async (t) => {
    const path = join(await makeFolder(t), "runs.sqlite");
    const store = storeOn(t, path);
    await store.start();
    const holder = new DatabaseSync(path);
    t.after(() => holder.close());
    holder.exec("BEGIN IMMEDIATE");
    await assert.rejects(
      store.claim([claimOf("a")], leaseMs),
      (error: unknown) => error instanceof StoreUnavailableError && /database is locked/.test(error.message),
    );
  });

  test("rejects every call under way when its thread is lost, and works in another after the next ping", async (t) => {
    const path = join(await makeFolder(t), "runs.sqlite");
    const store = storeOn(t, path);
    const thread = await startedWith(store);
    await store.claim([claimOf("a")], leaseMs);
    const holder = new DatabaseSync(path);
    t.after(() => holder.close());
    holder.exec("BEGIN IMMEDIATE");
    const underWay = [store.claim([claimOf("b")], leaseMs), store.finish([{ eventId: "a", epoch: 1, outbox: new Uint8Array(0) }]), store.read("a")];
    const answers = Promise.allSettled(underWay);
    const ended = thread.terminate();
    holder.exec("ROLLBACK");
    await ended;
    for (const answer of await within("every answer", answers)) {
      assert.ok(
        answer.status === "rejected" && answer.reason instanceof StoreUnavailableError && /lost: .*exit code/.test(answer.reason.message),
        answer.status,
      );
    }
    await assert.rejects(
      store.claim([claimOf("c")], leaseMs),
      (error: unknown) => error instanceof StoreUnavailableError && /next ping starts another/.test(error.message),
    );
    assert.equal(await store.ping(), true);
    assert.equal((await store.claim([claimOf("a", { payloadHash: "other" })], leaseMs))[0]?.kind, "reused");
    assert.equal((await store.claim([claimOf("c")], leaseMs))[0]?.kind, "acquired");
  });

  test("is not brought back by a ping once it is stopped", async (t) => {
    const store = storeOn(t, join(await makeFolder(t), "runs.sqlite"));
    const thread = await startedWith(store);
    const exited = once(thread, "exit");
    await store.stop();
    await exited;
    assert.equal(await store.ping(), false);
  });

  test("answers what was called before the stop", async (t) => {
    const store = storeOn(t, join(await makeFolder(t), "runs.sqlite"));
    await store.start();
    const claimed = store.claim([claimOf("a")], leaseMs);
    await store.stop();
    assert.equal((await claimed)[0]?.kind, "acquired");
  });

  test("keeps bytes as they were, whatever memory they are a part of", async (t) => {
    const store = storeOn(t, join(await makeFolder(t), "runs.sqlite"));
    await store.start();
    const [claimed] = await store.claim([claimOf("a")], leaseMs);
    assert.equal(claimed?.kind, "acquired");
    const result = Buffer.from("a part of a pool");
    await store.checkpoint([{ eventId: "a", epoch: 1, step: stepOf("one", { result }) }]);
    const [again] = await store.claim([claimOf("a", { payloadHash: "payload-1" })], leaseMs);
    assert.equal(again?.kind, "held");
    await store.fail([{ eventId: "a", epoch: 1, state: "waiting", reason: "", failures: 1, losses: 0 }]);
    const [resumed] = await store.claim([claimOf("a")], leaseMs);
    assert.ok(resumed?.kind === "acquired");
    assert.ok(resumed.steps.every((step) => step.result.constructor === Uint8Array));
    assert.deepEqual(plainSteps(resumed.steps), plainSteps([stepOf("one", { result })]));
    await store.finish([{ eventId: "a", epoch: 2, outbox: Buffer.from([1, 2, 3, 4]).subarray(1, 3) }]);
    assert.deepEqual((await store.read("a"))?.outbox, Uint8Array.of(2, 3));
  });

  test("refuses a file that is no run store, and ends its thread", async (t) => {
    const folder = await makeFolder(t);
    await writeFile(join(folder, "text"), "no database, but long enough to have a header to look at; ".repeat(20));
    const store = storeOn(t, join(folder, "text"));
    const made = once(process, "worker") as Promise<[Worker]>;
    const ended = made.then(([thread]) => once(thread, "exit"));
    await assert.rejects(store.start(), (error: unknown) => error instanceof ConfigurationError && /expected .*text to be a SQLite file/.test(error.message));
    await ended;
    assert.equal(await store.ping(), false);
    assert.throws(() => storeOn(t, folder, { retentionMs: 0 }), ConfigurationError);
  });
});
