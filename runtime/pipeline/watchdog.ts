/**
 * Notices what nobody tells: a receiver that gets nothing although the queue is not empty, threads that can take work again
 * after they could not, logins that are about to end, an event loop that is so late that locks are in danger, and memory that runs short.
 *
 * A silent receiver is replaced; when that brings nothing either, the whole connection is, again and again until a message
 * comes or the queue is found empty. When the queue cannot even be looked at, the connection is replaced at once, unless the
 * broker has asked for patience.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf, TransportError } from "../core/errors.ts";
import type { MemoryUse } from "../core/memory.ts";
import type { CredentialWatch } from "../policy/credential-watch.ts";
import type { LoopWatch } from "../policy/loop-watch.ts";
import type { MemoryWatch } from "../policy/memory-watch.ts";
import type { RetryBudget } from "../policy/retry-budget.ts";
import type { StoreDoubt } from "../policy/store-doubt.ts";
import type { Executor } from "../ports/executor.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Transport } from "../ports/transport.ts";
import type { Latency } from "./latency.ts";
import type { Receiving } from "./receiving.ts";
import type { Shedding } from "./shedding.ts";

const watchdogLookMs = 1_000;
/** While memory is short, it is collected as often at most. */
const collectEveryMs = 5_000;

export interface WatchdogOptions {
  readonly transport: Transport;
  readonly executor: Executor;
  readonly receiveLoop: Receiving;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** How long a receiver with credit may get nothing before the queue is looked at. */
  readonly silenceMaxMs: number;
  readonly storeDoubt: StoreDoubt;
  readonly credentials: CredentialWatch;
  readonly retryBudget: RetryBudget;
  readonly shedding: Pick<Shedding, "look">;
  readonly latency: Pick<Latency, "look">;
  readonly memoryWatch: MemoryWatch;
  /** Undefined where no limit is known. */
  readonly memory: () => MemoryUse | undefined;
  readonly loopWatch: LoopWatch;
  /** The longest delay of the event loop since it was last asked for. */
  readonly loopDelay: () => number;
  readonly collectGarbage: () => void;
}

export class Watchdog {
  readonly #options: WatchdogOptions;
  #timer: Timer | undefined;
  #isChecking = false;
  #checkedMs = 0;
  #rebuiltInVain = 0;
  #collectedMs = Number.NEGATIVE_INFINITY;
  /** Messages taken when something was last replaced. */
  #receivedBefore = 0;

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** How often receiver or connection were replaced since a message last came, or could have come. */
  get rebuiltInVain(): number {
    return this.#options.receiveLoop.received === this.#receivedBefore ? this.#rebuiltInVain : 0;
  }

  start(): void {
    // What delayed the start does not count.
    this.#options.loopDelay();
    this.#lookLater();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
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
    const { receiveLoop, executor, clock, silenceMaxMs, storeDoubt, retryBudget, credentials } = this.#options;
    const nowMs = clock.monotonicMs();
    storeDoubt.look();
    retryBudget.look(nowMs);
    credentials.look();
    if (credentials.isEnding) receiveLoop.pause("credential-ending");
    else receiveLoop.resume("credential-ending");
    this.#lookAtMemory();
    this.#lookAtLoop(lateMs);
    this.#options.shedding.look();
    this.#options.latency.look();
    if (executor.isReady()) receiveLoop.resume("threads-down");
    const since = receiveLoop.silentSinceMs;
    if (this.#isChecking || since === undefined || nowMs - Math.max(since, this.#checkedMs) < silenceMaxMs) return;
    this.#isChecking = true;
    this.#checkedMs = nowMs;
    void this.#check(since).finally(() => {
      this.#isChecking = false;
    });
  }

  #lookAtMemory(): void {
    const { memory, memoryWatch, receiveLoop, telemetry } = this.#options;
    const use = memory();
    if (use === undefined) return;
    const isNew = memoryWatch.measured(use);
    const { state } = memoryWatch;
    if (state === "short") this.#collectGarbage();
    if (!isNew) return;
    telemetry.emit({ type: "memory.changed", state, ...use });
    receiveLoop.trim();
  }

  /** The look's own delay counts, too: what blocks the loop right after a look is not in its measurement. */
  #lookAtLoop(lateMs: number): void {
    const { loopDelay, loopWatch, receiveLoop, telemetry } = this.#options;
    if (!loopWatch.measured(Math.max(0, lateMs, loopDelay()))) return;
    telemetry.emit({ type: "loop.changed", state: loopWatch.state, delayMs: Math.round(loopWatch.delayMs) });
    receiveLoop.trim();
  }

  #collectGarbage(): void {
    const { clock, executor, collectGarbage } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#collectedMs < collectEveryMs) return;
    this.#collectedMs = nowMs;
    executor.collectGarbage();
    collectGarbage();
  }

  async #check(since: number): Promise<void> {
    const { transport, telemetry, receiveLoop } = this.#options;
    let canBeLookedAt = true;
    try {
      if (!(await transport.hasBacklog())) {
        this.#rebuiltInVain = 0;
        return;
      }
    } catch (error) {
      telemetry.emit({ type: "transport.disturbed", error: messageOf(error) });
      if (error instanceof TransportError && error.retryAfterMs !== undefined) return;
      canBeLookedAt = false;
    }
    if (this.#timer === undefined || receiveLoop.silentSinceMs !== since) return;
    await this.#mend(canBeLookedAt);
  }

  async #mend(canBeLookedAt: boolean): Promise<void> {
    const { receiveLoop, telemetry } = this.#options;
    const why = canBeLookedAt ? "the queue holds messages, and none came" : "no message came, and the queue could not be looked at";
    const what = canBeLookedAt && this.rebuiltInVain === 0 ? "receiver" : "connection";
    this.#rebuiltInVain = this.rebuiltInVain + 1;
    this.#receivedBefore = receiveLoop.received;
    telemetry.emit({ type: `${what}.rebuilt`, why });
    await receiveLoop.rebuild(what);
  }
}
