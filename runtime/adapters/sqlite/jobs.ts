// The jobs of the recovery queue: a table beside the runs, changed under the write lock of the caller's transaction.
//
//   add ──▶ waiting ──take──▶ active ──end──▶ done | failed ──(kept for its time)──▶ gone
//              ▲                │ again, or its lease is over
//              └────────────────┘
import type { DatabaseSync } from "node:sqlite";
import { jobLossesMax, type JobRetry, type JobState, type JobView } from "../../ports/recovery-queue.ts";
import { keepFailedMs, listedMax } from "../support/job-rules.ts";
import type { JobEnd, JobsAnswers, JobsAsk, TakeJobs, TakenJob, TakenJobs } from "./jobs-wire.ts";

/**
 * `at_ms`: when it is due, when its lease ends, or when it is forgotten, by its state. Workers of earlier versions leave the table
 * alone.
 */
const table = `
  CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY,
    consumer INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    data TEXT NOT NULL,
    retry TEXT NOT NULL,
    keep_done_ms INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    failure TEXT NOT NULL DEFAULT '',
    losses INTEGER NOT NULL DEFAULT 0,
    token TEXT NOT NULL DEFAULT '',
    UNIQUE (consumer, kind, name)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS jobs_by_time ON jobs (consumer, state, at_ms);`;

interface JobRow {
  readonly row: number;
  readonly kind: string;
  readonly id: string;
  readonly state: JobState;
  readonly data: string;
  readonly retry: string;
  readonly keepDoneMs: number;
  readonly failures: number;
  readonly failure: string;
  readonly losses: number;
}

const columns = "id AS row, kind, name AS id, state, data, retry, keep_done_ms AS keepDoneMs, failures, failure, losses";
const lostFailure = `expected a worker to end this job, found that ${jobLossesMax + 1} have ended at it`;

function viewOf({ kind, id, state, data, failures, failure }: JobRow): JobView {
  return { kind, id, state, data: JSON.parse(data) as unknown, failures, failure };
}

export class JobTable {
  readonly #database: DatabaseSync;
  readonly #consumer: number;

  constructor(database: DatabaseSync, consumer: number) {
    this.#database = database;
    this.#consumer = consumer;
    database.exec(table);
  }

  answer(ask: JobsAsk, nowMs: number): JobsAnswers[JobsAsk["ask"]] {
    switch (ask.ask) {
      case "add":
        return this.#add(ask.job, nowMs);
      case "take":
        return this.#take(ask, nowMs);
      case "renew":
        return ask.leases
          .filter(
            ({ row, token }) => this.#run("UPDATE jobs SET at_ms = ? WHERE id = ? AND token = ? AND state = 'active'", nowMs + ask.leaseMs, row, token) === 0,
          )
          .map(({ row }) => row);
      case "end":
        return this.#end(ask.lease, ask.end, nowMs);
      case "hurry":
        return (
          this.#run(
            `UPDATE jobs SET failures = iif(state = 'failed', 0, failures), losses = iif(state = 'failed', 0, losses), state = 'waiting', at_ms = ?
             WHERE consumer = ? AND kind = ? AND name = ? AND (state = 'failed' OR (state = 'waiting' AND at_ms > ?))`,
            nowMs,
            this.#consumer,
            ask.kind,
            ask.id,
            nowMs,
          ) === 1
        );
      case "remove":
        return this.#run("DELETE FROM jobs WHERE consumer = ? AND kind = ? AND name = ? AND state != 'active'", this.#consumer, ask.kind, ask.id) === 1;
      case "find": {
        const found = this.#find(ask.kind, ask.id);
        return found === undefined ? undefined : viewOf(found);
      }
      case "list":
        return this.#rows(
          `SELECT ${columns} FROM jobs WHERE consumer = ? AND kind = ? ORDER BY state IN ('done', 'failed'), at_ms LIMIT ${listedMax}`,
          this.#consumer,
          ask.kind,
        ).map(viewOf);
      case "counts":
        return this.#counts();
    }
  }

  #add({ kind, id, data, delayMs, retry, keepDoneMs, replacesEnded }: Extract<JobsAsk, { ask: "add" }>["job"], nowMs: number): "added" | "known" {
    this.#forget(nowMs);
    if (replacesEnded) this.#run("DELETE FROM jobs WHERE consumer = ? AND kind = ? AND name = ? AND state IN ('done', 'failed')", this.#consumer, kind, id);
    const added = this.#run(
      `INSERT INTO jobs (consumer, kind, name, state, at_ms, data, retry, keep_done_ms) VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      this.#consumer,
      kind,
      id,
      nowMs + delayMs,
      data,
      JSON.stringify(retry),
      keepDoneMs,
    );
    return added === 1 ? "added" : "known";
  }

  /** Jobs whose lease is over come first: whoever had them has ended. */
  #take({ kinds, count, token, leaseMs }: TakeJobs, nowMs: number): TakenJobs {
    this.#forget(nowMs);
    const lost: Pick<TakenJob, "kind" | "id">[] = [];
    const lapsed = this.#rows(`SELECT ${columns} FROM jobs WHERE consumer = ? AND state = 'active' AND at_ms <= ?`, this.#consumer, nowMs);
    for (const { row, kind, id, losses, failures } of lapsed) {
      if (losses < jobLossesMax) this.#run("UPDATE jobs SET state = 'waiting', token = '', losses = losses + 1 WHERE id = ?", row);
      else {
        this.#fail(row, failures, lostFailure, nowMs);
        lost.push({ kind, id });
      }
    }
    const ofKinds = `kind IN (${kinds.map(() => "?").join(", ")})`;
    const due = this.#rows(
      `SELECT ${columns} FROM jobs WHERE consumer = ? AND state = 'waiting' AND at_ms <= ? AND ${ofKinds} ORDER BY at_ms LIMIT ?`,
      this.#consumer,
      nowMs,
      ...kinds,
      count,
    );
    for (const { row } of due) this.#run("UPDATE jobs SET state = 'active', token = ?, at_ms = ? WHERE id = ?", token, nowMs + leaseMs, row);
    const next = this.#database
      .prepare(`SELECT min(at_ms) AS atMs FROM jobs WHERE consumer = ? AND (state = 'active' OR (state = 'waiting' AND ${ofKinds}))`)
      .get(this.#consumer, ...kinds)?.["atMs"];
    return {
      jobs: due.map(({ row, kind, id, data, retry, failures }) => ({ row, token, kind, id, data, retry: JSON.parse(retry) as JobRetry, failures })),
      lost,
      nextInMs: typeof next === "number" ? Math.max(0, next - nowMs) : undefined,
    };
  }

  #end({ row, token }: Pick<TakenJob, "row" | "token">, end: JobEnd, nowMs: number): undefined {
    const [found] = this.#rows(`SELECT ${columns} FROM jobs WHERE id = ? AND token = ? AND state = 'active'`, row, token);
    // Its lease was over: it is another worker's by now.
    if (found === undefined) return;
    switch (end.kind) {
      case "done":
        if (found.keepDoneMs === 0) this.#run("DELETE FROM jobs WHERE id = ?", row);
        else this.#run("UPDATE jobs SET state = 'done', token = '', failure = '', at_ms = ? WHERE id = ?", nowMs + found.keepDoneMs, row);
        return;
      case "failed":
        this.#fail(row, end.failures, end.failure, nowMs);
        return;
      case "again": {
        const { afterMs, data, failures, failure } = end;
        this.#run(
          "UPDATE jobs SET state = 'waiting', token = '', losses = 0, at_ms = ?, data = ?, failures = ?, failure = ? WHERE id = ?",
          nowMs + Math.round(afterMs),
          data,
          failures,
          failure,
          row,
        );
        return;
      }
    }
  }

  #fail(row: number, failures: number, failure: string, nowMs: number): void {
    this.#run("UPDATE jobs SET state = 'failed', token = '', failures = ?, failure = ?, at_ms = ? WHERE id = ?", failures, failure, nowMs + keepFailedMs, row);
  }

  #find(kind: string, id: string): JobRow | undefined {
    return this.#rows(`SELECT ${columns} FROM jobs WHERE consumer = ? AND kind = ? AND name = ?`, this.#consumer, kind, id)[0];
  }

  #counts(): JobsAnswers["counts"] {
    const counts = { waiting: 0, active: 0, done: 0, failed: 0 };
    for (const row of this.#database.prepare("SELECT state, count(*) AS count FROM jobs WHERE consumer = ? GROUP BY state").all(this.#consumer))
      counts[row["state"] as JobState] += Number(row["count"]);
    return counts;
  }

  #forget(nowMs: number): void {
    this.#run("DELETE FROM jobs WHERE consumer = ? AND state IN ('done', 'failed') AND at_ms <= ?", this.#consumer, nowMs);
  }

  #rows(sql: string, ...values: readonly (string | number)[]): JobRow[] {
    // The columns are named to give exactly the row's shape.
    return this.#database.prepare(sql).all(...values) as unknown as JobRow[];
  }

  /** How many rows it changed. Jobs are few: their statements are prepared when they are needed. */
  #run(sql: string, ...values: readonly (string | number)[]): number {
    return Number(this.#database.prepare(sql).run(...values).changes);
  }
}
