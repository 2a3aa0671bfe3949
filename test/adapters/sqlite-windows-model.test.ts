// Random sequences over a few runs in a SQLite file whose windows are tiny: workers and people come and go, writes fail on their way, and
// time passes. Whatever lies where, the answers are those of a map.
import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import * as fc from "fast-check";
import { createSqliteRunRecords } from "#runtime/adapters/sqlite/run-records.ts";
import { createSqliteRunStore, type SqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { ClaimResult } from "#runtime/ports/run-store.ts";
import type { RunRecords } from "#runtime/ports/run-records.ts";
import { isLong } from "../support/long.ts";
import { claimOf, stepOf } from "../contracts/run-store-fixtures.ts";

const retentionMs = 8_000;
const detailsMs = 1_500;
const nothing = new Uint8Array(0);
const hashes = ["vyGp6PvFo4RvsFtPoIWeCReyIC8=", "qUqP5cyxm6YcTAhz05Hph5gvu9M=", "short"];
const consumers = ["orders", "invoices"] as const;
const uuid = "0b9e7c1a-9b2c-4f6e-8a1d-0000000000";
const ids = [
  ...Array.from({ length: 12 }, (_, index) => `${uuid}${String(index).padStart(2, "0")}`),
  `${uuid}0A`,
  `${uuid}0a`,
  ...Array.from({ length: 8 }, (_, index) => `event-${index}`),
  "x".repeat(128),
];

const failAtOnce = "SELECT raise(ABORT, 'the disk is full')";
const failAtCommit = "INSERT INTO children VALUES (1)";
const familyTables = `CREATE TABLE parents (id INTEGER PRIMARY KEY);
  CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)`;

interface Known {
  state: "running" | "done";
  payloadHash: string;
  expiresAtMs: number;
  steps: number;
  /** Infinity for those of a row. */
  stepsUntilMs: number;
  notes: number;
  isRow: boolean;
}

const store = fc.nat(2);
const some = fc.array(fc.constantFrom(...ids), { minLength: 1, maxLength: 6 });
const payloadHash = fc.oneof({ weight: 12, arbitrary: fc.constant(hashes[0]!) }, { weight: 1, arbitrary: fc.constantFrom(...hashes) });
const operation = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("run" as const), store, some, payloadHash, finishes: fc.boolean(), steps: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.constantFrom(1, 700, 700, detailsMs, detailsMs, 3_000, retentionMs) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reopen" as const), store }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("note" as const), some }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), some }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("compare" as const), store }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("sabotage" as const),
      what: fc.constantFrom(
        "INSERT ON done_log",
        "DELETE ON done_log",
        "INSERT ON done_windows",
        "DELETE ON done_windows",
        "INSERT ON done_blocks",
        "UPDATE ON done_state",
        "INSERT ON done_details",
      ),
      // Else at the commit.
      isAtOnce: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("repair" as const) }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer Value> ? Value : never;

class Scene {
  readonly #path: string;
  readonly #consumer: string;
  readonly #known = new Map<string, Known>();
  #nowMs = 1_700_000_000_000;
  readonly #clock = { wallMs: () => this.#nowMs };
  readonly #stores: SqliteRunStore[] = [];
  readonly #sizes: readonly number[];
  #records: RunRecords | undefined;
  #saboteur: DatabaseSync | undefined;
  #isSabotaged = false;

  constructor(path: string, consumer: string, sizes: readonly number[]) {
    this.#path = path;
    this.#consumer = consumer;
    this.#sizes = sizes;
  }

  async start(): Promise<void> {
    for (let number = 0; number < 3; number += 1) await this.#reopen(number);
    this.#records = createSqliteRunRecords({ consumer: this.#consumer, retentionMs, path: this.#path, clock: this.#clock });
    await this.#records.start();
    this.#saboteur = new DatabaseSync(this.#path);
    this.#saboteur.exec(familyTables);
  }

  async stop(): Promise<void> {
    for (const one of this.#stores) await one.stop();
    await this.#records?.stop();
    this.#saboteur?.close();
  }

  async apply(next: Operation): Promise<void> {
    switch (next.kind) {
      case "run":
        return this.#run(next);
      case "pass":
        this.#nowMs += next.ms;
        return;
      case "reopen":
        return this.#reopen(next.store);
      case "note":
        for (const eventId of next.some) await this.#note(eventId);
        return;
      case "remove":
        for (const eventId of next.some) await this.#remove(eventId);
        return;
      case "compare":
        return this.compare(next.store);
      case "sabotage":
        if (!this.#isSabotaged) this.#saboteur?.exec(`CREATE TRIGGER full BEFORE ${next.what} BEGIN ${next.isAtOnce ? failAtOnce : failAtCommit}; END`);
        this.#isSabotaged = true;
        return;
      case "repair":
        this.repair();
    }
  }

  repair(): void {
    if (this.#isSabotaged) this.#saboteur?.exec("DROP TRIGGER full");
    this.#isSabotaged = false;
  }

  /** Undefined where it failed, as it may while somebody sees to that. */
  async #tried<T>(work: Promise<T>): Promise<T | undefined> {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof StoreUnavailableError) || !this.#isSabotaged || !/disk is full|FOREIGN KEY/.test(error.message)) throw error;
      return undefined;
    }
  }

  #find(eventId: string): Known | undefined {
    const known = this.#known.get(eventId);
    if (known !== undefined && known.expiresAtMs > this.#nowMs) return known;
    this.#known.delete(eventId);
    return undefined;
  }

  async #reopen(number: number): Promise<void> {
    await this.#stores[number]?.stop();
    const size = this.#sizes[number];
    const made = createSqliteRunStore({ consumer: this.#consumer, retentionMs, detailsMs, path: this.#path, clock: this.#clock, windowRecords: size });
    this.#stores[number] = made;
    await made.start();
  }

  /** Leases never end before their record does, and all have one token: whoever claims a run that is under way has it. */
  async #run({ store: number, some: given, payloadHash: hash, finishes, steps }: Extract<Operation, { kind: "run" }>): Promise<void> {
    const asked = [...new Set(given)];
    const worker = this.#stores[number]!;
    const answers = await this.#tried(
      worker.claim(
        asked.map((eventId) => claimOf(eventId, { payloadHash: hash, token: "one" })),
        10 * retentionMs,
      ),
    );
    if (answers === undefined) return;
    const expected = asked.map((eventId) => this.#claim(eventId, hash));
    assert.deepEqual(
      answers.map(({ kind }) => kind),
      expected,
      `${asked.join(" ")} at ${this.#nowMs}`,
    );
    const own = asked.filter((_, index) => expected[index] === "acquired");
    if (!finishes || own.length === 0) return;
    const made = Array.from({ length: steps }, (_, index) => stepOf(`step-${index}`));
    const ended = await this.#tried(worker.finish(own.map((eventId) => ({ eventId, epoch: 1, outbox: nothing, steps: made }))));
    if (ended === undefined) return;
    assert.ok(ended.every((one) => one === "written"));
    for (const eventId of own) {
      const known = this.#find(eventId)!;
      const stepsUntilMs = known.isRow ? Infinity : this.#nowMs + detailsMs;
      Object.assign(known, { state: "done", expiresAtMs: this.#nowMs + retentionMs, steps, stepsUntilMs });
    }
  }

  #claim(eventId: string, hash: string): ClaimResult["kind"] {
    const known = this.#find(eventId);
    const expiresAtMs = this.#nowMs + retentionMs;
    if (known === undefined) {
      this.#known.set(eventId, { state: "running", payloadHash: hash, expiresAtMs, steps: 0, stepsUntilMs: Infinity, notes: 0, isRow: false });
      return "acquired";
    }
    if (known.payloadHash !== hash) return "reused";
    if (known.state === "done") return "done";
    known.expiresAtMs = expiresAtMs;
    return "acquired";
  }

  async #note(eventId: string): Promise<void> {
    const known = this.#find(eventId);
    const isDone = await this.#tried(this.#records!.note(eventId, { kind: "closed", reason: "seen", who: "ada@desk" }).then(() => true));
    if (isDone === undefined || known === undefined) return;
    if (known.stepsUntilMs <= this.#nowMs) known.steps = 0;
    Object.assign(known, { notes: known.notes + 1, isRow: true, stepsUntilMs: Infinity });
  }

  async #remove(eventId: string): Promise<void> {
    const known = this.#find(eventId);
    const answer = await this.#tried(this.#records!.remove(eventId));
    if (answer === undefined) return;
    assert.equal(answer, known === undefined ? "unknown" : known.state === "done" ? "removed" : "live");
    if (answer === "removed") this.#known.delete(eventId);
  }

  async compare(number: number): Promise<void> {
    for (const eventId of ids) {
      const view = await this.#tried(this.#stores[number]!.read(eventId).then((one) => one ?? "none"));
      if (view === undefined) continue;
      const known = this.#find(eventId);
      const found = view === "none" ? "none" : { state: view.state, epoch: view.epoch, steps: view.steps.length, notes: view.history.length };
      if (known === undefined) assert.equal(found, "none", eventId);
      else assert.deepEqual(found, { state: known.state, epoch: 1, steps: known.stepsUntilMs > this.#nowMs ? known.steps : 0, notes: known.notes }, eventId);
    }
    const listed = new Set<string>();
    let cursor: string | undefined;
    do {
      const page = await this.#records!.scan(cursor, ["done"]);
      for (const { eventId } of page.runs) listed.add(eventId);
      cursor = page.next;
    } while (cursor !== undefined);
    assert.deepEqual([...listed].toSorted(), ids.filter((eventId) => this.#find(eventId)?.state === "done").toSorted());
  }
}

test("finished runs in tiny windows are what a map says, for several workers, with failing writes", { timeout: 300_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-windows-model-"));
  t.after(() => rm(folder, { recursive: true }));
  let files = 0;
  const size = fc.constantFrom(1, 2, 3, 5, 9);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...consumers),
      fc.tuple(size, size, size),
      fc.array(operation, { minLength: 20, maxLength: 120 }),
      async (consumer, sizes, operations) => {
        const scene = new Scene(join(folder, `${files++}.sqlite`), consumer, sizes);
        try {
          await scene.start();
          for (const next of operations) await scene.apply(next);
          scene.repair();
          for (const number of [0, 1, 2]) await scene.compare(number);
        } finally {
          await scene.stop();
        }
      },
    ),
    { numRuns: isLong ? 500 : 12 },
  );
});
