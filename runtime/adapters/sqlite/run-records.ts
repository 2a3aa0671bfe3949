// What people ask of the records in a SQLite file: in the calling thread, and without its write lock where nothing is written.
import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../core/clock.ts";
import { ConfigurationError, StoreUnavailableError } from "../../core/errors.ts";
import { cancelledLateMs, encodeEntry, whoCharactersMax } from "../../core/history.ts";
import type { RunKind, RunState } from "../../core/run.ts";
import {
  type Cancellation,
  type GivingUp,
  type HistoryNote,
  kindsOutliveMs,
  type RunCreation,
  type RunRecords,
  type ScanPage,
  type StatedStep,
} from "../../ports/run-records.ts";
import type { RunStoreOptions } from "../../ports/run-store.ts";
import { cancelRun } from "./cancel.ts";
import { openDatabase, unavailable } from "./database.ts";
import { DoneRecords } from "./done/records.ts";
import { type FileRecords, findRecord, forgetRecord, openedRow, partsOf, rowOf } from "./done/ended-runs.ts";
import { checkOptions } from "./run-store.ts";
import { standing } from "./standing.ts";
import { prepareStatements, type RunRow } from "./statements.ts";

export interface SqliteRunRecordsOptions extends RunStoreOptions {
  /** The file that a run store has or will have. */
  readonly path: string;
  /** Its wall clock is the store's clock. */
  readonly clock: Pick<Clock, "wallMs">;
}

const reasonCharactersMax = 200;
/** Rows that one call looks at. */
const rowsPerLook = 500;

type SummaryRow = Omit<RunRow, "outbox"> & { readonly eventId: string; readonly outboxBytes: number; readonly steps: number };

const summaries = `
  SELECT id, event_id AS eventId, state, epoch, failures, losses, generation, restarts, lease_until_ms AS leaseUntilMs, expires_at_ms AS expiresAtMs, token,
    payload_hash AS payloadHash, pipeline_hash AS pipelineHash, reason, coalesce(length(outbox), 0) AS outboxBytes,
    (SELECT count(*) FROM steps WHERE run = open_runs.id) AS steps
  FROM open_runs WHERE id > ? AND id <= ? AND consumer = ? AND expires_at_ms > ? AND instr(?, ' ' || state || ' ') > 0 ORDER BY id`;

const insertRun = `
  INSERT INTO open_runs (consumer, event_id, state, epoch, failures, losses, generation, lease_until_ms, expires_at_ms, token, payload_hash, pipeline_hash, reason)
  VALUES (?, ?, ?, 0, 0, 0, 0, 0, ?, '', ?, ?, ?)`;

/** Where a scan goes on with what is kept short. */
const firstDone = "log:0";

class SqliteRunRecords implements RunRecords {
  readonly #options: SqliteRunRecordsOptions;
  #open: { readonly database: DatabaseSync; readonly consumerId: number; readonly records: FileRecords } | undefined;

  constructor(options: SqliteRunRecordsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    if (this.#open !== undefined) return;
    try {
      const { database, consumerId } = openDatabase(this.#options.path, this.#options.consumer);
      this.#open = { database, consumerId, records: { statements: prepareStatements(database), done: new DoneRecords(database, "windows") } };
    } catch (error) {
      throw error instanceof ConfigurationError ? error : unavailable(error);
    }
  }

  async stop(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    open?.database.close();
  }

  /** Rows of their own first, for they turn into what is looked at then. A cursor is the number of the last row, or what `DoneRecords` gives. */
  scan(cursor: string | undefined, states: readonly RunState[]): Promise<ScanPage> {
    if (cursor?.includes(":") === true) return this.#scanDone(cursor);
    return this.#work((database, consumerId, nowMs) => {
      const after = Number(cursor ?? 0);
      const last = database.prepare("SELECT max(id) AS last FROM (SELECT id FROM open_runs WHERE id > ? ORDER BY id LIMIT ?)").get(after, rowsPerLook)?.[
        "last"
      ];
      if (typeof last !== "number") return { runs: [], next: states.includes("done") ? firstDone : undefined };
      const rows = database
        .prepare(summaries)
        .all(after, last, consumerId, nowMs, ` ${[...states, ...(states.includes("running") ? ["cancelling"] : [])].join(" ")} `);
      const runs = rows.map((row) => {
        // The columns are named to give exactly the row's shape.
        const { eventId, outboxBytes, steps, ...rest } = row as unknown as SummaryRow;
        return { eventId, ...standing(rest, nowMs, this.#options.retentionMs), steps, outboxBytes };
      });
      return { runs, next: String(last) };
    });
  }

  #scanDone(cursor: string): Promise<ScanPage> {
    return this.#work((_, consumerId, nowMs, records) => {
      const { entries, next } = records.done.page(cursor);
      const runs = entries
        .filter(({ consumer, expiresAtMs }) => consumer === consumerId && expiresAtMs > nowMs)
        .map((entry) => {
          const row = rowOf(records.done, entry);
          const { steps } = partsOf(records, row, nowMs);
          return { eventId: entry.eventId, ...standing(row, nowMs, this.#options.retentionMs), steps: steps.length, outboxBytes: 0 };
        });
      return { runs, next };
    });
  }

  name(kinds: readonly RunKind[]): Promise<void> {
    return this.#change((database, consumerId, nowMs) => {
      database.prepare("DELETE FROM kinds WHERE consumer = ? AND at_ms < ?").run(consumerId, nowMs - this.#options.retentionMs - kindsOutliveMs);
      const put = database.prepare("INSERT OR REPLACE INTO kinds (consumer, pipeline_hash, kind, at_ms) VALUES (?, ?, ?, ?)");
      for (const kind of kinds) put.run(consumerId, kind.pipelineHash, JSON.stringify(kind), nowMs);
    });
  }

  kinds(): Promise<readonly RunKind[]> {
    return this.#work((database, consumerId) =>
      database
        .prepare("SELECT kind FROM kinds WHERE consumer = ?")
        .all(consumerId)
        .map((row) => JSON.parse(String(row["kind"])) as RunKind),
    );
  }

  create({ eventId, payloadHash, pipelineHash, state, reason, steps, history, entry: made }: RunCreation): Promise<"created" | "exists"> {
    return this.#change((database, consumerId, nowMs, records) => {
      const { statements } = records;
      if (findRecord(records, consumerId, eventId, nowMs) !== undefined) return "exists";
      const expired = statements.findRun(consumerId, eventId);
      if (expired !== undefined) statements.forgetRun(expired.id);
      database
        .prepare(insertRun)
        .run(consumerId, eventId, state, nowMs + this.#options.retentionMs, payloadHash, pipelineHash, reason.slice(0, reasonCharactersMax));
      const row = statements.findRun(consumerId, eventId);
      if (row === undefined) throw new Error("expected the record that was just made, found none");
      for (const step of steps) statements.putStep(row.id, step, step.atMs);
      for (const entry of history) statements.note(row.id, encodeEntry(entry));
      if (made !== undefined) statements.note(row.id, encodeEntry({ ...made, atMs: nowMs }));
      return "created";
    });
  }

  cancel({ eventId, reason, who, ...rest }: Cancellation): Promise<"ended" | "asked" | "given-up" | "done" | "unknown"> {
    return this.#change((database, consumerId, nowMs, records) => {
      const { statements } = records;
      const row = findRecord(records, consumerId, eventId, nowMs);
      if (row === undefined) return "unknown";
      if (row.state === "done") return "done";
      if (row.state === "dead" || row.state === "parked") return "given-up";
      return cancelRun(
        statements,
        row,
        { ...rest, reason: reason.slice(0, reasonCharactersMax), who: who.slice(0, whoCharactersMax) },
        nowMs,
        nowMs + this.#options.retentionMs,
      );
    });
  }

  giveUp({ eventId, epoch, reason, death, entry }: GivingUp): Promise<"given-up" | "moved" | "unknown"> {
    return this.#change((database, consumerId, nowMs, records) => {
      const { statements } = records;
      const row = findRecord(records, consumerId, eventId, nowMs);
      if (row === undefined) return "unknown";
      const isHeld = (row.state === "running" || row.state === "cancelling") && row.leaseUntilMs > nowMs;
      const isLive = row.state === "waiting" || row.state === "running" || row.state === "cancelling";
      if (!isLive || isHeld || row.epoch !== epoch) return "moved";
      statements.takeCancel(row.id);
      // Whoever had it, and comes to itself, finds that it is another's.
      database.prepare("UPDATE open_runs SET epoch = epoch + 1 WHERE id = ?").run(row.id);
      statements.setState(row.id, "dead", reason.slice(0, reasonCharactersMax), nowMs + this.#options.retentionMs);
      statements.note(row.id, encodeEntry({ kind: "died", state: "dead", ...death, atMs: nowMs + cancelledLateMs }));
      statements.note(row.id, encodeEntry({ ...entry, atMs: nowMs }));
      return "given-up";
    });
  }

  state({ eventId, epoch, step, entry }: StatedStep): Promise<"stated" | "moved" | "unknown"> {
    return this.#change((database, consumerId, nowMs, records) => {
      const { statements } = records;
      const row = findRecord(records, consumerId, eventId, nowMs);
      if (row === undefined) return "unknown";
      if (row.state !== "parked" || row.epoch !== epoch) return "moved";
      statements.putStep(row.id, step, nowMs);
      statements.setState(row.id, row.state, row.reason, nowMs + this.#options.retentionMs);
      statements.note(row.id, encodeEntry({ ...entry, atMs: nowMs }));
      return "stated";
    });
  }

  remove(eventId: string): Promise<"removed" | "live" | "unknown"> {
    return this.#change((database, consumerId, nowMs, records) => {
      const row = findRecord(records, consumerId, eventId, nowMs);
      if (row === undefined) return "unknown";
      if (row.state !== "done" && row.state !== "dead" && row.state !== "parked") return "live";
      forgetRecord(records, consumerId, eventId);
      return "removed";
    });
  }

  note(eventId: string, entry: HistoryNote): Promise<void> {
    return this.#change((database, consumerId, nowMs, records) => {
      const { statements } = records;
      const row = findRecord(records, consumerId, eventId, nowMs);
      if (row !== undefined) statements.note(openedRow(records, consumerId, eventId, row, nowMs), encodeEntry({ ...entry, atMs: nowMs }));
    });
  }

  /** In a transaction. */
  #change<T>(change: Work<T>): Promise<T> {
    return this.#work((database, consumerId, nowMs, records) => {
      const { statements, done } = records;
      try {
        statements.begin();
        done.begin();
        const answer = change(database, consumerId, nowMs, records);
        done.end();
        statements.commit();
        done.committed();
        return answer;
      } catch (error) {
        done.forget();
        statements.rollback();
        throw error;
      }
    });
  }

  async #work<T>(work: Work<T>): Promise<T> {
    if (this.#open === undefined) throw new StoreUnavailableError("expected started run records, found stopped ones; call start() first");
    const { database, consumerId, records } = this.#open;
    try {
      return work(database, consumerId, Math.floor(this.#options.clock.wallMs()), records);
    } catch (error) {
      throw unavailable(error);
    }
  }
}

type Work<T> = (database: DatabaseSync, consumerId: number, nowMs: number, records: FileRecords) => T;

/** The records in a file. Throws `ConfigurationError` for options it cannot use. */
export function createSqliteRunRecords(options: SqliteRunRecordsOptions): RunRecords {
  checkOptions(options);
  return new SqliteRunRecords(options);
}
