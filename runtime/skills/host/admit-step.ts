import type { StepKind, StepRecord } from "../../core/run.ts";
import { show } from "../author/check-options.ts";
import { PermanentError } from "../author/errors.ts";
import { checkStepName, checkStepOptions, stepArguments } from "../author/step-chain.ts";
import { permanently } from "./run-errors.ts";
import type { ThreadOrder } from "./run-order.ts";
import type { AnyStepEffect, AnyStepOptions } from "./transactional.ts";

/** A step that may begin. */
export interface AskedStep {
  readonly name: string;
  readonly kind: StepKind;
  readonly options: AnyStepOptions<unknown>;
  readonly effect: AnyStepEffect<unknown>;
  /** Of an earlier execution. */
  readonly record: StepRecord | undefined;
}

interface RunOfSteps {
  readonly isCritical: boolean;
  /** What is on record of it. */
  readonly steps: readonly StepRecord[];
  /** The step that has not ended; undefined where none is open. */
  readonly open: string | undefined;
  /** Those that were begun or restored. */
  readonly met: ReadonlySet<string> | undefined;
}

/** What a run asks for as a step, with its options or without; throws `PermanentError` where it may not begin. */
export function admitStep<Result>(
  name: string,
  given: AnyStepOptions<Result> | AnyStepEffect<Result>,
  last: AnyStepEffect<Result> | undefined,
  { isCritical, steps, open, met }: RunOfSteps,
): AskedStep {
  const [options, effect] = stepArguments<AnyStepOptions<Result>, AnyStepEffect<Result>>(given, last);
  const kind = permanently("STEP_INVALID", () => checkStepOptions(`step '${checkStepName("step", name)}'`, options, isCritical));
  if (open !== undefined) throw new PermanentError(`step '${name}': expected one step at a time, '${open}' has not ended`, { code: "STEP_OVERLAP" });
  if (met?.has(name) === true) throw new PermanentError(`step '${name}': expected each step's name once in a run`, { code: "STEP_REPEATED" });
  if (typeof effect !== "function")
    throw new PermanentError(`step '${name}': expected its effect, a function, as the last argument, got ${show(effect)}`, { code: "STEP_INVALID" });
  const record = steps.length === 0 ? undefined : steps.find((step) => step.name === name);
  return { name, kind, options: options as AnyStepOptions<unknown>, effect, record };
}

/** Recorded steps that another shape of the skill made and this one has not met. */
export function unmetSteps({ pipelineChanged, steps }: ThreadOrder, met: ReadonlySet<string> | undefined): string | undefined {
  if (!pipelineChanged) return undefined;
  const unmet = steps.map(({ name }) => name).filter((name) => met?.has(name) !== true);
  return unmet.length === 0 ? undefined : `expected the skill to meet the recorded steps ${unmet.join(", ").slice(0, 500)} before a new one, it did not`;
}
