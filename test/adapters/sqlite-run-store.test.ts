import { strict as assert } from "node:assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { ConfigurationError } from "#runtime/core/errors.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { claimOf, type RunStoreHarness, stepOf } from "../contracts/run-store-fixtures.ts";
import { runStoreContract } from "../contracts/run-store.ts";

const retentionMs = 3_600_000;
/** Makes a file as workers of the third version have left it, where nothing in it is done. */
const asVersion3 = `ALTER TABLE open_runs DROP COLUMN parts; ALTER TABLE open_runs RENAME TO runs; DROP TABLE done_state; DROP TABLE done_log;
  DROP TABLE done_windows; DROP TABLE done_blocks; DROP TABLE done_details; DROP TABLE pipelines; PRAGMA user_version = 3`;

/** A clock that stands still until it is moved. */
function handDrivenClock(): { wallMs(): number; advance(ms: number): void } {
  let nowMs = 1_700_000_000_000;
  return { wallMs: () => nowMs, advance: (ms) => void (nowMs += ms) };
}

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-store-"));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function harnessOn(path: string, clock: ReturnType<typeof handDrivenClock>, end: () => Promise<void>): RunStoreHarness {
  const opened: RunStore[] = [];
  return {
    async open(overrides = {}) {
      const store = createSqliteRunStore({ consumer: "orders", retentionMs, ...overrides, path, clock });
      await store.start();
      opened.push(store);
      return store;
    },
    advance: async (ms) => clock.advance(ms),
    async stop() {
      for (const store of opened) await store.stop();
      await end();
    },
  };
}

runStoreContract(
  "sqlite in a file",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-store-"));
    return harnessOn(join(folder, "runs.sqlite"), handDrivenClock(), () => rm(folder, { recursive: true }));
  },
  { modelRuns: 200, isShared: true },
);

// In memory the records belong to one store alone, so it stands for all workers.
runStoreContract(
  "sqlite in memory",
  async () => {
    const harness = harnessOn(":memory:", handDrivenClock(), async () => undefined);
    let common: Promise<RunStore> | undefined;
    return { ...harness, open: (overrides) => (overrides === undefined ? (common ??= harness.open()) : harness.open(overrides)) };
  },
  { modelRuns: 200, isShared: false },
);

describe("sqlite run store", () => {
  test("sweeps what is past its retention in bounded slices, with its steps", () =>
    withFolder(async (folder) => {
      const path = join(folder, "runs.sqlite");
      const clock = handDrivenClock();
      const store = createSqliteRunStore({ consumer: "orders", retentionMs: 60_000, path, clock });
      await store.start();
      const reader = new DatabaseSync(path, { readOnly: true });
      const count = (table: "open_runs" | "steps"): unknown => reader.prepare(`SELECT count(*) AS rows FROM ${table}`).get()?.["rows"];
      const old = Array.from({ length: 2_500 }, (_, index) => `old-${index}`);
      await store.claim(
        old.map((eventId) => claimOf(eventId)),
        1_000,
      );
      await store.checkpoint(old.slice(0, 100).map((eventId) => ({ eventId, epoch: 1, step: stepOf("one") })));
      clock.advance(40_000);
      await store.extend(
        old.slice(0, 3).map((eventId) => ({ eventId, epoch: 1 })),
        1_000,
      );
      clock.advance(30_000);
      const left: unknown[] = [];
      for (let call = 0; call < 4; call += 1) {
        await store.claim([claimOf(`new-${call}`)], 1_000);
        left.push(count("open_runs"));
      }
      assert.deepEqual(left, [1_504, 505, 6, 7]);
      assert.equal(count("steps"), 3);
      reader.close();
      await store.stop();
    }));

  test("leaves the row that was a run's own to the run that has it now", () =>
    withFolder(async (folder) => {
      const clock = handDrivenClock();
      const options = { consumer: "orders", retentionMs: 60_000, path: join(folder, "runs.sqlite"), clock };
      const stores = [createSqliteRunStore(options), createSqliteRunStore(options)] as const;
      for (const store of stores) await store.start();
      const kind = async (store: RunStore, eventId: string, token: string): Promise<unknown> =>
        (await store.claim([claimOf(eventId, { token })], 120_000))[0]?.kind;
      assert.equal(await kind(stores[0], "one", "same"), "acquired");
      clock.advance(70_000);
      // The first is swept, and its row's number given to this one.
      assert.equal(await kind(stores[1], "other", "same"), "acquired");
      assert.deepEqual(await stores[0].finish([{ eventId: "one", epoch: 1, outbox: new Uint8Array(0) }]), ["stale"]);
      assert.equal(await kind(stores[0], "other", "another"), "held");
      for (const store of stores) await store.stop();
    }));

  test("refuses a file that is no run store, saying what was found", () =>
    withFolder(async (folder) => {
      const refuses = async (path: string, says: RegExp): Promise<void> => {
        const store = createSqliteRunStore({ consumer: "orders", retentionMs, path, clock: handDrivenClock() });
        await assert.rejects(store.start(), (error: unknown) => error instanceof ConfigurationError && says.test(error.message));
        assert.equal(await store.ping(), false);
        await store.stop();
      };
      await writeFile(join(folder, "text"), "no database, but long enough to have a header to look at; ".repeat(20));
      await refuses(join(folder, "text"), /expected .*text to be a SQLite file/);
      await refuses(folder, /expected to create or open/);
      await refuses(join(folder, "text", "below"), /expected to create or open/);
      const foreign = new DatabaseSync(join(folder, "foreign"));
      foreign.exec("CREATE TABLE things (id INTEGER PRIMARY KEY)");
      foreign.close();
      await refuses(join(folder, "foreign"), /version 4, found version 0 with 1 tables/);
    }));

  test("gives a file of the first version the secret it lacks, and keeps its records", () =>
    withFolder(async (folder) => {
      const path = join(folder, "runs.sqlite");
      const open = async (): Promise<RunStore> => {
        const store = createSqliteRunStore({ consumer: "orders", retentionMs, path, clock: handDrivenClock() });
        await store.start();
        return store;
      };
      const first = await open();
      await first.claim([claimOf("a")], 1_000);
      await first.stop();
      const old = new DatabaseSync(path);
      old.exec(
        `${asVersion3}; ALTER TABLE consumers DROP COLUMN secret; ALTER TABLE runs RENAME COLUMN failures TO attempts; ALTER TABLE runs DROP COLUMN losses;
         ALTER TABLE runs DROP COLUMN restarts; DROP TABLE history; PRAGMA user_version = 1`,
      );
      old.close();
      const second = await open();
      const secret = await second.secret();
      assert.match(secret, /^[\w-]{43}$/);
      const kept = await second.read("a");
      assert.deepEqual([kept?.state, kept?.restarts, kept?.history], ["running", 0, []]);
      await second.stop();
      const third = await open();
      assert.equal(await third.secret(), secret);
      await third.stop();
    }));

  test("keeps its records when it is opened again, in a folder it made", () =>
    withFolder(async (folder) => {
      const clock = handDrivenClock();
      const path = join(folder, "made", "runs.sqlite");
      const first = createSqliteRunStore({ consumer: "orders", retentionMs, path, clock });
      await first.start();
      await first.claim([claimOf("a")], 1_000);
      await first.finish([{ eventId: "a", epoch: 1, outbox: Uint8Array.of(1) }]);
      await first.stop();
      const second = createSqliteRunStore({ consumer: "orders", retentionMs, path, clock });
      await second.start();
      assert.equal((await second.claim([claimOf("a")], 1_000))[0]?.kind, "done");
      await second.stop();
    }));
});
