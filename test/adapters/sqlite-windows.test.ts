// Records of runs that are done, as they go from the log into windows and out of the file.
import { strict as assert } from "node:assert";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, type TestContext, test } from "node:test";
import { createSqliteRunRecords } from "#runtime/adapters/sqlite/run-records.ts";
import { createSqliteRunStore, type SqliteRunStore, type SqliteRunStoreOptions } from "#runtime/adapters/sqlite/run-store.ts";
import { encodeSetback } from "#runtime/core/setback.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import { claimOf, plainSteps, stepOf } from "../contracts/run-store-fixtures.ts";

const retentionMs = 3_600_000;
const leaseMs = 60_000;
const nothing = new Uint8Array(0);
const sha1 = "vyGp6PvFo4RvsFtPoIWeCReyIC8=";
const uuidOf = (number: number): string => `${number.toString(16).padStart(8, "0")}-9b2c-4f6e-8a1d-${(number * 7_919).toString(16).padStart(12, "0")}`;

function handDrivenClock(): { wallMs(): number; advance(ms: number): void } {
  let nowMs = 1_700_000_000_000;
  return { wallMs: () => nowMs, advance: (ms) => void (nowMs += ms) };
}

interface Place {
  readonly path: string;
  readonly clock: ReturnType<typeof handDrivenClock>;
  open(overrides?: Partial<SqliteRunStoreOptions>): Promise<SqliteRunStore>;
  rows(table: string): number;
}

async function makePlace(t: TestContext): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-windows-"));
  const path = join(folder, "runs.sqlite");
  const clock = handDrivenClock();
  const opened: SqliteRunStore[] = [];
  t.after(async () => {
    for (const store of opened) await store.stop();
    await rm(folder, { recursive: true });
  });
  return {
    path,
    clock,
    async open(overrides = {}) {
      const store = createSqliteRunStore({ consumer: "orders", retentionMs, path, clock, windowRecords: 100, ...overrides });
      opened.push(store);
      await store.start();
      return store;
    },
    rows(table) {
      const reader = new DatabaseSync(path, { readOnly: true });
      const rows = Number(reader.prepare(`SELECT count(*) AS rows FROM ${table}`).get()?.["rows"]);
      reader.close();
      return rows;
    },
  };
}

async function finish(store: SqliteRunStore, eventIds: readonly string[], payloadHash = "payload-1"): Promise<void> {
  const claimed = await store.claim(
    eventIds.map((eventId) => claimOf(eventId, { payloadHash })),
    leaseMs,
  );
  assert.ok(claimed.every(({ kind }) => kind === "acquired"));
  assert.ok((await store.finish(eventIds.map((eventId) => ({ eventId, epoch: 1, outbox: nothing })))).every((result) => result === "written"));
}

async function kindsOf(store: SqliteRunStore, eventIds: readonly string[], payloadHash = "payload-1"): Promise<ReadonlySet<string>> {
  const results = await store.claim(
    eventIds.map((eventId) => claimOf(eventId, { payloadHash })),
    leaseMs,
  );
  return new Set(results.map(({ kind }) => kind));
}

function namesOf(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => ((from + index) % 3 === 0 ? `event-${from + index} ü` : uuidOf(from + index)));
}

describe("records of finished runs in a SQLite file", () => {
  test("are known in the log and in every window, by several workers, and after a restart", async (t) => {
    const place = await makePlace(t);
    const store = await place.open();
    const other = await place.open();
    const elsewhere = await place.open({ consumer: "invoices" });
    const ids = namesOf(0, 4_250);
    for (let from = 0; from < ids.length; from += 50) await finish(from % 100 === 0 ? store : other, ids.slice(from, from + 50));
    assert.deepEqual([place.rows("done_windows"), place.rows("open_runs"), place.rows("done_log")], [42, 0, 1]);
    for (const asked of [store, other, await place.open()]) {
      assert.deepEqual(await kindsOf(asked, ids), new Set(["done"]));
      assert.deepEqual(await kindsOf(asked, ids, "payload-2"), new Set(["reused"]));
    }
    assert.deepEqual(await kindsOf(elsewhere, ids), new Set(["acquired"]));
  });

  test("tell the same of a run wherever they lie", async (t) => {
    const place = await makePlace(t);
    const store = await place.open();
    const failed = { eventId: "a", epoch: 1, state: "waiting", reason: "HTTP_503", failures: 1, losses: 2 } as const;
    const setback = {
      kind: "failed",
      why: "HTTP_503",
      description: "",
      attempt: 1,
      delayMs: 5,
      worker: "w",
      waitedMs: 0,
      waitedFor: "",
      renewals: 0,
      calls: [],
    } as const;
    await store.claim([claimOf("a", { payloadHash: sha1 })], leaseMs);
    await store.checkpoint([{ eventId: "a", epoch: 1, step: stepOf("one", { result: Uint8Array.of(1, 2, 3) }) }]);
    await store.fail([{ ...failed, setback: encodeSetback(setback) }]);
    await store.claim([claimOf("a", { payloadHash: sha1 })], leaseMs);
    await store.finish([{ eventId: "a", epoch: 2, outbox: Uint8Array.of(1), steps: [stepOf("drei/ü", { kind: "atMostOnce", codec: 300 })] }]);
    const { payloadHash, ...first } = (await store.read("a"))!;
    assert.equal(payloadHash, sha1);
    await store.clearOutbox(["a"]);
    assert.equal(place.rows("open_runs"), 0);
    const inLog = (await store.read("a"))!;
    await finish(store, namesOf(1, 99));
    assert.equal(place.rows("done_log"), 0);
    const inWindow = (await store.read("a"))!;
    for (const view of [inLog, inWindow]) {
      assert.deepEqual(
        { ...view, steps: plainSteps(view.steps) },
        { ...first, payloadHash: sha1.slice(0, 8), outbox: nothing, steps: plainSteps(first.steps) },
      );
      assert.ok(view.steps.every(({ atMs }) => atMs === place.clock.wallMs()));
    }
    await store.close(["a"], { reason: "seen", who: "ada@desk" });
    const noted = (await store.read("a"))!;
    assert.deepEqual([noted.steps.length, noted.history.length], [2, 1]);
    for (const view of [first, noted]) {
      assert.deepEqual(
        view.setbacks.map(({ why }) => why),
        ["HTTP_503"],
      );
    }
    assert.deepEqual(await store.finish([{ eventId: "a", epoch: 2, outbox: nothing }]), ["written"]);
    assert.deepEqual(await store.finish([{ eventId: "a", epoch: 1, outbox: nothing }]), ["stale"]);
  });

  test("go as a whole window once the last is past its retention, and can be done again from their own end on", async (t) => {
    const place = await makePlace(t);
    const store = await place.open();
    const other = await place.open();
    await finish(store, namesOf(0, 60));
    place.clock.advance(retentionMs / 2);
    await finish(store, namesOf(60, 60));
    assert.equal(place.rows("done_windows"), 1);
    place.clock.advance(retentionMs / 2);
    assert.deepEqual(await kindsOf(other, namesOf(0, 60)), new Set(["acquired"]));
    assert.deepEqual(await kindsOf(other, namesOf(60, 60)), new Set(["done"]));
    await finish(store, namesOf(200, 10));
    place.clock.advance(retentionMs);
    for (let call = 0; call < 9; call += 1) await store.claim([claimOf(`later-${call}`)], leaseMs);
    assert.deepEqual([place.rows("done_windows"), place.rows("done_blocks")], [0, 0]);
    assert.deepEqual(await kindsOf(other, namesOf(60, 60)), new Set(["acquired"]));
  });

  test("keep steps for a time of their own", async (t) => {
    const place = await makePlace(t);
    const store = await place.open({ detailsMs: 1_000 });
    for (const eventId of ["a", "b", "c"]) {
      await store.claim([claimOf(eventId)], leaseMs);
      await store.finish([{ eventId, epoch: 1, outbox: nothing, steps: [stepOf("one")] }]);
    }
    assert.equal((await store.read("a"))?.steps.length, 1);
    place.clock.advance(1_000);
    assert.deepEqual([(await store.read("a"))?.state, (await store.read("a"))?.steps], ["done", []]);
    await store.claim([claimOf("later")], leaseMs);
    // The last row stays, so that its number is not given to another.
    assert.equal(place.rows("done_details"), 1);
  });

  test("are listed, noted, and removed wherever they lie", async (t) => {
    const place = await makePlace(t);
    const store = await place.open();
    const records = createSqliteRunRecords({ consumer: "orders", retentionMs, path: place.path, clock: place.clock });
    await records.start();
    t.after(() => records.stop());
    const ids = namesOf(0, 230);
    await finish(store, ids.slice(0, 150));
    await finish(store, ids.slice(150));
    const list = async (): Promise<string[]> => {
      const found = new Set<string>();
      let cursor: string | undefined;
      do {
        const page = await records.scan(cursor, ["done"]);
        for (const { eventId } of page.runs) found.add(eventId);
        cursor = page.next;
      } while (cursor !== undefined);
      return [...found].toSorted();
    };
    assert.deepEqual(await list(), ids.toSorted());
    const creation = { payloadHash: "", pipelineHash: "", state: "dead", reason: "", steps: [], history: [] } as const;
    for (const eventId of [ids[0]!, ids[229]!]) {
      await records.note(eventId, { kind: "closed", reason: "seen", who: "ada@desk" });
      assert.deepEqual(
        (await store.read(eventId))?.history.map(({ kind }) => kind),
        ["closed"],
      );
      assert.deepEqual(await kindsOf(store, [eventId]), new Set(["done"]));
      assert.equal(await records.create({ ...creation, eventId }), "exists");
      assert.equal(await records.remove(eventId), "removed");
      assert.equal(await records.remove(eventId), "unknown");
      assert.equal(await store.read(eventId), undefined);
    }
    assert.deepEqual(await list(), ids.slice(1, 229).toSorted());
    await finish(store, [ids[0]!]);
  });

  test("are removed with their steps, which other workers hear of without reading everything afresh", async (t) => {
    const place = await makePlace(t);
    const store = await place.open();
    const records = createSqliteRunRecords({ consumer: "orders", retentionMs, path: place.path, clock: place.clock });
    await records.start();
    t.after(() => records.stop());
    const reader = new DatabaseSync(place.path);
    t.after(() => reader.close());
    const version = (): unknown => reader.prepare("SELECT version FROM done_state").get()?.["version"];
    const secrets = (): number => Number(reader.prepare("SELECT count(*) AS rows FROM done_details WHERE instr(details, 'secret') > 0").get()?.["rows"]);
    for (const eventId of ["in-window", "kept", "in-log"]) {
      if (eventId === "in-log") await finish(store, namesOf(0, 98));
      await store.claim([claimOf(eventId)], leaseMs);
      await store.finish([{ eventId, epoch: 1, outbox: nothing, steps: [stepOf("one", { result: Buffer.from(`secret of ${eventId}`) })] }]);
    }
    assert.deepEqual([place.rows("done_windows"), place.rows("done_log"), secrets()], [1, 1, 3]);
    const other = await place.open();
    assert.deepEqual(await kindsOf(other, ["in-window", "in-log"]), new Set(["done"]));
    const before = version();
    for (const eventId of ["in-window", "in-log"]) {
      assert.equal(await records.remove(eventId), "removed");
      for (const one of [store, other, await place.open()]) assert.equal(await one.read(eventId), undefined);
    }
    assert.deepEqual([secrets(), (await store.read("kept"))?.steps.length], [1, 1]);
    // A number that was given to a removed one's steps is nobody else's.
    await store.claim([claimOf("later")], leaseMs);
    await store.finish([{ eventId: "later", epoch: 1, outbox: nothing, steps: [stepOf("one"), stepOf("two")] }]);
    assert.deepEqual([(await store.read("kept"))?.steps.length, (await store.read("later"))?.steps.length], [1, 2]);
    assert.equal(version(), before);
    await finish(other, ["in-log"]);
    assert.deepEqual([await kindsOf(store, ["in-log"]), await kindsOf(store, ["in-window"])], [new Set(["done"]), new Set(["acquired"])]);
  });

  test("come in pages of some hundred, however few of them a batch had", async (t) => {
    const place = await makePlace(t);
    const store = await place.open({ windowRecords: 1_000 });
    const records = createSqliteRunRecords({ consumer: "orders", retentionMs, path: place.path, clock: place.clock });
    await records.start();
    t.after(() => records.stop());
    const ids = namesOf(0, 600);
    for (const eventId of ids) await finish(store, [eventId]);
    assert.equal(place.rows("done_log"), 600);
    const sizes: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await records.scan(cursor, ["done"]);
      sizes.push(page.runs.length);
      cursor = page.next;
    } while (cursor !== undefined);
    assert.deepEqual(
      sizes.filter((size) => size > 0),
      [500, 100],
    );
  });

  test("that a file of an earlier version has are known at once, and move on with the sweeps", async (t) => {
    const place = await makePlace(t);
    const store = await place.open();
    await store.claim([claimOf("runs")], leaseMs);
    await store.stop();
    const old = new DatabaseSync(place.path);
    old.exec(`ALTER TABLE open_runs DROP COLUMN parts; ALTER TABLE open_runs RENAME TO runs; DROP TABLE done_state; DROP TABLE done_log;
      DROP TABLE done_windows; DROP TABLE done_blocks; DROP TABLE done_details; DROP TABLE pipelines; PRAGMA user_version = 3`);
    const insert =
      old.prepare(`INSERT INTO runs (consumer, event_id, state, epoch, failures, losses, generation, lease_until_ms, expires_at_ms, token, payload_hash, pipeline_hash)
      VALUES (1, ?, 'done', 1, 0, 0, 0, 0, ?, '', 'payload-1', 'pipeline-1')`);
    const ids = namesOf(0, 600);
    for (const eventId of ids) insert.run(eventId, place.clock.wallMs() + retentionMs);
    old.exec(`INSERT INTO steps (run, name, kind, state, result, checksum, codec, at_ms) VALUES (2, 'one', 'keyed', 'completed', x'01', 1, 1, 5)`);
    const newer = await place.open();
    assert.throws(() => old.prepare("SELECT * FROM runs").all(), /no such table/, "a worker of the earlier version would not see what is done");
    old.close();
    assert.deepEqual(await kindsOf(newer, ids), new Set(["done"]));
    for (let call = 0; call < 6; call += 1) await newer.claim([claimOf("runs")], leaseMs);
    assert.equal(place.rows("open_runs"), 1);
    assert.deepEqual(await kindsOf(newer, ids), new Set(["done"]));
    assert.deepEqual(
      (await newer.read(ids[0]!))?.steps.map(({ name }) => name),
      ["one"],
    );
  });

  test("are as they were when a window could not be closed", async (t) => {
    const place = await makePlace(t);
    const store = await place.open();
    await finish(store, namesOf(0, 90));
    const saboteur = new DatabaseSync(place.path);
    saboteur.exec("CREATE TRIGGER full BEFORE INSERT ON done_windows BEGIN SELECT raise(ABORT, 'the disk is full'); END");
    await store.claim(
      namesOf(90, 20).map((eventId) => claimOf(eventId)),
      leaseMs,
    );
    const write = (): Promise<unknown> => store.finish(namesOf(90, 20).map((eventId) => ({ eventId, epoch: 1, outbox: nothing })));
    await assert.rejects(write, (error: unknown) => error instanceof StoreUnavailableError && /disk is full/.test(error.message));
    assert.deepEqual([await kindsOf(store, namesOf(0, 90)), await kindsOf(store, namesOf(90, 20))], [new Set(["done"]), new Set(["held"])]);
    saboteur.exec("DROP TRIGGER full");
    saboteur.close();
    await write();
    assert.deepEqual([await kindsOf(store, namesOf(0, 110)), place.rows("done_windows")], [new Set(["done"]), 1]);
  });

  test("are never lost with a worker that is killed, whatever it was at", { timeout: 60_000 }, async (t) => {
    const place = await makePlace(t);
    const told: string[] = [];
    for (let kill = 0; kill < 4; kill += 1) {
      const child = fork(new URL("./sqlite-finisher.ts", import.meta.url), [place.path, String(kill)], { stdio: "inherit" });
      const enough = 400 + kill * 130;
      const { promise, resolve } = Promise.withResolvers<void>();
      const finished: string[] = [];
      child.on("message", (ids: string[]) => {
        finished.push(...ids);
        if (finished.length >= enough) resolve();
      });
      await promise;
      const closed = once(child, "close");
      child.kill("SIGKILL");
      await closed;
      told.push(...finished);
    }
    const store = await place.open();
    assert.deepEqual(await kindsOf(store, told), new Set(["done"]));
    assert.ok(place.rows("done_windows") > 10, `found ${place.rows("done_windows")} windows`);
    const checker = new DatabaseSync(place.path, { readOnly: true });
    assert.deepEqual({ ...checker.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" });
    checker.close();
  });
});
