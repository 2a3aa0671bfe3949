// The file behind the run store: opening it, its tables, and what its errors mean.
import { randomInt } from "node:crypto";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConfigurationError, messageOf, StoreUnavailableError } from "../../core/errors.ts";
import { makeFolder } from "../../core/make-folder.ts";
import { makeSecret } from "../support/secret.ts";
import { doneTables } from "./done/records.ts";

const schemaVersion = 4;

/** Deaths of runs and what brought them back, as JSON: few runs have any. */
const historyTable = `
  CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    entry TEXT NOT NULL
  ) STRICT;
  CREATE INDEX history_of_run ON history (run);`;

/**
 * `open_runs` holds what is not done, and what is done and has an outbox or a history; the rest is in the tables of
 * done/records.ts. Its rows lie in the order of their creation, so that retention can be swept from the old end without an index.
 * An empty outbox is NULL. `parts`: 1 where other tables may have something of the run. `steps` numbers rise with every write:
 * they give the order of writing, as those of `history` do.
 */
const schema = `
  CREATE TABLE consumers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    secret TEXT
  ) STRICT;
  CREATE TABLE open_runs (
    id INTEGER PRIMARY KEY,
    consumer INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    state TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    restarts INTEGER NOT NULL DEFAULT 0,
    lease_until_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    token TEXT NOT NULL,
    payload_hash TEXT NOT NULL,
    pipeline_hash TEXT NOT NULL,
    outbox BLOB,
    reason TEXT,
    parts INTEGER NOT NULL DEFAULT 1,
    UNIQUE (consumer, event_id)
  ) STRICT;
  CREATE TABLE steps (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    result BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    UNIQUE (run, name)
  ) STRICT;
  ${historyTable}
  ${doneTables}
  PRAGMA user_version = ${schemaVersion};
`;

/** When a file was found in the place of another; workers of earlier versions leave it alone. */
const lossesTable = "CREATE TABLE IF NOT EXISTS losses (at_ms INTEGER NOT NULL) STRICT";

/** What pipeline hashes stand for; workers of earlier versions leave it alone, too. */
const kindsTable = `
  CREATE TABLE IF NOT EXISTS kinds (
    consumer INTEGER NOT NULL,
    pipeline_hash TEXT NOT NULL,
    kind TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (consumer, pipeline_hash)
  ) STRICT, WITHOUT ROWID`;

/** The last claims of runs that ended without success, as JSON. */
const setbacksTable = `
  CREATE TABLE IF NOT EXISTS setbacks (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    setback TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS setbacks_of_run ON setbacks (run)`;

/** What is to become of runs that are called off while a worker has them: the history entry of their death, and what has them compensated. */
const cancelsTable = `
  CREATE TABLE IF NOT EXISTS cancels (
    run INTEGER PRIMARY KEY,
    death TEXT NOT NULL,
    verdict TEXT
  ) STRICT`;

/**
 * What makes a file of an earlier version one of the next, by the version it has. Version 1 counted claims, the one under way
 * included, and not what became of them. Up to version 3 records of runs that are done stayed in `runs`; those that a file has move on
 * with its sweeps. The table's name is another, so that a worker of an earlier version that has the file open is refused: it would
 * not see what is done.
 */
const upgrades: ReadonlyMap<number, string> = new Map([
  [
    1,
    `ALTER TABLE consumers ADD COLUMN secret TEXT;
     ALTER TABLE runs RENAME COLUMN attempts TO failures;
     ALTER TABLE runs ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;
     UPDATE runs SET failures = max(0, failures - 1) WHERE state = 'running';
     PRAGMA user_version = 2;`,
  ],
  [
    2,
    `ALTER TABLE runs ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
     ${historyTable}
     PRAGMA user_version = 3;`,
  ],
  [
    3,
    `ALTER TABLE runs RENAME TO open_runs;
     ALTER TABLE open_runs ADD COLUMN parts INTEGER NOT NULL DEFAULT 1;
     ${doneTables}
     PRAGMA user_version = 4;`,
  ],
]);

/** How long a transaction waits for other processes' before it gives up; the wait blocks its thread. */
const lockTimeoutMs = 2_000;
/** Switching to the log does not wait for another process's lock: opening is tried again for as long, with pauses. */
const openPauseMs = 10;
/** A claim and its end write the same few pages; a longer log writes each of them to the file less often (about 16 MB). */
const logPagesMax = 4_000;

const sqliteBusy = 5;
const sqliteReadOnly = 8;
const sqliteCannotOpen = 14;
const sqliteNotADatabase = 26;

function errorCode(error: unknown): number {
  const code = error instanceof Error && "errcode" in error ? error.errcode : undefined;
  return typeof code === "number" ? code & 0xff : 0;
}

export function unavailable(error: unknown): StoreUnavailableError {
  if (error instanceof StoreUnavailableError) return error;
  return new StoreUnavailableError(`expected the run store's SQLite file to serve, found: ${messageOf(error)}; look at the disk and at who holds the file`, {
    cause: error,
  });
}

function numberIn(database: DatabaseSync, sql: string, ...values: readonly string[]): number {
  const value = Object.values(database.prepare(sql).get(...values) ?? {})[0];
  return typeof value === "number" ? value : 0;
}

function versionOf(database: DatabaseSync): number {
  return numberIn(database, "PRAGMA user_version");
}

function createTables(database: DatabaseSync, path: string): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    for (let upgrade = upgrades.get(versionOf(database)); upgrade !== undefined; upgrade = upgrades.get(versionOf(database))) database.exec(upgrade);
    const found = versionOf(database);
    const tables = numberIn(database, "SELECT count(*) FROM sqlite_schema");
    if (found === 0 && tables === 0) database.exec(schema);
    else if (found !== schemaVersion) {
      throw new ConfigurationError(
        `expected ${path} to be a run store of version ${schemaVersion}, found version ${found} with ${tables} tables and indexes; name another file`,
      );
    }
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

export interface Consumer {
  /** The small number that stands for it in every row. */
  readonly consumerId: number;
  readonly secret: string;
}

const internConsumer = `
  INSERT INTO consumers (name, secret) VALUES (?, ?)
  ON CONFLICT (name) DO UPDATE SET secret = coalesce(secret, excluded.secret) RETURNING id AS consumerId, secret`;

/** A number that the file was given with its first use, so that another file in its place is known as another. */
function markOf(database: DatabaseSync): string {
  const found = numberIn(database, "PRAGMA application_id");
  if (found !== 0) return String(found);
  database.exec("BEGIN IMMEDIATE");
  // Another process may have been first.
  if (numberIn(database, "PRAGMA application_id") === 0) database.exec(`PRAGMA application_id = ${randomInt(1, 2 ** 31)}`);
  database.exec("COMMIT");
  return String(numberIn(database, "PRAGMA application_id"));
}

/** Makes it known to the file where it is not. */
export function consumerIn(database: DatabaseSync, consumer: string): Consumer {
  // The columns are named to give exactly this shape.
  return database.prepare(internConsumer).get(consumer, makeSecret()) as unknown as Consumer;
}

interface OpenDatabase extends Consumer {
  readonly database: DatabaseSync;
  readonly mark: string;
}

/** Opens or creates the file, and its folder; throws `ConfigurationError` when it cannot be a run store. */
export function openDatabase(path: string, consumer: string): OpenDatabase {
  const giveUpAtMs = performance.now() + lockTimeoutMs;
  const bell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  for (;;) {
    try {
      return tryToOpen(path, consumer);
    } catch (error) {
      if (errorCode(error) !== sqliteBusy || performance.now() >= giveUpAtMs) throw error;
    }
    Atomics.wait(bell, 0, 0, openPauseMs);
  }
}

function tryToOpen(path: string, consumer: string): OpenDatabase {
  let database: DatabaseSync | undefined;
  try {
    if (path !== ":memory:") makeFolder(dirname(path));
    database = new DatabaseSync(path, { timeout: lockTimeoutMs });
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${logPagesMax}`);
    createTables(database, path);
    database.exec([lossesTable, kindsTable, setbacksTable, cancelsTable].join(";"));
    return { database, mark: markOf(database), ...consumerIn(database, consumer) };
  } catch (error) {
    if (database?.isOpen === true) database.close();
    const code = errorCode(error);
    if (code === sqliteNotADatabase)
      throw new ConfigurationError(`expected ${path} to be a SQLite file, found something else; name another file`, { cause: error });
    if (code === sqliteCannotOpen || code === sqliteReadOnly || (error instanceof Error && "syscall" in error)) {
      throw new ConfigurationError(
        `expected to create or open ${path} for writing, found: ${messageOf(error)}; look at its folder's permissions or name another file`,
        { cause: error },
      );
    }
    throw error;
  }
}
