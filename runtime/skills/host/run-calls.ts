/** The calls of a run: their keys, how they went, and what they used of limits. */
import type { Usage } from "../../core/limits.ts";
import type { CallReport } from "../../core/outcome.ts";
import { fieldOf } from "../../core/redact.ts";
import { checkCallOptions } from "../author/check-limits.ts";
import type { CallOptions } from "../author/context.ts";
import type { Dependency } from "../author/define-dependency.ts";
import { SkillError } from "../author/errors.ts";
import { type Call, type CallingRun, callDependency } from "./call-dependency.ts";
import { CallLedger } from "./call-ledger.ts";
import { spentBy } from "./generative-ai.ts";
import { HeardCall } from "./call-result.ts";
import type { OpenStep } from "./open-step.ts";
import type { PreparedDependency, PreparedSkill } from "./prepared-skill.ts";
import { permanently, unknownDependency } from "./run-errors.ts";
import type { ThreadOrder } from "./run-order.ts";
import type { RunRecorder } from "./run-recorder.ts";
import { type MeteredCall, UsageMeter } from "./usage-meter.ts";

/** What they need of the run. */
export interface RunOfCalls extends CallingRun {
  readonly order: Pick<ThreadOrder, "allowances">;
  readonly isEnded: boolean;
  /** Of the whole run. */
  readonly idempotencyKey: string;
  readonly open: OpenStep | undefined;
  /** Undefined when nothing is traced. */
  readonly recorder: RunRecorder | undefined;
  askForMore(dependency: number, usage: Usage, waitMaxMs: number): Promise<number>;
}

export class RunCalls {
  readonly #run: RunOfCalls;
  readonly #dependencies: PreparedSkill["dependencies"];
  readonly #ledger = new CallLedger();
  #meter: UsageMeter | undefined;

  constructor(run: RunOfCalls, dependencies: PreparedSkill["dependencies"]) {
    this.#run = run;
    this.#dependencies = dependencies;
  }

  /** How they went so far. */
  reports(timedOut: boolean): readonly CallReport[] {
    const reports = this.#ledger.reports(timedOut);
    return this.#meter?.addTo(reports) ?? reports;
  }

  async call<Request, Response>(dependency: Dependency<Request, Response>, request: Request, options?: CallOptions<Response>): Promise<Response> {
    const prepared = this.#dependencies.get(fieldOf(dependency, "name") as string);
    if (prepared === undefined) throw unknownDependency(dependency, [...this.#dependencies.keys()]);
    const { name } = prepared;
    if (options !== undefined) permanently("CALL_INVALID", () => checkCallOptions(name, options));
    const metered = this.#measure(prepared, request, options);
    const heard = new HeardCall(this.#ledger, prepared);
    try {
      const response = await callDependency(this.#run, prepared, this.#describe(heard, prepared, request, metered));
      metered?.answered(response);
      const spent = prepared.generativeAi && spentBy(prepared.generativeAi, response);
      if (spent !== undefined) this.#ledger.spent(name, spent);
      heard.ended(undefined);
      return response as Response;
    } catch (error) {
      const isAnswer = !this.#run.isEnded && error instanceof SkillError;
      metered?.failed(isAnswer && error.definite);
      if (isAnswer) heard.ended(error);
      else heard.left();
      throw error;
    }
  }

  #measure(prepared: PreparedDependency, request: unknown, options: CallOptions<never> | undefined): MeteredCall | undefined {
    const { limits } = prepared;
    if (limits === undefined) return undefined;
    this.#meter ??= new UsageMeter(this.#run.order.allowances ?? [], (...more) => this.#run.askForMore(...more));
    return this.#meter.begin(prepared, limits, request, options);
  }

  /** A step's first call of a dependency goes out under the step's own key, its second under one with a number, and so on. */
  #describe(heard: HeardCall, dependency: PreparedDependency, request: unknown, metered: MeteredCall | undefined): Call {
    const { open, recorder } = this.#run;
    const calls = open?.part.calls ?? this.#ledger.outside;
    const number = (calls.get(dependency.name) ?? 0) + 1;
    calls.set(dependency.name, number);
    const key = open?.part.callKey ?? this.#run.idempotencyKey;
    const idempotencyKey = number === 1 ? key : `${key}-${number}`;
    const { name: step, kind: stepKind, span } = open ?? {};
    const traced = recorder?.call(dependency, request, idempotencyKey, span);
    return { request, idempotencyKey, step, stepKind, allow: metered?.allow, heard, traced };
  }
}
