/** The host that threads run skills in, in this process and on its clock: a thread of it can be lost. */
import type { Random, Timer } from "../../core/clock.ts";
import type { RunAnswer } from "../../core/outcome.ts";
import type { Skill } from "../../index.ts";
import type { Executor, ExecutorListener, QuestionAnswer, RunOrder, RunResult, StepAcknowledgement, StepRequest, UsageAnswer } from "../../ports/executor.ts";
import { type PreparedSkill, prepareSkills } from "../../skills/host/prepared-skill.ts";
import type { SkillLogLine } from "../../skills/host/run-log.ts";
import { SkillHost } from "../../skills/host/skill-host.ts";
import { ThreadSettingsTable } from "../../skills/host/settings.ts";
import { Flags } from "../../skills/host/flags.ts";
import type { Provided } from "../provide.ts";
import { byClock, TestTime } from "./test-date.ts";
import type { ProcessClock } from "./sim-clock.ts";
import type { Surroundings } from "./surroundings.ts";
import { systemClock } from "../../adapters/system/clock.ts";

export interface HostExecutorOptions {
  readonly clock: ProcessClock;
  readonly consumer: string;
  readonly skills: readonly Skill[];
  /** Names of the dependencies, in the order of their numbers. */
  readonly dependencies: readonly string[];
  /** Memory of the worker's `RetryLedger`. */
  readonly retries: ArrayBuffer;
  readonly random: Random;
  readonly surroundings: Pick<Surroundings, "dependencies" | "limits" | "folder">;
  readonly log: (line: SkillLogLine) => void;
  /** Skills see the machine's time by `Date`, not the simulated one. Default false. */
  readonly realDates?: boolean | undefined;
  /** Default none. */
  readonly provided?: Provided | undefined;
}

/** A host that counts the timers of its runs, so that it can be told whether a run waits for time or for something else. */
class TimedHost extends SkillHost {
  pending = 0;

  override after(delayMs: number, action: () => void): Timer {
    let isPending = true;
    this.pending += 1;
    const end = (): void => {
      if (isPending) this.pending -= 1;
      isPending = false;
    };
    const timer = super.after(delayMs, () => {
      end();
      action();
    });
    return {
      cancel: () => {
        end();
        timer.cancel();
      },
    };
  }
}

export class HostExecutor implements Executor {
  readonly #options: HostExecutorOptions;
  readonly #prepared = new Map<string, PreparedSkill>();
  /** Resources of threads that have ended, on their way to being closed. */
  readonly #closing: Promise<void>[] = [];
  #listener: ExecutorListener | undefined;
  #host: TimedHost | undefined;
  /** What the thread that is there now has by `Date`. */
  #time: TestTime;
  readonly #running = new Set<number>();
  /** As the pipeline numbers them, to the number in the thread that is there now: steps, for which runs need not wait, and what they wait for. */
  readonly #records = new Map<number, number>();
  readonly #requests = new Map<number, number>();
  #lastRequestId = 0;
  #calls = 0;
  #answering = 0;
  #steps: StepRequest[] = [];
  #results: RunResult[] = [];
  #isSending = false;

  constructor(options: HostExecutorOptions) {
    this.#options = options;
    this.#time = new TestTime(options.clock);
  }

  async start(listener: ExecutorListener): Promise<void> {
    const { skills, dependencies, surroundings } = this.#options;
    this.#listener = listener;
    const host = this.#open();
    this.#host = host;
    const settings = { numbered: dependencies, config: surroundings.dependencies };
    const time = async <Result>(_skill: string, _part: string, work: () => Promise<Result> | Result): Promise<Result> => work();
    const prepared = await prepareSkills(skills, settings, time, { info: host.resources.info, folderOf: () => surroundings.folder });
    for (const [name, skill] of prepared) this.#prepared.set(name, skill);
  }

  post(orders: readonly RunOrder[]): void {
    const { clock } = this.#options;
    for (const { leaseMs, apart: _apart, ...order } of orders) {
      const leaseUntilMs = clock.monotonicMs() + leaseMs;
      this.#running.add(order.runId);
      clock.soon(() => {
        if (this.#host === undefined) this.#answer(order.runId, { kind: "not-started", why: "the executor has stopped" });
        else if (this.#running.has(order.runId)) this.#host.start({ ...order, leaseUntilMs });
      });
    }
  }

  acknowledge(acknowledgements: readonly StepAcknowledgement[]): void {
    for (const { requestId, result } of acknowledgements) {
      const inner = this.#records.get(requestId);
      this.#records.delete(requestId);
      if (inner !== undefined) this.#host?.acknowledge(inner, result);
    }
  }

  allow(answers: readonly UsageAnswer[]): void {
    for (const { requestId, afterMs } of answers) {
      const inner = this.#requests.get(requestId);
      this.#requests.delete(requestId);
      if (inner !== undefined) this.#host?.allow(inner, afterMs);
    }
  }

  tell(answers: readonly QuestionAnswer[]): void {
    for (const { requestId, said } of answers) {
      const inner = this.#requests.get(requestId);
      this.#requests.delete(requestId);
      if (inner !== undefined) this.#host?.answer(inner, said);
    }
  }

  extend(runIds: readonly number[], leaseMs: number): void {
    this.#host?.extend(runIds, this.#options.clock.monotonicMs() + leaseMs);
  }

  interrupt(runIds: readonly number[], as: "interrupted" | "stale"): void {
    this.#host?.interrupt(runIds, as);
  }

  get unbegun(): number {
    return 0;
  }

  readonly threads = { stuck: 0, leaked: 0, missing: 0 };

  get unbegunShared(): number {
    return 0;
  }

  heldMs(): number {
    return 0;
  }

  collectGarbage(): void {}

  /**
   * Whether a skill's own code is at work: a run has begun and waits neither for the store, nor for time, nor for a call. Time must not
   * pass then, as it does not for a skill that computes.
   */
  get isAtWork(): boolean {
    const host = this.#host;
    if (host === undefined) return false;
    return this.#answering > 0 || (host.active > host.recording + this.#requests.size + this.#calls && host.pending === 0);
  }

  /** Code of the test's own answers a call: time waits for it, too. */
  async whileAnswering<T>(answer: () => Promise<T>): Promise<T> {
    this.#answering += 1;
    try {
      return await answer();
    } finally {
      this.#answering -= 1;
    }
  }

  /** A call of a dependency is on its way, in the simulated network. */
  async whileCalled<T>(call: () => Promise<T>): Promise<T> {
    this.#calls += 1;
    try {
      return await call();
    } finally {
      this.#calls -= 1;
    }
  }

  isReady(): boolean {
    return this.#host !== undefined;
  }

  async stop(): Promise<void> {
    this.#close("the executor stopped", "bystander");
  }

  /** The thread ends; another takes its place. */
  loseThread(): void {
    if (this.#host === undefined) return;
    this.#close("it was killed", "suspect");
    this.#host = this.#open();
    this.#listener?.threadLost("it was killed", true);
  }

  /** The process ends. */
  kill(): void {
    this.#running.clear();
    this.#end(this.#host);
    this.#host = undefined;
  }

  /** When the resources of all threads are closed that were. */
  async closed(): Promise<void> {
    await Promise.all(this.#closing);
  }

  /** Where a real thread dies with what it has open, this one shares its process with the test. */
  #end(host: TimedHost | undefined): void {
    if (host === undefined) return;
    this.#time.end();
    host.stop();
    this.#closing.push(host.resources.close());
  }

  #close(why: string, part: "suspect" | "bystander"): void {
    const host = this.#host;
    this.#host = undefined;
    this.#records.clear();
    this.#requests.clear();
    this.#steps = [];
    for (const runId of this.#running) this.#answer(runId, { kind: "thread-lost", why, part });
    this.#end(host);
  }

  /** What runs have by `Date` comes with the context that their host was made in: it is the one that they begin in. */
  #open(): TimedHost {
    this.#time = new TestTime(this.#options.clock);
    return this.#options.realDates === true ? this.#newHost() : byClock(this.#time, () => this.#newHost());
  }

  #newHost(): TimedHost {
    const { clock, consumer, random, log, provided, surroundings } = this.#options;
    const settings = new ThreadSettingsTable();
    for (const [token, values] of provided?.settings ?? []) settings.set(token, values);
    const isCurrent = (): boolean => this.#host === host;
    const host: TimedHost = new TimedHost({
      settings,
      // What they wait for is real: a database, a file.
      resources: { clock: systemClock, provided: provided?.resources ?? new Map() },
      contracts: provided?.contracts,
      flags: Flags.of(provided?.flags ?? new Map()),
      consumers: [consumer],
      agent: undefined,
      limits: surroundings.limits,
      skills: this.#prepared,
      circuits: new Int32Array(this.#options.dependencies.length),
      retries: this.#options.retries,
      clock,
      random,
      sink: {
        log,
        worked: () => undefined,
        usage: (runId, inner, dependency, usage, waitMaxMs) => {
          if (!isCurrent()) return;
          this.#lastRequestId += 1;
          const requestId = this.#lastRequestId;
          this.#requests.set(requestId, inner);
          clock.soon(() => this.#listener?.usage([{ runId, requestId, dependency, ...usage, waitMaxMs }]));
        },
        question: (runId, inner, about) => {
          if (!isCurrent()) return;
          this.#lastRequestId += 1;
          const requestId = this.#lastRequestId;
          this.#requests.set(requestId, inner);
          clock.soon(() => this.#listener?.questions([{ runId, requestId, about }]));
        },
        result: (runId, answer, calls, durationMs, recordingMs) => {
          if (isCurrent()) this.#answer(runId, answer, calls, durationMs, recordingMs);
        },
        step: (runId, inner, step) => {
          if (!isCurrent()) return;
          this.#lastRequestId += 1;
          this.#records.set(this.#lastRequestId, inner);
          this.#steps.push({ runId, requestId: this.#lastRequestId, step });
          this.#sendSoon();
        },
      },
    });
    return host;
  }

  #answer(runId: number, answer: RunAnswer, calls: RunResult["calls"] = [], durationMs = 0, recordingMs = 0): void {
    if (!this.#running.delete(runId)) return;
    this.#results.push({ runId, answer, calls, durationMs, recordingMs });
    this.#sendSoon();
  }

  #sendSoon(): void {
    if (this.#isSending) return;
    this.#isSending = true;
    this.#options.clock.soon(() => {
      this.#isSending = false;
      const steps = this.#steps.splice(0);
      const results = this.#results.splice(0);
      if (steps.length > 0) this.#listener?.steps(steps);
      if (results.length > 0) this.#listener?.results(results);
    });
  }
}
