// Records of runs that are done, which are most of all that a file holds. Keys come in no order, so one index over all of them
// would be written all over for every batch, and the more so the more there are. Instead they lie in the order of their end:
//
//   finish ──▶ done_log: a row a batch, found through memory ──(is full)──▶ a window: blocks in the order of hashes, and a filter
//                                                                              │ the last of its records is past its retention
//                                                                              ▼ dropped as a whole
//
// Whether a record exists is told by the log's index and the windows' filters, all in memory: a new event reads nothing of
// the file. Workers that share a file hear of each other's changes by the log's last row and by the version, which rises when
// windows come and go. Everything here happens within the caller's transaction, a window's close too:
// who dies on the way leaves what was there before.
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { afterEntry, DoneKey, type DoneEntry, type DoneRecord, readEntry } from "./entries.ts";
import { emptyFilter, WindowFilters } from "./filter.ts";
import { beginningOf, beginnings, DoneLog } from "./log.ts";

export const doneTables = `
  CREATE TABLE done_state (version INTEGER NOT NULL) STRICT;
  INSERT INTO done_state VALUES (1);
  CREATE TABLE done_log (id INTEGER PRIMARY KEY, expires_at_ms INTEGER NOT NULL, entries BLOB NOT NULL) STRICT;
  CREATE TABLE done_windows (id INTEGER PRIMARY KEY, expires_at_ms INTEGER NOT NULL, filter BLOB NOT NULL) STRICT;
  CREATE TABLE done_blocks (id INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
  CREATE TABLE done_details (id INTEGER PRIMARY KEY, expires_at_ms INTEGER NOT NULL, details BLOB NOT NULL) STRICT;
  CREATE TABLE pipelines (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE) STRICT;`;

/** Records of a window; closing one takes some 30 ms. */
export const windowRecords = 50_000;
/** Rows that one sweep looks at. */
const sweepRowsMax = 1_000;
/** Records of a page; the last row may bring more. */
const pageRecords = 500;

const takenBack: DoneRecord = {
  payloadHash: "",
  pipeline: 0,
  expiresAtMs: 0,
  details: 0,
  epoch: 1,
  failures: 0,
  losses: 0,
  generation: 0,
  restarts: 0,
};

/** How records are found in the windows: through filters in memory, or, for a few questions, in each window. */
export type Finding = "filters" | "windows";

export interface DonePage {
  readonly entries: readonly DoneEntry[];
  readonly next: string | undefined;
}

function numberOf(row: Record<string, unknown> | undefined, column: string): number {
  const value = row?.[column];
  return typeof value === "number" ? value : 0;
}

/** A blob's column as the statement gives it. */
function bytesOf(row: Record<string, unknown>, column: string): Uint8Array {
  return row[column] as Uint8Array;
}

export class DoneRecords {
  readonly #finding: Finding;
  readonly #windowRecords: number;
  readonly #log = new DoneLog();
  readonly #filters = new WindowFilters();
  readonly #key = new DoneKey();
  /** With the end of life of their last record. */
  readonly #windows = new Map<number, number>();
  /** The window that this transaction has made. */
  #made: number | undefined;
  readonly #pipelineIds = new Map<string, number>();
  readonly #pipelineHashes = new Map<number, string>();
  #version = 0;
  #lastRow = 0;
  /** Of the last record in the log. */
  #expiresAtMs = 0;
  /** Where in the log begins what is not in the file yet, and the end of life of the last of it. */
  #unwritten = 0;
  #unwrittenExpiresAtMs = 0;
  #isTouched = false;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(database: DatabaseSync, finding: Finding = "filters", recordsOfWindow: number = windowRecords) {
    this.#finding = finding;
    this.#windowRecords = recordsOfWindow;
    this.#statements = prepare(database);
  }

  /** At the start of a transaction: takes in what others have written. */
  begin(): void {
    const state = this.#statements.state.get();
    if (numberOf(state, "version") !== this.#version) return this.#reload(numberOf(state, "version"));
    if (numberOf(state, "last") !== this.#lastRow) this.#loadLog();
  }

  /** Before the transaction is committed. */
  end(): void {
    this.#flush();
    if (this.#log.count >= this.#windowRecords) this.#close();
  }

  committed(): void {
    this.#isTouched = false;
    this.#made = undefined;
  }

  /** When it is rolled back: nothing of what it did is true. Windows that were there before are there again, and stay as they are. */
  forget(): void {
    if (!this.#isTouched) return;
    this.#isTouched = false;
    this.#version = 0;
    this.#clearLog();
    // Its number may be another's.
    if (this.#made !== undefined) this.#forgetWindow(this.#made);
    this.#made = undefined;
    this.#pipelineIds.clear();
    this.#pipelineHashes.clear();
  }

  find(consumer: number, eventId: string, nowMs: number): DoneEntry | undefined {
    const key = this.#key;
    key.set(consumer, eventId);
    const recent = this.#log.find(key, nowMs);
    if (recent !== undefined) return recent;
    const windows = this.#windowsOfKey();
    if (windows === undefined) return undefined;
    for (const window of windows) {
      const found = this.#findIn(window, nowMs);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  append(consumer: number, eventId: string, record: DoneRecord): void {
    this.#isTouched = true;
    this.#key.set(consumer, eventId);
    this.#log.append(this.#key, record);
    this.#unwrittenExpiresAtMs = Math.max(this.#unwrittenExpiresAtMs, record.expiresAtMs);
    this.#expiresAtMs = Math.max(this.#expiresAtMs, record.expiresAtMs);
  }

  /**
   * Takes out all that there is of a run, its steps too. Blocks are read from the file each time; of the log others hear by an entry that
   * takes it back, in a row that stays as long as what it takes back would have.
   */
  remove(consumer: number, eventId: string): void {
    this.#isTouched = true;
    this.#flush();
    this.#key.set(consumer, eventId);
    for (const window of this.#windowsOfKey() ?? []) {
      const block = this.#blockOf(window);
      const rest = block === undefined ? undefined : this.#without(bytesOf(block, "entries"));
      if (rest !== undefined) this.#statements.putBlock.run(rest, numberOf(block, "id"));
    }
    const endsAtMs = this.#log.takeBack(this.#key);
    if (endsAtMs === 0) return;
    this.#removeFromLog();
    this.#log.append(this.#key, takenBack);
    this.#unwrittenExpiresAtMs = Math.max(this.#unwrittenExpiresAtMs, endsAtMs);
  }

  /** The number that stands for it in entries. */
  pipelineId(hash: string): number {
    const known = this.#pipelineIds.get(hash);
    if (known !== undefined) return known;
    this.#isTouched = true;
    const id = numberOf(this.#statements.internPipeline.get(hash), "id");
    this.#pipelineIds.set(hash, id);
    return id;
  }

  pipelineHash(id: number): string {
    const known = this.#pipelineHashes.get(id);
    if (known !== undefined) return known;
    const hash = String(this.#statements.pipeline.get(id)?.["hash"] ?? "");
    this.#pipelineHashes.set(id, hash);
    return hash;
  }

  putDetails(details: Uint8Array, expiresAtMs: number): number {
    return Number(this.#statements.putDetails.run(expiresAtMs, details).lastInsertRowid);
  }

  /** Undefined when they are kept no more. */
  details(id: number, nowMs: number): Uint8Array | undefined {
    const row = id === 0 ? undefined : this.#statements.details.get(id, nowMs);
    return row === undefined ? undefined : bytesOf(row, "details");
  }

  /** Deletes a bounded part of what is past its retention; says whether there was any. */
  sweep(nowMs: number): boolean {
    const { dropDetails, sweepLog } = this.#statements;
    const details = Number(dropDetails.run(sweepRowsMax, nowMs).changes);
    // What was loaded of these rows stays in memory until the next window, and counts as gone by its own end of life.
    const rows = Number(sweepLog.run(sweepRowsMax, nowMs).changes);
    return this.#dropWindow(nowMs) || details + rows > 0;
  }

  /** All of them in parts, the log's before the windows', into which it turns; a cursor is what was read last. */
  page(cursor: string | undefined): DonePage {
    const [place, last] = cursor?.split(":") ?? ["log", "0"];
    const statement = place === "log" ? this.#statements.logPage : this.#statements.blockPage;
    const entries: DoneEntry[] = [];
    let after = Number(last);
    while (entries.length < pageRecords) {
      const row = statement.get(after);
      if (row === undefined) return { entries, next: place === "log" ? "window:0" : undefined };
      after = numberOf(row, "id");
      addEntries(entries, bytesOf(row, "entries"));
    }
    return { entries, next: `${place}:${after}` };
  }

  #flush(): void {
    if (this.#unwritten === this.#log.end) return;
    this.#lastRow = Number(this.#statements.addLog.run(this.#unwrittenExpiresAtMs, this.#log.since(this.#unwritten)).lastInsertRowid);
    this.#unwritten = this.#log.end;
    this.#unwrittenExpiresAtMs = 0;
  }

  #reload(version: number): void {
    const { windows, filter } = this.#statements;
    const kept = new Map(windows.all().map((row) => [numberOf(row, "id"), numberOf(row, "expiresAtMs")]));
    for (const window of this.#windows.keys()) if (!kept.has(window)) this.#forgetWindow(window);
    for (const [window, expiresAtMs] of kept) {
      if (this.#windows.has(window)) continue;
      // Known only with its filter: what cannot be read now is read with the next transaction.
      if (this.#finding === "filters") this.#filters.add(window, wordsOf(bytesOf(filter.get(window)!, "filter")));
      this.#windows.set(window, expiresAtMs);
    }
    this.#version = version;
    this.#clearLog();
    this.#loadLog();
  }

  #loadLog(): void {
    for (const row of this.#statements.logRows.iterate(this.#lastRow)) {
      this.#log.load(bytesOf(row, "entries"));
      this.#expiresAtMs = Math.max(this.#expiresAtMs, numberOf(row, "expiresAtMs"));
      this.#lastRow = numberOf(row, "id");
      this.#unwritten = this.#log.end;
    }
  }

  #clearLog(): void {
    this.#log.clear();
    this.#lastRow = 0;
    this.#expiresAtMs = 0;
    this.#unwritten = 0;
    this.#unwrittenExpiresAtMs = 0;
  }

  /** Makes a window of the log. */
  #close(): void {
    this.#isTouched = true;
    const { raise, addWindow, addBlock, clearLog } = this.#statements;
    raise.run();
    this.#version += 1;
    const window = this.#version;
    const filter = this.#log.makeWindow((beginning, entries) => void addBlock.run(window * beginnings + beginning, entries));
    const expiresAtMs = this.#expiresAtMs;
    this.#made = window;
    addWindow.run(window, expiresAtMs, new Uint8Array(filter.buffer));
    clearLog.run();
    this.#clearLog();
    this.#windows.set(window, expiresAtMs);
    if (this.#finding === "filters") this.#filters.add(window, filter);
  }

  #dropWindow(nowMs: number): boolean {
    for (const [window, expiresAtMs] of this.#windows) {
      if (expiresAtMs > nowMs) continue;
      this.#isTouched = true;
      const { raise, dropBlocks, dropWindow } = this.#statements;
      dropBlocks.run(window * beginnings, (window + 1) * beginnings);
      dropWindow.run(window);
      raise.run();
      this.#version += 1;
      this.#forgetWindow(window);
      return true;
    }
    return false;
  }

  #forgetWindow(window: number): void {
    this.#windows.delete(window);
    this.#filters.remove(window);
  }

  /** Those that may hold the key. */
  #windowsOfKey(): readonly number[] | undefined {
    return this.#finding === "filters" ? this.#filters.mayHold(this.#key.one, this.#key.two) : [...this.#windows.keys()];
  }

  /** A row that is left empty stays: its number is not given twice. */
  #removeFromLog(): void {
    const key = this.#key.bytes.subarray(0, this.#key.length);
    for (const row of this.#statements.logRows.all(0)) {
      const entries = bytesOf(row, "entries");
      // Most have nothing that looks like it.
      if (Buffer.from(entries.buffer, entries.byteOffset, entries.byteLength).indexOf(key) === -1) continue;
      const rest = this.#without(entries);
      if (rest !== undefined) this.#statements.putLog.run(rest, numberOf(row, "id"));
    }
  }

  /** The block of a window that would hold the key. */
  #blockOf(window: number): Record<string, unknown> | undefined {
    const row = this.#statements.block.get(window * beginnings + beginningOf(this.#key.one));
    return numberOf(row, "id") < window * beginnings ? undefined : row;
  }

  #findIn(window: number, nowMs: number): DoneEntry | undefined {
    const row = this.#blockOf(window);
    if (row === undefined) return undefined;
    const bytes = bytesOf(row, "entries");
    for (let at = 0; at < bytes.length; at = afterEntry(bytes, at)) {
      if (!this.#key.isAt(bytes, at)) continue;
      const entry = readEntry(bytes, at);
      if (entry.expiresAtMs > nowMs) return entry;
    }
    return undefined;
  }

  /** Entries but those of the key, whose steps are blotted out; undefined where none is. */
  #without(bytes: Uint8Array): Uint8Array | undefined {
    const rest: Uint8Array[] = [];
    let isFound = false;
    for (let at = 0; at < bytes.length;) {
      const next = afterEntry(bytes, at);
      if (this.#key.isAt(bytes, at)) {
        isFound = true;
        this.#statements.blotDetails.run(readEntry(bytes, at).details);
      } else rest.push(bytes.subarray(at, next));
      at = next;
    }
    return isFound ? Buffer.concat(rest) : undefined;
  }
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const words = emptyFilter();
  new Uint8Array(words.buffer).set(bytes);
  return words;
}

function addEntries(entries: DoneEntry[], bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at = afterEntry(bytes, at)) entries.push(readEntry(bytes, at));
}

/** The last row of `done_log` and of `done_details` stays, so that no number is given twice while others know it. */
function prepare(database: DatabaseSync): Record<StatementName, StatementSync> {
  const statements = Object.entries(sql).map(([name, text]) => [name, database.prepare(text)]);
  return Object.fromEntries(statements) as Record<StatementName, StatementSync>;
}

type StatementName = keyof typeof sql;

const sql = {
  state: "SELECT version, (SELECT max(id) FROM done_log) AS last FROM done_state",
  raise: "UPDATE done_state SET version = version + 1",
  addLog: "INSERT INTO done_log (expires_at_ms, entries) VALUES (?, ?)",
  logRows: "SELECT id, expires_at_ms AS expiresAtMs, entries FROM done_log WHERE id > ? ORDER BY id",
  logPage: "SELECT id, entries FROM done_log WHERE id > ? ORDER BY id LIMIT 1",
  putLog: "UPDATE done_log SET entries = ? WHERE id = ?",
  clearLog: "DELETE FROM done_log",
  sweepLog: `DELETE FROM done_log WHERE id IN (SELECT id FROM done_log ORDER BY id LIMIT ?) AND expires_at_ms <= ?
    AND id < (SELECT max(id) FROM done_log)`,
  windows: "SELECT id, expires_at_ms AS expiresAtMs FROM done_windows ORDER BY id",
  filter: "SELECT filter FROM done_windows WHERE id = ?",
  addWindow: "INSERT INTO done_windows (id, expires_at_ms, filter) VALUES (?, ?, ?)",
  dropWindow: "DELETE FROM done_windows WHERE id = ?",
  addBlock: "INSERT INTO done_blocks (id, entries) VALUES (?, ?)",
  putBlock: "UPDATE done_blocks SET entries = ? WHERE id = ?",
  block: "SELECT id, entries FROM done_blocks WHERE id <= ? ORDER BY id DESC LIMIT 1",
  blockPage: "SELECT id, entries FROM done_blocks WHERE id > ? ORDER BY id LIMIT 1",
  dropBlocks: "DELETE FROM done_blocks WHERE id >= ? AND id < ?",
  putDetails: "INSERT INTO done_details (expires_at_ms, details) VALUES (?, ?)",
  details: "SELECT details FROM done_details WHERE id = ? AND expires_at_ms > ?",
  blotDetails: "UPDATE done_details SET expires_at_ms = 0, details = x'' WHERE id = ?",
  dropDetails: `DELETE FROM done_details WHERE id IN (SELECT id FROM done_details ORDER BY id LIMIT ?) AND expires_at_ms <= ?
    AND id < (SELECT max(id) FROM done_details)`,
  internPipeline: "INSERT INTO pipelines (hash) VALUES (?) ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash RETURNING id",
  pipeline: "SELECT hash FROM pipelines WHERE id = ?",
} as const;
