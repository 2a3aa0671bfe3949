// What a run throws into its skill.
import { messageOf } from "../../core/errors.ts";
import { didYouMean } from "../../core/near-name.ts";
import type { FailureRecord } from "../../core/outcome.ts";
import { fieldOf } from "../../core/redact.ts";
import type { StepRecord } from "../../core/run.ts";
import { show } from "../author/check-options.ts";
import { PermanentError, TransientError } from "../author/errors.ts";

/** Thrown into a skill whose run has ended. What it does with it changes nothing. */
export class RunEnded extends Error {
  constructor() {
    super("expected no step, call or emit after the end of its run; await all that the skill begins, and stop once its signal aborts");
    this.name = "RunEnded";
  }
}

/** Runs a check of what the skill passed; trying again would not change its answer. */
export function permanently<Value>(code: string, check: () => Value): Value {
  try {
    return check();
  } catch (cause) {
    throw new PermanentError(messageOf(cause), { code, cause });
  }
}

export function unknownDependency(dependency: unknown, known: readonly string[]): PermanentError {
  const name = fieldOf(dependency, "name");
  const got = typeof name === "string" ? `'${name.slice(0, 80)}'` : show(dependency);
  const near = typeof name === "string" ? didYouMean(name, known) : "";
  const message = `call: expected a dependency that the skill names in uses (${known.join(", ") || "none"}), got ${got}; add it to the skill's uses${near}`;
  return new PermanentError(message, { code: "CALL_INVALID" });
}

/** Undefined for steps that were to be recorded together. */
export function stepNotStored(step: StepRecord | undefined): TransientError {
  const which = step === undefined ? "the steps before" : `step '${step.name}'`;
  return new TransientError(
    `${which}: expected ${step === undefined ? "their results" : step.state === "intent" ? "its intent" : "its result"} to be stored, the store did not answer`,
    {
      code: "STORE_UNAVAILABLE",
    },
  );
}

/** `step`: the one that was open. */
export function runTimeout(timeoutMs: number, step: string | undefined): FailureRecord {
  return { code: "RUN_TIMEOUT", message: `expected the run to end within ${timeoutMs} ms, it did not`, ...(step === undefined ? {} : { step }) };
}

export function stepNotAwaited(step: string): PermanentError {
  return new PermanentError(`expected the skill to wait for its step '${step}', it returned before; write await before the step`, { code: "STEP_NOT_AWAITED" });
}

/** Why what an `atMostOnce` step did is not known. */
export const forgottenWhy = "its effect may have happened: the store has lost records since the event was enqueued";
