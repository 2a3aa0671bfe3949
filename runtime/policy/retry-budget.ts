/**
 * A budget for retries, across the whole worker: it keeps a worker from doubling the load on a dependency that is already failing.
 * Within the last `windowMs` there may be `perSecondMin` retries a second, and `ratio` more for each message that arrived. What was
 * earned and what was spent are both forgotten when the window has passed, a tenth of it at a time.
 *
 * Retries are taken from a ledger that the threads share, so that no thread has to ask: what they took is seen at the next look, and
 * counts from then on; how many more may be taken is said at each look.
 */
import type { RetryBudgetPolicy } from "../core/skill.ts";
import { RetryLedger, wrappedDifference } from "./retry-ledger.ts";

const slices = 10;

export interface RetryBudgetView {
  readonly policy: RetryBudgetPolicy;
  /** Retries that it would grant now. */
  readonly left: number;
  /** Since the start: of runs in place, and of calls within runs. */
  readonly granted: number;
  /** Since the start; each of these runs was retried through the queue instead, and each of these calls failed. */
  readonly refused: number;
  /** Those of calls among them. */
  readonly ofCalls: { readonly granted: number; readonly refused: number };
}

export class RetryBudget {
  #policy: RetryBudgetPolicy;
  /** Rings of slices: messages that arrived, and retries that were granted. */
  readonly #earned: Float64Array = new Float64Array(slices);
  readonly #spent: Float64Array = new Float64Array(slices);
  #earnedSum = 0;
  #spentSum = 0;
  #slice = Number.NEGATIVE_INFINITY;
  readonly #ledger: RetryLedger;
  /** What the ledger said at the last look. */
  #takenSeen = 0;
  #refusedSeen = 0;
  #granted = 0;
  #refused = 0;
  /** Those of them that were asked for here. */
  #grantedHere = 0;
  #refusedHere = 0;

  /** `ledger`: a new one, which nobody has taken from. */
  constructor(policy: RetryBudgetPolicy, ledger: RetryLedger = new RetryLedger()) {
    this.#policy = policy;
    this.#ledger = ledger;
  }

  /** Counts messages that arrived. */
  earn(messages: number, nowMs: number): void {
    const at = this.#at(nowMs);
    this.#earned[at] = (this.#earned[at] ?? 0) + messages;
    this.#earnedSum += messages;
    this.#balance(at);
  }

  /** Takes one retry of a run in place; false when there is none left. */
  spend(nowMs: number): boolean {
    const at = this.#at(nowMs);
    this.#balance(at);
    const isGranted = this.#ledger.take();
    if (isGranted) this.#grantedHere += 1;
    else this.#refusedHere += 1;
    this.#balance(at);
    return isGranted;
  }

  /** Counts what the threads took, and says how many more they may: what was spent is forgotten as time passes. Called from time to time. */
  look(nowMs: number): void {
    this.#balance(this.#at(nowMs));
  }

  /** Changes it from now on; what was earned and spent stays. Another window starts over. */
  change(changes: Partial<RetryBudgetPolicy>, nowMs: number): void {
    const before = this.#policy;
    this.look(nowMs);
    this.#policy = { ...before, ...changes };
    if (this.#policy.windowMs !== before.windowMs) this.#forget();
    this.look(nowMs);
  }

  view(nowMs: number): RetryBudgetView {
    this.look(nowMs);
    const ofCalls = { granted: this.#granted - this.#grantedHere, refused: this.#refused - this.#refusedHere };
    return { policy: this.#policy, left: Math.max(0, Math.floor(this.#left)), granted: this.#granted, refused: this.#refused, ofCalls };
  }

  /** What was taken since the last look was spent in the slice at this place. */
  #balance(at: number): void {
    const { taken, refused } = this.#ledger;
    const more = wrappedDifference(taken, this.#takenSeen);
    this.#takenSeen = taken;
    this.#granted += more;
    this.#spent[at] = (this.#spent[at] ?? 0) + more;
    this.#spentSum += more;
    this.#refused += wrappedDifference(refused, this.#refusedSeen);
    this.#refusedSeen = refused;
    this.#ledger.allow(taken, Math.floor(this.#left));
  }

  get #left(): number {
    const { ratio, perSecondMin, windowMs } = this.#policy;
    return (perSecondMin * windowMs) / 1_000 + ratio * this.#earnedSum - this.#spentSum;
  }

  /** The place of the present slice, after forgetting those that have passed. A clock that goes backwards stands still here. */
  #at(nowMs: number): number {
    const slice = Math.floor(nowMs / (this.#policy.windowMs / slices));
    for (let next = Math.max(this.#slice, slice - slices) + 1; next <= slice; next += 1) {
      const at = placeOf(next);
      this.#earnedSum -= this.#earned[at] ?? 0;
      this.#spentSum -= this.#spent[at] ?? 0;
      this.#earned[at] = 0;
      this.#spent[at] = 0;
    }
    this.#slice = Math.max(this.#slice, slice);
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
