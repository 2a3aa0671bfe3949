// A pool of `pg` on a real PostgreSQL: connections that break, transactions that wait for one another, time limits.
import { strict as assert } from "node:assert";
import { after, before, describe, test } from "node:test";
import { Pool, type PoolClient } from "pg";
import { fromPool, migration } from "#runtime/postgres/index.ts";
import { SkillError } from "#runtime/index.ts";
import { eventually } from "../support/eventually.ts";
import { isLong } from "../support/long.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";

const step = (key: string) => ({ key, eventId: "event-1", skill: "book", step: "book" });
const bytes = (text: string): Uint8Array => Buffer.from(text);
const nothing = async (): Promise<Uint8Array> => bytes("");

/** What a promise was rejected with. */
async function rejection(promise: Promise<unknown>): Promise<SkillError> {
  const error = await promise.then(
    () => assert.fail("expected it to be rejected"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof SkillError, String(error));
  return error;
}

describe("a pool of pg", { skip: isLong ? false : "npm run test:drills runs it" }, () => {
  let server: PostgresServer;
  let pool: Pool;
  before(async () => {
    server = await startPostgres();
    pool = new Pool({ connectionString: server.url, max: 4 });
    await pool.query(`${migration()} CREATE TABLE bookings (note text)`);
  });
  after(async () => {
    await pool.end();
    await server.stop();
  });
  const bookings = async (note: string): Promise<number> => Number((await pool.query("SELECT count(*) AS n FROM bookings WHERE note = $1", [note])).rows[0].n);
  const book = (client: PoolClient, note: string): Promise<unknown> => client.query("INSERT INTO bookings VALUES ($1)", [note]);

  test("of two executions at the same time one waits for the other, and reads what it did", async () => {
    const database = fromPool(pool);
    const inside = Promise.withResolvers<void>();
    const free = Promise.withResolvers<void>();
    const first = database.once(step("both"), async (client) => {
      await book(client, "both");
      inside.resolve();
      await free.promise;
      return bytes("first");
    });
    await inside.promise;
    const second = database.once(step("both"), async (client) => (await book(client, "both"), bytes("second")));
    await eventually(
      "the second to wait",
      async () => Number((await pool.query("SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'")).rows[0].n) === 1,
    );
    free.resolve();
    assert.deepEqual((await Promise.all([first, second])).map(String), ["first", "first"]);
    assert.equal(await bookings("both"), 1);
  });

  test("one that waited for another that rolled back is the first", async () => {
    const database = fromPool(pool);
    const inside = Promise.withResolvers<void>();
    const free = Promise.withResolvers<void>();
    const first = database.once(step("after"), async (client) => {
      await book(client, "after");
      inside.resolve();
      await free.promise;
      throw new Error("of the effect itself");
    });
    await inside.promise;
    const second = database.once(step("after"), async (client) => (await book(client, "after"), bytes("second")));
    free.resolve();
    await assert.rejects(first, /^Error: of the effect itself$/);
    assert.equal(String(await second), "second");
    assert.equal(await bookings("after"), 1);
  });

  test("a connection that ends within the transaction leaves nothing, certainly, and the pool is as before", async () => {
    const database = fromPool(pool);
    const error = await rejection(
      database.once(step("ended"), async (client) => {
        await book(client, "ended");
        const { pid } = (await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows[0] ?? assert.fail();
        await pool.query("SELECT pg_terminate_backend($1)", [pid]);
        await book(client, "ended");
        return bytes("");
      }),
    );
    assert.deepEqual([error.retryable, error.definite], [true, true], error.message);
    assert.equal(await bookings("ended"), 0);
    await Promise.all(Array.from({ length: 8 }, (_, index) => database.once(step(`alive-${index}`), nothing)));
    await eventually("every connection to be free", () => pool.idleCount === pool.totalCount);
  });

  test("an idle connection that ends does not end the process", async () => {
    const other = new Pool({ connectionString: server.url, max: 1 });
    const database = fromPool(other);
    await database.once(step("idle"), nothing);
    await pool.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'idle' AND query <> ''");
    await eventually("the connection to leave the pool", () => other.totalCount === 0);
    await database.once(step("idle-again"), nothing);
    await other.end();
  });

  test("a statement that failed and whose error was caught does not pass for a commit", async () => {
    const database = fromPool(pool);
    const error = await rejection(
      database.once(step("caught"), async (client) => {
        await book(client, "caught");
        await client.query("SELECT 1 / 0").catch(() => undefined);
        return bytes("");
      }),
    );
    assert.deepEqual([error.code, error.definite], ["25P02", true]);
    assert.equal(await bookings("caught"), 0);
  });

  test("a constraint that is looked at in the commit refuses for good, certainly", async () => {
    await pool.query("CREATE TABLE lines (id int PRIMARY KEY); CREATE TABLE parts (of int REFERENCES lines DEFERRABLE INITIALLY DEFERRED)");
    const error = await rejection(fromPool(pool).once(step("deferred"), async (client) => (await client.query("INSERT INTO parts VALUES (1)"), bytes(""))));
    assert.deepEqual([error.code, error.retryable, error.definite], ["23503", false, true]);
  });

  test("a transaction that takes too long is ended, by the server or, where that cannot be reached, here", async () => {
    const error = await rejection(
      fromPool(pool, { timeoutMs: 200 }).once(step("long"), async (client) => {
        await client.query("SELECT pg_sleep(5)");
        return bytes("");
      }),
    );
    assert.deepEqual([error.code, error.retryable, error.definite], ["57014", true, true]);
    const stuck = await rejection(fromPool(pool, { timeoutMs: 200 }).once(step("stuck"), () => new Promise(() => undefined)));
    assert.ok(stuck.retryable, stuck.message);
    assert.match(stuck.code, /TRANSACTION_TIMEOUT|DATABASE_UNAVAILABLE|25P03/);
    await eventually("every connection to be free", () => pool.idleCount === pool.totalCount && pool.waitingCount === 0);
  });

  test("a server that is not there is a failure that may pass, and certain", async () => {
    const nowhere = new Pool({ host: "127.0.0.1", port: 1, connectionTimeoutMillis: 1_000 });
    const error = await rejection(fromPool(nowhere).once(step("nowhere"), nothing));
    assert.deepEqual([error.code, error.retryable, error.definite], ["DATABASE_UNAVAILABLE", true, true]);
    await nowhere.end();
  });
});
