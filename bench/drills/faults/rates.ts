/** How many messages end a second, by the broker's account, and how soon that is as before when a fault is over. */
import type { BrokerControl } from "#load/dev/broker-account.ts";
import { setTimeout as pause } from "node:timers/promises";

interface Sample {
  readonly atMs: number;
  readonly ended: number;
}

const sampleEveryMs = 100;
const secondMs = 1_000;

export class Rates {
  readonly #broker: BrokerControl;
  readonly #samples: Sample[] = [];
  #isOver = false;
  #watching: Promise<void> = Promise.resolve();
  queued = 0;

  constructor(broker: BrokerControl) {
    this.#broker = broker;
  }

  start(): void {
    this.#watching = this.#watch();
    // `stop` awaits it, and fails with it.
    this.#watching.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#watching;
  }

  /** Messages that ended between two moments, by the samples next to them. */
  between(fromMs: number, toMs: number): number {
    return this.#endedBy(toMs) - this.#endedBy(fromMs);
  }

  perSecond(fromMs: number, toMs: number): number {
    return (this.between(fromMs, toMs) * secondMs) / (toMs - fromMs);
  }

  /** Of the full seconds that begin in this time, the one in which fewest ended. */
  lowest(fromMs: number, toMs: number): number {
    const seconds = this.#samples.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs).map(({ atMs }) => this.between(atMs, atMs + secondMs));
    return Math.max(0, Math.min(...seconds));
  }

  /** From a moment until the first message ended; undefined when none has yet. */
  firstAfter(fromMs: number): number | undefined {
    const before = this.#endedBy(fromMs);
    const first = this.#samples.find(({ atMs, ended }) => atMs > fromMs && ended > before);
    return first === undefined ? undefined : first.atMs - fromMs;
  }

  /** From a moment until the first second begins in which so many end; undefined when there was none yet. */
  backAfter(fromMs: number, perSecond: number): number | undefined {
    const last = this.#samples.at(-1)?.atMs ?? 0;
    for (let atMs = fromMs; atMs + secondMs <= last; atMs += sampleEveryMs) if (this.between(atMs, atMs + secondMs) >= perSecond) return atMs - fromMs;
    return undefined;
  }

  #endedBy(atMs: number): number {
    let low = 0;
    let high = this.#samples.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#samples[middle]?.atMs ?? 0) <= atMs) low = middle + 1;
      else high = middle;
    }
    return this.#samples[low - 1]?.ended ?? 0;
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      const { completed, deadLettered, queued } = await this.#broker.account();
      this.queued = queued;
      this.#samples.push({ atMs: performance.now(), ended: completed + deadLettered });
      await pause(sampleEveryMs);
    }
  }
}
