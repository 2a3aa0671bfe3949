/**
 * A budget for retries, across the whole worker: it keeps a worker from doubling the load on a dependency that is already failing.
 * Within the last `windowMs` there may be `perSecondMin` retries a second, and `ratio` more for each message that arrived. What was
 * earned and what was spent are both forgotten when the window has passed, a tenth of it at a time.
 */
import type { RetryBudgetPolicy } from "../core/skill.ts";

const slices = 10;

export interface RetryBudgetView {
  readonly policy: RetryBudgetPolicy;
  /** Retries that it would grant now. */
  readonly left: number;
  /** Since the start. */
  readonly granted: number;
  /** Since the start; each of them was retried through the queue instead. */
  readonly refused: number;
}

export class RetryBudget {
  #policy: RetryBudgetPolicy;
  /** Rings of slices: messages that arrived, and retries that were granted. */
  readonly #earned: Float64Array = new Float64Array(slices);
  readonly #spent: Float64Array = new Float64Array(slices);
  #earnedSum = 0;
  #spentSum = 0;
  #slice = Number.NEGATIVE_INFINITY;
  #granted = 0;
  #refused = 0;

  constructor(policy: RetryBudgetPolicy) {
    this.#policy = policy;
  }

  /** Counts messages that arrived. */
  earn(messages: number, nowMs: number): void {
    const at = this.#at(nowMs);
    this.#earned[at] = (this.#earned[at] ?? 0) + messages;
    this.#earnedSum += messages;
  }

  /** Takes one retry; false when there is none left. */
  spend(nowMs: number): boolean {
    const at = this.#at(nowMs);
    if (this.#left < 1) {
      this.#refused += 1;
      return false;
    }
    this.#spent[at] = (this.#spent[at] ?? 0) + 1;
    this.#spentSum += 1;
    this.#granted += 1;
    return true;
  }

  /** Changes it from now on; what was earned and spent stays. Another window begins anew. */
  change(changes: Partial<RetryBudgetPolicy>): void {
    const before = this.#policy;
    this.#policy = { ...before, ...changes };
    if (this.#policy.windowMs !== before.windowMs) this.#forget();
  }

  view(nowMs: number): RetryBudgetView {
    this.#at(nowMs);
    return { policy: this.#policy, left: Math.max(0, Math.floor(this.#left)), granted: this.#granted, refused: this.#refused };
  }

  get #left(): number {
    const { ratio, perSecondMin, windowMs } = this.#policy;
    return (perSecondMin * windowMs) / 1_000 + ratio * this.#earnedSum - this.#spentSum;
  }

  /** The place of the present slice, after forgetting those that have passed. A clock that goes backwards stands still here. */
  #at(nowMs: number): number {
    const slice = Math.floor(nowMs / (this.#policy.windowMs / slices));
    if (slice - this.#slice >= slices) {
      this.#forget();
      this.#slice = slice;
    }
    while (this.#slice < slice) {
      this.#slice += 1;
      const at = placeOf(this.#slice);
      this.#earnedSum -= this.#earned[at] ?? 0;
      this.#spentSum -= this.#spent[at] ?? 0;
      this.#earned[at] = 0;
      this.#spent[at] = 0;
    }
    return placeOf(this.#slice);
  }

  #forget(): void {
    this.#earned.fill(0);
    this.#spent.fill(0);
    this.#earnedSum = 0;
    this.#spentSum = 0;
    this.#slice = Number.NEGATIVE_INFINITY;
  }
}

function placeOf(slice: number): number {
  return ((slice % slices) + slices) % slices;
}
