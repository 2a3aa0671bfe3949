/**
 * Whether the run store can be trusted to answer. When a call fails, the gate closes: receiving stops, writes wait, and the
 * store is asked again with growing pauses until it answers; then everything goes on by itself.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { Telemetry } from "../ports/telemetry.ts";

export const storeProbeFirstMs = 100;
export const storeProbeMaxMs = 2_000;

export interface StoreGateOptions {
  readonly store: RunStore;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** How long held messages are kept while the store is down, before they are handed back. */
  readonly holdMaxMs: number;
}

export class StoreGate {
  readonly #options: StoreGateOptions;
  readonly #closed: (() => void)[] = [];
  readonly #reopened: (() => void)[] = [];
  readonly #gaveUp: (() => void)[] = [];
  #downSinceMs: number | undefined;
  #probe: Timer | undefined;
  #stopped = false;

  constructor(options: StoreGateOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#downSinceMs === undefined;
  }

  /** Calls `action` each time the store is found to be down. */
  onClosed(action: () => void): void {
    this.#closed.push(action);
  }

  /** Calls `action` each time the store is back. */
  onReopened(action: () => void): void {
    this.#reopened.push(action);
  }

  /** Calls `action` when the store has been down for too long to go on holding messages. */
  onGaveUp(action: () => void): void {
    this.#gaveUp.push(action);
  }

  /** Says that a call failed. */
  close(error: unknown): void {
    if (!this.isOpen || this.#stopped) return;
    const { clock, telemetry } = this.#options;
    const downSinceMs = clock.monotonicMs();
    this.#downSinceMs = downSinceMs;
    telemetry.emit({ type: "store.down", error: messageOf(error) });
    for (const action of this.#closed) action();
    this.#probeAfter(storeProbeFirstMs, downSinceMs, false);
  }

  stop(): void {
    this.#stopped = true;
    this.#probe?.cancel();
  }

  #probeAfter(delayMs: number, downSinceMs: number, gaveUp: boolean): void {
    const { store, clock, telemetry, holdMaxMs } = this.#options;
    this.#probe = clock.after(delayMs, () => {
      void store.ping().then((answers) => {
        if (this.#stopped) return;
        const downMs = clock.monotonicMs() - downSinceMs;
        if (answers) {
          this.#downSinceMs = undefined;
          telemetry.emit({ type: "store.up", downMs: Math.round(downMs) });
          for (const action of this.#reopened) action();
          return;
        }
        const giveUp = !gaveUp && downMs >= holdMaxMs;
        if (giveUp) for (const action of this.#gaveUp) action();
        this.#probeAfter(Math.min(storeProbeMaxMs, delayMs * 2), downSinceMs, gaveUp || giveUp);
      });
    });
  }
}
