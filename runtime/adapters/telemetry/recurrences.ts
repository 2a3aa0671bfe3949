/** Says which of many equal troubles is worth a line: the first, and then fewer and fewer of them. */
import type { Clock } from "../../core/clock.ts";

const intervalMinMs = 60_000;
const intervalMaxMs = 3_600_000;
/** What did not occur for this long, and for its own interval, starts over. */
const quietMs = 600_000;
/** Different troubles that are remembered; beyond them the one that was said longest ago is forgotten. */
const keysMax = 1_000;

interface Recurrence {
  saidMs: number;
  lastMs: number;
  intervalMs: number;
  passedOver: number;
}

export class Recurrences {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #known = new Map<string, Recurrence>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** It has occurred. How often it was passed over since it was last said, when it is to be said now; undefined when not. */
  occurs(key: string): number | undefined {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#known.get(key);
    if (known === undefined || nowMs - known.lastMs >= Math.max(quietMs, known.intervalMs)) {
      this.#remember(key, { saidMs: nowMs, lastMs: nowMs, intervalMs: intervalMinMs, passedOver: 0 });
      return 0;
    }
    known.lastMs = nowMs;
    if (nowMs - known.saidMs < known.intervalMs) {
      known.passedOver += 1;
      return undefined;
    }
    const { passedOver } = known;
    this.#remember(key, { saidMs: nowMs, lastMs: nowMs, intervalMs: Math.min(intervalMaxMs, known.intervalMs * 2), passedOver: 0 });
    return passedOver;
  }

  /** It is over: when it occurs again, it is said at once. */
  ended(key: string): void {
    this.#known.delete(key);
  }

  #remember(key: string, recurrence: Recurrence): void {
    this.#known.delete(key);
    if (this.#known.size >= keysMax) this.#known.delete(this.#known.keys().next().value ?? "");
    this.#known.set(key, recurrence);
  }
}
