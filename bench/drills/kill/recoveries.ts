/** How long what a killed worker held takes to end elsewhere. */
import type { BrokerControl } from "#load/dev/broker-account.ts";

interface Open {
  readonly sinceMs: number;
  readonly left: Set<number>;
}

export class Recoveries {
  readonly #broker: BrokerControl;
  readonly #open = new Set<Open>();
  /** Of each kill that met a worker with messages in its hands: until the last of them had left the queue, in milliseconds. */
  readonly durationsMs: number[] = [];

  constructor(broker: BrokerControl) {
    this.#broker = broker;
  }

  /** To be called just after a kill: every message that is locked now is waited for. Those of the living end soon by themselves. */
  async killed(): Promise<void> {
    const open: Open = { sinceMs: performance.now(), left: new Set() };
    for await (const { sequenceNumber, state } of this.#broker.waiting()) if (state === "locked") open.left.add(sequenceNumber);
    if (open.left.size > 0) this.#open.add(open);
  }

  /** Compares with what is in the queue now. */
  async look(): Promise<void> {
    if (this.#open.size === 0) return;
    const present = new Set<number>();
    for await (const { sequenceNumber } of this.#broker.waiting()) present.add(sequenceNumber);
    for (const open of this.#open) {
      for (const sequenceNumber of open.left) if (!present.has(sequenceNumber)) open.left.delete(sequenceNumber);
      if (open.left.size > 0) continue;
      this.#open.delete(open);
      this.durationsMs.push(performance.now() - open.sinceMs);
    }
  }

  quantile(part: number): number {
    const sorted = this.durationsMs.toSorted((one, other) => one - other);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  }
}
