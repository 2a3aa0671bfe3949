/**
 * The orders of one call of `settle`, answered together: by the broker, one by one or in ranges, or by the deadline. There is
 * one promise for a call and nothing for an order but its place here. Groups are made with one time-out, so that the first
 * in line is always the next that is due, and one timer serves all.
 */
import type { Clock, Timer } from "../../core/clock.ts";
import type { SettleResult } from "../../ports/transport.ts";

export class SettleGroup {
  readonly whenAll: Promise<readonly SettleResult[]>;
  readonly dueMs: number;
  readonly #results: (SettleResult | undefined)[];
  #left: number;
  #resolve: (results: readonly SettleResult[]) => void = () => {};

  constructor(count: number, dueMs: number) {
    this.dueMs = dueMs;
    this.#left = count;
    this.#results = Array<SettleResult | undefined>(count).fill(undefined);
    this.whenAll = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get isDone(): boolean {
    return this.#left === 0;
  }

  /** The first result of an order counts, and none after the deadline. */
  finish(index: number, result: SettleResult): void {
    if (this.#left === 0 || this.#results[index] !== undefined) return;
    this.#results[index] = result;
    this.#left -= 1;
    if (this.#left === 0) this.#resolve(this.#results as readonly SettleResult[]);
  }

  /** No answer came for what is left. */
  giveUp(): void {
    if (this.#left === 0) return;
    this.#left = 0;
    this.#resolve(this.#results.map((result) => result ?? "unknown"));
  }
}

/** Groups in the order in which they fall due. */
export class SettleDeadlines {
  readonly #clock: Clock;
  readonly #answerTimeoutMs: number;
  #groups: SettleGroup[] = [];
  #first = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, answerTimeoutMs: number) {
    this.#clock = clock;
    this.#answerTimeoutMs = answerTimeoutMs;
  }

  newGroup(count: number): SettleGroup {
    const group = new SettleGroup(count, this.#clock.monotonicMs() + this.#answerTimeoutMs);
    this.#dropDone();
    this.#groups.push(group);
    this.#timer ??= this.#clock.after(this.#answerTimeoutMs, this.#ring);
    return group;
  }

  /** No answer will come any more. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const group of this.#groups.splice(0)) group.giveUp();
    this.#first = 0;
  }

  #dropDone(): void {
    while (this.#groups[this.#first]?.isDone === true) this.#first += 1;
    if (this.#first < 64 || this.#first * 2 < this.#groups.length) return;
    this.#groups = this.#groups.slice(this.#first);
    this.#first = 0;
  }

  readonly #ring = (): void => {
    this.#timer = undefined;
    const nowMs = this.#clock.monotonicMs();
    for (let next = this.#groups[this.#first]; next !== undefined && (next.isDone || next.dueMs <= nowMs); next = this.#groups[this.#first]) {
      next.giveUp();
      this.#first += 1;
    }
    this.#dropDone();
    const next = this.#groups[this.#first];
    if (next !== undefined) this.#timer = this.#clock.after(Math.max(1, next.dueMs - nowMs), this.#ring);
  };
}
