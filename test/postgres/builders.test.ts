// The recipes of README: query builders as sources of transactions.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { PGlite } from "@electric-sql/pglite";
import { drizzle } from "drizzle-orm/pglite";
import { type SQL, sql } from "drizzle-orm";
import { CompiledQuery, Kysely, PostgresDialect } from "kysely";
import { Pool } from "pg";
import { fromTransactions, migration } from "#runtime/postgres/index.ts";
import { longTest } from "../support/long.ts";
import { startPostgres } from "../support/postgres-server.ts";
import { importExample } from "../support/readme-examples.ts";

type Rows = readonly Readonly<Record<string, unknown>>[];
const step = (key: string) => ({ key, eventId: "event-1", skill: "book", step: "book" });

test("Drizzle: the second execution reads what the first has done, and a failure leaves nothing", async (t) => {
  const { asSql } = await importExample<{ asSql: (text: string, values: readonly (string | number)[]) => SQL }>("function asSql");
  const client = await PGlite.create();
  t.after(() => client.close());
  await client.exec(`${migration()} CREATE TABLE bookings (note text)`);
  const db = drizzle({ client });
  type Transaction = Parameters<Parameters<typeof db.transaction>[0]>[0];
  const database = fromTransactions<Transaction>({
    begin: (work) => db.transaction(work),
    query: async (tx, text, values) => (await tx.execute(asSql(text, values))).rows,
  });
  const book = (text: string) => async (tx: Transaction) => (await tx.execute(sql`INSERT INTO bookings VALUES (${text})`), Buffer.from(text));
  const failing = database.once(step("a"), async (tx) => {
    await book("lost")(tx);
    throw new RangeError("of the effect");
  });
  await assert.rejects(failing, RangeError);
  assert.deepEqual([String(await database.once(step("a"), book("first"))), String(await database.once(step("a"), book("second")))], ["first", "first"]);
  assert.deepEqual((await client.query("SELECT note FROM bookings")).rows, [{ note: "first" }]);
  assert.equal(await database.deleteOld(), 0);
});

longTest("Kysely: the same", async (t) => {
  const server = await startPostgres();
  const pool = new Pool({ connectionString: server.url, max: 2 });
  // The server may be gone before the last of its connections has heard of it.
  pool.on("error", () => undefined);
  const db = new Kysely<{ bookings: { note: string } }>({ dialect: new PostgresDialect({ pool }) });
  t.after(async () => {
    await db.destroy();
    await server.stop();
  });
  for (const statement of `${migration()} CREATE TABLE bookings (note text);`.split(";").filter((text) => /\w/.test(text)))
    await db.executeQuery(CompiledQuery.raw(statement));
  type Transaction = Parameters<Parameters<ReturnType<typeof db.transaction>["execute"]>[0]>[0];
  const database = fromTransactions<Transaction>({
    begin: (work) => db.transaction().execute(work),
    query: async (tx, text, values) => (await tx.executeQuery(CompiledQuery.raw(text, [...values]))).rows as Rows,
  });
  const book = (note: string) => async (tx: Transaction) => (await tx.insertInto("bookings").values({ note }).execute(), Buffer.from(note));
  assert.deepEqual([String(await database.once(step("a"), book("first"))), String(await database.once(step("a"), book("second")))], ["first", "first"]);
  assert.deepEqual(await db.selectFrom("bookings").selectAll().execute(), [{ note: "first" }]);
});
