// Time that a test drives by hand: nothing happens between two calls of `advance`.
import { setImmediate as afterMicrotasks, setTimeout as pause } from "node:timers/promises";
import type { Clock, Timer } from "../../core/clock.ts";

/** Something real that is waited for longer than this will not come. */
const realWaitMaxMs = 10_000;
const eagerTurns = 50;

interface Pending {
  readonly atMs: number;
  /** Breaks ties in the order of making. */
  readonly number: number;
  action: (() => void) | undefined;
}

function isBefore(one: Pending, other: Pending): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.number < other.number);
}

/** A binary heap, soonest first. */
class Agenda {
  readonly #heap: Pending[] = [];

  get first(): Pending | undefined {
    return this.#heap[0];
  }

  push(pending: Pending): void {
    const heap = this.#heap;
    let at = heap.push(pending) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(pending, heap[parent] as Pending)) break;
      heap[at] = heap[parent] as Pending;
      at = parent;
    }
    heap[at] = pending;
  }

  shift(): Pending | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Pending, heap[child] as Pending)) child += 1;
      if (!isBefore(heap[child] as Pending, last)) break;
      heap[at] = heap[child] as Pending;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

export class SimClock implements Clock {
  #nowMs = 0;
  #made = 0;
  readonly #agenda = new Agenda();
  #soon: (() => void)[] = [];
  readonly #originMs: number;
  readonly #realWaitMaxMs: number;
  /** Whether something is at work outside of simulated time, which waits for it, for ten seconds at most, or as it was made. */
  isHeld: () => boolean = () => false;

  /** `waitMaxMs`: how long something real may hold time; infinite where a person may have stopped it to look. */
  constructor(originMs: number = Date.UTC(2030, 0, 1), waitMaxMs: number = realWaitMaxMs) {
    this.#originMs = originMs;
    this.#realWaitMaxMs = waitMaxMs;
  }

  wallMs(): number {
    return this.#originMs + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): Timer {
    const pending: Pending = { atMs: this.#nowMs + Math.max(0, Math.ceil(delayMs)), number: (this.#made += 1), action };
    this.#agenda.push(pending);
    return {
      cancel: () => {
        pending.action = undefined;
      },
    };
  }

  soon(action: () => void): void {
    this.#soon.push(action);
  }

  /** A promise for `delayMs` from now. */
  delay(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve);
    });
  }

  /** Lets everything happen that is due now. */
  async settle(): Promise<void> {
    await afterMicrotasks();
    while (this.#soon.length > 0 || this.isHeld()) {
      if (this.#soon.length === 0) await this.#released();
      const actions = this.#soon;
      this.#soon = [];
      for (const action of actions) action();
      await afterMicrotasks();
    }
  }

  /** Waits, in real time, until nothing holds time any more or something is to be done now. */
  async #released(): Promise<void> {
    const endsAtMs = performance.now() + this.#realWaitMaxMs;
    for (let turn = 0; this.isHeld() && this.#soon.length === 0; turn += 1) {
      if (performance.now() > endsAtMs)
        throw new Error(`expected what runs to end, or to wait for simulated time, within ${this.#realWaitMaxMs} ms; it did not`);
      await (turn < eagerTurns ? afterMicrotasks() : pause(1));
    }
  }

  /** Lets `durationMs` pass, with all that is due in it. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await this.settle();
    for (let next = this.#agenda.first; next !== undefined && next.atMs <= endMs; next = this.#agenda.first) {
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      while (this.#agenda.first !== undefined && this.#agenda.first.atMs <= this.#nowMs) this.#agenda.shift()?.action?.();
      await this.settle();
    }
    this.#nowMs = endMs;
  }

  /** Lets time pass until `condition` holds; throws when that takes more than `limitMs`. */
  async until(what: string, condition: () => boolean, limitMs = 600_000, stepMs = 50): Promise<void> {
    const endMs = this.#nowMs + limitMs;
    await this.settle();
    while (!condition()) {
      if (this.#nowMs >= endMs) throw new Error(`expected ${what} within ${limitMs} ms of simulated time`);
      await this.advance(stepMs);
    }
  }

  /** Lets time pass until the promise settles; gives what it gave. */
  async finish<T>(what: string, promise: Promise<T>, limitMs = 600_000): Promise<T> {
    let isSettled = false;
    const mark = (): void => {
      isSettled = true;
    };
    promise.then(mark, mark);
    await this.until(what, () => isSettled, limitMs);
    return promise;
  }
}

/** The clock as one process sees it: it can be set wrongly, killed, so that nothing of it happens any more, or frozen for a while. */
export class ProcessClock implements Clock {
  readonly #clock: SimClock;
  /** How far its wall clock is ahead. */
  skewMs = 0;
  #isDead = false;
  #frozenUntilMs = 0;

  constructor(clock: SimClock) {
    this.#clock = clock;
  }

  wallMs(): number {
    return this.#clock.wallMs() + this.skewMs;
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  after(delayMs: number, action: () => void): Timer {
    // One that is due in a freeze waits for its end, and can be cancelled there by another.
    let isCancelled = false;
    const timer = this.#clock.after(delayMs, () =>
      this.run(() => {
        if (!isCancelled) action();
      }),
    );
    return {
      cancel: () => {
        isCancelled = true;
        timer.cancel();
      },
    };
  }

  soon(action: () => void): void {
    this.#clock.soon(() => this.run(action));
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** Nothing of this process happens any more. */
  kill(): void {
    this.#isDead = true;
  }

  /** Nothing of this process happens for so long; then all that was due does. */
  freeze(durationMs: number): void {
    this.#frozenUntilMs = this.#clock.monotonicMs() + durationMs;
  }

  /** Runs what reaches the process from outside: now, after its freeze, or never. */
  run(action: () => void): void {
    const leftMs = this.#frozenUntilMs - this.#clock.monotonicMs();
    if (this.#isDead) return;
    if (leftMs > 0) this.#clock.after(leftMs, () => this.run(action));
    else action();
  }

  /** The answer of an outside party, as it reaches the process: late or never. */
  hear<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      answer.then(
        (value) => this.run(() => resolve(value)),
        (error: unknown) => this.run(() => reject(error instanceof Error ? error : new Error(String(error)))),
      );
    });
  }
}
