/**
 * Notices what nobody tells: receivers that get nothing (see silences.ts), threads that can take work again after they could
 * not, logins that are about to end, an event loop that is so late that locks are in danger, and memory that runs short.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { GarbageExtent, MemoryUse } from "../core/memory.ts";
import type { CredentialWatch } from "../policy/credential-watch.ts";
import type { LoopWatch } from "../policy/loop-watch.ts";
import type { MemoryWatch } from "../policy/memory-watch.ts";
import type { RetryBudget } from "../policy/retry-budget.ts";
import type { Executor } from "../ports/executor.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { IntakeWatch } from "./intake-watch.ts";
import type { Latency } from "./latency.ts";
import type { Shedding } from "./shedding.ts";
import type { Silences } from "./silences.ts";
import type { SourcePipeline } from "./source-pipeline.ts";

const watchdogLookMs = 1_000;
/** While memory is short, it is collected as often at most. */
const collectEveryMs = 5_000;

export interface WatchdogOptions {
  readonly executor: Executor;
  readonly pipelines: readonly Pick<SourcePipeline, "source" | "receiving">[];
  readonly silences: Silences;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly credentials: CredentialWatch;
  readonly retryBudget: RetryBudget;
  readonly shedding: Pick<Shedding, "look">;
  readonly latency: Pick<Latency, "look">;
  readonly intakeWatch: Pick<IntakeWatch, "look">;
  readonly memoryWatch: MemoryWatch;
  /** Undefined where no limit is known. */
  readonly memory: () => MemoryUse | undefined;
  readonly loopWatch: LoopWatch;
  /** The longest delay of the event loop since it was last asked for. */
  readonly loopDelay: () => number;
  readonly collectGarbage: (extent: GarbageExtent) => void;
}

export class Watchdog {
  readonly #options: WatchdogOptions;
  #timer: Timer | undefined;
  #collectedMs = Number.NEGATIVE_INFINITY;

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  start(): void {
    // What delayed the start does not count.
    this.#options.loopDelay();
    this.#lookLater();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#options.silences.stop();
  }

  #lookLater(): void {
    const { clock } = this.#options;
    const dueMs = clock.monotonicMs() + watchdogLookMs;
    this.#timer = clock.after(watchdogLookMs, () => {
      const lateMs = clock.monotonicMs() - dueMs;
      this.#lookLater();
      this.#look(lateMs);
    });
  }

  #look(lateMs: number): void {
    const { pipelines, silences, executor, clock, retryBudget, credentials } = this.#options;
    const nowMs = clock.monotonicMs();
    retryBudget.look(nowMs);
    credentials.look();
    this.#lookAtMemory();
    this.#lookAtLoop(lateMs);
    this.#options.shedding.look();
    this.#options.latency.look();
    this.#options.intakeWatch.look();
    for (const { source, receiving } of pipelines) {
      source.storeDoubt.look();
      if (credentials.isEnding) receiving.pause("credential-ending");
      else receiving.resume("credential-ending");
      if (executor.isReady()) receiving.resume("threads-down");
    }
    silences.look(nowMs);
  }

  #lookAtMemory(): void {
    const { memory, memoryWatch, pipelines, telemetry } = this.#options;
    const use = memory();
    if (use === undefined) return;
    const isNew = memoryWatch.measured(use);
    const { state } = memoryWatch;
    if (state === "short") this.#collectGarbage();
    if (!isNew) return;
    telemetry.emit({ type: "memory.changed", state, ...use });
    for (const { receiving } of pipelines) receiving.trim();
  }

  /** The look's own delay counts, too: what blocks the loop right after a look is not in its measurement. */
  #lookAtLoop(lateMs: number): void {
    const { loopDelay, loopWatch, pipelines, telemetry } = this.#options;
    if (!loopWatch.measured(Math.max(0, lateMs, loopDelay()))) return;
    telemetry.emit({ type: "loop.changed", state: loopWatch.state, delayMs: Math.round(loopWatch.delayMs) });
    for (const { receiving } of pipelines) receiving.trim();
  }

  #collectGarbage(): void {
    const { clock, executor, collectGarbage } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#collectedMs < collectEveryMs) return;
    this.#collectedMs = nowMs;
    executor.collectGarbage("unused");
    collectGarbage("unused");
  }
}
