// Steps whose effect is a transaction of the author's own database, with the record that it was done.

/** Names a step of a run, the same at every execution of it. */
export interface TransactionalStep {
  /** The step's idempotency key: 32 hexadecimal digits. */
  readonly key: string;
  readonly eventId: string;
  readonly skill: string;
  readonly step: string;
}

/** A database whose transactions hold a step's effect and the record of it. `holdfast/postgres` makes one of a PostgreSQL. */
export interface TransactionalDatabase<Transaction> {
  /**
   * Resolves with the record of this step. Where there is none yet, `work` is carried out in a transaction, and what it resolves with is
   * written down in the same transaction; nothing of it stays when `work` throws, and what it threw is thrown on. Of two that come with the
   * same key at the same time, the second waits for the first. Throws a `TransientError` with `definite: false` when nobody knows whether it was committed.
   */
  once(step: TransactionalStep, work: (transaction: Transaction) => Promise<Uint8Array>): Promise<Uint8Array>;
}
