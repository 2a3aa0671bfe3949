/**
 * Notices what fails silently: a receiver that gets nothing although the queue is not empty (it is replaced), and an event
 * loop that was blocked for so long that locks are in danger.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Transport } from "../ports/transport.ts";
import type { ReceiveLoop } from "./receive-loop.ts";

export const watchdogLookMs = 1_000;
/** A look that comes this much late means that the loop was blocked. */
export const loopDelayMaxMs = 1_000;

export interface WatchdogOptions {
  readonly transport: Transport;
  readonly receiveLoop: ReceiveLoop;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** How long a receiver with credit may get nothing before the queue is looked at. */
  readonly silenceMaxMs: number;
}

export class Watchdog {
  readonly #options: WatchdogOptions;
  #timer: Timer | undefined;
  #checking = false;
  #checkedMs = 0;
  #loopDelayMs = 0;
  #stopped = false;

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** How late the last look came. */
  get loopDelayMs(): number {
    return this.#loopDelayMs;
  }

  start(): void {
    const { clock, telemetry } = this.#options;
    const dueMs = clock.monotonicMs() + watchdogLookMs;
    this.#timer = clock.after(watchdogLookMs, () => {
      this.#loopDelayMs = Math.max(0, clock.monotonicMs() - dueMs);
      if (this.#loopDelayMs > loopDelayMaxMs) telemetry.emit({ type: "loop.blocked", delayMs: Math.round(this.#loopDelayMs) });
      this.#look();
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #look(): void {
    const { receiveLoop, clock, silenceMaxMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const since = receiveLoop.silentSinceMs;
    if (this.#checking || since === undefined || nowMs - Math.max(since, this.#checkedMs) < silenceMaxMs) return;
    this.#checking = true;
    this.#checkedMs = nowMs;
    void this.#check(since).finally(() => {
      this.#checking = false;
    });
  }

  async #check(since: number): Promise<void> {
    const { transport, receiveLoop, telemetry } = this.#options;
    try {
      const backlog = await transport.hasBacklog();
      if (!backlog || this.#stopped || receiveLoop.silentSinceMs !== since) return;
      telemetry.emit({ type: "receiver.rebuilt", why: "the queue holds messages, and none came" });
      await receiveLoop.rebuild();
    } catch (error) {
      telemetry.emit({ type: "transport.disturbed", error: messageOf(error) });
    }
  }
}
