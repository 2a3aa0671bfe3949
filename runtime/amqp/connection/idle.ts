// Idle time-outs (part 2, 2.4.5). Each side announces how long it may be left without a frame; the other sends an empty
// frame before that runs out. The specification advises to announce half of the real limit, so silence is borne for twice
// as long as was announced, and a heartbeat goes out after half of what the peer announced.
//
// One timer serves both: it is set for whichever is due first, and looks at the clock when it rings. A timer that rings late
// tells that this process stood still; what the peer sent meanwhile is not read yet, so silence is judged a moment later.
import type { Clock } from "./clock.ts";

export interface IdleOptions {
  /** What we announced; 0: silence is borne for ever. */
  readonly ownMs: number;
  /** What the peer announced; 0: it needs no heartbeats. */
  readonly peerMs: number;
  readonly sendHeartbeat: () => void;
  readonly onSilence: () => void;
}

/** A longer wait is made of several: no timer can be set for more. */
const delayMsMax = 0x7fff_ffff;

/** How late a timer of a process that does not stand still may ring. */
const lateMsMax = 50;

export class IdleWatch {
  readonly #clock: Clock;
  readonly #options: IdleOptions;
  #readAtMs: number;
  #writtenAtMs: number;
  /** When the timer is to ring. */
  #dueAtMs = 0;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, options: IdleOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#readAtMs = clock.nowMs();
    this.#writtenAtMs = this.#readAtMs;
    this.#set();
  }

  /** Something came in. */
  noteRead(): void {
    this.#readAtMs = this.#clock.nowMs();
  }

  /** Something went out. */
  noteWritten(): void {
    this.#writtenAtMs = this.#clock.nowMs();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #silenceAtMs(): number {
    return this.#options.ownMs > 0 ? this.#readAtMs + this.#options.ownMs * 2 : Infinity;
  }

  #heartbeatAtMs(): number {
    return this.#options.peerMs > 0 ? this.#writtenAtMs + this.#options.peerMs / 2 : Infinity;
  }

  #set(): void {
    const dueMs = Math.min(this.#silenceAtMs(), this.#heartbeatAtMs());
    if (dueMs !== Infinity) this.#setFor(dueMs);
  }

  #setFor(dueMs: number): void {
    const nowMs = this.#clock.nowMs();
    const delayMs = Math.min(delayMsMax, Math.max(1, Math.ceil(dueMs - nowMs)));
    this.#dueAtMs = nowMs + delayMs;
    this.#cancel = this.#clock.after(delayMs, () => this.#ring());
  }

  #ring(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs >= this.#silenceAtMs()) {
      if (nowMs > this.#dueAtMs + lateMsMax) {
        this.#setFor(nowMs);
        return;
      }
      this.#cancel = undefined;
      this.#options.onSilence();
      return;
    }
    if (nowMs >= this.#heartbeatAtMs()) {
      this.#writtenAtMs = nowMs;
      this.#options.sendHeartbeat();
    }
    this.#set();
  }
}
