import type { Timer } from "../../core/clock.ts";
import type { Usage } from "../../core/limits.ts";
import type { FellBack, RunAnswer } from "../../core/outcome.ts";
import type { StepRecord } from "../../core/run.ts";
import type { SamplingPolicy } from "../../core/spans.ts";
import type { StepAcknowledgement, ToldRuns } from "../../ports/executor.ts";
import type { LogLevel } from "../author/context.ts";
import type { Deadlines } from "./deadlines.ts";
import type { EventContracts } from "./event-contracts.ts";
import type { Flags } from "./flags.ts";
import type { LateSteps } from "./late-steps.ts";
import type { Resources } from "./resources.ts";
import type { ThreadOrder } from "./run-order.ts";

/** What a run needs of its thread. */
export interface RunHost<Run> {
  /** What its source is kept under. */
  consumerOf(order: Pick<ThreadOrder, "source">): string;
  /** Names the emitter of events; the skill's name when undefined. */
  readonly agent: string | undefined;
  /** Which runs are told of as spans; undefined when nothing is traced. */
  readonly traces: SamplingPolicy | undefined;
  /** Undefined where the worker has none. */
  readonly contracts: EventContracts | undefined;
  readonly flags: Pick<Flags, "isOn">;
  nowMs(): number;
  wallMs(): number;
  random(): number;
  after(delayMs: number, action: () => void): Timer;
  mayRetryCall(): boolean;
  isCircuitOpen(dependency: number): boolean;
  /** `fellBack`: a fallback has answered. */
  writeStep(run: Run, step: StepRecord, fellBack?: FellBack): Promise<StepAcknowledgement["result"]>;
  /** Sees to it that they are on their way in time. */
  readonly late: Pick<Deadlines<LateSteps>, "add" | "delete">;
  /** Asks for more of a dependency that is limited: 0 when the call may go on, or the run has ended; else how long there will be nothing. */
  askForMore(run: Run, dependency: number, usage: Usage, waitMaxMs: number): Promise<number>;
  /** Asks for what the thread does not have: undefined when it could not be had, or the run has ended. */
  ask<About extends keyof ToldRuns>(run: Run, about: About): Promise<ToldRuns[About] | undefined>;
  readonly resources: Pick<Resources, "use" | "info">;
  log(run: Run, level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> | undefined): void;
  ended(run: Run, answer: RunAnswer): void;
}
