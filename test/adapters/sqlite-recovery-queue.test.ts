import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { JobsPlace } from "#runtime/adapters/sqlite/jobs-wire.ts";
import { createSqliteRecoveryQueue } from "#runtime/adapters/sqlite/recovery-queue.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { createThreadedSqliteRunStore } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { deaf, type RecoveryQueueHarness, recoveryQueueContract } from "../contracts/recovery-queue.ts";
import { claimOf } from "../contracts/run-store-fixtures.ts";
import { eventually } from "../support/eventually.ts";

const retentionMs = 3_600_000;

async function pathFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-jobs-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "runs.sqlite");
}

async function storeOn(t: TestContext, path: string, consumer = "orders"): Promise<RunStore & JobsPlace> {
  const store = createThreadedSqliteRunStore({ consumer, retentionMs, path, clock: systemClock });
  await store.start();
  t.after(() => store.stop());
  return store;
}

async function harnessFor(t: TestContext): Promise<RecoveryQueueHarness> {
  const path = await pathFor(t);
  return { open: async (times = {}) => createSqliteRecoveryQueue({ place: await storeOn(t, path), ...times }) };
}

recoveryQueueContract("sqlite", harnessFor);

describe("recovery queue in a SQLite file", () => {
  test("keeps jobs over a restart, apart from those of other consumers, and beside the runs", async (t) => {
    const path = await pathFor(t);
    const before = createThreadedSqliteRunStore({ consumer: "orders", retentionMs, path, clock: systemClock });
    await before.start();
    const queue = createSqliteRecoveryQueue({ place: before });
    queue.start(deaf());
    await queue.add({ kind: "probe", id: "a", data: 1, delayMs: 60_000 });
    await before.claim([claimOf("event")], 60_000);
    await queue.stop(0);
    await before.stop();
    const after = createSqliteRecoveryQueue({ place: await storeOn(t, path) });
    const others = createSqliteRecoveryQueue({ place: await storeOn(t, path, "invoices") });
    for (const one of [after, others]) {
      one.start(deaf());
      t.after(() => one.stop(0));
    }
    assert.deepEqual((await after.find("probe", "a"))?.data, 1);
    assert.equal(await others.find("probe", "a"), undefined);
    assert.deepEqual(await others.counts(), { waiting: 0, active: 0, done: 0, failed: 0 });
  });

  test("serves one worker whose store is in memory, and says who shares its jobs", async (t) => {
    const place = createSqliteRunStore({ consumer: "orders", retentionMs, path: ":memory:", clock: systemClock });
    await place.start();
    t.after(() => place.stop());
    const queue = createSqliteRecoveryQueue({ place });
    t.after(() => queue.stop(0));
    queue.start(deaf());
    const done: string[] = [];
    void queue.work(new Map([["probe", async ({ id }) => ({ kind: done.push(id) > 0 ? "done" : "done" })]]));
    await queue.add({ kind: "probe", id: "a", data: 1 });
    await eventually("it to be done", () => done.length === 1);
    assert.match(queue.limits ?? "", /other machines/);
  });

  test("goes on by itself when the store's thread was away", async (t) => {
    const path = await pathFor(t);
    const store = await storeOn(t, path);
    let isAway = true;
    const place: JobsPlace = { jobs: (ask) => (isAway && ask.ask === "take" ? Promise.reject(new Error("the disk is full")) : store.jobs(ask)) };
    const told: string[] = [];
    const queue = createSqliteRecoveryQueue({ place });
    t.after(() => queue.stop(0));
    queue.start({ ...deaf(), disturbed: (error) => told.push(error), recovered: () => told.push("recovered") });
    const done: string[] = [];
    void queue.work(
      new Map([
        [
          "probe",
          async ({ id }) => {
            done.push(id);
            return { kind: "done" };
          },
        ],
      ]),
    );
    await queue.add({ kind: "probe", id: "a", data: 1 });
    await eventually("the trouble to be told", () => told.length === 1);
    isAway = false;
    await eventually("it to be done", () => done.length === 1);
    assert.deepEqual(told, ["the disk is full", "recovered"]);
  });
});
