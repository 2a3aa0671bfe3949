/** Where the record of a run lies, which may be done and kept shorter; under the write lock of the caller's transaction. */
import { decodeSetbacks, type Setback } from "../../../core/setback.ts";
import type { StepRecord } from "../../../core/run.ts";
import type { FinishWrite } from "../../../ports/run-store.ts";
import { type DoneDetails, packDetails, unpackDetails } from "./details.ts";
import type { DoneEntry } from "./entries.ts";
import type { DoneRecords } from "./records.ts";
import type { FirstClaim } from "../first-claims.ts";
import type { FinishedRow, RunRow, Statements } from "../statements.ts";

export interface FileRecords {
  readonly statements: Statements;
  readonly done: DoneRecords;
}

/** A record as it was found. */
export type FoundRow = RunRow & {
  /** Of one that is kept shorter: where its steps lie, 0 for nowhere. Undefined for a row of its own. */
  readonly details?: number;
};

export interface Lives {
  readonly retentionMs: number;
  /** How long steps of a run that is done stay readable. */
  readonly detailsMs: number;
}

const noSteps: readonly StepRecord[] = [];

export function rowOf(done: DoneRecords, { epoch, failures, losses, generation, restarts, expiresAtMs, payloadHash, pipeline, details }: DoneEntry): FoundRow {
  const counts = { epoch, failures, losses, generation, restarts };
  const pipelineHash = done.pipelineHash(pipeline);
  return { id: 0, state: "done", ...counts, leaseUntilMs: 0, expiresAtMs, token: "", payloadHash, pipelineHash, outbox: null, reason: null, details };
}

/** Undefined for one that is past its retention, too. */
export function findRecord({ statements, done }: FileRecords, consumer: number, eventId: string, nowMs: number): FoundRow | undefined {
  const row = statements.findRun(consumer, eventId);
  if (row !== undefined) return row.expiresAtMs > nowMs ? row : undefined;
  const entry = done.find(consumer, eventId, nowMs);
  return entry === undefined ? undefined : rowOf(done, entry);
}

export function partsOf(
  { statements, done }: FileRecords,
  { id, details }: FoundRow,
  nowMs: number,
): { readonly steps: readonly StepRecord[]; readonly setbacks: readonly Setback[] } {
  if (details === undefined) return { steps: statements.stepsOf(id), setbacks: statements.setbacksOf(id) };
  const { steps, setbacks } = detailsOf(done, details, nowMs);
  return { steps, setbacks: decodeSetbacks(setbacks) };
}

function detailsOf(done: DoneRecords, number: number, nowMs: number): DoneDetails {
  const packed = done.details(number, nowMs);
  return packed === undefined ? { steps: noSteps, setbacks: [] } : unpackDetails(packed);
}

/** The number of its row, which one that is kept shorter is given: what is noted with it has to lie somewhere. */
export function openedRow(records: FileRecords, consumer: number, eventId: string, row: FoundRow, nowMs: number): number {
  if (row.details === undefined) return row.id;
  const { statements, done } = records;
  const id = statements.putDone(consumer, eventId, row);
  const { steps, setbacks } = detailsOf(done, row.details, nowMs);
  for (const step of steps) statements.putStep(id, step, step.atMs);
  for (const setback of setbacks) statements.addSetback(id, setback);
  return id;
}

/** Forgets all that there is of a run. */
export function forgetRecord({ statements, done }: FileRecords, consumer: number, eventId: string): void {
  const row = statements.findRun(consumer, eventId);
  if (row !== undefined) statements.forgetRun(row.id);
  if (done.find(consumer, eventId, 0) !== undefined) done.remove(consumer, eventId);
}

/** Whether it was written: the caller still had the run. */
export function finishRun(
  records: FileRecords,
  consumer: number,
  { eventId, epoch, outbox, steps = noSteps }: FinishWrite,
  nowMs: number,
  lives: Lives,
  first: FirstClaim | undefined,
): boolean {
  const { statements } = records;
  const expiresAtMs = nowMs + lives.retentionMs;
  if (outbox.length === 0) {
    const taken = takeFirst(statements, consumer, epoch, nowMs, first) ?? statements.takeFinished(consumer, eventId, epoch, nowMs);
    if (taken !== undefined) {
      const written = steps.length === 0 ? noSteps : steps.map((step) => ({ ...step, atMs: nowMs }));
      const detailsExpireAtMs = nowMs + lives.detailsMs;
      append(records, consumer, eventId, epoch, expiresAtMs, taken, putDetails(records, written, [], nowMs, detailsExpireAtMs));
      return true;
    }
  }
  if (steps.length > 0) {
    const run = statements.touchRun(expiresAtMs, consumer, eventId, epoch, nowMs);
    if (run !== undefined) for (const step of steps) statements.putStep(run.id, step, nowMs);
  }
  if (statements.finishRun(outbox.length === 0 ? null : outbox, expiresAtMs, consumer, eventId, epoch, nowMs) === 0) return false;
  if (outbox.length === 0) shorten(records, consumer, eventId, nowMs, lives);
  return true;
}

function takeFirst(statements: Statements, consumer: number, epoch: number, nowMs: number, first: FirstClaim | undefined): FinishedRow | undefined {
  if (first === undefined || epoch !== 1) return undefined;
  const { row, request } = first;
  const { eventId, token, payloadHash, pipelineHash } = request;
  if (!statements.takeFirst(row, consumer, eventId, token, nowMs)) return undefined;
  return { failures: 0, losses: 0, generation: 0, restarts: 0, payloadHash, pipelineHash };
}

/** Keeps a record that is done, and has no outbox any more, as short as can be. */
export function shorten(records: FileRecords, consumer: number, eventId: string, nowMs: number, lives: Lives): void {
  const row = records.statements.findRun(consumer, eventId);
  if (row !== undefined && !records.statements.hasHistory(row.id)) move(records, { ...row, consumer, eventId }, nowMs, lives);
}

/** Keeps those short that an earlier version has left as they are; returns how many of at most `count`. */
export function shortenSlice(records: FileRecords, after: number, last: number, count: number, nowMs: number, lives: Lives): number {
  const rows = records.statements.doneRows(after, last, count);
  for (const row of rows) move(records, row, nowMs, lives);
  return rows.length;
}

type Kept = FinishedRow & Pick<RunRow, "epoch" | "expiresAtMs"> & { readonly consumer: number; readonly eventId: string };

function move(records: FileRecords, row: Kept & { readonly id: number }, nowMs: number, { retentionMs, detailsMs }: Lives): void {
  const { statements } = records;
  const { consumer, eventId, epoch, expiresAtMs } = row;
  const details = putDetails(records, statements.stepsOf(row.id), statements.setbackTexts(row.id), nowMs, expiresAtMs - retentionMs + detailsMs);
  append(records, consumer, eventId, epoch, expiresAtMs, row, details);
  statements.forgetRun(row.id);
}

/** Their number; 0 where there are none, or their time is over. */
function putDetails({ done }: FileRecords, steps: readonly StepRecord[], setbacks: readonly string[], nowMs: number, expireAtMs: number): number {
  if (steps.length + setbacks.length === 0 || expireAtMs <= nowMs) return 0;
  return done.putDetails(packDetails({ steps, setbacks }), expireAtMs);
}

/** Field by field: to copy the object of a row costs more than to delete the row. */
function append({ done }: FileRecords, consumer: number, eventId: string, epoch: number, expiresAtMs: number, row: FinishedRow, details: number): void {
  const { failures, losses, generation, restarts, payloadHash, pipelineHash } = row;
  const pipeline = done.pipelineId(pipelineHash);
  done.append(consumer, eventId, { payloadHash, pipeline, expiresAtMs, details, epoch, failures, losses, generation, restarts });
}
