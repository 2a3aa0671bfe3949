/**
 * Takes messages from the transport, never more than there is room for: credit outstanding plus messages in flight stay at
 * or below `inFlightMax`.
 */
import type { Clock } from "../core/clock.ts";
import type { Delivery } from "../core/delivery.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Receiver, Transport } from "../ports/transport.ts";

export interface ReceiveLoopOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly inFlightMax: number;
  /** Messages taken and not yet ended. */
  inFlight(): number;
  deliveries(batch: readonly Delivery[]): void;
}

export class ReceiveLoop {
  readonly #options: ReceiveLoopOptions;
  #receiver: Receiver | undefined;
  /** Raised for each receiver, so that a replaced one is not heard. */
  #incarnation = 0;
  #credit = 0;
  #paused = false;
  #granting = false;
  #lastReceivedMs = 0;

  constructor(options: ReceiveLoopOptions) {
    this.#options = options;
  }

  /** Since when credit is open and nothing came, monotonic; undefined while none is open. */
  get silentSinceMs(): number | undefined {
    return this.#credit > 0 && !this.#paused ? this.#lastReceivedMs : undefined;
  }

  start(): void {
    this.#open();
  }

  /** Takes no more messages; resolves when no more can come. */
  async stop(): Promise<void> {
    this.#paused = true;
    const receiver = this.#receiver;
    this.#receiver = undefined;
    await receiver?.stop();
  }

  /** Grants no new credit until `resume`. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (this.#receiver === undefined) return;
    this.#paused = false;
    this.replenish();
  }

  /** Says that room may have come free; grants it once a tick. */
  replenish(): void {
    if (this.#granting) return;
    this.#granting = true;
    this.#options.clock.soon(() => {
      this.#granting = false;
      this.#grant();
    });
  }

  /** Replaces a receiver that has gone silent. */
  async rebuild(): Promise<void> {
    const old = this.#receiver;
    if (old === undefined) return;
    this.#open();
    await old.stop();
  }

  #open(): void {
    const { transport, telemetry, clock } = this.#options;
    this.#credit = 0;
    this.#lastReceivedMs = clock.monotonicMs();
    this.#incarnation += 1;
    const incarnation = this.#incarnation;
    this.#receiver = transport.openReceiver({
      deliveries: (batch) => {
        if (incarnation === this.#incarnation) this.#credit -= batch.length;
        this.#lastReceivedMs = clock.monotonicMs();
        this.#options.deliveries(batch);
      },
      disturbed: (error) => telemetry.emit({ type: "transport.disturbed", error: error.message }),
    });
    this.#paused = false;
    this.replenish();
  }

  #grant(): void {
    if (this.#paused || this.#receiver === undefined) return;
    const room = this.#options.inFlightMax - this.#options.inFlight() - this.#credit;
    if (room <= 0) return;
    if (this.#credit === 0) this.#lastReceivedMs = this.#options.clock.monotonicMs();
    this.#credit += room;
    this.#receiver.addCredit(room);
  }
}
