/**
 * Whether the run store can be trusted to answer.
 *
 *   open ──(a call failed)──▶ closed ──(held for holdMaxMs)──▶ given up
 *     ▲                         │                                 │
 *     └──────(a ping answers)───┴─────────────────────────────────┘
 *
 * While it is closed, receiving stops and writes wait; the store is asked again with growing pauses until it answers, then
 * everything goes on by itself. The pauses go on growing until a write has succeeded: a store that answers a ping and fails
 * the next write is not asked at full speed, is not said to be up before one has succeeded, and is given up as one that does not
 * answer. Once it has given up, what waits is handed back.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { Telemetry } from "../ports/telemetry.ts";

const storeProbeFirstMs = 100;
const storeProbeMaxMs = 2_000;

export interface StoreGateOptions {
  readonly store: Pick<RunStore, "ping">;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** How long held messages are kept while the store is down, before they are handed back. */
  readonly holdMaxMs: number;
}

/** Listeners, in the order in which they were added. */
class Signal {
  readonly #actions: (() => void)[] = [];

  add(action: () => void): void {
    this.#actions.push(action);
  }

  send(): void {
    for (const action of this.#actions) action();
  }
}

export class StoreGate {
  readonly #options: StoreGateOptions;
  readonly #closed = new Signal();
  readonly #reopened = new Signal();
  readonly #gaveUp = new Signal();
  #state: "open" | "closed" | "given-up" = "open";
  /** Since when the store is said to be down; undefined while it is not. */
  #downSinceMs: number | undefined;
  /** It was closed again before a write had succeeded: an answer to a ping alone does not say that it is up. */
  #isDoubtful = false;
  /** Since when what waits has been held, over reopenings that no write confirmed; undefined while nothing is. */
  #holdingSinceMs: number | undefined;
  #probeDelayMs = storeProbeFirstMs;
  #probe: Timer | undefined;
  #isStopped = false;

  constructor(options: StoreGateOptions) {
    this.#options = options;
  }

  get holdMaxMs(): number {
    return this.#options.holdMaxMs;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Whether what would wait for the store must be handed back instead. */
  get hasGivenUp(): boolean {
    return this.#state === "given-up";
  }

  /** Calls `action` each time the store is found to be down. */
  onClosed(action: () => void): void {
    this.#closed.add(action);
  }

  /** Calls `action` each time the store is back. */
  onReopened(action: () => void): void {
    this.#reopened.add(action);
  }

  /** Calls `action` when the store has been down for too long to go on holding messages, or the worker stops. */
  onGaveUp(action: () => void): void {
    this.#gaveUp.add(action);
  }

  /** Says that a call was answered. */
  worked(): void {
    if (this.#state !== "open") return;
    this.#holdingSinceMs = undefined;
    this.#probeDelayMs = storeProbeFirstMs;
    this.#isDoubtful = false;
    this.#tellUp();
  }

  /** Says that a call failed. */
  close(error: unknown): void {
    if (this.#state !== "open") return;
    const { clock, telemetry } = this.#options;
    this.#state = "closed";
    const nowMs = clock.monotonicMs();
    this.#isDoubtful ||= this.#holdingSinceMs !== undefined;
    this.#holdingSinceMs ??= nowMs;
    if (this.#downSinceMs === undefined) telemetry.emit({ type: "store.down", error: messageOf(error) });
    this.#downSinceMs ??= nowMs;
    this.#closed.send();
    this.#probeLater();
  }

  /** Gives up for good: the worker is about to close everything. */
  stop(): void {
    this.#isStopped = true;
    this.#probe?.cancel();
    this.#giveUp();
  }

  #probeLater(): void {
    this.#probe = this.#options.clock.after(this.#probeDelayMs, () => {
      void this.#options.store.ping().then((answers) => this.#probed(answers));
    });
    this.#probeDelayMs = Math.min(storeProbeMaxMs, this.#probeDelayMs * 2);
  }

  #probed(answers: boolean): void {
    if (this.#isStopped) return;
    const { clock, holdMaxMs } = this.#options;
    const isHeldLongEnough = clock.monotonicMs() - (this.#holdingSinceMs ?? Number.POSITIVE_INFINITY) >= holdMaxMs;
    const mustGiveUp = this.#state === "closed" && isHeldLongEnough;
    if (answers && !(mustGiveUp && this.#isDoubtful)) {
      if (this.hasGivenUp) this.#holdingSinceMs = undefined;
      this.#state = "open";
      if (!this.#isDoubtful) this.#tellUp();
      this.#reopened.send();
      return;
    }
    if (mustGiveUp) this.#giveUp();
    this.#probeLater();
  }

  #tellUp(): void {
    if (this.#downSinceMs === undefined) return;
    const { clock, telemetry } = this.#options;
    telemetry.emit({ type: "store.up", downMs: Math.round(clock.monotonicMs() - this.#downSinceMs) });
    this.#downSinceMs = undefined;
  }

  #giveUp(): void {
    this.#state = "given-up";
    this.#gaveUp.send();
  }
}
