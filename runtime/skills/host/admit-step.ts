import type { StepKind } from "../../core/run.ts";
import { show } from "../author/check-options.ts";
import { PermanentError } from "../author/errors.ts";
import { checkStepName, checkStepOptions } from "../author/step-chain.ts";
import { permanently } from "./run-errors.ts";
import type { ThreadOrder } from "./run-order.ts";

interface AskedStep {
  readonly name: string;
  readonly options: unknown;
  readonly effect: unknown;
}

interface RunOfSteps {
  readonly isCritical: boolean;
  /** The step that has not ended; undefined where none is open. */
  readonly open: string | undefined;
  /** Those that were begun or restored. */
  readonly met: ReadonlySet<string> | undefined;
}

/** Whether a run may begin a step, and which kind of one; throws `PermanentError`. */
export function admitStep({ name, options, effect }: AskedStep, { isCritical, open, met }: RunOfSteps): StepKind {
  const kind = permanently("STEP_INVALID", () => checkStepOptions(`step '${checkStepName("step", name)}'`, options, isCritical));
  if (open !== undefined) throw new PermanentError(`step '${name}': expected one step at a time, '${open}' has not ended`, { code: "STEP_OVERLAP" });
  if (met?.has(name) === true) throw new PermanentError(`step '${name}': expected each step's name once in a run`, { code: "STEP_REPEATED" });
  if (typeof effect === "function") return kind;
  throw new PermanentError(`step '${name}': expected its effect, a function, as the last argument, got ${show(effect)}`, { code: "STEP_INVALID" });
}

/** Recorded steps that another shape of the skill made and this one has not met. */
export function unmetSteps({ pipelineChanged, steps }: ThreadOrder, met: ReadonlySet<string> | undefined): string | undefined {
  if (!pipelineChanged) return undefined;
  const unmet = steps.map(({ name }) => name).filter((name) => met?.has(name) !== true);
  return unmet.length === 0 ? undefined : `expected the skill to meet the recorded steps ${unmet.join(", ").slice(0, 500)} before a new one, it did not`;
}
