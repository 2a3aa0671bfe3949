/** The calls of a run: their keys, how they went, and what they used of limits. */
import type { Usage } from "../../core/limits.ts";
import type { CallReport } from "../../core/outcome.ts";
import { fieldOf } from "../../core/redact.ts";
import { checkCallOptions } from "../author/check-limits.ts";
import type { CallOptions } from "../author/context.ts";
import type { Dependency } from "../author/define-dependency.ts";
import { SkillError } from "../author/errors.ts";
import { CallAnswers } from "./call-answers.ts";
import { type Call, type CallingRun, callDependency } from "./call-dependency.ts";
import { CallLedger } from "./call-ledger.ts";
import { spentBy } from "./generative-ai.ts";
import { HeardCall } from "./call-result.ts";
import type { OpenStep } from "./open-step.ts";
import type { PreparedDependency, PreparedSkill } from "./prepared-skill.ts";
import { permanently, unknownDependency } from "./run-errors.ts";
import type { ThreadOrder } from "./run-order.ts";
import { placeOfCall } from "./run-identity.ts";
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
  readonly #answers = new CallAnswers();
  #meter: UsageMeter | undefined;

  constructor(run: RunOfCalls, dependencies: PreparedSkill["dependencies"]) {
    this.#run = run;
    this.#dependencies = dependencies;
  }

  /** How they went so far; `hasFailed`: with what they were answered. */
  reports(timedOut: boolean, hasFailed: boolean): readonly CallReport[] {
    const reports = this.#ledger.reports(timedOut);
    const all = this.#meter?.addTo(reports) ?? reports;
    return hasFailed ? withAnswers(all, this.#answers.pack()) : all;
  }

  /** The step that was open is on record. */
  stepDone(): void {
    this.#answers.stepDone();
  }

  async call<Request, Response>(dependency: Dependency<Request, Response>, request: Request, options?: CallOptions<Response>): Promise<Response> {
    const prepared = this.#dependencies.get(fieldOf(dependency, "name") as string);
    if (prepared === undefined) throw unknownDependency(dependency, [...this.#dependencies.keys()]);
    const { name } = prepared;
    if (options !== undefined) permanently("CALL_INVALID", () => checkCallOptions(name, options));
    const metered = this.#measure(prepared, request, options);
    const heard = new HeardCall(this.#ledger, prepared);
    const call = this.#describe(heard, prepared, request, metered);
    const { step, idempotencyKey } = call;
    try {
      const response = await callDependency(this.#run, prepared, call);
      metered?.answered(response);
      const spent = prepared.generativeAi && spentBy(prepared.generativeAi, response);
      if (spent !== undefined) this.#ledger.spent(name, spent);
      heard.ended(undefined);
      this.#answers.add(name, step, placeOfCall(idempotencyKey), response);
      return response as Response;
    } catch (error) {
      const isAnswer = !this.#run.isEnded && error instanceof SkillError;
      metered?.failed(isAnswer && error.definite);
      if (isAnswer) {
        heard.ended(error);
        this.#answers.add(name, step, placeOfCall(idempotencyKey), undefined, error);
      } else heard.left();
      throw error;
    }
  }

  #measure(prepared: PreparedDependency, request: unknown, options: CallOptions<never> | undefined): MeteredCall | undefined {
    const { limits } = prepared;
    if (limits === undefined) return undefined;
    this.#meter ??= new UsageMeter(this.#run.order.allowances ?? [], (...more) => this.#run.askForMore(...more));
    return this.#meter.begin(prepared, limits, request, options);
  }

  /** From 1 among the calls of this dependency in the open step, or outside of steps. */
  #number(dependency: string): number {
    const calls = this.#run.open?.part.calls ?? this.#ledger.outside;
    const number = (calls.get(dependency) ?? 0) + 1;
    calls.set(dependency, number);
    return number;
  }

  /** A step's first call of a dependency goes out under the step's own key, its second under one with a number, and so on. */
  #describe(heard: HeardCall, dependency: PreparedDependency, request: unknown, metered: MeteredCall | undefined): Call {
    const { open, recorder } = this.#run;
    const number = this.#number(dependency.name);
    const key = open?.part.callKey ?? this.#run.idempotencyKey;
    const idempotencyKey = number === 1 ? key : `${key}-${number}`;
    const { name: step, kind: stepKind, span } = open ?? {};
    const traced = recorder?.call(dependency, request, idempotencyKey, span);
    return { request, idempotencyKey, step, stepKind, allow: metered?.allow, heard, traced };
  }
}

function withAnswers(reports: readonly CallReport[], answers: ReadonlyMap<string, Uint8Array>): readonly CallReport[] {
  const known = new Set(reports.map(({ dependency }) => dependency));
  const others = [...answers.keys()].filter((dependency) => !known.has(dependency)).map((dependency): CallReport => ({ dependency, result: "unused" }));
  return [...reports, ...others].map((report) => {
    const bytes = answers.get(report.dependency);
    return bytes === undefined ? report : { ...report, answers: bytes };
  });
}
