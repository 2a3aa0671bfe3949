/**
 * A step's effect and the record that it was done, in one transaction:
 *
 *   BEGIN ─▶ INSERT key ──(was there)──▶ read the result ─▶ COMMIT        the effect is not carried out again
 *                │ first, or the one before has rolled back
 *                └─▶ effect ─▶ UPDATE result ─▶ COMMIT                    both, or neither
 *
 * The key's unique index makes a second transaction wait for the first. It is the outbox pattern's other half: what the run store
 * remembers is then a cache of what the database knows.
 */
import { TransientError } from "../skills/author/errors.ts";
import type { TransactionalDatabase, TransactionalStep } from "../skills/author/transactional.ts";
import { checkNumber } from "../skills/author/check-options.ts";
import { failureAtCommit, failureBefore } from "./errors.ts";
import { type Statements, statementsFor, tableDefault } from "./table.ts";

/** What holds of the table that records steps. */
export interface DatabaseOptions {
  /** The table of the records: a name, or schema and name with a dot between. Default `holdfast_steps`. */
  readonly table?: string;
  /**
   * How long a record stays, in milliseconds; 1 hour to 10 years. Default 90 days. A message that is redelivered, replayed or released
   * later than that, and whose run the store has lost, has its effect carried out once more.
   */
  readonly retentionMs?: number;
}

/** Runs queries in transactions: of a driver, a query builder or an object mapper. */
export interface TransactionSource<Transaction> {
  /** Carries `work` out in a transaction, commits when it resolves, rolls back when it rejects, and passes on what it rejected with. */
  begin<Result>(work: (transaction: Transaction) => Promise<Result>): Promise<Result>;
  /** Runs one statement with parameters `$1`, `$2` … in the transaction, and gives its rows. */
  query(transaction: Transaction, text: string, values: readonly (string | number)[]): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

/** A database for transactional steps. */
export interface StepDatabase<Transaction> extends TransactionalDatabase<Transaction> {
  /** Deletes the records that are older than `retentionMs`, and says how many. The database does so by itself once an hour at most, after a step. */
  deleteOld(): Promise<number>;
}

const hourMs = 3_600_000;
const retentionLimits = { min: hourMs, max: 10 * 365 * 24 * hourMs };
const retentionDefaultMs = 90 * 24 * hourMs;
const deletedAtOnce = 1_000;

/** Makes a database for transactional steps of anything that runs queries in transactions. Throws `ConfigurationError` for wrong options. */
export function fromTransactions<Transaction>(source: TransactionSource<Transaction>, options: DatabaseOptions = {}): StepDatabase<Transaction> {
  return new Database(source, options);
}

class Database<Transaction> implements StepDatabase<Transaction> {
  readonly #source: TransactionSource<Transaction>;
  readonly #table: string;
  readonly #statements: Statements;
  readonly #retentionMs: number;
  #deletedAtMs = 0;

  constructor(source: TransactionSource<Transaction>, { table = tableDefault, retentionMs = retentionDefaultMs }: DatabaseOptions) {
    this.#source = source;
    this.#table = table;
    this.#statements = statementsFor(table);
    this.#retentionMs = checkNumber("retentionMs", retentionMs, retentionLimits);
  }

  async once(step: TransactionalStep, work: (transaction: Transaction) => Promise<Uint8Array>): Promise<Uint8Array> {
    let isToCommit = false;
    const failed: { error?: unknown } = {};
    try {
      const stored = await this.#source.begin(async (transaction) => {
        isToCommit = false;
        try {
          const result = await this.#inside(transaction, step, work);
          isToCommit = true;
          return result;
        } catch (error) {
          failed.error = error;
          throw error;
        }
      });
      this.#deleteNowAndThen();
      return stored;
    } catch (error) {
      // A mapper may wrap what was thrown; what the effect itself threw is what counts.
      throw isToCommit ? failureAtCommit(error) : failureBefore(failed.error ?? error, this.#table);
    }
  }

  async #inside(transaction: Transaction, step: TransactionalStep, work: (transaction: Transaction) => Promise<Uint8Array>): Promise<Uint8Array> {
    const { begin, read, end } = this.#statements;
    const query = (text: string, ...values: string[]): Promise<readonly Readonly<Record<string, unknown>>[]> => this.#source.query(transaction, text, values);
    const isFirst = (await query(begin, step.key, step.eventId, step.skill, step.step)).length > 0;
    if (!isFirst) {
      const [row] = await query(read, step.key);
      if (typeof row?.["result"] === "string") return Buffer.from(row["result"], "base64");
      // A snapshot from before the other's commit does not have it, or it was deleted just now.
      throw new TransientError(`step '${step.step}': expected its record in ${this.#table}, found none that can be read yet`, { code: "STEP_RECORD_UNSEEN" });
    }
    const result = await work(transaction);
    const written = await query(end, Buffer.from(result).toString("base64"), step.key);
    if (written.length !== 1)
      throw new TransientError(`step '${step.step}': expected its record in ${this.#table} to be there until the commit, found ${written.length} rows`, {
        code: "STEP_RECORD_LOST",
      });
    return result;
  }

  async deleteOld(): Promise<number> {
    const age = this.#retentionMs / 1_000;
    const rows = await this.#source.begin((transaction) => this.#source.query(transaction, this.#statements.deleteOld, [age, deletedAtOnce]));
    return rows.length < deletedAtOnce ? rows.length : rows.length + (await this.deleteOld());
  }

  #deleteNowAndThen(): void {
    const nowMs = performance.now();
    if (this.#deletedAtMs !== 0 && nowMs - this.#deletedAtMs < hourMs) return;
    this.#deletedAtMs = nowMs;
    // What is not deleted now is in an hour; the step is done either way.
    this.deleteOld().catch(() => undefined);
  }
}
