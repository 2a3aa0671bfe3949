/**
 * Compensates a run that has failed for good. The skill is run once more as a way to its compensations: recorded steps give their
 * results, and the first that is not recorded ends the way. Then the recorded steps are compensated, the last one first, each with
 * an entry in the run's record before its try and after it:
 *
 *   the skill again: meet, meet, … ─▶ [trying] ─▶ compensate ─▶ [compensated | not-compensated] ─▶ … ─▶ ended
 *                                        ▲            └─(failed, may pass)─▶ [trying, failed + 1] ─▶ the run again, later
 */
import { type Compensation, compensationsOf, encodeCompensation, isOwnRecord, verdictOf } from "../../core/compensation.ts";
import type { FailureRecord, RunAnswer } from "../../core/outcome.ts";
import type { StepKind, StepRecord } from "../../core/run.ts";
import type { RetryPolicy } from "../../core/skill.ts";
import { isExhausted, planCompensation } from "../../policy/saga.ts";
import type { CompensationContext, StepContext, StepOptions } from "../author/context.ts";
import { PermanentError } from "../author/errors.ts";
import { postponeReasonOf } from "../../policy/recoverability.ts";
import { type StepOutcome, decodeStep } from "./step-codec.ts";

/** What a saga needs of its run. */
export interface CompensatedRun {
  readonly retry: Pick<RetryPolicy, "attemptsMax" | "lossesMax">;
  /** Throws when the run must not go on. */
  checkBoundary(): void;
  write(record: StepRecord): Promise<void>;
  /** Under the key of the step's compensation; a query under one that is new at every try. */
  perform(step: string, kind: StepKind, part: "compensate" | "query", work: (context: StepContext<never>, stepKey: string) => unknown): Promise<unknown>;
  describe(thrown: unknown, step: string): { readonly record: FailureRecord; readonly retryable: boolean | undefined };
  end(answer: RunAnswer): void;
  readonly isEnded: boolean;
}

type Options = StepOptions<unknown, never>;
type Trying = Extract<Compensation, { state: "trying" }>;

const messageMax = 200;

export class Saga {
  readonly #steps: readonly StepRecord[];
  readonly #log: Map<string, Compensation>;
  readonly #met = new Map<string, Options>();
  /** `over`: a step was met that is not recorded, nothing may begin any more. */
  stage: "before" | "replaying" | "over" | "compensating" = "before";

  constructor(steps: readonly StepRecord[]) {
    this.#steps = steps.filter((record) => !isOwnRecord(record));
    this.#log = new Map(compensationsOf(steps));
  }

  /** Undefined of a run that runs forward. */
  static of(steps: readonly StepRecord[]): Saga | undefined {
    return verdictOf(steps) === undefined ? undefined : new Saga(steps);
  }

  /** What a recorded step left; any other one begins no more. */
  meet(name: string, options: Options): StepOutcome {
    this.#met.set(name, options);
    const record = this.#steps.find((step) => step.name === name);
    const stored = record?.state === "completed" ? decodeStep(record) : undefined;
    if (stored !== undefined && this.stage === "replaying") return stored;
    this.stage = "over";
    throw new PermanentError(`step '${name}': expected a recorded step, the run has failed for good and is being compensated`, { code: "COMPENSATING" });
  }

  /** What the skill does outside of steps on its way back may call, too; past the last recorded step nothing may. */
  checkMayCall(): void {
    if (this.stage === "over") throw new PermanentError("expected no call, the run has failed for good and is being compensated", { code: "COMPENSATING" });
  }

  /** The skill has come as far as it can. */
  async compensate(run: CompensatedRun): Promise<void> {
    this.stage = "compensating";
    for (const record of this.#steps.toReversed()) {
      run.checkBoundary();
      if (!(await this.#compensateStep(run, record))) return;
    }
    run.end({ kind: "compensated", log: [...this.#log] });
  }

  /** Whether the next one may begin. */
  async #compensateStep(run: CompensatedRun, record: StepRecord): Promise<boolean> {
    const { name } = record;
    const known = this.#log.get(name) ?? { state: "trying", begun: 0, failed: 0 };
    if (known.state !== "trying") return true;
    const options = this.#met.get(name);
    const stored = record.state === "completed" ? decodeStep(record) : undefined;
    const compensation = options?.compensate;
    const standing = { record, isReadable: stored !== undefined, isMet: options !== undefined, hasCompensation: compensation !== undefined };
    const plan = planCompensation(standing);
    if (plan.kind === "impossible") return await this.#giveUp(run, name, { code: plan.code, message: plan.why });
    if (plan.kind === "none" || compensation === undefined) return true;
    if (isExhausted(known, run.retry))
      return await this.#giveUp(run, name, { code: "TRIES_ENDED", message: `it was begun ${known.begun} times and did not end` });
    const trying: Trying = { ...known, begun: known.begun + 1 };
    await this.#enter(run, name, trying);
    run.checkBoundary();
    try {
      const found = plan.kind === "query" ? await this.#query(run, record, options) : stored?.result;
      const wasNeeded = plan.kind !== "query" || found !== undefined;
      const isInDoubt = plan.kind === "compensate" && plan.isInDoubt;
      if (wasNeeded) {
        await run.perform(name, record.kind, "compensate", (step, stepKey) => compensation(compensationContext(step, stepKey, isInDoubt), found));
      }
      run.checkBoundary();
      await this.#enter(run, name, { state: "compensated", wasNeeded });
      return true;
    } catch (error) {
      if (run.isEnded) throw error;
      return await this.#failed(run, name, trying, error);
    }
  }

  #query(run: CompensatedRun, { name, kind }: StepRecord, options: Options | undefined): Promise<unknown> {
    return run.perform(name, kind, "query", (step) => (options?.kind === "queryable" ? options.query(step) : undefined));
  }

  async #failed(run: CompensatedRun, step: string, trying: Trying, error: unknown): Promise<boolean> {
    const { record, retryable } = run.describe(error, step);
    // Where the circuit is open no try was made.
    const isTried = postponeReasonOf(record.code) === undefined;
    const now: Trying = isTried ? { ...trying, failed: trying.failed + 1 } : { ...trying, begun: trying.begun - 1 };
    if (isTried && (retryable === false || isExhausted(now, run.retry))) {
      return await this.#giveUp(run, step, { code: record.code, message: record.message.slice(0, messageMax) });
    }
    await this.#enter(run, step, now);
    run.end({ kind: "compensating", failure: record, tries: now.failed });
    return false;
  }

  /** That is on record; the others are compensated all the same. */
  async #giveUp(run: CompensatedRun, step: string, why: Pick<FailureRecord, "code" | "message">): Promise<true> {
    await this.#enter(run, step, { state: "not-compensated", ...why });
    return true;
  }

  async #enter(run: CompensatedRun, step: string, compensation: Compensation): Promise<void> {
    await run.write(encodeCompensation(step, compensation));
    this.#log.set(step, compensation);
  }
}

function compensationContext(step: StepContext<never>, stepKey: string, isInDoubt: boolean): CompensationContext<never> {
  return {
    event: step.event,
    get signal() {
      return step.signal;
    },
    log: step.log,
    attempt: step.attempt,
    idempotencyKey: step.idempotencyKey,
    stepKey,
    isInDoubt,
    isOn: (flag) => step.isOn(flag),
    qualityOf: (name) => step.qualityOf(name),
    call: (dependency, request) => step.call(dependency, request),
    use: (resource) => step.use(resource),
    settings: step.settings,
  };
}
