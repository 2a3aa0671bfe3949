// What was thrown, as the plain record that leaves the thread. Reading it may throw in turn; nothing here does.
import { messageOf } from "../../core/errors.ts";
import { failureClassOf, failureRowOf } from "../../core/failure-class.ts";
import type { FailureRecord } from "../../core/outcome.ts";
import { fieldOf } from "../../core/redact.ts";
import { isError } from "../../core/thrown.ts";
import { PermanentError, SkillError, TransientError } from "../author/errors.ts";
import { placeOf, placeText } from "./code-place.ts";

/** With the colons of AMQP's conditions. */
const codePattern = /^[A-Za-z0-9_.:-]{1,64}$/;
/** As `defineDependency` takes them: what else an error calls so is none of ours, and may be of any length. */
const dependencyPattern = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/;
/** Leaves room for the place behind it where a text is cut at 1 000 characters. */
const messageMax = 800;

/** Redis says what is wrong in the first word of its answer. */
function redisCodeOf(message: unknown): string | undefined {
  return typeof message === "string" ? /^[A-Z]{2,32}(?= )/.exec(message)?.[0] : undefined;
}

/** What the code of a failure is called. */
export function codeOf(thrown: unknown): string {
  if (!isError(thrown)) return "THROWN";
  const code = fieldOf(thrown, "code");
  if (typeof code === "string" && codePattern.test(code)) return code;
  const name = fieldOf(thrown, "name");
  if (name === "ReplyError") return redisCodeOf(fieldOf(thrown, "message")) ?? name;
  const status = fieldOf(thrown, "status") ?? fieldOf(thrown, "statusCode");
  if (typeof status === "number" && status >= 100 && status <= 599 && Number.isInteger(status)) return `HTTP_${status}`;
  return typeof name === "string" && codePattern.test(name) ? name : "ERROR";
}

/** What an error of this package says of itself. One of another copy of it is known by its fields; undefined is what is not said. */
interface SaidOfItself {
  readonly retryable: boolean | undefined;
  readonly definite: boolean | undefined;
  readonly dependency: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly status: number | undefined;
}

function readSaid(thrown: unknown): SaidOfItself {
  const said = <Kind>(name: string, isKind: (value: unknown) => value is Kind): Kind | undefined => {
    const value = isError(thrown) ? fieldOf(thrown, name) : undefined;
    return isKind(value) ? value : undefined;
  };
  const isFlag = (value: unknown): value is boolean => typeof value === "boolean";
  const isName = (value: unknown): value is string => typeof value === "string" && dependencyPattern.test(value);
  const isNumber = (value: unknown): value is number => typeof value === "number" && value >= 0;
  return {
    retryable: said("retryable", isFlag),
    definite: said("definite", isFlag),
    dependency: said("dependency", isName),
    retryAfterMs: said("retryAfterMs", isNumber),
    status: said("status", isNumber) ?? said("statusCode", isNumber),
  };
}

export interface Failure {
  readonly record: FailureRecord;
  /** As the error said; undefined when it did not say. */
  readonly retryable: boolean | undefined;
}

/** Reads what was thrown. `folder` is the plugin's: its first frame there is where it was thrown. */
export function describeFailure(thrown: unknown, step: string | undefined, folder: string | undefined): Failure {
  const { retryable, dependency, retryAfterMs } = readSaid(thrown);
  const place = folder === undefined ? undefined : placeOf(thrown, folder);
  const record: FailureRecord = {
    code: codeOf(thrown),
    message: messageOf(thrown, messageMax),
    ...(dependency === undefined ? undefined : { dependency }),
    ...(step === undefined ? undefined : { step }),
    ...(place === undefined || folder === undefined ? undefined : { at: placeText(place, folder) }),
    ...(retryAfterMs === undefined ? undefined : { retryAfterMs }),
  };
  return { record, retryable };
}

/** Whether an error says that its effect certainly did not happen. */
export function isDefinite(thrown: unknown): boolean {
  return readSaid(thrown).definite === true;
}

/** Of a transaction: it was rolled back, unless its error says that nobody knows. */
export function isUndone(thrown: unknown): boolean {
  return readSaid(thrown).definite !== false;
}

/** Makes what a request function threw into a `SkillError` of that dependency. */
export function asCallError(thrown: unknown, dependency: string): SkillError {
  const said = readSaid(thrown);
  if (isError(thrown) && thrown instanceof SkillError && said.dependency !== undefined) return thrown;
  const code = codeOf(thrown);
  const { definite = failureRowOf(code)?.definite ?? false, status, retryAfterMs } = said;
  const message = `${dependency}: ${messageOf(thrown)}`;
  const options = { code, dependency, status, cause: thrown, definite };
  const failureClass = failureClassOf(code, said.retryable);
  const isFinal = failureClass === "permanent" || failureClass === "poison";
  return isFinal ? new PermanentError(message, options) : new TransientError(message, { ...options, retryAfterMs });
}
