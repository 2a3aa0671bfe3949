import { failureRowOf, isPermanentCode } from "../../core/failure-class.ts";
import { redact } from "../../core/redact.ts";
import { PermanentError, TransientError } from "../author/errors.ts";

/** An answer with a status outside 200 to 299. */
export interface Refusal {
  /** Of the dependency. */
  readonly name: string;
  readonly status: number;
  /** The beginning of its body. */
  readonly said: string;
  readonly retryAfterMs: number | undefined;
}

/** The error that a call fails with, by its status. */
export function refusal({ name, status, said, retryAfterMs }: Refusal): PermanentError | TransientError {
  const quoted = redact(said).replaceAll(/\s+/g, " ").trim();
  const message = `${name}: expected a status from 200 to 299, got ${status}${quoted === "" ? "" : `: ${quoted}`}`;
  const code = `HTTP_${status}`;
  const options = { code, dependency: name, status, definite: failureRowOf(code)?.definite ?? false };
  return isPermanentCode(code) ? new PermanentError(message, options) : new TransientError(message, { ...options, retryAfterMs });
}
