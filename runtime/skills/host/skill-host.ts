/**
 * Executes runs inside a thread, many at a time. It knows nothing of threads: what it has to say goes to a sink, and its clock
 * is handed in.
 */
import { AsyncResource } from "node:async_hooks";
import { ChurningTable } from "../../core/churning.ts";
import type { Clock, Random, Timer } from "../../core/clock.ts";
import type { EventOf } from "../author/event-contracts.ts";
import type { Usage } from "../../core/limits.ts";
import type { CallReport, FellBack, RunAnswer } from "../../core/outcome.ts";
import type { DecodeLimits } from "../../core/read-route.ts";
import type { StepRecord } from "../../core/run.ts";
import type { RunTrace, SamplingPolicy } from "../../core/spans.ts";
import { RetryLedger } from "../../policy/retry-ledger.ts";
import type { QuestionAnswer, StepAcknowledgement, ToldRuns } from "../../ports/executor.ts";
import { circuitStates } from "./call-dependency.ts";
import type { LateSteps } from "./late-steps.ts";
import type { LogLevel } from "../author/context.ts";
import { Deadlines } from "./deadlines.ts";
import { describeFailure } from "./failure.ts";
import { decodeEvent } from "./decode-event.ts";
import type { Decoded } from "./decode-body.ts";
import type { EventContracts } from "./event-contracts.ts";
import { Flags } from "./flags.ts";
import { originOf } from "./module-owner.ts";
import type { PreparedSkill } from "./prepared-skill.ts";
import type { SkillLogLine } from "./run-log.ts";
import type { ThreadOrder } from "./run-order.ts";
import { type RunIds, describeRun, idsOf, runContext } from "./run-context.ts";
import type { RunHost } from "./run-host.ts";
import { type ResourceListener, type ResourceOptions, Resources } from "./resources.ts";
import { ThreadSettingsTable } from "./settings.ts";
import { Run } from "./run.ts";

/** Where the host reports. Called synchronously; whoever listens groups by tick. */
export interface HostSink {
  /** `recordingMs`: of its duration, what it waited until its steps were recorded. `trace`: of a run that is told of. */
  result(runId: number, answer: RunAnswer, calls: readonly CallReport[], durationMs: number, recordingMs: number, trace?: RunTrace): void;
  /** `fellBack`: what answered in place of the step's effect. */
  step(runId: number, requestId: number, step: StepRecord, fellBack?: FellBack): void;
  /** A run needs more of a dependency that is limited. */
  usage(runId: number, requestId: number, dependency: number, usage: Usage, waitMaxMs: number): void;
  /** A run asks for what its thread does not have. */
  question(runId: number, requestId: number, about: keyof ToldRuns): void;
  /** `ids`: of the run that it belongs to. */
  log(line: SkillLogLine, ids?: RunIds): void;
  /** Code of a run of this skill was at work until now. */
  worked(skill: string): void;
}

export interface SkillHostOptions {
  /** What is read, by the numbers of orders: part of every idempotency key. */
  readonly consumers: readonly string[];
  /** Names the emitter of events; default the skill's name. */
  readonly agent: string | undefined;
  readonly limits: DecodeLimits;
  readonly skills: ReadonlyMap<string, PreparedSkill>;
  /** A state for each dependency, by its number; see `circuitStates`. */
  readonly circuits: Int32Array;
  /** Memory of the `RetryLedger` that the whole worker shares. */
  readonly retries: ArrayBuffer | SharedArrayBuffer;
  readonly sink: HostSink;
  /** Its monotonic clock is that of the whole process. */
  readonly clock: Omit<Clock, "soon">;
  readonly random: Random;
  /** Which runs are told of as spans; undefined when nothing is traced. */
  readonly traces?: SamplingPolicy | undefined;
  readonly resources?: ResourceListener & Partial<Pick<ResourceOptions, "clock" | "provided">>;
  /** Of the thread's plugins. */
  readonly settings?: ThreadSettingsTable;
  /** What payloads are checked by; undefined where the worker has no contracts. */
  readonly contracts?: EventContracts | undefined;
  /** Default: none. */
  readonly flags?: Flags | undefined;
}

/** Whose code a thread is executing. */
export interface AtWork {
  /** Undefined when it belongs to no run, or to one that has ended. */
  readonly runId: number | undefined;
  /** Of a run that was ended before its code was: past its time, taken over or interrupted. */
  readonly isCalledOff: boolean;
  /** For people to read. */
  readonly what: string;
  /** `file:line:column` of the plugin's own code; empty where none of it is at work. */
  readonly at: string;
}

/** News of a run that came before the run itself, or after its end. */
interface Early {
  readonly stop?: "interrupted" | "stale";
  readonly leaseUntilMs?: number;
}

/** Early news is kept of this many runs, the latest ones. */
const earlyMax = 4_096;

/** Of runs that were ended before their code was, the latest ones are known. */
const calledOffMax = 1_024;

/** Runs that a description names. */
const describedMax = 5;

const noCalls: readonly CallReport[] = [];
const promised: Pick<Promise<unknown>, "then"> = Promise.prototype;

export class SkillHost implements RunHost<Run> {
  readonly agent: string | undefined;
  readonly traces: SamplingPolicy | undefined;
  readonly resources: Resources;
  readonly settings: ThreadSettingsTable;
  readonly contracts: EventContracts | undefined;
  readonly flags: Flags;
  readonly #options: SkillHostOptions;
  readonly #runs = ChurningTable.byNumber<Run>();
  /** Numbers of runs that were ended before their code was. */
  readonly #calledOff = new Set<number>();
  /**
   * The asynchronous context that every run's code begins in, and that ends with it: what a skill enters (`AsyncLocalStorage.enterWith`) does not
   * reach the runs after it. To enter a run's ids from here costs less than from the context of the run before.
   */
  readonly #outside = new AsyncResource("holdfast.runs");
  readonly #early = new Map<number, Early>();
  readonly #writes = new Map<number, (result: StepAcknowledgement["result"]) => void>();
  readonly #asks = new Map<number, (afterMs: number) => void>();
  readonly #questions = new Map<number, (said: QuestionAnswer["said"]) => void>();
  readonly late: Deadlines<LateSteps>;
  readonly #deadlines: Deadlines<Run>;
  readonly #retries: RetryLedger;
  #lastRequestId = 0;

  constructor(options: SkillHostOptions) {
    this.agent = options.agent;
    this.traces = options.traces;
    this.contracts = options.contracts;
    this.flags = options.flags ?? Flags.of(new Map());
    this.#options = options;
    this.#retries = new RetryLedger(options.retries);
    this.settings = options.settings ?? new ThreadSettingsTable();
    this.resources = new Resources({ clock: options.clock, ...options.resources, settings: this.settings.read });
    this.#deadlines = new Deadlines(options.clock, (run) => run.expire());
    this.late = new Deadlines(options.clock, (steps) => steps.send());
  }

  consumerOf({ source }: Pick<ThreadOrder, "source">): string {
    const { consumers } = this.#options;
    const consumer = consumers[source];
    if (consumer === undefined) throw new RangeError(`expected one of ${consumers.length} sources, got number ${source}`);
    return consumer;
  }

  /** Runs that have not ended. */
  get active(): number {
    return this.#runs.size;
  }

  /** Of these, how many wait until their steps are recorded. */
  get recording(): number {
    return [...this.#runs.values()].filter((run) => run.recording > 0).length;
  }

  /** The runs that have not ended, the longest at work first; for people to read. */
  describeActive(): string {
    const runs = [...this.#runs.values()].sort((one, other) => one.startedAtMs - other.startedAtMs);
    if (runs.length === 0) return "no run was at work";
    const named = runs.slice(0, describedMax).map((run) => describeRun({ skill: run.order.skill, eventId: run.eventId }));
    return `at work: ${named.join(", ")}${runs.length > describedMax ? ` and ${runs.length - describedMax} more` : ""}`;
  }

  /** Whose code threw something that no run waits for; for people to read. */
  describeOrigin(thrown: unknown, ids: RunIds | undefined): string {
    if (ids === undefined) {
      const owner = originOf(thrown)?.owner;
      return `${owner === undefined ? "" : `by ${owner.name}, `}outside of every run; ${this.describeActive()}`;
    }
    return `by ${describeRun(ids)}${this.#runs.get(ids.runId) !== undefined ? "" : ", which had ended"}`;
  }

  /**
   * Whose code is at work at this very moment, in the middle of whatever it does. A run among those that have not ended whose time is over
   * is called off: code that never lets the loop turn can see nothing but its signal.
   */
  atWork(): AtWork {
    const ids = runContext.getStore();
    const here = new Error("at work");
    const run = ids === undefined ? undefined : this.#runs.get(ids.runId);
    if (run !== undefined && this.nowMs() >= run.deadlineMs) run.callOff();
    const at = ids === undefined ? originOf(here)?.at : describeFailure(here, undefined, this.folderOf(ids)).record.at;
    const isCalledOff = run === undefined && ids !== undefined && this.#calledOff.has(ids.runId);
    return { runId: run?.order.runId, isCalledOff, what: this.describeOrigin(here, ids), at: at ?? "" };
  }

  /** The plugin's folder of a run's skill. */
  folderOf(ids: RunIds | undefined): string | undefined {
    return ids === undefined ? undefined : this.#options.skills.get(ids.skill)?.folder;
  }

  /** Begins a run; its answer comes through the sink, now or later. Never throws. */
  start(order: ThreadOrder): void {
    const startedAtMs = this.nowMs();
    const early = this.#takeEarly(order.runId);
    const prepared = this.#options.skills.get(order.skill);
    if (prepared === undefined) {
      const failure = { code: "SKILL_UNKNOWN", message: `expected a skill of this worker, got '${order.skill}'` };
      this.#refuse(order, { kind: "failed", failure, retryable: false });
      return;
    }
    // What is early may be of an order of before, which was taken back.
    const leaseUntilMs = Math.max(order.leaseUntilMs, early?.leaseUntilMs ?? 0);
    const stop = startedAtMs >= leaseUntilMs ? "stale" : early?.stop;
    if (stop !== undefined) {
      this.#refuse(order, { kind: stop });
      return;
    }
    const decoded = decodeEvent(order, this.#options.limits);
    if (!decoded.ok) {
      this.#refuse(order, { kind: "invalid", invalid: decoded.invalid });
      return;
    }
    const run = new Run(this, prepared, order, decoded.value, startedAtMs);
    run.leaseUntilMs = leaseUntilMs;
    this.#runs.set(order.runId, run);
    this.#outside.runInAsyncScope(this.#enter, undefined, run, prepared);
    this.#options.sink.worked(order.skill);
  }

  readonly #enter = (run: Run, prepared: PreparedSkill): void => {
    runContext.enterWith(idsOf(run));
    this.#check(run, prepared);
  };

  /** The main thread's word on a step that was to be stored. */
  acknowledge(requestId: number, result: StepAcknowledgement["result"]): void {
    this.#writes.get(requestId)?.(result);
  }

  /** The main thread's word on what a run asked for. */
  allow(requestId: number, afterMs: number): void {
    this.#asks.get(requestId)?.(afterMs);
  }

  /** The main thread's word on what a run asked for. */
  answer(requestId: number, said: QuestionAnswer["said"]): void {
    this.#questions.get(requestId)?.(said);
  }

  /** The claims of these runs are held until then. */
  extend(runIds: readonly number[], leaseUntilMs: number): void {
    for (const runId of runIds) {
      const run = this.#runs.get(runId);
      if (run === undefined) this.#keepEarly(runId, { leaseUntilMs });
      else run.leaseUntilMs = leaseUntilMs;
    }
  }

  interrupt(runIds: readonly number[], as: "interrupted" | "stale"): void {
    for (const runId of runIds) {
      const run = this.#runs.get(runId);
      if (run === undefined) this.#keepEarly(runId, { stop: as });
      else run.interrupt(as);
    }
  }

  /** Ends every run as taken over, and the timer. */
  stop(): void {
    for (const run of this.#runs.values()) run.interrupt("stale");
    this.#deadlines.stop();
    this.late.stop();
  }

  nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  wallMs(): number {
    return this.#options.clock.wallMs();
  }

  random(): number {
    return this.#options.random();
  }

  after(delayMs: number, action: () => void): Timer {
    return this.#options.clock.after(delayMs, action);
  }

  mayRetryCall(): boolean {
    return this.#retries.take();
  }

  isCircuitOpen(dependency: number): boolean {
    const { circuits } = this.#options;
    return dependency < circuits.length && Atomics.load(circuits, dependency) === circuitStates.open;
  }

  writeStep(run: Run, step: StepRecord, fellBack?: FellBack): Promise<StepAcknowledgement["result"]> {
    this.#lastRequestId += 1;
    const requestId = this.#lastRequestId;
    return new Promise((resolve) => {
      const answer = (result: StepAcknowledgement["result"]): void => {
        this.#writes.delete(requestId);
        stopListening();
        resolve(result);
      };
      // Of a run that has ended nobody is told here.
      const stopListening = run.onEnd(() => answer("stale"));
      this.#writes.set(requestId, answer);
      this.#options.sink.step(run.order.runId, requestId, step, fellBack);
      this.#options.sink.worked(run.order.skill);
    });
  }

  askForMore(run: Run, dependency: number, usage: Usage, waitMaxMs: number): Promise<number> {
    this.#lastRequestId += 1;
    const requestId = this.#lastRequestId;
    return new Promise((resolve) => {
      const answer = (afterMs: number): void => {
        this.#asks.delete(requestId);
        stopListening();
        resolve(afterMs);
      };
      const stopListening = run.onEnd(() => answer(0));
      this.#asks.set(requestId, answer);
      this.#options.sink.usage(run.order.runId, requestId, dependency, usage, waitMaxMs);
    });
  }

  ask<About extends keyof ToldRuns>(run: Run, about: About): Promise<ToldRuns[About] | undefined> {
    this.#lastRequestId += 1;
    const requestId = this.#lastRequestId;
    return new Promise((resolve) => {
      const answer = (said: QuestionAnswer["said"]): void => {
        this.#questions.delete(requestId);
        stopListening();
        resolve(said as ToldRuns[About] | undefined);
      };
      const stopListening = run.onEnd(() => answer(undefined));
      this.#questions.set(requestId, answer);
      this.#options.sink.question(run.order.runId, requestId, about);
    });
  }

  log(run: Run, level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> | undefined): void {
    const ids = idsOf(run);
    const { skill, eventId, traceId, attempt } = ids;
    this.#options.sink.log({ level, skill, eventId, traceId, attempt, message, fields }, ids);
  }

  ended(run: Run, answer: RunAnswer): void {
    this.#runs.delete(run.order.runId);
    this.#deadlines.delete(run);
    if (answer.kind === "timed-out" || answer.kind === "stale" || answer.kind === "interrupted") this.#wasCalledOff(run);
    const durationMs = this.nowMs() - run.startedAtMs;
    this.#options.sink.result(run.order.runId, answer, run.reports(answer), durationMs, run.recordingMs, run.traceOf(answer, durationMs));
    this.#options.sink.worked(run.order.skill);
  }

  #wasCalledOff({ order: { runId } }: Run): void {
    const oldest = this.#calledOff.values().next();
    if (this.#calledOff.size >= calledOffMax && oldest.done === false) this.#calledOff.delete(oldest.value);
    this.#calledOff.add(runId);
  }

  #refuse(order: ThreadOrder, answer: RunAnswer): void {
    this.#options.sink.result(order.runId, answer, noCalls, 0, 0);
  }

  #check(run: Run, prepared: PreparedSkill): void {
    let checked: ReturnType<PreparedSkill["checkPayload"]>;
    try {
      const received = this.contracts?.receive(run.event, prepared.skill);
      if (received?.ok === false) {
        run.end({ kind: "invalid", invalid: received.invalid });
        return;
      }
      if (received !== undefined) run.event = received.value as EventOf<never>;
      checked = prepared.checkPayload(run.event.payload);
    } catch (error) {
      run.fail(error);
      return;
    }
    if (!(checked instanceof Promise)) {
      this.#begin(run, prepared, checked);
      return;
    }
    this.#deadlines.add(run);
    checked.then(
      (result) => this.#begin(run, prepared, result),
      (error: unknown) => run.fail(error),
    );
  }

  /** Hands the run to its skill. One that answers at once costs no promise and no timer. */
  #begin(run: Run, prepared: PreparedSkill, checked: Decoded<unknown>): void {
    if (run.isEnded) return;
    if (!checked.ok) {
      run.end({ kind: "invalid", invalid: checked.invalid });
      return;
    }
    run.acceptPayload(checked.value);
    let waits: Promise<unknown> | undefined;
    try {
      const returned: unknown = prepared.skill.run(run);
      // Reading what it returned runs its code, too: a `then` may be a getter.
      if (isThenable(returned)) waits = Promise.resolve(returned);
    } catch (error) {
      run.fail(error);
      this.#watch(run);
      return;
    }
    if (waits === undefined) {
      run.complete();
      this.#watch(run);
      return;
    }
    this.#watch(run);
    // A promise may have a `then` of its own, which may throw.
    void promised.then.call(
      waits,
      () => run.complete(),
      (error: unknown) => run.fail(error),
    );
  }

  /** What has not ended yet may outlast its time. */
  #watch(run: Run): void {
    if (!run.isEnded) this.#deadlines.add(run);
  }

  #keepEarly(runId: number, news: Early): void {
    const oldest = this.#early.keys().next();
    if (this.#early.size >= earlyMax && oldest.done === false) this.#early.delete(oldest.value);
    this.#early.set(runId, { ...this.#early.get(runId), ...news });
  }

  #takeEarly(runId: number): Early | undefined {
    if (this.#early.size === 0) return undefined;
    const early = this.#early.get(runId);
    this.#early.delete(runId);
    return early;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (typeof value === "object" || typeof value === "function") && value !== null && typeof (value as { then?: unknown }).then === "function";
}
