/**
 * What is exported by OTLP waits here in a queue that is bounded, and goes out in batches; what is over, or cannot be delivered after the exporter's
 * own retries, is dropped, counted and reported.
 */
import type { Clock, Timer } from "../../../core/clock.ts";
import { messageOf } from "../../../core/errors.ts";
import type { Reporter } from "../../../ports/telemetry.ts";
import { settledWithin } from "../../support/waiting.ts";
import { Losses } from "../losses.ts";
import type { ExportQueue } from "./environment.ts";

/** Why something was not exported: too much waited, nobody took it, or the worker ended first. */
export type LossReason = "buffer" | "refused" | "stop";

export interface BatchesOptions<Item> extends ExportQueue {
  readonly clock: Clock;
  /** Sends a batch, and says once whether it was taken. */
  readonly send: (batch: readonly Item[], done: (result: { readonly error?: Error }) => void) => void;
  readonly shutdown: () => Promise<void>;
  readonly lost: (why: LossReason, count: number, error: string) => void;
}

/** How long a stop waits for the collector. */
const stopMaxMs = 2_000;

export class Batches<Item> implements Reporter {
  readonly #options: BatchesOptions<Item>;
  readonly #losses: Losses<LossReason>;
  #waiting: Item[] = [];
  #timer: Timer | undefined;
  #exporting: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: BatchesOptions<Item>) {
    this.#options = options;
    this.#losses = new Losses(options.clock, options.lost);
  }

  start(): void {
    // It takes what comes from the beginning.
  }

  take(items: readonly Item[]): void {
    const { queueMax, batchMax, delayMs, clock } = this.#options;
    const room = this.#isStopped ? 0 : Math.max(0, queueMax - this.#waiting.length);
    if (room < items.length) this.#losses.add(this.#isStopped ? "stop" : "buffer", items.length - room, "");
    for (let index = 0; index < items.length && index < room; index += 1) this.#waiting.push(items[index]!);
    if (this.#waiting.length === 0 || this.#exporting !== undefined) return;
    if (this.#waiting.length >= batchMax) this.#begin();
    else
      this.#timer ??= clock.after(delayMs, () => {
        this.#timer = undefined;
        if (this.#exporting === undefined) this.#begin();
      });
  }

  /** Exports what waits, each once. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    // A collector that does not answer must not take the time of what is stopped after it.
    await settledWithin(this.#options.clock, stopMaxMs, this.#exportAndClose());
    this.giveUp();
  }

  async #exportAndClose(): Promise<void> {
    await this.#exporting;
    if (this.#waiting.length > 0) await this.#exportAll();
    await this.#options.shutdown();
  }

  giveUp(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    if (this.#waiting.length > 0) this.#losses.add("stop", this.#waiting.length, "");
    this.#waiting = [];
    this.#losses.stop();
  }

  #begin(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#exporting = this.#exportAll().finally(() => {
      this.#exporting = undefined;
    });
  }

  async #exportAll(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#isStopped) await this.#exportBatch(this.#waiting.splice(0, this.#options.batchMax));
  }

  #exportBatch(batch: readonly Item[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const failed = (error: unknown): void => {
      this.#losses.add("refused", batch.length, messageOf(error, 200));
      resolve();
    };
    try {
      this.#options.send(batch, ({ error }) => (error === undefined ? resolve() : failed(error)));
    } catch (error) {
      failed(error);
    }
    return promise;
  }
}
