import type { Clock, Timer } from "../../core/clock.ts";

/** From the first loss to the report of all until then. */
const tellMs = 5_000;

/** Counts what a reporter could not send, by why, and tells of it from time to time. */
export class Losses<Why extends string> {
  readonly #clock: Clock;
  readonly #tell: (why: Why, count: number, error: string) => void;
  readonly #lost = new Map<Why, { count: number; error: string }>();
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(clock: Clock, tell: (why: Why, count: number, error: string) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** `error`: empty for none. */
  add(why: Why, count: number, error: string): void {
    const known = this.#lost.get(why);
    this.#lost.set(why, { count: (known?.count ?? 0) + count, error: error || (known?.error ?? "") });
    if (this.#isStopped) return;
    this.#timer ??= this.#clock.after(tellMs, () => {
      this.#timer = undefined;
      this.#tellAll();
    });
  }

  /** Tells of what is left. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#tellAll();
  }

  #tellAll(): void {
    const lost = [...this.#lost];
    this.#lost.clear();
    for (const [why, { count, error }] of lost) this.#tell(why, count, error);
  }
}
