// An executor whose runs follow a script that the test gives, on the test's clock. It keeps an executor's promises: every
// posted run is answered once, no effect starts past its lease or after its run was answered, nothing goes on before its
// step is acknowledged.
import { strict as assert } from "node:assert";
import type { GarbageExtent } from "#runtime/core/memory.ts";
import type { CallReport, FellBack, RunAnswer } from "#runtime/core/outcome.ts";
import type { StepKind, StepRecord } from "#runtime/core/run.ts";
import type { RunTrace } from "#runtime/core/spans.ts";
import type { Usage } from "#runtime/core/limits.ts";
import type {
  Executor,
  ExecutorListener,
  QuestionAnswer,
  RunOrder,
  RunResult,
  StepAcknowledgement,
  StepRequest,
  ThreadReplaced,
  ThreadStuck,
  UsageAnswer,
} from "#runtime/ports/executor.ts";
import type { ProcessClock } from "#runtime/testing/world/sim-clock.ts";

/** Ends a script with an answer. */
class Ending extends Error {
  readonly answer: RunAnswer;

  constructor(answer: RunAnswer) {
    super(`the run ends as ${answer.kind}`);
    this.answer = answer;
  }
}

const emptyResult = new Uint8Array(0);

function recordOf(name: string, kind: StepKind, state: StepRecord["state"], resultBytes = 0): StepRecord {
  const result = resultBytes === 0 ? emptyResult : new Uint8Array(resultBytes);
  return { name, kind, state, result, checksum: 0, codec: 1, atMs: 0 };
}

export function failedAnswer(code = "EFAILED", extra: { readonly retryAfterMs?: number } = {}, retryable?: boolean): RunAnswer {
  return { kind: "failed", failure: { code, message: "it failed", ...extra }, retryable };
}

export const completedAnswer: RunAnswer = { kind: "completed", outbox: [] };

export interface StepOptions {
  readonly kind?: StepKind;
  readonly takesMs?: number;
  /** Size of its encoded result; default 0. */
  readonly resultBytes?: number;
  /** Instead of succeeding, after the effect began. */
  readonly fails?: RunAnswer;
  /** A fallback answered in its place. */
  readonly fellBack?: FellBack;
}

/** A run in a thread, as its script sees it. */
export class ScriptedRun {
  readonly order: RunOrder;
  readonly calls: CallReport[] = [];
  readonly #executor: ScriptedExecutor;
  readonly #acknowledgements = new Map<number, (result: StepAcknowledgement["result"]) => void>();
  postedMs: number;
  leaseUntilMs: number;
  recordingMs = 0;
  #hangs = false;
  isAnswered = false;
  asked: "interrupted" | "stale" | undefined;

  constructor(executor: ScriptedExecutor, order: RunOrder) {
    this.#executor = executor;
    this.order = order;
    this.postedMs = executor.clock.monotonicMs();
    this.leaseUntilMs = executor.clock.monotonicMs() + order.leaseMs;
  }

  get eventId(): string {
    return this.order.route.eventId;
  }

  /** It had waited for its thread until now. */
  begun(): void {
    this.postedMs = this.#executor.clock.monotonicMs();
  }

  /** Waits as a thread would. */
  takes(durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#executor.clock.after(durationMs, resolve);
    });
  }

  /** Executes a step unless it is recorded; ends the run when it must not go on. */
  async step(name: string, options: StepOptions = {}): Promise<void> {
    const { kind = "keyed", takesMs = 0, resultBytes, fails, fellBack } = options;
    const known = this.order.steps.find((step) => step.name === name);
    if (known?.state === "completed") return;
    if (known?.state === "intent") throw new Ending({ kind: "outcome-unknown", step: name, why: "an intent without a result" });
    if (this.order.inDoubt && kind === "atMostOnce") throw new Ending({ kind: "outcome-unknown", step: name, why: "the store has lost records" });
    if (kind === "atMostOnce") await this.#record(recordOf(name, kind, "intent"));
    this.check();
    this.#executor.effect(this, name);
    if (takesMs > 0) await this.takes(takesMs);
    if (this.#hangs) await this.takes(this.order.timeoutMs);
    if (fails !== undefined) throw new Ending(fails);
    await this.#record(recordOf(name, kind, "completed", resultBytes), fellBack);
  }

  /** A step boundary: nothing goes on past an interruption, the end of the lease or the run's answer. */
  check(): void {
    if (this.isAnswered) throw new Ending({ kind: "stale" });
    if (this.asked !== undefined) throw new Ending({ kind: this.asked });
    if (this.#executor.clock.monotonicMs() >= this.leaseUntilMs) throw new Ending({ kind: "stale" });
  }

  /** The effect that has begun ends only after the run has timed out. */
  leaveHanging(): void {
    this.#hangs = true;
  }

  called(dependency: string, result: CallReport["result"], usage?: Usage): void {
    this.calls.push({ dependency, result, ...(usage === undefined ? {} : { usage }) });
  }

  /** Asks for more of a dependency that is limited: 0 when it may go on, else how long there will be nothing. */
  asks(dependency: number, usage: Usage, waitMaxMs: number): Promise<number> {
    return this.#executor.ask(this, dependency, usage, waitMaxMs);
  }

  /** The state of its session: null for none, undefined when it could not be read. */
  state(): Promise<Uint8Array | null | undefined> {
    return this.#executor.askForState(this);
  }

  /** An effect outside of steps. */
  acts(name: string): void {
    if (this.isAnswered || this.#executor.clock.monotonicMs() >= this.leaseUntilMs) throw new Ending({ kind: "stale" });
    this.#executor.effect(this, name);
  }

  acknowledge(requestId: number, result: StepAcknowledgement["result"]): void {
    this.#acknowledgements.get(requestId)?.(result);
    this.#acknowledgements.delete(requestId);
  }

  async #record(step: StepRecord, fellBack?: FellBack): Promise<void> {
    const requestId = this.#executor.nextRequestId();
    const { promise, resolve } = Promise.withResolvers<StepAcknowledgement["result"]>();
    this.#acknowledgements.set(requestId, resolve);
    this.#executor.request({ runId: this.order.runId, requestId, step, fellBack });
    const askedAtMs = this.#executor.clock.monotonicMs();
    const result = await promise;
    this.recordingMs += this.#executor.clock.monotonicMs() - askedAtMs;
    if (result === "stale") throw new Ending({ kind: "stale" });
    if (result === "unavailable") throw new Ending(failedAnswer("STORE_UNAVAILABLE"));
  }
}

export type Script = (run: ScriptedRun) => Promise<RunAnswer> | RunAnswer;

export class ScriptedExecutor implements Executor {
  readonly clock: ProcessClock;
  script: Script = () => completedAnswer;
  /** Hears each effect as it begins. */
  effect: (run: ScriptedRun, step: string) => void = () => undefined;
  /** Hears each call as it is made. */
  trace: (call: string) => void = () => undefined;
  /** What is reported of a run as spans. */
  traced: (run: ScriptedRun) => RunTrace | undefined = () => undefined;
  /** Every order that was posted. */
  readonly posted: RunOrder[] = [];
  isReadyNow = true;
  #listener: ExecutorListener | undefined;
  readonly #runs = new Map<number, ScriptedRun>();
  readonly #asks = new Map<number, (afterMs: number) => void>();
  readonly #questions = new Map<number, (state: Uint8Array | null | undefined) => void>();
  #results: RunResult[] = [];
  #requests: StepRequest[] = [];
  #requestIds = 0;
  #isSending = false;
  #isStopped = false;

  constructor(clock: ProcessClock) {
    this.clock = clock;
  }

  get running(): ScriptedRun[] {
    return [...this.#runs.values()];
  }

  async start(listener: ExecutorListener): Promise<void> {
    this.#listener = listener;
  }

  post(orders: readonly RunOrder[]): void {
    this.trace(`post ${orders.length}`);
    for (const order of orders) {
      assert.ok(!this.posted.some((earlier) => earlier.runId === order.runId), `expected a run id of its own for each execution, got ${order.runId} again`);
      this.posted.push(order);
      const run = new ScriptedRun(this, order);
      this.#runs.set(order.runId, run);
      this.clock.after(order.timeoutMs, () => this.answer(run, { kind: "timed-out", failure: { code: "RUN_TIMEOUT", message: "too slow" } }));
      if (!this.isReadyNow || this.#isStopped) this.answer(run, { kind: "not-started", why: "no thread" });
      else this.clock.soon(() => void this.#execute(run));
    }
  }

  acknowledge(acknowledgements: readonly StepAcknowledgement[]): void {
    for (const { runId, requestId, result } of acknowledgements) this.#known.get(runId)?.acknowledge(requestId, result);
  }

  allow(answers: readonly UsageAnswer[]): void {
    for (const { requestId, afterMs } of answers) {
      this.#asks.get(requestId)?.(afterMs);
      this.#asks.delete(requestId);
    }
  }

  ask(run: ScriptedRun, dependency: number, usage: Usage, waitMaxMs: number): Promise<number> {
    const requestId = this.nextRequestId();
    this.#listener?.usage([{ runId: run.order.runId, requestId, dependency, ...usage, waitMaxMs }]);
    return new Promise((resolve) => {
      this.#asks.set(requestId, resolve);
    });
  }

  tell(answers: readonly QuestionAnswer[]): void {
    for (const { requestId, said } of answers) {
      this.#questions.get(requestId)?.(said as Uint8Array | null | undefined);
      this.#questions.delete(requestId);
    }
  }

  askForState(run: ScriptedRun): Promise<Uint8Array | null | undefined> {
    const requestId = this.nextRequestId();
    this.#listener?.questions([{ runId: run.order.runId, requestId, about: "state" }]);
    return new Promise((resolve) => {
      this.#questions.set(requestId, resolve);
    });
  }

  extend(runIds: readonly number[], leaseMs: number): void {
    for (const runId of runIds) {
      const run = this.#runs.get(runId);
      if (run !== undefined) run.leaseUntilMs = this.clock.monotonicMs() + leaseMs;
    }
  }

  interrupt(runIds: readonly number[], as: "interrupted" | "stale"): void {
    if (runIds.length > 0) this.trace(`interrupt ${runIds.length} as ${as}`);
    for (const runId of runIds) {
      const run = this.#runs.get(runId);
      if (run !== undefined) run.asked = as;
    }
  }

  /** All begin at once. */
  get unbegun(): number {
    return 0;
  }

  readonly threads = { stuck: 0, leaked: 0, missing: 0 };

  /** Tells of a thread that does not end, one of so many. */
  leakThread(leaked: number, isOver = false): void {
    this.#listener?.threadLeaked({ isOver, why: "it is in native code", leaked });
  }

  /** Tells that some skills have no threads any more. */
  bringThreadsDown(why: string): void {
    this.#listener?.threadsDown(why);
  }

  /** Tells that one that could not be replaced is. */
  replaceThread(replaced: ThreadReplaced): void {
    this.#listener?.threadReplaced(replaced);
  }

  stickThread(stuck: ThreadStuck): void {
    this.#listener?.threadStuck(stuck);
  }

  get unbegunShared(): number {
    return 0;
  }

  /** What a test says of its skills' code; nothing for the others. */
  readonly held = new Map<string, number>();

  heldMs(skill: string): number {
    return this.held.get(skill) ?? 0;
  }

  /** What it was asked to have collected. */
  readonly collected: GarbageExtent[] = [];

  collectGarbage(extent: GarbageExtent): void {
    this.collected.push(extent);
  }

  isReady(): boolean {
    return this.isReadyNow;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.loseThread("the executor stopped");
    await Promise.resolve();
  }

  /** Ends every run that executes now, as a thread that dies would. */
  loseThread(why: string): void {
    for (const run of this.running) this.answer(run, { kind: "thread-lost", why, part: this.#isStopped ? "bystander" : "suspect" });
    if (!this.#isStopped) this.#listener?.threadLost(why, this.isReadyNow);
  }

  /** Answers a run, once; a late answer is not heard. */
  answer(run: ScriptedRun, answer: RunAnswer): void {
    if (run.isAnswered) return;
    run.isAnswered = true;
    this.#runs.delete(run.order.runId);
    const durationMs = this.clock.monotonicMs() - run.postedMs;
    this.#results.push({ runId: run.order.runId, answer, calls: run.calls, durationMs, recordingMs: run.recordingMs, trace: this.traced(run) });
    this.#sendSoon();
  }

  request(request: StepRequest): void {
    this.#requests.push(request);
    this.#sendSoon();
  }

  nextRequestId(): number {
    this.#requestIds += 1;
    return this.#requestIds;
  }

  /** Also of runs that were answered: their scripts may still be waiting. */
  readonly #known = new Map<number, ScriptedRun>();

  async #execute(run: ScriptedRun): Promise<void> {
    this.#known.set(run.order.runId, run);
    try {
      run.check();
      this.answer(run, await this.script(run));
    } catch (error) {
      if (!(error instanceof Ending)) throw error;
      this.answer(run, error.answer);
    } finally {
      this.#known.delete(run.order.runId);
    }
  }

  #sendSoon(): void {
    if (this.#isSending) return;
    this.#isSending = true;
    this.clock.soon(() => {
      this.#isSending = false;
      const requests = this.#requests;
      const results = this.#results;
      this.#requests = [];
      this.#results = [];
      if (requests.length > 0) this.#listener?.steps(requests);
      if (results.length > 0) this.#listener?.results(results);
    });
  }
}
