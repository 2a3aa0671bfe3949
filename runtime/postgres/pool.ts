// A pool of `pg`, or one with the same methods, as a source of transactions.
import { TransientError } from "../skills/author/errors.ts";
import { checkNumber } from "../skills/author/check-options.ts";
import { type DatabaseOptions, type StepDatabase, type TransactionSource, fromTransactions } from "./database.ts";

/** What is used of a client of `pg`. */
export interface PoolClient {
  /** Runs one statement with its `$1`, `$2` …; rejects with what the server says. */
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[]; readonly command?: string }>;
  /** With an error, the connection is closed and not used again. */
  release(error?: Error | boolean): void;
  /** Hears that a connection broke. */
  on(event: "error", listener: (error: Error) => void): unknown;
  /** Hears no more of it. */
  removeListener(event: "error", listener: (error: Error) => void): unknown;
}

/** What is used of a pool of `pg`. */
export interface Pool {
  /** Takes a client out of the pool; waits for one where all are out. */
  connect(): Promise<PoolClient>;
  /** Hears that a connection broke. */
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** The client that a pool's `connect` gives, beside its form with a callback. */
type ClientOf<OfPool> = OfPool extends { connect: { (): Promise<infer Client>; (...callback: never): unknown } }
  ? Client
  : OfPool extends { connect(): Promise<infer Client> }
    ? Client
    : PoolClient;

/** What `fromPool` takes beside the pool. */
export interface PoolOptions extends DatabaseOptions {
  /**
   * How long a transaction may take from its connection to its commit, in milliseconds; 100 ms to 1 hour. Default 30 s. Each of its
   * statements, and each pause between two, is held to that by the server as well: a worker whose machine is gone holds no lock for ever.
   */
  readonly timeoutMs?: number;
}

const timeoutLimits = { min: 100, max: 3_600_000 };
const timeoutDefaultMs = 30_000;
/** The server's own end of it comes first, where there is a way to the server. */
const marginMs = 500;

/**
 * Makes a database for transactional steps of a pool of `pg`; the effect is given the pool's client, within a transaction. Make the
 * pool as large as the runs of a thread that are in such a step at once: `max` of it, times threads, times workers, is what the server sees.
 */
export function fromPool<OfPool extends Pool>(pool: OfPool, { timeoutMs = timeoutDefaultMs, ...options }: PoolOptions = {}): StepDatabase<ClientOf<OfPool>> {
  const source = new PoolSource(pool, checkNumber("timeoutMs", timeoutMs, timeoutLimits));
  return fromTransactions(source, options) as unknown as StepDatabase<ClientOf<OfPool>>;
}

class PoolSource implements TransactionSource<PoolClient> {
  readonly #pool: Pool;
  readonly #timeoutMs: number;

  constructor(pool: Pool, timeoutMs: number) {
    this.#pool = pool;
    this.#timeoutMs = timeoutMs;
    // An idle connection that breaks leaves the pool by itself; unheard, the event would end the thread.
    pool.on("error", () => undefined);
  }

  async begin<Result>(work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    const client = await this.#pool.connect();
    // The query at hand fails as well, and says so.
    const unheard = (): void => undefined;
    client.on("error", unheard);
    let isOver = false;
    const release = (error?: Error): void => {
      if (isOver) return;
      isOver = true;
      client.removeListener("error", unheard);
      if (error !== undefined) client.on("error", unheard);
      client.release(error);
    };
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const error = new TransientError(`expected the transaction to end within ${this.#timeoutMs} ms, it did not`, { code: "TRANSACTION_TIMEOUT" });
      release(error);
      late.reject(error);
    }, this.#timeoutMs + marginMs);
    try {
      return await Promise.race([late.promise, this.#transact(client, work, release)]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #transact<Result>(client: PoolClient, work: (client: PoolClient) => Promise<Result>, release: (error?: Error) => void): Promise<Result> {
    const limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
    try {
      await client.query(["BEGIN", ...limits.map((name) => `SET LOCAL ${name} = ${this.#timeoutMs}`)].join("; "));
      const result = await work(client);
      const { command } = await client.query("COMMIT");
      // A statement had failed, and whoever sent it went on.
      if (command === "ROLLBACK")
        throw Object.assign(new Error("expected the transaction to be committed, the server rolled it back: one of its statements had failed"), {
          code: "25P02",
        });
      release();
      return result;
    } catch (error) {
      await client.query("ROLLBACK").then(
        () => release(),
        (lost: unknown) => release(lost instanceof Error ? lost : new Error(String(lost))),
      );
      throw error;
    }
  }

  async query(client: PoolClient, text: string, values: readonly (string | number)[]): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return (await client.query(text, [...values])).rows as readonly Readonly<Record<string, unknown>>[];
  }
}
