/**
 * Where runs wait that have all they need but a thread, when a worker has several sources: the threads are handed what they begin
 * soon, and the rest waits here for the turn of its source (policy/source-shares.ts). What a skill with threads of its own runs, and what
 * has to be apart, takes nobody's turn.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { SourceShares } from "../policy/source-shares.ts";
import type { Executor } from "../ports/executor.ts";
import type { Source } from "./source.ts";
import type { Work } from "./work.ts";

/** What threads are handed ahead: what they end within this time, or else so many runs for each. */
const aheadMs = 20;
const aheadRuns = 2;
/** While runs wait here, it is looked as often whether threads can take more: they do not say when they begin a run. */
const lookMs = 5;
/** What the threads have not begun is asked for as often at most: it looks at every thread. */
const askEveryMs = 1;

export interface TurnsOptions {
  readonly clock: Clock;
  readonly executor: Pick<Executor, "unbegunShared">;
  readonly sources: readonly Source[];
  readonly threads: number;
  /** Runs may have their turn now. */
  moved(): void;
}

export class Turns {
  readonly #options: TurnsOptions;
  readonly #shares: SourceShares;
  /** By source. */
  readonly #queues: readonly Work[][];
  /** What each run under way is counted with, and since when it is, monotonic. */
  readonly #counted = new Map<Work, { readonly tookMs: number; readonly sinceMs: number }>();
  readonly #hasWaiting = (source: number): boolean => (this.#queues[source]?.length ?? 0) > 0;
  #waiting = 0;
  #unbegun = 0;
  #askedMs = Number.NEGATIVE_INFINITY;
  #look: Timer | undefined;

  constructor(options: TurnsOptions) {
    this.#options = options;
    this.#shares = new SourceShares(options.sources);
    this.#queues = options.sources.map(() => []);
  }

  /** Runs that wait here. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether it goes to the threads now; else it waits here. */
  enter(work: Work, nowMs: number): boolean {
    if (work.isApart || work.skill?.hasOwnThreads === true) return true;
    if (this.#waiting === 0 && this.#isRoomFor(work, nowMs)) {
      this.#go(work, nowMs);
      return true;
    }
    this.#queues[work.source.number]?.push(work);
    this.#waiting += 1;
    this.#lookLater();
    return false;
  }

  /** The next whose turn it is, when the threads can take one. */
  next(nowMs: number): Work | undefined {
    if (this.#waiting === 0) return undefined;
    const source = this.#shares.next(this.#hasWaiting);
    const queue = source === undefined ? undefined : this.#queues[source];
    const [first] = queue ?? [];
    if (queue === undefined || first === undefined || !this.#isRoomFor(first, nowMs)) return undefined;
    queue.shift();
    this.#waiting -= 1;
    this.#go(first, nowMs);
    return first;
  }

  /**
   * It has ended, after so long in its thread; 0 where its thread could not say. One that held it until it was ended had it all the time (`hasHeld`);
   * of any other it is left at what those of its source take.
   */
  ended(work: Work, durationMs: number, nowMs: number, hasHeld: boolean): void {
    const counted = this.#counted.get(work);
    if (counted === undefined) return;
    this.#counted.delete(work);
    const tookMs = durationMs === 0 && hasHeld ? nowMs - counted.sinceMs : durationMs;
    if (tookMs > 0) this.#shares.ended(work.source.number, counted.tookMs, tookMs);
  }

  /** It did not begin after all. */
  withdrew(work: Work): void {
    const counted = this.#counted.get(work);
    if (counted === undefined) return;
    this.#counted.delete(work);
    this.#shares.withdrew(work.source.number, counted.tookMs);
  }

  /** Takes those out that have waited since `sinceMs` or longer. */
  expire(sinceMs: number): Work[] {
    const expired: Work[] = [];
    for (const queue of this.#queues) {
      while (queue[0] !== undefined && queue[0].waitingSinceMs <= sinceMs) expired.push(...queue.splice(0, 1));
    }
    this.#waiting -= expired.length;
    return expired;
  }

  /** Takes all out. */
  clear(): Work[] {
    this.#look?.cancel();
    this.#look = undefined;
    this.#waiting = 0;
    return this.#queues.flatMap((queue) => queue.splice(0));
  }

  #go(work: Work, nowMs: number): void {
    this.#unbegun += 1;
    this.#counted.set(work, { tookMs: this.#shares.began(work.source.number), sinceMs: nowMs });
  }

  #isRoomFor({ intake }: Work, nowMs: number): boolean {
    const { executor, threads } = this.#options;
    if (nowMs - this.#askedMs >= askEveryMs) {
      this.#askedMs = nowMs;
      this.#unbegun = executor.unbegunShared;
    }
    return this.#unbegun < aheadRuns * threads || this.#unbegun * (intake?.slots.ownMs || aheadMs) < aheadMs * threads;
  }

  #lookLater(): void {
    this.#look ??= this.#options.clock.after(lookMs, () => {
      this.#look = undefined;
      this.#options.moved();
      if (this.#waiting > 0) this.#lookLater();
    });
  }
}
