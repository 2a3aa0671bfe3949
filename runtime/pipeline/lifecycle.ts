/**
 * A worker's life: start everything in the order in which it is needed, stop in two phases.
 *
 *   stopped → starting → running → stopping → stopped
 *
 * Stopping: (1) take no more, hand back what has not begun; (2) let runs finish within the budget, then ask them to stop at
 * their next step, then end the threads; what could not finish is handed back with its checkpoints.
 */
import type { Clock, Random } from "../core/clock.ts";
import type { DependencyPolicy, SkillTable } from "../core/skill.ts";
import { Admission, type GateView } from "../policy/admission.ts";
import type { CircuitState } from "../policy/circuit.ts";
import { RetryBudget } from "../policy/retry-budget.ts";
import type { Executor } from "../ports/executor.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { FinalOutcome, Telemetry } from "../ports/telemetry.ts";
import type { Transport } from "../ports/transport.ts";
import { InFlight } from "./in-flight.ts";
import { LockKeeper } from "./lock-keeper.ts";
import { BatchProcessor, type ProcessBatchOptions } from "./process-batch.ts";
import { ReceiveLoop } from "./receive-loop.ts";
import { Settler } from "./settle.ts";
import { StoreGate } from "./store-gate.ts";
import { Watchdog } from "./watchdog.ts";
import type { Work } from "./work.ts";

export interface WorkerOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Unique among all workers, ever. */
  readonly workerId: string;
  readonly consumer: string;
  readonly transport: Transport;
  readonly publisher: Publisher;
  readonly store: RunStore;
  readonly executor: Executor;
  readonly telemetry: Telemetry;
  readonly skills: SkillTable;
  readonly skillCount: number;
  readonly threads: number;
  readonly dependencies: readonly DependencyPolicy[];
  readonly readRoute: ProcessBatchOptions["readRoute"];
  /** Messages held at once. */
  readonly inFlightMax: number;
  readonly deliveriesMax: number;
  /** Where scheduled copies go. */
  readonly retryEntity: string;
  readonly entityFor: (eventType: string) => string;
  /** How long held messages are kept while the store is down. */
  readonly storeHoldMaxMs: number;
  readonly silenceMaxMs: number;
  /** Shares a circuit's state with the threads. */
  readonly circuitChanged: (dependency: number, state: CircuitState) => void;
}

/** Of a stop's budget, the part runs may use to finish undisturbed; the rest is for stopping them and handing back. */
export const finishPart = 0.7;
const interruptPart = 0.2;

export interface WorkerView {
  readonly inFlight: number;
  readonly executing: number;
  readonly storeUp: boolean;
  readonly threadsReady: boolean;
  readonly loopDelayMs: number;
  readonly gates: readonly GateView[];
}

export class Worker {
  readonly #options: WorkerOptions;
  readonly #inFlight = new InFlight();
  readonly #admission: Admission<Work>;
  readonly #gate: StoreGate;
  readonly #keeper: LockKeeper;
  readonly #settler: Settler;
  readonly #processor: BatchProcessor;
  readonly #receiveLoop: ReceiveLoop;
  readonly #watchdog: Watchdog;
  #handedBack = 0;
  #stopped: Promise<void> | undefined;

  constructor(options: WorkerOptions) {
    const { clock, telemetry, transport, store, executor } = options;
    this.#options = options;
    this.#admission = new Admission(options.dependencies, (dependency, name, state) => {
      options.circuitChanged(dependency, state);
      telemetry.emit({ type: "circuit.changed", dependency: name, state });
    });
    this.#gate = new StoreGate({ store, clock, telemetry, holdMaxMs: options.storeHoldMaxMs });
    this.#keeper = new LockKeeper({
      transport,
      clock,
      renewed: (works) => this.#processor.renewed(works),
      lost: (work) => this.#processor.lockLost(work),
    });
    this.#settler = new Settler({ ...options, gate: this.#gate, ended: (work, outcome) => this.#ended(work, outcome) });
    this.#processor = new BatchProcessor({
      ...options,
      executor,
      gate: this.#gate,
      admission: this.#admission,
      retryBudget: new RetryBudget(),
      inFlight: this.#inFlight,
      keeper: this.#keeper,
      settler: this.#settler,
    });
    this.#receiveLoop = new ReceiveLoop({
      transport,
      clock,
      telemetry,
      inFlightMax: options.inFlightMax,
      inFlight: () => this.#inFlight.size,
      deliveries: (batch) => this.#processor.arrive(batch),
    });
    this.#watchdog = new Watchdog({ transport, receiveLoop: this.#receiveLoop, clock, telemetry, silenceMaxMs: options.silenceMaxMs });
    this.#gate.onClosed(() => this.#receiveLoop.pause());
    this.#gate.onReopened(() => this.#receiveLoop.resume());
  }

  /** Connects everything and begins to receive; rejects with what could not be started, after closing the rest. */
  async start(): Promise<void> {
    const { store, transport, publisher, executor, telemetry, consumer, skillCount, threads } = this.#options;
    const started: { stop(): Promise<void> }[] = [];
    try {
      for (const part of [store, publisher, transport]) {
        started.unshift(part);
        await part.start();
      }
      started.unshift(executor);
      await executor.start({
        steps: (requests) => this.#processor.checkpoint(requests),
        results: (results) => this.#processor.conclude(results),
        threadLost: (why, replaced) => telemetry.emit({ type: "thread.lost", why, replaced }),
      });
    } catch (error) {
      for (const part of started) await part.stop();
      throw error;
    }
    this.#keeper.start();
    this.#watchdog.start();
    this.#receiveLoop.start();
    telemetry.emit({ type: "worker.started", consumer, skills: skillCount, threads });
  }

  /** Stops within `budgetMs`; resolves when everything is closed. Calling it again joins the first call. */
  stop(budgetMs: number): Promise<void> {
    this.#stopped ??= this.#stop(budgetMs);
    return this.#stopped;
  }

  view(): WorkerView {
    const { executor, clock } = this.#options;
    return {
      inFlight: this.#inFlight.size,
      executing: this.#inFlight.all().filter((work) => work.stage === "executing").length,
      storeUp: this.#gate.isOpen,
      threadsReady: executor.isReady(),
      loopDelayMs: this.#watchdog.loopDelayMs,
      gates: this.#admission.view(clock.monotonicMs()),
    };
  }

  async #stop(budgetMs: number): Promise<void> {
    const { telemetry, executor, transport, publisher, store } = this.#options;
    telemetry.emit({ type: "worker.stopping", inFlight: this.#inFlight.size });
    this.#watchdog.stop();
    this.#handedBack = 0;
    const noMore = this.#receiveLoop.stop();
    this.#processor.stop();
    if (!(await this.#emptyWithin(budgetMs * finishPart))) {
      this.#processor.interrupt();
      await this.#emptyWithin(budgetMs * interruptPart);
    }
    await executor.stop();
    await this.#emptyWithin(budgetMs * (1 - finishPart - interruptPart));
    await noMore;
    this.#keeper.stop();
    this.#gate.stop();
    await transport.stop();
    await publisher.stop();
    await store.stop();
    telemetry.emit({ type: "worker.stopped", handedBack: this.#handedBack });
  }

  /** Whether nothing is held any more, waiting `limitMs` for it at most. */
  async #emptyWithin(limitMs: number): Promise<boolean> {
    const late = new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(limitMs, resolve);
      void this.#inFlight.whenEmpty().then(() => {
        timer.cancel();
        resolve();
      });
    });
    await late;
    return this.#inFlight.size === 0;
  }

  #ended(work: Work, outcome: FinalOutcome): void {
    if (outcome === "released") this.#handedBack += 1;
    this.#processor.ended(work, outcome);
    this.#receiveLoop.replenish();
  }
}
