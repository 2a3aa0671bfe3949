// The table that records transactional steps, and what is said to it.
import { ConfigurationError } from "../core/errors.ts";

export const tableDefault = "holdfast_steps";

const tablePattern = /^[a-z_][a-z0-9_]{0,62}(?:\.[a-z_][a-z0-9_]{0,62})?$/;

/** The name as SQL has it, quoted: of the table, or of the schema and the table. */
function quoted(table: string): string {
  if (!tablePattern.test(table))
    throw new ConfigurationError(`table: expected a name, or schema.name, of a-z 0-9 _ and 63 characters each, got ${JSON.stringify(table)}`);
  return table
    .split(".")
    .map((part) => `"${part}"`)
    .join(".");
}

/** The statements that make the table, to be run once, by whoever may create tables. Running them again changes nothing. */
export function migration(table: string = tableDefault): string {
  const name = quoted(table);
  return `-- Transactional steps that are done: one row each, written in the transaction of the step's effect.
CREATE TABLE IF NOT EXISTS ${name} (
  key text PRIMARY KEY,
  event_id text NOT NULL,
  skill text NOT NULL,
  step text NOT NULL,
  result bytea,
  done_at timestamptz NOT NULL DEFAULT now()
);
-- For deleting the old ones.
CREATE INDEX IF NOT EXISTS "${table.split(".").at(-1)}_done_at" ON ${name} (done_at);
`;
}

export interface Statements {
  /** Key, event id, skill, step: one row where this transaction is the first; waits for another one with the same key. */
  readonly begin: string;
  /** Key: the result in base64. */
  readonly read: string;
  /** Result in base64, key. */
  readonly end: string;
  /** Age in seconds, number of rows at most. */
  readonly deleteOld: string;
}

/** Parameters are numbered in the order of the text, each once, and are text: every driver can say them. */
export function statementsFor(table: string): Statements {
  const name = quoted(table);
  return {
    begin: `INSERT INTO ${name} (key, event_id, skill, step) VALUES ($1, $2, $3, $4) ON CONFLICT (key) DO NOTHING RETURNING key`,
    read: `SELECT encode(result, 'base64') AS result FROM ${name} WHERE key = $1`,
    end: `UPDATE ${name} SET result = decode($1, 'base64'), done_at = now() WHERE key = $2 RETURNING key`,
    deleteOld: `DELETE FROM ${name} WHERE key IN (SELECT key FROM ${name} WHERE done_at < now() - make_interval(secs => $1::float8) LIMIT $2::int) RETURNING key`,
  };
}
