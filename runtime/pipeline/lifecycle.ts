/**
 * A worker's life: start everything in the order in which it is needed, stop in two phases.
 *
 *   stopped → starting → running → stopping → stopped
 *
 * Stopping: (1) take no more, and wait until nothing is on its way here, so that what goes back does not come here again;
 * (2) hand back what has not begun, let runs finish within the budget, then ask them to stop at their next step, then end the
 * threads; what could not finish is handed back with its checkpoints. On a transport that cannot give back free of charge, what
 * is here and has not begun may begin as long as runs may finish, and is handed back only then.
 */
import type { Clock, Random } from "../core/clock.ts";
import { type LatencyWatchPolicy, defaultLatencyWatchPolicy } from "../core/latency-watch.ts";
import { type LoadSheddingPolicy, defaultLoadSheddingPolicy } from "../core/load-shedding.ts";
import { type PriorityRules, noPriorityRules } from "../core/priority.ts";
import { type DependencyPolicy, type RetryBudgetPolicy, defaultRetryBudgetPolicy } from "../core/skill.ts";
import { isOf, type Tenants } from "../core/tenants.ts";
import { Admission } from "../policy/admission.ts";
import { BrokerClock } from "../policy/broker-clock.ts";
import type { CredentialWatch } from "../policy/credential-watch.ts";
import type { Caution } from "../policy/caution.ts";
import { LoadShedding } from "../policy/load-shedding.ts";
import type { CircuitState } from "../policy/circuit.ts";
import { RateLimits } from "../policy/rate-limits.ts";
import { ReadAhead } from "../policy/read-ahead.ts";
import type { GarbageExtent, MemoryUse } from "../core/memory.ts";
import { LoopWatch } from "../policy/loop-watch.ts";
import { MemoryWatch } from "../policy/memory-watch.ts";
import { RetryBudget } from "../policy/retry-budget.ts";
import type { RetryLedger } from "../policy/retry-ledger.ts";
import type { Executor } from "../ports/executor.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { SharedLimits } from "../ports/shared-limits.ts";
import type { ExecutionMeter, FinalOutcome, Reporter, Telemetry } from "../ports/telemetry.ts";
import type { Tracing } from "../ports/tracing.ts";
import { Checkpoints } from "./checkpoints.ts";
import { Executions } from "./executions.ts";
import type { HandOverOptions } from "./hand-over.ts";
import { InFlight } from "./in-flight.ts";
import { Intake, type IntakeOptions } from "./intake.ts";
import { IntakeWatch } from "./intake-watch.ts";
import { Latency } from "./latency.ts";
import { Leases } from "./leases.ts";
import { Limits } from "./limits.ts";
import { LockKeeper } from "./lock-keeper.ts";
import { Policies } from "./policies.ts";
import type { ProcessBatchOptions } from "./process-batch.ts";
import type { Settler } from "./settle.ts";
import { Shedding } from "./shedding.ts";
import { Silences } from "./silences.ts";
import { type Source, type SourceOptions, sourcesOf } from "./source.ts";
import { SourcePipeline, type SourcePipelineOptions } from "./source-pipeline.ts";
import { SourcePipelines, storeOf } from "./source-pipelines.ts";
import { type Stoppable, nothingToStart, stopAll } from "./stop-all.ts";
import { StoreGate } from "./store-gate.ts";
import { ThreadHealth } from "./thread-health.ts";
import { Watchdog } from "./watchdog.ts";
import { Suspects } from "./suspects.ts";
import { Questions } from "./questions.ts";
import { type UnderWay, underWay } from "./under-way.ts";
import { Traces } from "./traces.ts";
import { settledWithin } from "./within.ts";
import type { Work } from "./work.ts";
import type { WorkerView } from "./worker-view.ts";

export interface WorkerOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Unique among all workers, ever. */
  readonly workerId: string;
  /** One or more. Their stores are parts of one store, which answers or does not as a whole. */
  readonly sources: readonly SourceOptions[];
  readonly publisher: Publisher;
  readonly executor: Executor;
  readonly telemetry: Telemetry;
  readonly meter?: ExecutionMeter | undefined;
  /** Where what is told of messages goes, as spans; default: nowhere. */
  readonly tracing?: Tracing | undefined;
  /** See `SettleOptions`. */
  readonly escalated?: (() => Promise<void> | undefined) | undefined;
  /** They run with the worker, and have what is left of a stop's budget. */
  readonly reporters?: readonly Reporter[];
  readonly skillCount: number;
  readonly threads: number;
  /** With so many threads that do not end the worker is worn out. */
  readonly leakedThreadsMax: number;
  readonly dependencies: readonly DependencyPolicy[];
  /** The buckets of their limits; needed where one has any. */
  readonly sharedLimits?: SharedLimits | undefined;
  /** Default: `defaultRetryBudgetPolicy`. */
  readonly retryBudget?: RetryBudgetPolicy;
  /** Default: `defaultLoadSheddingPolicy`, which sheds nothing. */
  readonly loadShedding?: LoadSheddingPolicy;
  /** Default: `defaultLatencyWatchPolicy`. */
  readonly latencyWatch?: LatencyWatchPolicy;
  /** Default: what messages say. */
  readonly priorities?: PriorityRules;
  /** Retries as the threads take them. Default: one that only this worker takes from. */
  readonly retryLedger?: RetryLedger;
  readonly readRoute: ProcessBatchOptions["readRoute"];
  readonly hashPayload: ProcessBatchOptions["hashPayload"];
  /** Messages held at once, at the most, of all sources together. */
  readonly inFlightMax: number;
  /** Of these, how many of a skill from one source: as many as can begin soon, found within these bounds. */
  readonly intake: IntakeOptions["intake"];
  readonly heldBytesMax: number;
  readonly resends: ProcessBatchOptions["resends"];
  /** Where an emitted event of this type is sent; throws when that is not configured. */
  readonly entityFor: (eventType: string) => string;
  /** How long held messages are kept while the store is down. */
  readonly storeHoldMaxMs: number;
  readonly silenceMaxMs: number;
  /** How much is taken before it is known what came back from a worker that ended uncleanly. */
  readonly caution: Caution;
  /** Hears what becomes of the tokens that logins last by. */
  readonly credentials: CredentialWatch;
  /** What the process uses of its memory; undefined where no limit is known. */
  readonly memory: () => MemoryUse | undefined;
  /** The longest delay of the event loop since it was last asked for, in milliseconds. */
  readonly loopDelay: () => number;
  /** The part of its time that the event loop was busy since it was last asked for, 0 to 1. */
  readonly mainLoopUse: () => number;
  /** Has the main thread give back memory that it does not use. */
  readonly collectGarbage: (extent: GarbageExtent) => void;
  /** Goes on with what messages do not live to see. */
  readonly recovery?: HandOverOptions["recovery"];
  /** Shares a circuit's state with the threads. */
  readonly circuitChanged: (dependency: number, state: CircuitState) => void;
}

/** Of a stop's budget, when what has not begun is handed back though the receiver has not closed. */
const handBackAfter = 0.25;
/** When runs that still execute are asked to stop at their next step. */
const interruptAfter = 0.7;
/** When the threads are ended. */
const endThreadsAfter = 0.9;
/** When what still waits for the store is handed back without it. */
const giveUpAfter = 0.95;

export class Worker {
  /** What its policies are at, and how they are changed while it runs. */
  readonly policies: Policies;
  readonly #options: WorkerOptions;
  readonly #inFlight = new InFlight();
  readonly #intake: Intake;
  readonly #intakeWatch: IntakeWatch;
  readonly #latency: Latency;
  readonly #watches = { memoryWatch: new MemoryWatch(), loopWatch: new LoopWatch() };
  readonly #admission: Admission<Work>;
  /** Undefined where nothing is limited. */
  readonly #limits: Limits | undefined;
  readonly #gate: StoreGate;
  readonly #keeper: LockKeeper;
  readonly #checkpoints: Checkpoints;
  readonly #executions: Executions;
  readonly #suspects: Suspects;
  readonly #pipelines: SourcePipelines;
  readonly #silences: Silences;
  readonly #watchdog: Watchdog;
  readonly #threadHealth: ThreadHealth;
  #returned = 0;
  #isPaused = false;
  #stopped: Promise<void> | undefined;

  constructor(options: WorkerOptions) {
    const { clock, telemetry, executor } = options;
    const inFlight = this.#inFlight;
    const sources = sourcesOf(options.sources);
    const settlers: Settler[] = [];
    this.#options = options;
    this.#threadHealth = new ThreadHealth(options);
    const rateLimits = this.#makeRateLimits();
    this.#admission = this.#makeAdmission(rateLimits);
    this.#intake = new Intake({ ...options, sources, admission: this.#admission });
    this.#latency = this.#makeLatency();
    this.#intakeWatch = new IntakeWatch({ ...options, ...this.#watches, intake: this.#intake, admission: this.#admission, inFlight });
    const brokerClock = new BrokerClock(clock, (aheadMs) => telemetry.emit({ type: "clock.skewed", brokerAheadMs: aheadMs }));
    const gate = new StoreGate({ store: storeOf(sources), clock, telemetry, holdMaxMs: options.storeHoldMaxMs });
    const leases = new Leases({ clock, sources, gate, executor });
    const keeper = new LockKeeper({
      clock,
      brokerClock,
      inFlight,
      renewed: (works) => leases.extend(works),
      lost: (work) => this.#pipelines.of(work).processor.lockLost(work),
    });
    this.#gate = gate;
    this.#keeper = keeper;
    this.#checkpoints = new Checkpoints({ clock, sources, gate, executor, inFlight, telemetry });
    const trim = (): void => this.#pipelines.trim();
    this.#suspects = this.#makeSuspects(settlers);
    const retryBudget = new RetryBudget(options.retryBudget ?? defaultRetryBudgetPolicy, options.retryLedger);
    const shedding = this.#makeShedding(brokerClock);
    this.policies = this.#makePolicies(rateLimits, retryBudget, shedding);
    const { random, tracing } = options;
    const parts = {
      ...options,
      traces: tracing && new Traces({ clock, random, tracing }),
      sources,
      brokerClock,
      suspects: this.#suspects,
      trim,
      gate,
      keeper,
      leases,
      inFlight,
      intake: this.#intake,
      admission: this.#admission,
      retryBudget,
      shedding,
    };
    this.#executions = new Executions({ ...parts, readAhead: new ReadAhead(), settlers });
    this.#limits = rateLimits && this.#makeLimits(rateLimits);
    this.#pipelines = new SourcePipelines(sources, (source) => this.#makePipeline(source, { ...parts, executions: this.#executions }));
    settlers.push(...this.#pipelines.all.map(({ settler }) => settler));
    this.#silences = new Silences({ ...options, pipelines: this.#pipelines.all });
    this.#watchdog = this.#makeWatchdog(retryBudget, shedding);
    gate.onClosed(() => this.#pipelines.pause("store-down"));
    gate.onReopened(() => this.#pipelines.resume("store-down"));
  }

  #makeLatency(): Latency {
    return new Latency({ ...this.#options, intake: this.#intake, admission: this.#admission, policy: this.#options.latencyWatch ?? defaultLatencyWatchPolicy });
  }

  #makeSuspects(settlers: readonly Settler[]): Suspects {
    return new Suspects({
      ...this.#options,
      inFlight: this.#inFlight,
      settlers,
      admit: (works) => this.#executions.admit(works),
      putBack: (work) => this.#executions.putBack(work),
      clear: (except) => this.#executions.putBackIdle(except),
      trim: () => this.#pipelines.trim(),
    });
  }

  #makePolicies(limits: RateLimits<Work> | undefined, retryBudget: RetryBudget, shedding: Shedding): Policies {
    return new Policies({
      clock: this.#options.clock,
      admission: this.#admission,
      retryBudget,
      loadShedding: shedding.policy,
      latency: this.#latency,
      limits,
      changed: () => this.#useNewBounds(),
      sheddingChanged: () => shedding.changed(),
    });
  }

  #makeWatchdog(retryBudget: RetryBudget, shedding: Shedding): Watchdog {
    return new Watchdog({
      ...this.#options,
      ...this.#watches,
      pipelines: this.#pipelines.all,
      silences: this.#silences,
      retryBudget,
      shedding,
      latency: this.#latency,
      intakeWatch: this.#intakeWatch,
    });
  }

  #makeShedding(brokerClock: BrokerClock): Shedding {
    return new Shedding({
      ...this.#options,
      policy: new LoadShedding(this.#options.loadShedding ?? defaultLoadSheddingPolicy),
      brokerClock,
      priorities: this.#options.priorities ?? noPriorityRules,
      inFlight: this.#inFlight,
      intake: this.#intake,
      ...this.#watches,
    });
  }

  #makePipeline(source: Source, parts: Omit<SourcePipelineOptions, "short" | "room" | "part" | "incoming" | "ended">): SourcePipeline {
    return new SourcePipeline(source, {
      ...parts,
      short: () => this.#pipelines.trim(source),
      room: () => this.#room(source),
      incoming: this.#intake.incoming,
      part: (receiving) => this.#pipelines.partOf(receiving),
      ended: (work, outcome) => this.#ended(work, outcome),
    });
  }

  /** For more messages of a source, as the scarcest of what they need leaves it. */
  #room(source: Source): number {
    const { others, reserved } = this.#pipelines.creditBeside(source);
    const held = this.#inFlight.size;
    const room = Math.min(this.#executions.room(source, others), this.#options.inFlightMax - held - others - reserved);
    return Math.min(this.#watches.memoryWatch.within(room, held), this.#watches.loopWatch.within(room, held));
  }

  #useNewBounds(): void {
    this.#executions.moveLanes();
    this.#pipelines.trim();
    this.#pipelines.replenish();
  }

  #makeAdmission(permits: RateLimits<Work> | undefined): Admission<Work> {
    const { dependencies, telemetry } = this.#options;
    const changed = (dependency: number, name: string, state: CircuitState, work: Work | undefined): void => {
      this.#options.circuitChanged(dependency, state);
      telemetry.emit({ type: "circuit.changed", dependency: name, state }, work);
    };
    return new Admission(dependencies, changed, permits);
  }

  #makeRateLimits(): RateLimits<Work> | undefined {
    const { dependencies } = this.#options;
    return dependencies.some(({ limits = [] }) => limits.length > 0) ? new RateLimits<Work>(dependencies, () => this.#limits?.asked()) : undefined;
  }

  #makeLimits(limits: RateLimits<Work>): Limits {
    const { sharedLimits: shared } = this.#options;
    if (shared === undefined) throw new TypeError("expected the buckets of limits beside dependencies that have some, got none");
    return new Limits({ ...this.#options, shared, limits, inFlight: this.#inFlight, moved: () => this.#executions.moveLanes() });
  }

  /**
   * Connects everything and begins to receive; rejects with what could not be started, after closing the rest. When it is asked to
   * stop meanwhile, it closes what it had opened, and resolves.
   */
  async start(): Promise<void> {
    const { sources, publisher, sharedLimits = nothingToStart, executor, telemetry, skillCount, threads } = this.#options;
    // Of all parts threads take longest, and they need none of the others.
    const started: Stoppable[] = [executor];
    let secret = "";
    let hasFailed = false;
    const connect = async (): Promise<void> => {
      const { stores, transports } = this.#pipelines;
      for (const part of [stores, sharedLimits, publisher, transports]) {
        if (this.#isStopping || hasFailed) return;
        started.unshift(part);
        await part.start();
      }
      if (!this.#isStopping && !hasFailed) secret = await this.#pipelines.prepare();
    };
    try {
      if (!this.#isStopping) await Promise.all([this.#startExecutor(), connect()]);
    } catch (error) {
      hasFailed = true;
      const stopped = stopAll(started);
      // What was asked to stop meanwhile need not have started.
      if (this.#isStopping) return stopped;
      await stopped.catch(() => undefined);
      throw error;
    }
    if (this.#isStopping) return stopAll(started);
    for (const reporter of this.#options.reporters ?? []) reporter.start(secret);
    this.#keeper.start();
    this.#watchdog.start();
    this.#pipelines.startReceiving();
    telemetry.emit({ type: "worker.started", sources: sources.map(({ name }) => name).join(", "), skills: skillCount, threads });
  }

  /**
   * Stops within `budgetMs`; resolves when everything is closed, or rejects with what went wrong in closing it. Calling it again
   * joins the first call.
   */
  stop(budgetMs: number): Promise<void> {
    this.#stopped ??= this.#stop(budgetMs);
    return this.#stopped;
  }

  /** Resolves when all that its parts load after the start is loaded; where something outside is away, that is late. */
  get loaded(): Promise<unknown> {
    return Promise.all((this.#options.reporters ?? []).flatMap(({ loaded }) => loaded ?? []));
  }

  /** Gives back all memory that is kept for later: for a worker that has nothing to do, since it stops each thread for a moment. */
  giveBackMemory(): void {
    this.#options.executor.collectGarbage("everything");
    this.#options.collectGarbage("everything");
  }

  view(): WorkerView {
    const { executor, clock, sources } = this.#options;
    let executing = 0;
    this.#inFlight.forEach(({ stage }) => {
      if (stage === "executing") executing += 1;
    });
    return {
      inFlight: this.#inFlight.size,
      executing,
      storeUp: this.#gate.isOpen,
      credentials: this.#options.credentials.view(),
      memory: this.#watches.memoryWatch.state,
      loop: this.#watches.loopWatch.state,
      storeSuspect: sources.flatMap(({ storeDoubt }) => storeDoubt.view()),
      threadsReady: executor.isReady(),
      isPaused: this.#isPaused,
      threads: executor.threads,
      loopDelayMs: this.#watches.loopWatch.delayMs,
      rebuiltInVain: this.#silences.rebuiltInVain,
      gates: this.#admission.view(clock.monotonicMs()),
      retryBudget: this.policies.view().retryBudget,
      loadShedding: this.policies.view().loadShedding,
      latency: this.#latency.view(),
      intake: this.#intakeWatch.view(),
      sources: this.#pipelines.view(this.#inFlight),
      locksRenewed: this.#keeper.renewed,
      heldBytes: this.#intake.heldBytes,
    };
  }

  /** The first of what is here and is theirs, in the order of arrival; at most `max`. */
  underWay(max: number, tenants?: Tenants): readonly UnderWay[] {
    const nowMs = this.#options.clock.monotonicMs();
    const seen: UnderWay[] = [];
    for (const work of this.#inFlight.works()) {
      if (seen.length >= max) break;
      if (tenants !== undefined && !isOf(tenants, work.limitKey("tenant"))) continue;
      seen.push(underWay(work, nowMs));
    }
    return seen;
  }

  /** Takes no more messages until it is resumed; what is here goes on. */
  pause(): void {
    this.#isPaused = true;
    this.#pipelines.pause("by-hand");
  }

  resume(): void {
    this.#isPaused = false;
    this.#pipelines.resume("by-hand");
  }

  /** Resolves with the reason when only a new process helps: it is to be stopped and restarted. */
  get wornOut(): Promise<string> {
    return this.#threadHealth.wornOut;
  }

  get #isStopping(): boolean {
    return this.#stopped !== undefined;
  }

  #startExecutor(): Promise<void> {
    const { executor } = this.#options;
    const questions = new Questions({ executor, inFlight: this.#inFlight });
    return executor.start({
      steps: (requests) => this.#checkpoints.write(requests),
      usage: (requests) => this.#limits?.request(requests),
      questions: (asked) => questions.hear(asked),
      results: (results) => this.#executions.conclude(results),
      threadLost: (why, replaced) => {
        this.#threadHealth.lost(why, replaced);
        if (!executor.isReady()) this.#pipelines.pause("threads-down");
      },
      threadReplaced: (replaced) => this.#threadHealth.replaced(replaced),
      threadStuck: (stuck) => this.#threadHealth.stuck(stuck),
      threadLeaked: (leaked) => this.#threadHealth.leaked(leaked),
      threadsDown: (why) => this.#threadHealth.down(why),
    });
  }

  async #stop(budgetMs: number): Promise<void> {
    const { sources, telemetry, clock, executor, publisher, sharedLimits = nothingToStart, reporters = [] } = this.#options;
    const startedMs = clock.monotonicMs();
    /** Whether the promise has settled by the time when this part of the budget is over. */
    const by = (part: number, promise: Promise<unknown>): Promise<boolean> => settledWithin(clock, promise, startedMs + budgetMs * part - clock.monotonicMs());
    telemetry.emit({ type: "worker.stopping", inFlight: this.#inFlight.size });
    this.#returned = 0;
    this.#watchdog.stop();
    this.#executions.stop();
    const noMore = this.#pipelines.stopReceiving();
    const nothingHeld = noMore.then(() => this.#inFlight.whenEmpty());
    if (sources.every(({ transport }) => transport.releaseIsFree)) {
      await by(handBackAfter, noMore);
      this.#executions.handBackIdle();
    }
    if (!(await by(interruptAfter, nothingHeld))) {
      this.#executions.handBackIdle();
      this.#executions.interrupt(this.#inFlight.works());
      await by(endThreadsAfter, nothingHeld);
    }
    await by(giveUpAfter, executor.stop());
    await by(giveUpAfter, nothingHeld);
    this.#pipelines.stopSending();
    this.#gate.stop();
    await by(1, nothingHeld);
    this.#keeper.stop();
    for (const reporter of reporters) if (!(await by(1, reporter.stop()))) reporter.giveUp();
    const { stores, transports } = this.#pipelines;
    const closed = stopAll([transports, publisher, this.#limits ?? nothingToStart, sharedLimits, stores]);
    const isClosed = await by(1, closed);
    telemetry.emit({ type: "worker.stopped", returned: this.#returned });
    if (isClosed) await closed;
  }

  #ended(work: Work, outcome: FinalOutcome): void {
    if (outcome === "released") this.#returned += 1;
    this.#intake.ended(work);
    this.#pipelines.of(work).processor.ended(work, outcome);
    this.#suspects.ended(work, outcome);
    this.#pipelines.replenishAfter(work);
  }
}
