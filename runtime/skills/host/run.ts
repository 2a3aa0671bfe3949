/**
 * One run inside a thread: the context its skill sees, and the rules that keep its effects honest.
 *
 *   begin ─▶ running ──(returned, threw)──────────────▶ ended
 *               │ a step: stored result? ─▶ return it
 *               │         in doubt? ─▶ again with the same key | query | park
 *               │         may act? ─▶ [intent] ─▶ effect ─▶ checkpoint ─▶ return; one that is harmless twice is recorded later (late-steps.ts)
 *               └──(time over, taken over, told to stop)──▶ ended
 *
 * A run ends once, with one answer. Ending does not stop the skill's code, which may be anywhere; it takes its hands away: from
 * then on every step and call throws, and nothing it does is recorded. Before each effect the lease is looked at on the
 * monotonic clock, so that a thread that slept through its lease starts nothing more.
 */
import type { OutgoingMessage } from "../../core/delivery.ts";
import type { EventEnvelope } from "../../core/event-envelope.ts";
import type { EventOf } from "../author/event-contracts.ts";
import { type CallReport, type FellBack, failureText, type RunAnswer } from "../../core/outcome.ts";
import type { StepKind, StepQuality, StepRecord } from "../../core/run.ts";
import type { RunTrace } from "../../core/spans.ts";
import { Qualities, worseQuality } from "../../policy/fallback.ts";
import type {
  CallOptions,
  EmitOptions,
  SkillContext,
  SkillLog,
  StepEffect,
  StepOptions,
  TransactionalEffect,
  TransactionalOptions,
} from "../author/context.ts";
import type { Dependency } from "../author/define-dependency.ts";
import type { Resource } from "../author/define-resource.ts";
import type { SettingsReader } from "../author/define-settings.ts";
import { type AskedStep, admitStep, unmetSteps } from "./admit-step.ts";
import { replySite } from "./call-sites.ts";
import { OpenStep, queryPart, recordOf } from "./open-step.ts";
import { OpenStepContext } from "./open-step-context.ts";
import { emittedMax, emitterOf, makeEmission } from "./emit.ts";
import { replyNotAwaited } from "./reply.ts";
import { RunCalls, type RunOfCalls } from "./run-calls.ts";
import { RunMessage } from "./run-message.ts";
import { PermanentError } from "../author/errors.ts";
import { describeFailure, isDefinite, isUndone } from "./failure.ts";
import { fallBack, fallingStep } from "./fallbacks.ts";
import { lateMs, LateSteps, waitForRecord, withLate } from "./late-steps.ts";
import type { PreparedSkill } from "./prepared-skill.ts";
import { forgottenWhy, RunEnded, permanently, runTimeout, stepNotAwaited, stepNotStored } from "./run-errors.ts";
import type { StepAcknowledgement, ToldRuns } from "../../ports/executor.ts";
import type { RunHost } from "./run-host.ts";
import { skillLog } from "./run-log.ts";
import { RunSession, leftBy } from "./run-session.ts";
import { deriveKey } from "./run-identity.ts";
import { RunRecorder, recorded, traceOf } from "./run-recorder.ts";
import { RunSignal } from "./run-signal.ts";
import type { ThreadOrder } from "./run-order.ts";
import { type CompensatedRun, Saga } from "./saga.ts";
import { decodeStep, encodeIntent, isWithdrawn, encodeWithdrawal } from "./step-codec.ts";
import { type AnyStepEffect, type AnyStepOptions, carryOutOnce } from "./transactional.ts";

const noReports: readonly CallReport[] = [];
const nothingEmitted: readonly OutgoingMessage[] = [];

export class Run implements SkillContext<never>, RunOfCalls {
  readonly order: ThreadOrder;
  event: EventOf<never>;
  readonly startedAtMs: number;
  readonly deadlineMs: number;
  leaseUntilMs: number;
  /** How long it has waited until its steps were recorded; and for how many it waits now. */
  recordingMs = 0;
  recording = 0;
  readonly host: RunHost<Run>;
  readonly #prepared: PreparedSkill;
  /** Of a run that has failed for good: it goes backwards. */
  readonly #saga: Saga | undefined;
  /** Names of the steps that were begun or restored. Most runs have none: what a run may not need is made when it does. */
  #met: Set<string> | undefined;
  #emitted: OutgoingMessage[] | undefined;
  #emittedOutside = 0;
  #qualities: Qualities | undefined;
  #calls: RunCalls | undefined;
  #endListeners: Set<() => void> | undefined;
  #signal: RunSignal | undefined;
  #log: SkillLog | undefined;
  #session: RunSession | undefined;
  #message: RunMessage | undefined;
  #recorder: RunRecorder | undefined;
  #late: LateSteps | undefined;
  #open: OpenStep | undefined;
  #failedStep: { readonly error: unknown; readonly name: string } | undefined;
  /** For `Deadlines`. */
  place = -1;
  #isEnded = false;
  #isInterrupted = false;
  #isCalledOff = false;

  constructor(host: RunHost<Run>, prepared: PreparedSkill, order: ThreadOrder, event: EventEnvelope, startedAtMs: number) {
    this.host = host;
    this.#prepared = prepared;
    this.order = order;
    this.event = event as EventOf<never>;
    this.startedAtMs = startedAtMs;
    this.deadlineMs = startedAtMs + order.timeoutMs;
    this.leaseUntilMs = order.leaseUntilMs;
    this.#saga = order.steps.length === 0 ? undefined : Saga.of(order.steps);
  }

  /** Takes what the schema made of the payload. */
  acceptPayload(payload: unknown): void {
    if (this.#saga !== undefined) this.#saga.stage = "replaying";
    if (payload !== this.event.payload) this.event = { ...this.event, payload: payload as never };
  }

  get attempt(): number {
    return this.order.attempt;
  }

  get eventId(): string {
    return this.order.route.eventId;
  }

  get epoch(): number {
    return this.order.epoch;
  }

  get traceId(): string {
    return this.event.traceId;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  get idempotencyKey(): string {
    return this.#derive();
  }

  get signal(): AbortSignal {
    return (this.#signal ??= new RunSignal(this.#isEnded)).signal;
  }

  get log(): SkillLog {
    return (this.#log ??= skillLog((level, message, fields) => this.host.log(this, level, message, fields)));
  }

  get session(): RunSession | undefined {
    return (this.#session ??= RunSession.of(this));
  }

  /** Undefined when nothing is traced. */
  get recorder(): RunRecorder | undefined {
    return this.host.traces === undefined ? undefined : (this.#recorder ??= new RunRecorder(this.host.traces, this));
  }

  /** What is told of it, once it has ended with that answer after so long. */
  traceOf(answer: RunAnswer, durationMs: number): RunTrace | undefined {
    return this.host.traces && traceOf(this.host.traces, this, this.#recorder, answer, durationMs);
  }

  get openStep(): string | undefined {
    return this.#open?.name;
  }

  get open(): OpenStep | undefined {
    return this.#open;
  }

  ask<About extends keyof ToldRuns>(about: About): Promise<ToldRuns[About] | undefined> {
    return this.host.ask(this, about);
  }

  message(): ReturnType<SkillContext["message"]> {
    return (this.#message ??= new RunMessage(this)).read();
  }

  async reply(...[payload, options]: Parameters<SkillContext["reply"]>): Promise<void> {
    if (this.#saga !== undefined) return;
    this.#prepared.callSites.note(replySite);
    await (this.#message ??= new RunMessage(this)).reply(payload, options);
  }

  /** How its calls went until it ended so. Of a run that goes backwards nobody asks again what its calls were answered: what failed is what it did before. */
  reports({ kind }: RunAnswer): readonly CallReport[] {
    const hasFailed = (kind === "failed" || kind === "timed-out" || kind === "outcome-unknown") && this.#saga === undefined;
    return this.#calls?.reports(kind === "timed-out", hasFailed) ?? noReports;
  }

  nowMs(): number {
    return this.host.nowMs();
  }

  isRejectedBy(dependency: number): boolean {
    return this.order.rejectedBy.includes(dependency);
  }

  onEnd(listener: () => void): () => void {
    const listeners = (this.#endListeners ??= new Set());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Asks it to stop: at its next step boundary, or, taken over, at once. */
  interrupt(as: "interrupted" | "stale"): void {
    if (as === "stale") this.end({ kind: "stale" });
    else this.#isInterrupted = true;
  }

  /** Its time is over. */
  expire(): void {
    const { callSites, folder } = this.#prepared;
    this.end({ kind: "timed-out", failure: callSites.complete(runTimeout(this.order.timeoutMs, this.#open?.name), folder) });
  }

  /**
   * Its time is over, and its code has not let the loop turn, so that nobody could say so: its signal does, for a loop that looks at it.
   * The run ends as any other that is past its time once the loop turns.
   */
  callOff(): void {
    this.#isCalledOff = true;
    (this.#signal ??= new RunSignal(false)).abort(this);
  }

  /** Ends the run with an answer, once; later answers are nothing. */
  end(answer: RunAnswer): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.host.ended(this, withLate(answer, this.#late));
    this.#signal?.abort(this);
    if (this.#endListeners !== undefined) for (const listener of this.#endListeners) listener();
  }

  /** The skill has returned. */
  complete(): void {
    if (this.#saga !== undefined) return this.#goBack(this.#saga);
    if (this.#open !== undefined) return this.fail(stepNotAwaited(this.#open.name));
    if (this.#message?.isReplying === true) return this.fail(replyNotAwaited());
    const unmet = unmetSteps(this.order, this.#met);
    if (unmet !== undefined) this.end({ kind: "pipeline-changed", why: unmet });
    else this.end({ kind: "completed", outbox: this.#emitted ?? nothingEmitted, ...leftBy(this.#session) });
  }

  /** The skill has thrown. `isStored` is false where the store does not answer: then nothing waits for it. */
  fail(thrown: unknown, isStored = true): void {
    if (this.#isEnded) return;
    // What it throws because of that is no failure of its own.
    if (this.#isCalledOff) return this.expire();
    if (this.#saga?.stage === "replaying" || this.#saga?.stage === "over") return this.#goBack(this.#saga);
    const { callSites, folder } = this.#prepared;
    const failedStep = this.#failedStep?.error === thrown ? this.#failedStep?.name : undefined;
    const { record, retryable } = describeFailure(thrown, this.#open?.name ?? failedStep, folder);
    const answer = { kind: "failed", failure: callSites.complete(record, folder), retryable } as const;
    const recorded = isStored ? this.#late?.record() : undefined;
    if (recorded === undefined) this.end(answer);
    // What comes next goes on behind them.
    else void waitForRecord(this, recorded).then((result) => this.end(result === "stale" ? { kind: "stale" } : answer));
  }

  checkMayAct(): void {
    if (this.#isEnded) throw new RunEnded();
    const nowMs = this.host.nowMs();
    if (nowMs >= this.leaseUntilMs) this.#stop({ kind: "stale" });
    if (nowMs >= this.deadlineMs) {
      this.expire();
      throw new RunEnded();
    }
  }

  async call<Request, Response>(dependency: Dependency<Request, Response>, request: Request, options?: CallOptions<Response>): Promise<Response> {
    if (this.#isEnded) throw new RunEnded();
    this.#saga?.checkMayCall();
    if (this.#open === undefined && this.#late !== undefined) await this.#recordLate();
    return (this.#calls ??= new RunCalls(this, this.#prepared.dependencies)).call(dependency, request, options);
  }

  askForMore(...more: Parameters<RunOfCalls["askForMore"]>): Promise<number> {
    return this.host.askForMore(this, ...more);
  }

  emit(eventType: string, payload: unknown, options?: EmitOptions, address?: Partial<OutgoingMessage>): void {
    if (this.#isEnded) throw new RunEnded();
    if (this.#saga !== undefined) return;
    const part = this.#open?.part;
    const list = this.#open?.emitted ?? (this.#emitted ??= []);
    if (list.length >= emittedMax) throw new PermanentError(`emit: expected at most ${emittedMax} events, got one more`, { code: "EMIT_LIMIT" });
    const eventId = this.#derive("emit", part?.emitKey ?? "", part?.emitted ?? this.#emittedOutside);
    const quality = worseQuality(this.#qualities?.worst ?? "full", this.#open?.quality ?? "full");
    const traceparent = this.recorder?.created(eventId, eventType, this.#open?.span);
    const emitter = { ...emitterOf(this, this.#prepared), eventId, quality, traceparent };
    const message = permanently("EMIT_INVALID", () => makeEmission(emitter, eventType, payload, options));
    list.push(address === undefined ? message : { ...message, ...address });
    if (part === undefined) this.#emittedOutside += 1;
    else part.emitted += 1;
  }

  use<Value>(resource: Resource<Value>): Promise<Value> {
    return this.#isEnded ? Promise.reject(new RunEnded()) : this.host.resources.use(resource);
  }

  get settings(): SettingsReader["settings"] {
    return this.host.resources.info.settings;
  }

  isOn(flag: string): boolean {
    return this.host.flags.isOn(flag);
  }

  qualityOf(step: string): StepQuality {
    return this.#qualities?.of(step) ?? "full";
  }

  step<Result>(name: string, effect: StepEffect<Result, never>): Promise<Result>;
  step<Result>(name: string, options: StepOptions<Result, never>, effect: StepEffect<Result, never>): Promise<Result>;
  step<Result, Transaction>(
    name: string,
    options: TransactionalOptions<Result, Transaction, never>,
    effect: TransactionalEffect<Result, Transaction, never>,
  ): Promise<Result>;
  // An asynchronous function keeps all its variables for as long as it waits: what is decided at once is decided in functions of its own.
  async step<Result>(name: string, given: AnyStepOptions<Result> | AnyStepEffect<Result>, last?: AnyStepEffect<Result>): Promise<Result> {
    if (this.#isEnded) throw new RunEnded();
    const asked = admitStep(name, given, last, { isCritical: this.#prepared.skill.critical, steps: this.order.steps, open: this.#open?.name, met: this.#met });
    this.#prepared.callSites.note(name);
    if (this.#isInterrupted) await this.#recordLate().then(() => this.#stop({ kind: "interrupted" }));
    const open = this.#enter(asked);
    if (!(open instanceof OpenStep)) return open.result as Result;
    try {
      // Awaited here, one behind the other, so that the stack of what an effect throws leads to the skill's own code in few frames.
      const context = new OpenStepContext(this, open);
      const known = this.#mayBegin(open, asked) ? undefined : await this.#makeSure(open, context, asked);
      const result = known === undefined ? await this.#carryOut(open, context, asked) : known.result;
      this.#open = undefined;
      this.#recorder?.answered(open.span, open.quality);
      return result as Result;
    } catch (error) {
      this.#fail(open, error);
      throw error;
    }
  }

  /** The step as it is open from now on, or what it has left already. */
  #enter({ name, kind, options, record }: AskedStep): OpenStep | { readonly result: unknown } {
    const stored = record?.state === "completed" ? decodeStep(record) : undefined;
    const left = this.#saga?.meet(name, options as StepOptions<unknown, never>) ?? stored;
    if (this.#saga === undefined) (this.#met ??= new Set()).add(name);
    if (left !== undefined) {
      this.#keep(name, this.#saga === undefined ? left.emitted : nothingEmitted, left.quality);
      return left;
    }
    const unmet = record === undefined ? unmetSteps(this.order, this.#met) : undefined;
    if (unmet !== undefined) this.#stop({ kind: "pipeline-changed", why: unmet });
    const mayBeLate = kind === "idempotent" && options.compensate === undefined && !this.#prepared.skill.critical;
    return (this.#open = this.#openStep(name, kind, "step", mayBeLate ? this.host.nowMs() + lateMs : 0));
  }

  /** A step that failed is closed, so that the skill may go another way; the failure keeps its name. */
  #fail(open: OpenStep, error: unknown): void {
    if (this.#open === open) this.#open = undefined;
    this.#recorder?.failed(open.span, error);
    this.#failedStep = { error, name: open.name };
  }

  #openStep(name: string, kind: StepKind, what: "step" | "compensate", lateUntilMs = 0): OpenStep {
    return new OpenStep(this, name, kind, what, this.recorder?.step(name, kind, what), lateUntilMs);
  }

  /** Whether no doubt is to be settled and nothing to be recorded first: then the effect begins within the call of the step. */
  #mayBegin(open: OpenStep, { kind, record, options }: AskedStep): boolean {
    // What may have to be compensated must be known to have begun.
    const isSaid = kind === "queryable" || options.compensate !== undefined;
    open.hasIntent = kind === "atMostOnce" || (isSaid && (record === undefined || isWithdrawn(record)));
    if (record !== undefined || open.hasIntent) return false;
    return open.lateUntilMs > 0 || (this.#late === undefined && !this.order.inDoubt);
  }

  /** Settles doubts about an earlier try, and records that the effect is about to begin; undefined where it is to be carried out. */
  async #makeSure(open: OpenStep, context: OpenStepContext, { name, kind, record, options }: AskedStep): Promise<{ readonly result: unknown } | undefined> {
    if (open.lateUntilMs === 0 && this.#late !== undefined) await this.#recordLate();
    // What the record says decides what the doubt is about; what the skill says now decides how to try again.
    if (record?.kind === "atMostOnce") {
      const why = record.state === "intent" ? "its effect may have happened" : "its result cannot be read";
      this.#stop({ kind: "outcome-unknown", step: name, why });
    }
    const isForgotten = record === undefined && this.order.inDoubt;
    if (isForgotten && kind === "atMostOnce") this.#stop({ kind: "outcome-unknown", step: name, why: forgottenWhy });
    this.checkMayAct();
    if ((record !== undefined || isForgotten) && options.kind === "queryable") {
      const effectPart = open.part;
      open.part = queryPart(open, this);
      const found = await options.query(context);
      this.checkMayAct();
      if (found !== undefined) return { result: await this.#checkpoint(open, found) };
      open.part = effectPart;
    }
    if (open.hasIntent) await this.#write(encodeIntent(name, kind === "idempotent" ? "keyed" : kind));
    return undefined;
  }

  async #carryOut(open: OpenStep, context: OpenStepContext, { options, effect }: AskedStep): Promise<unknown> {
    this.checkMayAct();
    let result: unknown;
    let stored: StepRecord | undefined;
    try {
      if (options.kind === "transactional") ({ result, stored } = await carryOutOnce(this, open, context, options.database, effect));
      else result = await (effect as StepEffect<unknown, never>)(context);
    } catch (error) {
      return await this.#fallBack(open, context, options, error);
    }
    if (this.#isEnded) throw new RunEnded();
    return this.#checkpoint(open, result, undefined, stored);
  }

  /** The effect has failed: a fallback answers in its place, or the step fails. */
  async #fallBack(open: OpenStep, effect: OpenStepContext, options: AnyStepOptions<unknown>, error: unknown): Promise<unknown> {
    const chain = options.fallbacks;
    this.#recorder?.stumbled();
    const answer =
      chain === undefined ? ({ kind: "failed", error, doubt: error } as const) : await fallBack(fallingStep(this, open, effect), effect, chain, error);
    if (answer.kind === "failed") {
      const { kind, name, hasIntent } = open;
      if (kind === "atMostOnce") await this.#settleDoubt(open, answer.doubt);
      else if (hasIntent && kind !== "queryable" && !this.#isEnded && (options.kind === "transactional" ? isUndone(answer.doubt) : isDefinite(answer.doubt)))
        await this.#write(encodeWithdrawal(name));
      throw answer.error;
    }
    if (this.#isEnded) throw new RunEnded();
    return await this.#checkpoint(open, answer.result, answer.fellBack);
  }

  /** An effect that must happen at most once has thrown: certain that nothing happened, its intent is withdrawn; else it is parked. */
  async #settleDoubt(open: OpenStep, error: unknown): Promise<void> {
    if (this.#isEnded) return;
    if (!isDefinite(error))
      this.#stop({ kind: "outcome-unknown", step: open.name, why: failureText(describeFailure(error, undefined, this.#prepared.folder).record, undefined) });
    await this.#write(encodeWithdrawal(open.name));
  }

  /** Answers at once where the record may be late. */
  #checkpoint(open: OpenStep, result: unknown, fellBack?: FellBack, stored?: StepRecord): unknown {
    const record = stored ?? recordOf(open, result);
    const isKept = fellBack === undefined && open.lateUntilMs >= this.host.nowMs() && (this.#late ??= LateSteps.of(this)).keep(record);
    return isKept ? this.#passed(open, record, result) : this.#write(record, fellBack).then(() => this.#passed(open, record, result));
  }

  /** Returns what a resumed run would get. */
  #passed(open: OpenStep, record: StepRecord, result: unknown): unknown {
    this.#calls?.stepDone();
    this.#keep(open.name, open.emitted, open.quality);
    return typeof result === "object" && result !== null ? decodeStep(record)?.result : result;
  }

  /** What a step leaves beside its result. */
  #keep(step: string, emitted: readonly OutgoingMessage[], quality: StepQuality): void {
    if (emitted.length > 0) (this.#emitted ??= []).push(...emitted);
    if (quality !== "full") (this.#qualities ??= new Qualities()).keep(step, quality);
  }

  async #write(step: StepRecord, fellBack?: FellBack): Promise<void> {
    this.#late?.send();
    this.#written(await waitForRecord(this, this.host.writeStep(this, step, fellBack)), step);
  }

  #written(result: StepAcknowledgement["result"] | undefined, step: StepRecord | undefined): void {
    if (this.#isEnded) throw new RunEnded();
    if (result === "stale") this.#stop({ kind: "stale" });
    if (result === "unavailable") {
      const error = stepNotStored(step);
      this.fail(error, false);
      throw error;
    }
  }

  /** What may not be repeated with other results begins only once the steps before it are on record. */
  async #recordLate(): Promise<void> {
    this.#written(await waitForRecord(this, this.#late?.record()), undefined);
  }

  /** The skill has come to all its compensations that it could: they are carried out. */
  #goBack(saga: Saga): void {
    if (this.#isEnded) return;
    saga.compensate(this.#asCompensated()).catch((error: unknown) => this.fail(error));
  }

  #asCompensated(): CompensatedRun {
    const isEnded = (): boolean => this.#isEnded;
    return {
      retry: this.#prepared.skill.retry,
      get isEnded() {
        return isEnded();
      },
      checkBoundary: () => {
        this.checkMayAct();
        if (this.#isInterrupted) this.#stop({ kind: "interrupted" });
      },
      write: (record) => this.#write(record),
      describe: (thrown, step) => describeFailure(thrown, step, this.#prepared.folder),
      end: (answer) => this.end(answer),
      perform: async (name, kind, part, work) => {
        const open = this.#openStep(name, kind, "compensate");
        if (part === "query") open.part = queryPart(open, this);
        this.#open = open;
        try {
          return await recorded(this.#recorder, open.span, work(new OpenStepContext(this, open), this.stepKey(name, "step")));
        } finally {
          if (this.#open === open) this.#open = undefined;
        }
      },
    };
  }

  /** Ends the run and leaves the skill. */
  #stop(answer: RunAnswer): never {
    this.end(answer);
    throw new RunEnded();
  }

  stepKey(name: string, what: "step" | "compensate"): string {
    return what === "step" ? this.#derive(name) : this.#derive(name, what);
  }

  #derive(...parts: readonly (string | number)[]): string {
    return deriveKey({ consumer: this.host.consumerOf(this.order), eventId: this.eventId, generation: this.order.generation }, ...parts);
  }
}
