// What was thrown, as the plain record that leaves the thread.
import { messageOf } from "../../core/errors.ts";
import type { FailureRecord } from "../../core/outcome.ts";
import { PermanentError, SkillError, TransientError } from "../author/errors.ts";

const codePattern = /^[A-Za-z0-9_.-]{1,64}$/;

function codeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return "THROWN";
  const { code } = thrown as NodeJS.ErrnoException;
  if (typeof code === "string" && codePattern.test(code)) return code;
  return codePattern.test(thrown.name) ? thrown.name : "ERROR";
}

export interface Failure {
  readonly record: FailureRecord;
  /** As the error said; undefined when it did not say. */
  readonly retryable: boolean | undefined;
}

/** Reads what was thrown. An error of another copy of this package is known by its fields. */
export function describeFailure(thrown: unknown, step: string | undefined): Failure {
  const { retryable, dependency, retryAfterMs } = (thrown instanceof Error ? thrown : {}) as Partial<TransientError>;
  const record: FailureRecord = {
    code: codeOf(thrown),
    message: messageOf(thrown),
    ...(typeof dependency === "string" ? { dependency } : undefined),
    ...(step === undefined ? undefined : { step }),
    ...(typeof retryAfterMs === "number" && retryAfterMs >= 0 ? { retryAfterMs } : undefined),
  };
  return { record, retryable: typeof retryable === "boolean" ? retryable : undefined };
}

/** Codes of errors that come before anything was sent. */
const unsentCodes: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT", "EADDRNOTAVAIL"]);

/** Makes what a request function threw into a `SkillError` of that dependency. */
export function asCallError(thrown: unknown, dependency: string): SkillError {
  if (thrown instanceof SkillError && thrown.dependency !== undefined) return thrown;
  const { retryable, definite, retryAfterMs, status } = (thrown instanceof Error ? thrown : {}) as Partial<TransientError>;
  const code = codeOf(thrown);
  const message = `${dependency}: ${messageOf(thrown)}`;
  const options = { code, dependency, status, cause: thrown, definite: definite ?? unsentCodes.has(code) };
  return (retryable as boolean | undefined) === false ? new PermanentError(message, options) : new TransientError(message, { ...options, retryAfterMs });
}
