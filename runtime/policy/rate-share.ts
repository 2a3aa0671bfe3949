/**
 * A worker's share of one rate limit. Units are drawn from the bucket that all workers share some in advance, and spent here, so that a
 * run that begins asks nobody. What is drawn comes to half a second's worth at most, or to what one run needs; what lies unspent from one look to the next,
 * `shareMs` later, is given back. So what all workers spend in a minute is more than what the bucket gave in it by no more
 * than what it gives in two of these times.
 *
 * Runs without units wait here, first in, first out, as long as their units come in time; others are told when there should be some.
 */
import { type BucketDraw, type BucketGrant, type BucketRate, minuteMs } from "../core/token-bucket.ts";

/** How much is drawn in advance, as a time at the limit's rate; and how often what was not spent is looked at. */
export const shareMs = 500;
/** No one is told to stay away for longer because others were told before. */
export const promiseMaxMs = 600_000;

/** What a bucket has promised, and flows in from a time on. */
interface Flow {
  readonly units: number;
  /** Units that could be used at once; negative when others come before. */
  readonly level: number;
  readonly atMs: number;
}

interface Place<Waiter> {
  readonly waiter: Waiter;
  /** Before all that are not. */
  readonly isFirst: boolean;
  /** Before those whose number is higher, among those that are first or that are not. */
  readonly order: number;
  readonly cost: number;
  /** It waits no longer. */
  readonly untilMs: number;
}

export class RateShare<Waiter> {
  #rate: BucketRate;
  #flows: Flow[] = [];
  /** Units that have flowed in and are not spent; negative when those to come are spent already, or more was used than drawn. */
  #ready = 0;
  /** Units in the flows. */
  #coming = 0;
  /** The least that was ready since the last look. */
  #lowest = 0;
  /** Units spent since the last look, and in the time before it. */
  #spent = 0;
  #spentBefore = 0;
  #isAsking = false;
  /** When the bucket, as far as is known, has what was needed. */
  #freeAtMs = Number.NEGATIVE_INFINITY;
  /** Nothing is drawn in advance before. */
  #aheadFromMs = Number.NEGATIVE_INFINITY;
  /** Those that were told to come later have the units until then. */
  #promisedUntilMs = Number.NEGATIVE_INFINITY;
  #places: Place<Waiter>[] = [];
  #waitingCost = 0;

  constructor(rate: BucketRate) {
    this.#rate = rate;
  }

  get rate(): BucketRate {
    return this.#rate;
  }

  /** Another rate from now on; what was drawn is there still. */
  change(rate: BucketRate): void {
    this.#rate = rate;
    this.#freeAtMs = Number.NEGATIVE_INFINITY;
    this.#promisedUntilMs = Number.NEGATIVE_INFINITY;
  }

  get waiting(): number {
    return this.#places.length;
  }

  /** Units that are here or on their way, less those that were used beyond. */
  get owned(): number {
    return this.#ready + this.#coming;
  }

  /** Nothing is known here that a new share would not know. */
  isIdle(nowMs: number): boolean {
    return this.owned === 0 && this.#places.length === 0 && !this.#isAsking && this.#spent + this.#spentBefore === 0 && !this.isOut(0, nowMs);
  }

  /** Whether nothing more can be had within this time. */
  isOut(waitMaxMs: number, nowMs: number): boolean {
    return this.#freeAtMs - nowMs > waitMaxMs;
  }

  /** Until units are free, as far as is known; 0 when they may be. */
  outForMs(nowMs: number): number {
    return Math.max(0, this.#freeAtMs - nowMs);
  }

  /** Whether so many units can be spent now, be they for others that wait or not. */
  canSpend(cost: number, nowMs: number): boolean {
    return this.owned >= cost && this.#usable(nowMs) >= Math.min(cost, this.#rate.capacity);
  }

  spend(cost: number): void {
    this.#ready -= cost;
    this.#lowest = Math.min(this.#lowest, this.#ready);
    this.#spent += cost;
  }

  /** Units were spent and not used (more than 0), or used and not spent. */
  correct(units: number): void {
    this.#ready += units;
    this.#lowest = Math.min(this.#lowest, this.#ready);
    this.#spent = Math.max(0, this.#spent - units);
  }

  /** Before those of a higher order; by itself behind all. */
  enqueue(waiter: Waiter, cost: number, untilMs: number, order: number = Number.POSITIVE_INFINITY): void {
    this.#insert({ waiter, isFirst: false, order, cost, untilMs });
  }

  /** Before all others, but behind those before it that came here so: what holds something already, and cannot go on. */
  enqueueFirst(waiter: Waiter, cost: number, untilMs: number, order: number = Number.POSITIVE_INFINITY): void {
    this.#insert({ waiter, isFirst: true, order, cost, untilMs });
  }

  first(): Place<Waiter> | undefined {
    return this.#places[0];
  }

  dequeue(): void {
    this.#waitingCost -= this.#places.shift()?.cost ?? 0;
  }

  /** Takes out those that fulfil this, and says which they were. */
  remove(isMeant: (waiter: Waiter) => boolean): Waiter[] {
    const removed: Waiter[] = [];
    this.#places = this.#places.filter(({ waiter, cost }) => {
      if (!isMeant(waiter)) return true;
      this.#waitingCost -= cost;
      removed.push(waiter);
      return false;
    });
    return removed;
  }

  /** Until the first one's units can be spent, or it waits no longer; `Infinity` when nobody waits. */
  dueMs(nowMs: number): number {
    const first = this.#places[0];
    if (first === undefined) return Number.POSITIVE_INFINITY;
    return Math.min(first.untilMs - nowMs, this.owned < first.cost ? Number.POSITIVE_INFINITY : this.#comesInMs(first.cost, nowMs));
  }

  /** What is to be drawn now; undefined for nothing. It must be answered. */
  ask(nowMs: number): BucketDraw | undefined {
    if (this.#isAsking) return undefined;
    const draw = this.#waitingCost > this.owned ? this.#askForFirst(nowMs) : this.#askAhead(nowMs);
    this.#isAsking = draw !== undefined;
    return draw;
  }

  /** What came of a draw. */
  answered({ need, waitMaxMs }: BucketDraw, { granted, level, afterMs }: BucketGrant, nowMs: number): void {
    this.#isAsking = false;
    if (granted > 0) {
      this.#flows.push({ units: granted, level, atMs: nowMs });
      this.#coming += granted;
    } else if (need > 0) {
      // Those who only drew in advance learn that the bucket is empty, and ask again when someone needs something.
      this.#aheadFromMs = nowMs + shareMs;
      if (waitMaxMs > 0) this.#freeAtMs = nowMs + afterMs;
    }
  }

  /** Takes out those, of all or of those that go first, whose units do not come in time; each is told how long to stay away. */
  refuse(nowMs: number, whom: "all" | "first" = "all"): { readonly waiter: Waiter; readonly forMs: number }[] {
    const refused: { readonly waiter: Waiter; readonly forMs: number }[] = [];
    let covered = this.owned;
    this.#places = this.#places.filter(({ waiter, isFirst, cost, untilMs }) => {
      covered -= cost;
      const isInTime = covered >= 0 ? untilMs > nowMs : this.#freeAtMs <= untilMs && untilMs > nowMs;
      if (isInTime || !(isFirst || whom === "all")) return true;
      covered += cost;
      this.#waitingCost -= cost;
      refused.push({ waiter, forMs: this.promise(cost, nowMs) });
      return false;
    });
    return refused;
  }

  /** How long to stay away for who needs so many units and cannot wait here: one after the other. */
  promise(cost: number, nowMs: number): number {
    const atMs = Math.min(nowMs + promiseMaxMs, Math.max(nowMs, this.#freeAtMs, this.#promisedUntilMs));
    this.#promisedUntilMs = atMs + cost / this.#perMs;
    return Math.ceil(atMs - nowMs);
  }

  /** Call it every `shareMs`: how many units are to be given back, less than 0 for those that were used beyond; 0 for none. */
  look(nowMs: number): number {
    // What flowed in while nobody asked lies here, too.
    this.#takeIn(nowMs);
    const { owned } = this;
    let back = 0;
    if (this.#places.length === 0 && !this.#isAsking) back = owned < 0 ? owned : Math.max(0, Math.min(owned, this.#lowest));
    this.#ready -= back;
    this.#lowest = this.#ready;
    this.#spentBefore = this.#spent;
    this.#spent = 0;
    return back;
  }

  #insert(place: Place<Waiter>): void {
    const before = this.#places.findLastIndex(({ isFirst, order }) => (isFirst === place.isFirst ? order <= place.order : isFirst));
    this.#places.splice(before + 1, 0, place);
    this.#waitingCost += place.cost;
  }

  get #perMs(): number {
    return this.#rate.perMinute / minuteMs;
  }

  /** Someone waits whose units are not drawn: they are needed, and those behind want theirs. */
  #askForFirst(nowMs: number): BucketDraw | undefined {
    let need = -this.owned;
    for (const { cost, untilMs } of this.#places) {
      need += cost;
      if (need <= 0) continue;
      const waitMaxMs = Math.max(1, untilMs - nowMs);
      if (this.isOut(waitMaxMs, nowMs)) return undefined;
      const want = Math.max(need, Math.min(this.#waitingCost - this.owned + this.#spentBefore, this.#shareMax));
      return { need, want, back: 0, waitMaxMs };
    }
    return undefined;
  }

  /** Nobody waits, and what is here will soon be spent. */
  #askAhead(nowMs: number): BucketDraw | undefined {
    const recent = Math.min(Math.max(this.#spent, this.#spentBefore), this.#shareMax);
    if (recent < 2 || this.owned * 2 >= recent || nowMs < this.#aheadFromMs) return undefined;
    return { need: 1, want: recent, back: 0, waitMaxMs: 0 };
  }

  get #shareMax(): number {
    return Math.max(1, this.#perMs * shareMs);
  }

  /** Until so many units, which are drawn, can be spent. */
  #comesInMs(cost: number, nowMs: number): number {
    this.#takeIn(nowMs);
    let missing = Math.min(cost, this.#rate.capacity) - this.#ready;
    if (missing <= 0) return 0;
    for (const { units, level, atMs } of this.#flows) {
      if (missing <= units) return Math.max(1, Math.ceil(atMs + (missing - level) / this.#perMs - nowMs));
      missing -= units;
    }
    return 1;
  }

  #usable(nowMs: number): number {
    this.#takeIn(nowMs);
    let usable = this.#ready;
    for (const flow of this.#flows) usable += this.#flowed(flow, nowMs);
    return usable;
  }

  #flowed({ units, level, atMs }: Flow, nowMs: number): number {
    return Math.min(units, Math.max(0, level + (nowMs - atMs) * this.#perMs));
  }

  /** Flows that have come in as a whole. */
  #takeIn(nowMs: number): void {
    for (let flow = this.#flows[0]; flow !== undefined && this.#flowed(flow, nowMs) >= flow.units; flow = this.#flows[0]) {
      this.#flows.shift();
      this.#ready += flow.units;
      this.#coming -= flow.units;
    }
  }
}
