// Steps whose effect is one transaction with their record, on an embedded PostgreSQL.
import { strict as assert } from "node:assert";
import { before, test, type TestContext } from "node:test";
import { PGlite, type Transaction } from "@electric-sql/pglite";
import { type StepDatabase, type TransactionSource, fromTransactions, migration } from "#runtime/postgres/index.ts";
import { defineSkill, type SkillContext } from "#runtime/index.ts";
import { testSkill } from "#runtime/testing/index.ts";
import { type HostBundle, makeHost } from "../skills/host.ts";

let db: PGlite;
before(async () => {
  db = await PGlite.create();
  await db.exec(`${migration()} CREATE TABLE bookings (id serial PRIMARY KEY, note text NOT NULL CHECK (note <> 'wrong'));`);
  return async () => db.close();
});

/** What goes wrong with the next transaction. */
type Trouble = "before-commit" | "reply-lost" | "refused-at-commit" | "repeated";

interface Bench {
  readonly database: StepDatabase<Transaction>;
  trouble: Trouble | undefined;
  bookings(): Promise<number>;
  records(): Promise<number>;
}

const count = async (table: string): Promise<number> => (await db.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`)).rows[0]?.n ?? -1;
const lost = (): Error => Object.assign(new Error("Connection terminated unexpectedly"), { code: "ECONNRESET" });

async function startBench(): Promise<Bench> {
  await db.exec("DELETE FROM bookings; DELETE FROM holdfast_steps;");
  const source: TransactionSource<Transaction> = {
    async begin(work) {
      const { trouble } = bench;
      bench.trouble = undefined;
      let isDone = false;
      const result = await db.transaction(async (transaction) => {
        if (trouble === "repeated") {
          await transaction.exec("SAVEPOINT first");
          await work(transaction);
          await transaction.exec("ROLLBACK TO SAVEPOINT first");
        }
        const done = await work(transaction);
        isDone = true;
        if (trouble === "before-commit") throw lost();
        if (trouble === "refused-at-commit") throw Object.assign(new Error("could not serialize access"), { code: "40001" });
        return done;
      });
      if (trouble === "reply-lost" && isDone) throw lost();
      return result;
    },
    query: async (transaction, text, values) => (await transaction.query<Record<string, unknown>>(text, [...values])).rows,
  };
  const bench: Bench = { database: fromTransactions(source), trouble: undefined, bookings: () => count("bookings"), records: () => count("holdfast_steps") };
  return bench;
}

const book = async (transaction: Transaction, note: string): Promise<number> =>
  (await transaction.query<{ id: number }>("INSERT INTO bookings (note) VALUES ($1) RETURNING id", [note])).rows[0]?.id ?? -1;

function bookingSkill(bench: Bench, more: (context: SkillContext, id: number) => Promise<void> | void = () => undefined) {
  return defineSkill({
    name: "book",
    handles: [{ eventType: "ArtifactUploaded", versions: "1.x" }],
    async run(context) {
      const id = await context.step("book", { kind: "transactional", database: bench.database }, (step, transaction) => {
        step.emit("Booked", { note: "a" });
        return book(transaction, "a");
      });
      await more(context, id);
    },
  });
}

async function begin(t: TestContext): Promise<{ readonly bench: Bench; readonly bundle: HostBundle }> {
  const bench = await startBench();
  return { bench, bundle: await makeHost(t, [bookingSkill(bench)]) };
}

test("effect and record are one transaction: a run that the store has forgotten reads what was done, and emits the same", async (t) => {
  const { bench, bundle } = await begin(t);
  const first = await bundle.run();
  assert.equal(first.answer.kind, "completed");
  // The store has lost every step: nothing of it is in the order.
  const second = await bundle.run();
  assert.deepEqual(second.answer, first.answer);
  assert.ok(first.answer.kind === "completed" && first.answer.outbox.length === 1);
  assert.deepEqual([await bench.bookings(), await bench.records()], [1, 1]);
  const [one, other] = bundle.steps;
  assert.deepEqual(one, other);
  assert.equal(one?.kind, "keyed");
});

for (const [trouble, code, committed] of [
  // Nobody can tell it from a commit whose reply was lost.
  ["before-commit", "COMMIT_UNKNOWN", 0],
  ["refused-at-commit", "40001", 0],
  ["reply-lost", "COMMIT_UNKNOWN", 1],
] as const) {
  test(`${trouble}: the run is tried again, and its effect happens once`, async (t) => {
    const { bench, bundle } = await begin(t);
    bench.trouble = trouble;
    const { answer } = await bundle.run();
    assert.ok(answer.kind === "failed");
    assert.deepEqual([answer.failure.code, answer.failure.step, answer.retryable], [code, "book", true]);
    assert.deepEqual([await bench.bookings(), bundle.steps.length], [committed, 0]);
    assert.equal((await bundle.run()).answer.kind, "completed");
    assert.deepEqual([await bench.bookings(), await bench.records(), bundle.steps.length], [1, 1, 1]);
  });
}

test("a transaction that its database repeats counts once, with its events", async (t) => {
  const { bench, bundle } = await begin(t);
  bench.trouble = "repeated";
  const { answer } = await bundle.run();
  assert.ok(answer.kind === "completed" && answer.outbox.length === 1);
  assert.equal(await bench.bookings(), 1);
});

test("an effect that throws leaves nothing behind; its fallback answers, for it certainly had no effect", async (t) => {
  const bench = await startBench();
  const seen: unknown[] = [];
  const skill = defineSkill({
    name: "book",
    handles: [{ eventType: "ArtifactUploaded", versions: "1.x" }],
    async run(context) {
      const options = {
        kind: "transactional",
        database: bench.database,
        fallbacks: [{ name: "later", quality: "degraded", answer: (_step: unknown, error: Error) => (seen.push(error), -1) }],
      } as const;
      seen.push(
        await context.step("book", options, async (_step, transaction) => {
          await book(transaction, "a");
          return book(transaction, "wrong");
        }),
      );
    },
  });
  const bundle = await makeHost(t, [skill]);
  assert.equal((await bundle.run()).answer.kind, "completed");
  assert.match(String(seen[0]), /PermanentError.*violates check constraint/);
  assert.deepEqual([seen[1], await bench.bookings(), await bench.records()], [-1, 0, 0]);
});

test("who has lost the run while the effect went on does not commit", async (t) => {
  const bench = await startBench();
  const bundle: HostBundle = await makeHost(t, [
    defineSkill({
      name: "book",
      handles: [{ eventType: "ArtifactUploaded", versions: "1.x" }],
      async run(context) {
        await context.step("book", { kind: "transactional", database: bench.database }, async (_step, transaction) => {
          await book(transaction, "a");
          bundle.skewMs = 120_000;
        });
      },
    }),
  ]);
  assert.deepEqual((await bundle.run()).answer, { kind: "stale" });
  assert.deepEqual([await bench.bookings(), await bench.records()], [0, 0]);
});

test("a chain of steps hands the results before, and the transaction", async (t) => {
  const bench = await startBench();
  const skill = defineSkill({
    name: "book",
    handles: [{ eventType: "ArtifactUploaded", versions: "1.x" }],
    steps: (chain) =>
      chain
        .step("note", { kind: "idempotent" }, () => "from the step before")
        .step("book", { kind: "transactional", database: bench.database }, (_step, results, transaction) => book(transaction, results.note)),
  });
  const bundle = await makeHost(t, [skill]);
  assert.equal((await bundle.run()).answer.kind, "completed");
  assert.equal((await db.query<{ note: string }>("SELECT note FROM bookings")).rows[0]?.note, "from the step before");
});

test("old records are deleted, the others stay", async () => {
  const bench = await startBench();
  const insert =
    "INSERT INTO holdfast_steps (key, event_id, skill, step, done_at) SELECT 'k' || i, 'e', 's', 'p', now() - make_interval(days => i) FROM generate_series(85, 2200) i";
  await db.exec(insert);
  assert.equal(await bench.database.deleteOld(), 2_200 - 90 + 1);
  assert.equal(await bench.records(), 5);
});

test("a table that is not there is said, with how to make it", async (t) => {
  const source: TransactionSource<Transaction> = {
    begin: (work) => db.transaction(work),
    query: async (transaction, text, values) => (await transaction.query<Record<string, unknown>>(text, [...values])).rows,
  };
  const bench: Bench = { ...(await startBench()), database: fromTransactions(source, { table: "elsewhere" }) };
  const bundle = await makeHost(t, [bookingSkill(bench)]);
  const { answer } = await bundle.run();
  assert.ok(answer.kind === "failed");
  assert.equal(answer.failure.code, "STEP_TABLE_MISSING");
  assert.match(answer.failure.message, /expected the table elsewhere.*holdfast postgres migration --table elsewhere \| psql/);
});

test("the migration can be run again, and refuses what is no name", async () => {
  await db.exec(migration());
  await db.exec(`CREATE SCHEMA ops; ${migration("ops.done_steps")} ${migration("ops.done_steps")}`);
  for (const name of ["Steps", 'a"; DROP TABLE b; --', "a.b.c", "", "1a"]) assert.throws(() => migration(name), /expected a name/, name);
});

test("options that no transactional step can have are refused", async (t) => {
  for (const [options, expected] of [
    [{ kind: "transactional" }, /database: expected a database whose transactions hold steps/],
    [{ kind: "transactional", database: {} }, /database: expected a database/],
    [{ kind: "keyed", database: { once: () => undefined } }, /database: expected it only with kind 'transactional'/],
  ] as const) {
    const skill = defineSkill({
      name: "book",
      handles: [{ eventType: "ArtifactUploaded", versions: "1.x" }],
      run: (context) => context.step("book", options as never, () => 1),
    });
    const { answer } = await (await makeHost(t, [skill])).run();
    assert.ok(answer.kind === "failed");
    assert.match(answer.failure.message, expected);
  }
});

test("the kit runs such a skill in every way", async () => {
  const bench = await startBench();
  const { undisturbed, cases } = await testSkill.everyWay(bookingSkill(bench), { event: { eventId: "everyway" } });
  assert.deepEqual([undisturbed.steps.map(({ name }) => name), undisturbed.emitted.map(({ eventType }) => eventType)], [["book"], ["Booked"]]);
  assert.ok(cases > 5);
  assert.equal(await bench.bookings(), 1);
});
