// The run store's SQL, prepared once a connection.
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { decodeHistory, type HistoryEntry, historyMax } from "../../core/history.ts";
import { decodeSetbacks, type Setback, setbacksMax } from "../../core/setback.ts";
import type { RunState, StepKind, StepRecord } from "../../core/run.ts";

/** A record as its row holds it; an empty outbox is null, a reason exists only in states that have one. */
export interface RunRow {
  readonly id: number;
  /** `cancelling`: running, and called off. */
  readonly state: RunState | "cancelling";
  readonly epoch: number;
  readonly failures: number;
  readonly losses: number;
  readonly generation: number;
  readonly restarts: number;
  readonly leaseUntilMs: number;
  readonly expiresAtMs: number;
  readonly token: string;
  readonly payloadHash: string;
  readonly pipelineHash: string;
  readonly outbox: Uint8Array | null;
  readonly reason: string | null;
}

/** What is kept of a record that is done. */
export interface FinishedRow extends Pick<RunRow, "failures" | "losses" | "generation" | "restarts" | "payloadHash" | "pipelineHash"> {}

/** A record that is done and may be kept shorter. */
export interface DoneRow extends FinishedRow, Pick<RunRow, "id" | "epoch" | "expiresAtMs"> {
  readonly consumer: number;
  readonly eventId: string;
}

/** Names one record. */
type Key = readonly [consumer: number, eventId: string];

/** Names one record that must be running under an epoch, and not past its retention at `nowMs`. */
type OwnedKey = readonly [...Key, epoch: number, nowMs: number];

const whereOwned = "WHERE consumer = ? AND event_id = ? AND epoch = ? AND state IN ('running', 'cancelling') AND expires_at_ms > ?";

/** A record that was written. */
export interface Touched {
  readonly id: number;
  readonly state: RunRow["state"];
}

/** Typed calls for the statements; those that write return how many rows they changed, but where something else is said. */
export interface Statements {
  begin(): void;
  commit(): void;
  rollback(): void;
  /** Returns the number of the row; 0 where the run has one already. */
  insertRun(...values: readonly [...Key, leaseUntilMs: number, expiresAtMs: number, token: string, payloadHash: string, pipelineHash: string]): number;
  findRun(...key: Key): RunRow | undefined;
  forgetRun(id: number): void;
  /** Takes a record out that is to be done, if no other table has anything of it. */
  takeFinished(...key: OwnedKey): FinishedRow | undefined;
  /** The same for a run that is as its first claim has left it; false where it is not. */
  takeFirst(...values: readonly [id: number, ...Key, token: string, nowMs: number]): boolean;
  /** A record that is done as a row of its own, so that something can be kept with it. */
  putDone(...values: readonly [...Key, row: Omit<RunRow, "id">]): number;
  hasHistory(run: number): boolean;
  /** Rows in (`after`, `last`] that are done, without an outbox and a history. */
  doneRows(after: number, last: number, count: number): readonly DoneRow[];
  takeRun(values: {
    readonly epoch: number;
    readonly losses: number;
    readonly leaseUntilMs: number;
    readonly expiresAtMs: number;
    readonly token: string;
    readonly pipelineHash: string;
    readonly id: number;
  }): void;
  renewClaim(leaseUntilMs: number, expiresAtMs: number, id: number): void;
  finishRun(...values: readonly [outbox: Uint8Array | null, expiresAtMs: number, ...OwnedKey]): number;
  failRun(...values: readonly [state: string, reason: string, failures: number, losses: number, expiresAtMs: number, ...OwnedKey]): number;
  extendRun(...values: readonly [leaseUntilMs: number, expiresAtMs: number, ...OwnedKey]): Touched | undefined;
  touchRun(...values: readonly [expiresAtMs: number, ...OwnedKey]): Touched | undefined;
  clearOutbox(...values: readonly [expiresAtMs: number, ...Key, nowMs: number]): number;
  putStep(run: number, step: StepRecord, atMs: number): void;
  stepsOf(run: number): StepRecord[];
  /** Brings a run back, claimed or not. */
  reviveRun(values: {
    readonly state: "running" | "waiting";
    readonly generation: number;
    readonly restarts: number;
    readonly payloadHash: string;
    readonly expiresAtMs: number;
    readonly id: number;
  }): void;
  /** All steps, or those alone that may have begun. */
  forgetSteps(run: number, which: "all" | "intents"): void;
  /** Adds an entry; of many, the last ones are kept. */
  note(run: number, entry: string): void;
  historyOf(run: number): readonly HistoryEntry[];
  /** Adds one; of many, the last ones are kept. */
  addSetback(run: number, setback: string): void;
  setbacksOf(run: number): readonly Setback[];
  setbackTexts(run: number): readonly string[];
  setState(id: number, state: RunRow["state"], reason: string | null, expiresAtMs: number): void;
  /** What is to become of a run that is called off: history entry, and JSON of the verdict's text. */
  putCancel(run: number, death: string, verdict: string | null): void;
  /** Forgets it, too. */
  takeCancel(run: number): { readonly death: string; readonly verdict: string | null } | undefined;
  addLoss(atMs: number): void;
  lastLoss(): number | undefined;
  /** The last of up to `count` rows after `id`; undefined when there are none. */
  sliceAfter(id: number, count: number): number | undefined;
  /** Deletes what has expired in (`after`, `last`]; returns how many records it deleted. */
  deleteExpired(after: number, last: number, nowMs: number): number;
}

function changesOf(statement: StatementSync, values: readonly (string | number | Uint8Array | null)[]): number {
  return Number(statement.run(...values).changes);
}

function numberFrom(row: Record<string, unknown> | undefined, column: string): number | undefined {
  const value = row?.[column];
  return typeof value === "number" ? value : undefined;
}

function prepareRuns(
  database: DatabaseSync,
): Pick<Statements, "insertRun" | "findRun" | "takeRun" | "renewClaim" | "finishRun" | "failRun" | "extendRun" | "touchRun" | "clearOutbox"> {
  const insert = database.prepare(
    `INSERT INTO open_runs (consumer, event_id, state, epoch, failures, losses, generation, lease_until_ms, expires_at_ms, token, payload_hash, pipeline_hash, parts)
     VALUES (?, ?, 'running', 1, 0, 0, 0, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING`,
  );
  const find = database.prepare(
    `SELECT id, state, epoch, failures, losses, generation, restarts, lease_until_ms AS leaseUntilMs, expires_at_ms AS expiresAtMs, token,
       payload_hash AS payloadHash, pipeline_hash AS pipelineHash, outbox, reason
     FROM open_runs WHERE consumer = ? AND event_id = ?`,
  );
  const take = database.prepare(
    "UPDATE open_runs SET state = 'running', epoch = ?, losses = ?, lease_until_ms = ?, expires_at_ms = ?, token = ?, pipeline_hash = ?, reason = NULL WHERE id = ?",
  );
  const renew = database.prepare("UPDATE open_runs SET lease_until_ms = ?, expires_at_ms = ? WHERE id = ?");
  const finish = database.prepare(`UPDATE open_runs SET state = 'done', token = '', outbox = ?, expires_at_ms = ? ${whereOwned}`);
  const fail = database.prepare(
    `UPDATE open_runs SET state = ?, token = '', reason = ?, failures = failures + ?, losses = losses + ?, expires_at_ms = ? ${whereOwned}`,
  );
  const extend = database.prepare(`UPDATE open_runs SET lease_until_ms = ?, expires_at_ms = ? ${whereOwned} RETURNING id, state`);
  const touch = database.prepare(`UPDATE open_runs SET expires_at_ms = ?, parts = 1 ${whereOwned} RETURNING id, state`);
  const clear = database.prepare(
    "UPDATE open_runs SET outbox = NULL, expires_at_ms = ? WHERE consumer = ? AND event_id = ? AND state = 'done' AND expires_at_ms > ?",
  );
  return {
    insertRun(...values) {
      const { changes, lastInsertRowid } = insert.run(...values);
      return changes === 1 ? Number(lastInsertRowid) : 0;
    },
    // The columns are named to give exactly the row's shape.
    findRun: (...key) => find.get(...key) as RunRow | undefined,
    takeRun: ({ epoch, losses, leaseUntilMs, expiresAtMs, token, pipelineHash, id }) =>
      void take.run(epoch, losses, leaseUntilMs, expiresAtMs, token, pipelineHash, id),
    renewClaim: (...values) => void renew.run(...values),
    finishRun: (...values) => changesOf(finish, values),
    failRun: (...values) => changesOf(fail, values),
    // The columns are those of the shape.
    extendRun: (...values) => extend.get(...values) as Touched | undefined,
    touchRun: (...values) => touch.get(...values) as Touched | undefined,
    clearOutbox: (...values) => changesOf(clear, values),
  };
}

function prepareDone(database: DatabaseSync): Pick<Statements, "takeFinished" | "takeFirst" | "putDone" | "hasHistory" | "doneRows"> {
  const kept = "failures, losses, generation, restarts, payload_hash AS payloadHash, pipeline_hash AS pipelineHash";
  const take = database.prepare(`DELETE FROM open_runs ${whereOwned} AND parts = 0 RETURNING ${kept}`);
  // Without RETURNING, for which SQLite opens a table each time.
  const takeFirst = database.prepare(
    `DELETE FROM open_runs WHERE id = ? AND consumer = ? AND event_id = ? AND token = ? AND expires_at_ms > ? AND state = 'running'
     AND epoch = 1 AND failures = 0 AND losses = 0 AND generation = 0 AND restarts = 0 AND parts = 0`,
  );
  const put = database.prepare(
    `INSERT INTO open_runs (consumer, event_id, state, epoch, failures, losses, generation, restarts, lease_until_ms, expires_at_ms, token, payload_hash, pipeline_hash)
     VALUES (?, ?, 'done', ?, ?, ?, ?, ?, 0, ?, '', ?, ?)`,
  );
  const history = database.prepare("SELECT 1 FROM history WHERE run = ? LIMIT 1");
  const rows = database.prepare(
    `SELECT id, consumer, event_id AS eventId, epoch, expires_at_ms AS expiresAtMs, ${kept} FROM open_runs
     WHERE id > ? AND id <= ? AND state = 'done' AND outbox IS NULL AND id NOT IN (SELECT run FROM history) ORDER BY id LIMIT ?`,
  );
  return {
    // The columns are those of the shape.
    takeFinished: (...key) => take.get(...key) as FinishedRow | undefined,
    takeFirst: (...values) => changesOf(takeFirst, values) === 1,
    putDone: (consumer, eventId, { epoch, failures, losses, generation, restarts, expiresAtMs, payloadHash, pipelineHash }) =>
      Number(put.run(consumer, eventId, epoch, failures, losses, generation, restarts, expiresAtMs, payloadHash, pipelineHash).lastInsertRowid),
    hasHistory: (run) => history.get(run) !== undefined,
    doneRows: (...range) => rows.all(...range) as unknown as DoneRow[],
  };
}

function prepareSteps(database: DatabaseSync): Pick<Statements, "putStep" | "stepsOf"> {
  const put = database.prepare("INSERT OR REPLACE INTO steps (run, name, kind, state, result, checksum, codec, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  const all = database.prepare("SELECT name, kind, state, result, checksum, codec, at_ms AS atMs FROM steps WHERE run = ? ORDER BY id");
  return {
    putStep: (run, step, atMs) => void put.run(run, step.name, step.kind satisfies StepKind, step.state, step.result, step.checksum, step.codec, atMs),
    // The columns are named to give exactly the record's shape.
    stepsOf: (run) => all.all(run).map((row) => ({ ...(row as unknown as StepRecord) })),
  };
}

function prepareHistory(database: DatabaseSync): Pick<Statements, "reviveRun" | "forgetSteps" | "note" | "historyOf"> {
  const revive = database.prepare(
    `UPDATE open_runs SET state = ?, generation = ?, restarts = ?, failures = 0, losses = 0, payload_hash = ?, expires_at_ms = ?, reason = iif(state = 'running', NULL, 'revived') WHERE id = ?`,
  );
  const forgetAll = database.prepare("DELETE FROM steps WHERE run = ?");
  const forgetIntents = database.prepare("DELETE FROM steps WHERE run = ? AND state = 'intent'");
  const add = database.prepare("INSERT INTO history (run, entry) VALUES (?, ?)");
  const mark = database.prepare("UPDATE open_runs SET parts = 1 WHERE id = ?");
  const trim = database.prepare("DELETE FROM history WHERE run = ? AND id <= (SELECT id FROM history WHERE run = ? ORDER BY id DESC LIMIT 1 OFFSET ?)");
  const all = database.prepare("SELECT entry FROM history WHERE run = ? ORDER BY id");
  return {
    reviveRun: ({ state, generation, restarts, payloadHash, expiresAtMs, id }) => void revive.run(state, generation, restarts, payloadHash, expiresAtMs, id),
    forgetSteps: (run, which) => void (which === "all" ? forgetAll : forgetIntents).run(run),
    note(run, entry) {
      add.run(run, entry);
      mark.run(run);
      trim.run(run, run, historyMax);
    },
    historyOf: (run) => decodeHistory(all.all(run).map((row) => String(row["entry"]))),
  };
}

function prepareSetbacks(database: DatabaseSync): Pick<Statements, "addSetback" | "setbacksOf" | "setbackTexts"> {
  const add = database.prepare("INSERT INTO setbacks (run, setback) VALUES (?, ?)");
  const mark = database.prepare("UPDATE open_runs SET parts = 1 WHERE id = ?");
  const forget = database.prepare("UPDATE setbacks SET setback = json_remove(setback, '$.answers') WHERE run = ? AND instr(setback, ',\"answers\":{') > 0");
  const trim = database.prepare("DELETE FROM setbacks WHERE run = ? AND id <= (SELECT id FROM setbacks WHERE run = ? ORDER BY id DESC LIMIT 1 OFFSET ?)");
  const all = database.prepare("SELECT setback FROM setbacks WHERE run = ? ORDER BY id");
  const textsOf = (run: number): readonly string[] => all.all(run).map((row) => String(row["setback"]));
  return {
    addSetback(run, setback) {
      // Of those with answers of calls a record keeps the last one's.
      if (setback.includes(',"answers":{')) forget.run(run);
      add.run(run, setback);
      mark.run(run);
      trim.run(run, run, setbacksMax);
    },
    setbacksOf: (run) => decodeSetbacks(textsOf(run)),
    setbackTexts: textsOf,
  };
}

function prepareCancels(database: DatabaseSync): Pick<Statements, "setState" | "putCancel" | "takeCancel"> {
  const set = database.prepare(
    "UPDATE open_runs SET state = ?, reason = ?, token = iif(? = 'cancelling', token, ''), expires_at_ms = ?, parts = 1 WHERE id = ?",
  );
  const put = database.prepare("INSERT OR REPLACE INTO cancels (run, death, verdict) VALUES (?, ?, ?)");
  const take = database.prepare("DELETE FROM cancels WHERE run = ? RETURNING death, verdict");
  return {
    setState: (id, state, reason, expiresAtMs) => void set.run(state, reason, state, expiresAtMs, id),
    putCancel: (run, death, verdict) => void put.run(run, death, verdict),
    // The columns are those of the shape.
    takeCancel: (run) => take.get(run) as { readonly death: string; readonly verdict: string | null } | undefined,
  };
}

/** Tables that hold something of runs. */
const parts = ["steps", "history", "setbacks", "cancels"];

function prepareRetention(database: DatabaseSync): Pick<Statements, "forgetRun" | "sliceAfter" | "deleteExpired"> {
  const forgetParts = parts.map((table) => database.prepare(`DELETE FROM ${table} WHERE run = ?`));
  const forget = database.prepare("DELETE FROM open_runs WHERE id = ?");
  const slice = database.prepare("SELECT max(id) AS last FROM (SELECT id FROM open_runs WHERE id > ? ORDER BY id LIMIT ?)");
  const expired = "SELECT id FROM open_runs WHERE id > ? AND id <= ? AND expires_at_ms <= ?";
  const deleteParts = parts.map((table) => database.prepare(`DELETE FROM ${table} WHERE run IN (${expired})`));
  const deleteRuns = database.prepare("DELETE FROM open_runs WHERE id > ? AND id <= ? AND expires_at_ms <= ?");
  return {
    forgetRun(id) {
      for (const statement of forgetParts) statement.run(id);
      forget.run(id);
    },
    sliceAfter: (id, count) => numberFrom(slice.get(id, count), "last"),
    deleteExpired(after, last, nowMs) {
      for (const statement of deleteParts) statement.run(after, last, nowMs);
      return changesOf(deleteRuns, [after, last, nowMs]);
    },
  };
}

function prepareLosses(database: DatabaseSync): Pick<Statements, "addLoss" | "lastLoss"> {
  const add = database.prepare("INSERT INTO losses (at_ms) VALUES (?)");
  const last = database.prepare("SELECT max(at_ms) AS atMs FROM losses");
  return { addLoss: (atMs) => void add.run(atMs), lastLoss: () => numberFrom(last.get(), "atMs") };
}

export function prepareStatements(database: DatabaseSync): Statements {
  const begin = database.prepare("BEGIN IMMEDIATE");
  const commit = database.prepare("COMMIT");
  const rollback = database.prepare("ROLLBACK");
  return {
    begin: () => void begin.run(),
    commit: () => void commit.run(),
    rollback() {
      if (database.isTransaction) rollback.run();
    },
    ...prepareRuns(database),
    ...prepareDone(database),
    ...prepareSteps(database),
    ...prepareHistory(database),
    ...prepareSetbacks(database),
    ...prepareCancels(database),
    ...prepareRetention(database),
    ...prepareLosses(database),
  };
}
