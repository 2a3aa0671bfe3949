// The run store on one SQLite file, shared by the workers of one machine, or in memory for one worker.
//
// Every batch is one IMMEDIATE transaction: the write lock makes it atomic against every other process on the file. A
// transaction is short and never waits inside, so the lock is held for about the time the statements take. Leases and
// retention are kept by the wall clock that all processes of a machine share.
//
// The work is done in the thread that asks for it. A worker asks from a thread of its own: see threaded-run-store.ts.
//
//              claim                    finish
//   (unknown) ───────▶ running ─────────────────────▶ done
//                       │  ▲ claim (waiting, or lease over): epoch + 1
//                  fail │  │
//                       ├──┴▶ waiting
//                       └───▶ dead, parked ──revive: generation + 1──▶ waiting
import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../core/clock.ts";
import { ConfigurationError, StoreUnavailableError } from "../../core/errors.ts";
import { type ByHand, cancelledReason, encodeEntry, whoCharactersMax } from "../../core/history.ts";
import type { RunView } from "../../core/run.ts";
import type { Note } from "../../ports/pool-board.ts";
import type {
  CheckpointWrite,
  ClaimRequest,
  ClaimResult,
  EpochWrite,
  FailWrite,
  FinishWrite,
  ReviveRequest,
  ReviveResult,
  RunStore,
  RunStoreOptions,
  WriteResult,
} from "../../ports/run-store.ts";
import { endCancelled } from "./cancel.ts";
import { type BoardAsk, type BoardPlace, NoteTable } from "./board.ts";
import { consumerIn, openDatabase, unavailable } from "./database.ts";
import { DoneRecords, windowRecords } from "./done/records.ts";
import { type FileRecords, findRecord, finishRun, type Lives, openedRow, partsOf, rowOf, shorten, shortenSlice } from "./done/ended-runs.ts";
import { FirstClaims } from "./first-claims.ts";
import { JobTable } from "./jobs.ts";
import type { JobsAnswers, JobsAsk, JobsPlace } from "./jobs-wire.ts";
import { reviveRun } from "./revive.ts";
import { standing, standingOf } from "./standing.ts";
import { prepareStatements, type RunRow, type Statements } from "./statements.ts";

export interface SqliteRunStoreOptions extends RunStoreOptions {
  /** The file, made with its folder when missing; `:memory:` keeps the records in this store alone. */
  readonly path: string;
  /** Its wall clock is the store's clock. */
  readonly clock: Pick<Clock, "wallMs">;
  /** How long steps of a run that is done stay readable; default a day, at most the retention. */
  readonly detailsMs?: number | undefined;
  /** Records of runs that are done which a window holds. For tests. */
  readonly windowRecords?: number | undefined;
}

/** A day. */
const detailsMsDefault = 86_400_000;
/** Records of runs that are done which a sweep brings into the present layout. */
const movedMax = 250;
/** Rows that one claim call looks at for retention: more than it can add, so that the file stops growing. */
const sweepRowsMax = 1_000;
/** Pause of the sweep once it met rows that are all within their retention. */
const sweepPauseMs = 1_000;
const reasonCharactersMax = 200;
const nothing = new Uint8Array(0);
const notStarted = "expected a started run store, found a stopped one; call start() first";

export function checkOptions({ retentionMs }: RunStoreOptions): void {
  if (!Number.isSafeInteger(retentionMs) || retentionMs < 1)
    throw new ConfigurationError(`expected retentionMs of 1 or more whole milliseconds, found ${retentionMs}; correct it`);
}

export class SqliteRunStore implements RunStore, JobsPlace, BoardPlace {
  readonly #options: SqliteRunStoreOptions;
  readonly #clock: SqliteRunStoreOptions["clock"];
  #database: DatabaseSync | undefined;
  #records: FileRecords | undefined;
  readonly #lives: Lives;
  readonly #firstClaims = new FirstClaims();
  #jobTable: JobTable | undefined;
  #noteTable: NoteTable | undefined;
  #consumerId = 0;
  #secret = "";
  #mark = "";
  /** Rows up to this one were swept in the current pass. */
  #sweptUpTo = 0;
  #sweepDueMs = 0;

  /** The store that has opened the file; undefined for one that does so itself. */
  readonly #opener: SqliteRunStore | undefined;

  constructor(options: SqliteRunStoreOptions, opener?: SqliteRunStore) {
    this.#options = options;
    this.#opener = opener;
    this.#clock = options.clock;
    const { retentionMs, detailsMs = detailsMsDefault } = options;
    this.#lives = { retentionMs, detailsMs: Math.min(detailsMs, retentionMs) };
  }

  async start(): Promise<void> {
    if (this.#records !== undefined) return;
    if (this.#opener !== undefined) return this.#join(this.#opener);
    try {
      const { database, consumerId, secret, mark } = openDatabase(this.#options.path, this.#options.consumer);
      this.#database = database;
      this.#consumerId = consumerId;
      this.#secret = secret;
      this.#mark = mark;
      const done = new DoneRecords(database, "filters", this.#options.windowRecords ?? windowRecords);
      // The filters of many windows take seconds: read here, they hold up no other writer, and no call.
      database.exec("BEGIN");
      done.begin();
      database.exec("COMMIT");
      this.#records = { statements: prepareStatements(database), done };
    } catch (error) {
      this.#database?.close();
      this.#database = undefined;
      throw error instanceof ConfigurationError ? error : unavailable(error);
    }
  }

  /** The same file, and the same statements, for another consumer. */
  async #join(opener: SqliteRunStore): Promise<void> {
    await opener.start();
    const database = opener.#database;
    if (database === undefined) throw new StoreUnavailableError(notStarted);
    try {
      const { consumerId, secret } = consumerIn(database, this.#options.consumer);
      this.#consumerId = consumerId;
      this.#secret = secret;
    } catch (error) {
      throw unavailable(error);
    }
    this.#database = database;
    this.#mark = opener.mark;
    this.#records = opener.#records;
  }

  /** What the file is known by; empty before the start. */
  get mark(): string {
    return this.#mark;
  }

  /** How long ago it was last noted that this file took another's place; undefined when it never was. */
  lostAgoMs(): Promise<number | undefined> {
    return this.#write((statements, nowMs) => {
      const lostAtMs = statements.lastLoss();
      return lostAtMs === undefined ? undefined : Math.max(0, nowMs - lostAtMs);
    });
  }

  /** Notes, for every worker that uses the file, that it took another's place. */
  noteLoss(): Promise<void> {
    return this.#write((statements, nowMs) => statements.addLoss(nowMs));
  }

  async stop(): Promise<void> {
    this.#records = undefined;
    this.#jobTable = undefined;
    this.#noteTable = undefined;
    this.#firstClaims.clear();
    if (this.#opener === undefined) this.#database?.close();
    this.#database = undefined;
  }

  async secret(): Promise<string> {
    if (this.#records === undefined) throw new StoreUnavailableError(notStarted);
    return this.#secret;
  }

  /** Takes the write lock: a file that can be read but not written serves nothing. */
  async ping(): Promise<boolean> {
    const statements = this.#records?.statements;
    if (statements === undefined) return false;
    try {
      statements.begin();
      statements.rollback();
      return true;
    } catch {
      return false;
    }
  }

  claim(requests: readonly ClaimRequest[], leaseMs: number): Promise<readonly ClaimResult[]> {
    return this.#write((_, nowMs, records) => {
      this.#sweep(records, nowMs);
      return requests.map((request) => this.#claimOne(records, request, nowMs, Math.round(leaseMs)));
    });
  }

  checkpoint(writes: readonly CheckpointWrite[]): Promise<readonly WriteResult[]> {
    return this.#write((statements, nowMs) =>
      writes.map(({ eventId, epoch, step }) => {
        const run = statements.touchRun(nowMs + this.#options.retentionMs, this.#consumerId, eventId, epoch, nowMs);
        if (run === undefined) return "stale";
        statements.putStep(run.id, step, nowMs);
        return run.state === "cancelling" ? "cancelling" : "written";
      }),
    );
  }

  finish(writes: readonly FinishWrite[]): Promise<readonly WriteResult[]> {
    return this.#write((_, nowMs, records) =>
      writes.map((write) => {
        const isWritten = finishRun(records, this.#consumerId, write, nowMs, this.#lives, this.#firstClaims.take(write.eventId));
        return isWritten || this.#isAlready(records, "done", write.eventId, write.epoch, nowMs) ? "written" : "stale";
      }),
    );
  }

  clearOutbox(eventIds: readonly string[]): Promise<void> {
    return this.#write((statements, nowMs, records) => {
      for (const eventId of eventIds) {
        const changed = statements.clearOutbox(nowMs + this.#options.retentionMs, this.#consumerId, eventId, nowMs);
        if (changed === 1) shorten(records, this.#consumerId, eventId, nowMs, this.#lives);
      }
    });
  }

  fail(writes: readonly FailWrite[]): Promise<readonly WriteResult[]> {
    return this.#write((statements, nowMs, records) =>
      writes.map(({ eventId, epoch, state, reason, failures, losses, death, setback }) => {
        const before = state === "waiting" ? statements.findRun(this.#consumerId, eventId) : undefined;
        const isCancelled = before?.state === "cancelling" && before.epoch === epoch;
        const changed = statements.failRun(
          state,
          reason.slice(0, reasonCharactersMax),
          failures,
          losses,
          nowMs + this.#options.retentionMs,
          this.#consumerId,
          eventId,
          epoch,
          nowMs,
        );
        const row = changed === 1 && (death ?? setback) !== undefined ? statements.findRun(this.#consumerId, eventId) : undefined;
        if (row !== undefined && death !== undefined && state !== "waiting") statements.note(row.id, encodeEntry({ kind: "died", state, ...death }));
        if (changed === 1 && isCancelled) endCancelled(statements, before.id, nowMs, nowMs + this.#options.retentionMs);
        if (row !== undefined && setback !== undefined) statements.addSetback(row.id, `{"atMs":${nowMs},${setback.slice(1)}`);
        return changed === 1 || this.#isAlready(records, state, eventId, epoch, nowMs) ? "written" : "stale";
      }),
    );
  }

  revive(requests: readonly ReviveRequest[]): Promise<readonly ReviveResult[]> {
    return this.#write((statements, nowMs, records) =>
      requests.map((request) => {
        const row = findRecord(records, this.#consumerId, request.eventId, nowMs);
        if (row === undefined || row.state === "done") return "refused";
        return reviveRun(statements, row, request, nowMs, nowMs + this.#options.retentionMs);
      }),
    );
  }

  close(eventIds: readonly string[], { reason, who }: ByHand): Promise<void> {
    return this.#write((statements, nowMs, records) => {
      const entry = encodeEntry({ kind: "closed", atMs: nowMs, reason: reason.slice(0, reasonCharactersMax), who: who.slice(0, whoCharactersMax) });
      for (const eventId of eventIds) {
        const row = findRecord(records, this.#consumerId, eventId, nowMs);
        if (row !== undefined) statements.note(openedRow(records, this.#consumerId, eventId, row, nowMs), entry);
      }
    });
  }

  extend(writes: readonly EpochWrite[], leaseMs: number): Promise<readonly WriteResult[]> {
    return this.#write((statements, nowMs) =>
      writes.map(({ eventId, epoch }) => {
        const run = statements.extendRun(nowMs + Math.round(leaseMs), nowMs + this.#options.retentionMs, this.#consumerId, eventId, epoch, nowMs);
        if (run === undefined) return "stale";
        return run.state === "cancelling" ? "cancelling" : "written";
      }),
    );
  }

  /** In a transaction too, so that the record and its steps are of one moment. */
  read(eventId: string): Promise<RunView | undefined> {
    return this.#write((statements, nowMs, records) => {
      const row = findRecord(records, this.#consumerId, eventId, nowMs);
      if (row === undefined) return undefined;
      return {
        key: { consumer: this.#options.consumer, eventId },
        ...standing(row, nowMs, this.#options.retentionMs),
        ...partsOf(records, row, nowMs),
        outbox: row.outbox ?? nothing,
        history: statements.historyOf(row.id),
      };
    });
  }

  /** Jobs of the recovery queue, in the same file. */
  async jobs<Ask extends JobsAsk>(ask: Ask): Promise<JobsAnswers[Ask["ask"]]> {
    return this.#write((_, nowMs) => {
      if (this.#database === undefined) throw new StoreUnavailableError(notStarted);
      this.#jobTable ??= new JobTable(this.#database, this.#consumerId);
      // What is answered goes by what is asked.
      return this.#jobTable.answer(ask, nowMs) as JobsAnswers[Ask["ask"]];
    });
  }

  /** Notes that workers leave for each other, in the same file. */
  board(ask: BoardAsk): Promise<readonly Note[]> {
    return this.#write((_, nowMs) => {
      if (this.#database === undefined) throw new StoreUnavailableError(notStarted);
      this.#noteTable ??= new NoteTable(this.#database, this.#consumerId);
      return this.#noteTable.answer(ask, nowMs);
    });
  }

  #claimOne(records: FileRecords, request: ClaimRequest, nowMs: number, leaseMs: number): ClaimResult {
    const { statements, done } = records;
    const { eventId, token, payloadHash, pipelineHash } = request;
    const expiresAtMs = nowMs + this.#options.retentionMs;
    const known = done.find(this.#consumerId, eventId, nowMs);
    if (known !== undefined) return this.#claimKnown(statements, rowOf(done, known), request, nowMs, leaseMs);
    const inserted = statements.insertRun(this.#consumerId, eventId, nowMs + leaseMs, expiresAtMs, token, payloadHash, pipelineHash);
    if (inserted > 0) {
      this.#firstClaims.add(inserted, request);
      return { kind: "acquired", epoch: 1, failures: 0, losses: 0, generation: 0, restarts: 0, pipelineHash, steps: [] };
    }
    const row = statements.findRun(this.#consumerId, eventId);
    if (row === undefined) throw new StoreUnavailableError(`expected a record of ${eventId} that refused a second one, found none; check the file's integrity`);
    if (row.expiresAtMs <= nowMs) {
      statements.forgetRun(row.id);
      return this.#claimOne(records, request, nowMs, leaseMs);
    }
    return this.#claimKnown(statements, row, request, nowMs, leaseMs);
  }

  #claimKnown(statements: Statements, row: RunRow, request: ClaimRequest, nowMs: number, leaseMs: number): ClaimResult {
    const leaseUntilMs = nowMs + leaseMs;
    const expiresAtMs = nowMs + this.#options.retentionMs;
    const standing = standingOf(row, request, nowMs);
    switch (standing) {
      case "reused":
        return { kind: "reused" };
      case "held":
        return { kind: "held", forMs: row.leaseUntilMs - nowMs };
      case "done":
        return { kind: "done", outbox: row.outbox ?? nothing };
      case "dead":
        return { kind: "dead", reason: row.reason ?? "", history: statements.historyOf(row.id) };
      case "owner": {
        // The caller counts its lease from this answer, so it must last from here.
        statements.renewClaim(leaseUntilMs, expiresAtMs, row.id);
        const { epoch, failures, losses, generation, restarts, pipelineHash } = row;
        return { kind: "acquired", epoch, failures, losses, generation, restarts, pipelineHash, steps: statements.stepsOf(row.id) };
      }
      case "free": {
        if (row.state === "cancelling" && endCancelled(statements, row.id, nowMs, expiresAtMs) === "dead")
          return { kind: "dead", reason: cancelledReason, history: statements.historyOf(row.id) };
        const epoch = row.epoch + 1;
        // A lease that nobody gave back: whoever held it ended, and with it what it executed.
        const losses = row.state === "waiting" ? row.losses : row.losses + 1;
        const steps = statements.stepsOf(row.id);
        const pipelineHash = steps.length === 0 ? request.pipelineHash : row.pipelineHash;
        statements.takeRun({ epoch, losses, leaseUntilMs, expiresAtMs, token: request.token, pipelineHash, id: row.id });
        return { kind: "acquired", epoch, failures: row.failures, losses, generation: row.generation, restarts: row.restarts, pipelineHash, steps };
      }
    }
  }

  /** The same write came before and its reply was lost. */
  #isAlready(records: FileRecords, state: string, eventId: string, epoch: number, nowMs: number): boolean {
    const row = findRecord(records, this.#consumerId, eventId, nowMs);
    if (row === undefined || row.epoch !== epoch) return false;
    return row.state === state || (state === "waiting" && row.state === "dead" && row.reason === cancelledReason);
  }

  /**
   * Deletes expired records from the old end, a bounded slice a call, and brings those that are done into their present layout.
   * Rows lie in the order of their creation, so a slice with nothing to do says that the rest can wait; a pass then starts
   * again from the first row after a pause.
   */
  #sweep(records: FileRecords, nowMs: number): void {
    if (nowMs < this.#sweepDueMs) return;
    const { statements, done } = records;
    const last = statements.sliceAfter(this.#sweptUpTo, sweepRowsMax);
    if (last !== undefined) {
      const deleted = statements.deleteExpired(this.#sweptUpTo, last, nowMs);
      const moved = shortenSlice(records, this.#sweptUpTo, last, movedMax, nowMs, this.#lives);
      // Of more that are to be moved, the next call does its part.
      if (moved < movedMax && deleted + moved > 0) this.#sweptUpTo = last;
      if (deleted + moved > 0) return;
    }
    this.#sweptUpTo = 0;
    if (!done.sweep(nowMs)) this.#sweepDueMs = nowMs + sweepPauseMs;
  }

  async #write<T>(work: (statements: Statements, nowMs: number, records: FileRecords) => T): Promise<T> {
    const records = this.#records;
    if (records === undefined) throw new StoreUnavailableError(notStarted);
    const { statements, done } = records;
    try {
      statements.begin();
      done.begin();
      const answer = work(statements, Math.floor(this.#clock.wallMs()), records);
      done.end();
      statements.commit();
      done.committed();
      return answer;
    } catch (error) {
      done.forget();
      statements.rollback();
      throw unavailable(error);
    }
  }
}

/**
 * A run store on `node:sqlite` that works in the calling thread, which a file's disk and other users hold up. Several
 * processes may share one file. With `opener` it uses the file that that store, of another consumer, has opened. Throws `ConfigurationError` for options it cannot use.
 */
export function createSqliteRunStore(options: SqliteRunStoreOptions, opener?: SqliteRunStore): SqliteRunStore {
  checkOptions(options);
  return new SqliteRunStore(options, opener);
}
