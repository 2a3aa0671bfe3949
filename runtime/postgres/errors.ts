// What a database's failure means to a step: whether trying again can help, and whether it is certain that nothing was committed.
import { HoldfastError } from "../core/errors.ts";
import { PermanentError, SkillError, TransientError } from "../skills/author/errors.ts";

/**
 * PostgreSQL's error codes, https://www.postgresql.org/docs/current/errcodes-appendix.html: two characters of class and three of the
 * error. Codes of drivers and mappers have five characters too (`EPIPE`, `P1017`).
 */
const sqlState = /^(?:\d[0-9A-Z]|F0|HV|P0|XX)[0-9A-Z]{3}$/;
/** Statement completion unknown. */
const unknownCompletion = "40003";
/** Of Node's sockets, of `pg` and its pool. */
const lostConnection =
  /\b(?:ECONN\w+|EPIPE|ETIMEDOUT|EHOST\w+|ENET\w+|ENOTFOUND|EAI_AGAIN)\b|connection (?:terminated|error|timeout)|timeout exceeded when trying to connect/i;
/** The data or a constraint refuses it. */
const refused: ReadonlySet<string> = new Set(["22", "23", "44"]);
/** The connection, or the server, is gone: no answer to a commit. */
const gone: ReadonlySet<string> = new Set(["08", "57", "58"]);

interface Said {
  readonly code: string | undefined;
  readonly message: string;
}

function saidBy(error: unknown): Said {
  if (!(error instanceof Error)) return { code: undefined, message: String(error) };
  const { code } = error as { readonly code?: unknown };
  return { code: typeof code === "string" ? code : undefined, message: error.message };
}

/** Whether it comes of the database or of the way to it, and not of the author's code. */
function isOfDatabase({ code, message }: Said): boolean {
  return (code !== undefined && (sqlState.test(code) || lostConnection.test(code))) || lostConnection.test(message);
}

/** A failure before the commit was asked for: nothing of the transaction stays. What is none of the database is returned as it is. */
export function failureBefore(error: unknown, table: string): unknown {
  const said = saidBy(error);
  if (error instanceof SkillError || error instanceof HoldfastError || !isOfDatabase(said)) return error;
  const { code = "DATABASE", message } = said;
  if (code === "42P01" && message.includes(table.split(".").at(-1) ?? table)) {
    const text = `expected the table ${table}, which records transactional steps, found none; make it: holdfast postgres migration --table ${table} | psql`;
    return new TransientError(text, { code: "STEP_TABLE_MISSING", cause: error });
  }
  if (sqlState.test(code) && refused.has(code.slice(0, 2))) return new PermanentError(message, { code, cause: error });
  return new TransientError(message, { code: sqlState.test(code) ? code : "DATABASE_UNAVAILABLE", cause: error });
}

/** The commit failed: certain only where the server itself says so. */
export function failureAtCommit(error: unknown): SkillError {
  const { code = "", message } = saidBy(error);
  const isAnswer = sqlState.test(code) && code !== unknownCompletion && !gone.has(code.slice(0, 2));
  if (isAnswer) {
    const options = { code, cause: error };
    return refused.has(code.slice(0, 2)) ? new PermanentError(message, options) : new TransientError(message, options);
  }
  return new TransientError(`expected an answer to the commit, found none: ${message}; the next execution reads in the database whether it was done`, {
    code: "COMMIT_UNKNOWN",
    definite: false,
    cause: error,
  });
}
