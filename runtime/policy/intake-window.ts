import { noFraction } from "../core/fractions.ts";
/**
 * How many messages of one skill a worker may hold: as many as it can begin soon, and no more, so that what it cannot begin
 * stays where other workers find it. After Little's law that is the rate at which runs end times the time that each is held: the
 * round trips of receiving, claiming and settling, the run itself, and a short wait for its turn. None of these is known beforehand, so the
 * window is found by how long runs wait before they begin, much as BBR finds what a path can carry
 * (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016):
 *
 *   dry:      they begin at once although the window is used up    → twice as much
 *   enough:   they wait longer than it takes to fetch the next     → as it is
 *   too much: they wait longer than `waitMaxMs`                    → less, by as much as the wait is too long
 *   no use:   more are held than the rate can bring in the least time that
 *             a round trip takes: they wait on this worker, not on the way  → no more than that
 *
 * The last is for threads that are quick: they are dry however much is held, because what all messages pass, the main thread, is what
 * limits them. The least round trip is looked for again now and then, with a quarter of the window, as it would else be measured only while
 * much is held, which makes it long; at once where threads are short of work and trips come to take many times as long as the least one, or as
 * what was found to be due to load alone: the way may have become longer. After each change it judges only by runs that came after it. What it
 * learnt is forgotten after a lull.
 */
export interface IntakeBounds {
  /** What it starts with, and after a lull. */
  readonly start: number;
  /** It never falls below this; at least 1. */
  readonly floor: number;
  /** It never grows beyond this. */
  readonly ceiling: number;
  /** A run should begin within this time, and within a third of its message's lock. */
  readonly waitMaxMs: number;
  /** It is enough when runs wait for so long, and for the time that it takes to fetch the next; 10 where it is left out. More where others may go before them meanwhile. */
  readonly enoughMs?: number;
}

/** `careful`: by one at a time. What is too large shrinks in any case, and a lull is a new beginning. */
export type WindowGrowth = "free" | "careful" | "none";

/** What runs did since the window was changed last. */
interface Measured {
  sinceMs: number;
  /** Messages that left, whenever they had come. */
  ended: number;
  runs: number;
  waitMs: number;
  serviceMs: number;
  /** Of that, without what they waited for records; and with no more of it than load makes of a trip. */
  ownMs: number;
  neededMs: number;
}

/** A run begins within this part of a lock: what is left is for the run itself, and for renewing it in time. */
const waitOfLockMax = 1 / 3;
/** The window is judged this often at most. */
export const judgeEveryMs = 50;
/** So few runs can tell that the window is too large. */
const runsMin = 4;
/** Threads that were short of work as often in a row are. */
const dryJudgements = 2;
/** Threads that have to wait for so long are not short of work. */
const enoughMsDefault = 10;
/** It counts as used up when so much of it was held. */
const usedUpFrom = 0.4;
/** It falls to this part of itself at once at most. */
const fallMax = 0.5;
/** Nothing has ended for so long, and for so many times as long as a run takes. */
const stalledAfterMs = 1_000;
const stalledAfterRuns = 2;
/** What was learnt is forgotten when nothing was held for this long. */
const lullMs = 10_000;
/** Weight of the newest sample of a round trip. */
const sampleWeight = 0.1;
/** Under load a round trip takes so many times as long as the least one, for it waits for others to go with. */
const tripsWorth = 2;
/**
 * So many where the main thread has time left, so that only the way limits the rate: with no more than that takes under load any rate would keep itself, and
 * none be driven up. BBR has twice of what the path holds under way for the same reason. Once the main thread is what limits, what is held is not too much.
 */
const drivenWorth = 2.5;
/**
 * The more are held, the more go together, and the less each costs: what waits for so many times as long as is enough still pays, and so
 * do so many, within a part of the time in which a run should begin. Without this a worker that is slowed down would hold less,
 * and be slower for it.
 */
const togetherWorth = 2;
const togetherMin = 512;
const togetherOfWait = 0.5;
/**
 * Until it has once been enough, it is judged by so much of a window of runs, may grow to so many times what is of use, since the rate that tells that
 * is still the one of the smaller window of a round trip ago, and to so many times its size at once where runs take less time than the way of a message.
 */
const startPart = 0.5;
const startWorth = 4;
const startTimes = 4;
/** The least round trip is believed for so long, unless it is met again, give or take this part of it. */
const leastAgeMaxMs = 20_000;
const metAgainWithin = 1.25;
/**
 * It is doubted where trips take so many times as long, after half a second; once that was found to be due to load alone, when they take half as long
 * again, or less than half as much is done in trips as long though the main thread has time left, or after four seconds: to look costs next to nothing where load is what limits.
 */
const doubtedFrom = 1.5;
const doubtedAgainFrom = 1.5;
const doneLessBelow = 0.5;
const doubtedAfterMs = 500;
const doubtedAgainAfterMs = 4_000;
/** Of a trip that takes less it is not doubted: on the same machine, chance makes it many times as long. */
const doubtedMinMs = 10;
/** The way has become longer when the least is so many times as long as before, and trips are hardly shorter while little is held. */
const fartherFrom = 1.5;
const fartherPart = 0.5;
/**
 * The part of the window with which it is looked for. Of runs that take longer than the trips all go on, for they are long without them: to begin fewer
 * would cost as much as these take.
 */
const probePart = 0.25;
/** Over so many times as long as a run takes it is measured at least how many end in a millisecond. */
const endsOfRuns = 2;
/** A window that is larger than what is of use is left as it is up to so many times that. */
const uselessFrom = 1.5;

export class IntakeWindow {
  readonly #bounds: IntakeBounds;
  #waitMaxMs: number;
  #size: number;
  #held = 0;
  /** Most that was held since it was judged last. */
  #peak = 0;
  #judgedMs = noFraction;
  #changedMs = Number.NEGATIVE_INFINITY;
  #idleSinceMs: number | undefined;
  /** Beyond this, what arrives is postponed: the largest window since the one before it was changed, for messages were fetched for it. */
  #fetchedFor: number;
  /** It has once been enough since the start, or since a lull. */
  #isFound = false;
  #dryFor = 0;
  #claimMs = noFraction;
  #settleMs = noFraction;
  /** The shortest that were measured, and when they were looked for last. */
  #leastClaimMs = Number.POSITIVE_INFINITY;
  #leastSettleMs = Number.POSITIVE_INFINITY;
  #leastMs = noFraction;
  #lookedForLeastMs = noFraction;
  /** The size before the least round trip was looked for, 0 while it is not; and what it goes back to unless the way has become longer. */
  #probedFrom = 0;
  #probedTo = 0;
  /** The least before it was looked for, how long trips took then, and at which rate; and how long they may be for load alone, and at which rate they were. */
  #leastBefore = { claimMs: noFraction, settleMs: noFraction };
  #tripsBeforeMs = noFraction;
  #perMsBefore = noFraction;
  #isOnlyDoubted = false;
  #loadedTripsMs = noFraction;
  #loadedPerMs = noFraction;
  /** The least that was found last, where it says that the way is longer than is believed, but trips took far longer still; else 0. */
  #suspectedMs = noFraction;
  /** How it may grow: what takes longer than usual is not asked for more at full speed. */
  growth: WindowGrowth = "free";
  /** The main thread, which all messages pass, has time left. */
  isDriven = false;
  /** When a message left last, or the first came after none was held. */
  #movedMs = noFraction;
  /** Messages that left in a millisecond, as measured last; and since when, and how many since. */
  #endsPerMs = noFraction;
  #endsSinceMs = noFraction;
  #ends = 0;
  /**
   * How many of them could leave is seen only while it is used up, and from when the first of those left that came since then: since when
   * that is, undefined while it is not, and how many did; the rate as it was seen last; and until when it was not used up.
   */
  #flowSinceMs: number | undefined;
  #flowEnded = 0;
  #flowPerMs = noFraction;
  #notUsedUpMs = Number.NEGATIVE_INFINITY;
  #isAboutToFlow = false;
  /** Mean time that runs took, as measured last over a whole window; and what they needed of it lately, whenever they came. */
  #serviceMs = noFraction;
  #lateOwnMs = noFraction;
  /** The shortest since the least round trip was looked for last: with more under way at once, a thread that is busy makes them longer. */
  #leastOwnMs = Number.POSITIVE_INFINITY;
  #lateNeededMs = noFraction;
  readonly #measured: Measured = {
    sinceMs: noFraction,
    ended: 0,
    runs: 0,
    waitMs: noFraction,
    serviceMs: noFraction,
    ownMs: noFraction,
    neededMs: noFraction,
  };

  constructor(bounds: IntakeBounds) {
    this.#bounds = bounds;
    this.#waitMaxMs = bounds.waitMaxMs;
    this.#size = Math.min(bounds.start, bounds.ceiling);
    this.#fetchedFor = this.#size;
  }

  /** Length of a whole lock of its messages; 0 while it is unknown. */
  set lockMs(lockMs: number) {
    const { waitMaxMs } = this.#bounds;
    this.#waitMaxMs = lockMs > 0 ? Math.min(waitMaxMs, lockMs * waitOfLockMax) : waitMaxMs;
  }

  /** Messages that may be held. */
  get size(): number {
    return this.#size;
  }

  get held(): number {
    return this.#held;
  }

  /**
   * More are here than were ever asked for, by more than chance mixes skills (twice the standard deviation), and than end within the time
   * in which a run should begin: this one is better left to others. What begins soon costs less than to leave it.
   */
  get isOverfull(): boolean {
    return this.#held >= this.#fetchedFor + Math.floor(2 * Math.sqrt(this.#fetchedFor)) && this.#held >= this.#endsPerMs * this.#waitMaxMs;
  }

  /** It grows once the threads have been seen to be short of work as often as that takes. */
  get canGrow(): boolean {
    return this.growth === "free" && !this.#isFound && this.#size < this.#bounds.ceiling && this.#dryFor <= dryJudgements;
  }

  get isFull(): boolean {
    return this.#held >= this.#size;
  }

  /** Mean time that runs take by themselves; 0 while it is unknown. */
  get serviceMs(): number {
    return this.#serviceMs + 0;
  }

  /** Nothing of it has ended for longer than its runs take: it does not move, and others should not wait for it. */
  isStalled(nowMs: number): boolean {
    return this.stillForMs(nowMs) > Math.max(stalledAfterMs, stalledAfterRuns * this.#serviceMs);
  }

  /** How long nothing of what is held has ended. */
  stillForMs(nowMs: number): number {
    return this.#held === 0 ? 0 : nowMs - this.#movedMs;
  }

  /** After so long, what is held now will have ended, as far as can be told. */
  get turnsOverMs(): number {
    return this.#serviceMs + this.#waitMaxMs;
  }

  /** A message has arrived. */
  took(nowMs: number): void {
    if (this.#held === 0) {
      this.#movedMs = nowMs;
      this.#wasIdle(nowMs);
    }
    this.#held += 1;
    if (this.#held > this.#peak) this.#peak = this.#held;
  }

  /** A message has left. */
  gave(nowMs: number): void {
    if (this.#held === 0) throw new RangeError("expected a held message to leave, found none");
    this.#held -= 1;
    this.#measured.ended += 1;
    this.#ends += 1;
    if (this.#isAboutToFlow) this.#flowSinceMs ??= nowMs;
    if (this.#flowSinceMs !== undefined) this.#flowEnded += 1;
    this.#movedMs = nowMs;
    if (this.#held === 0) this.#idleSinceMs = nowMs;
  }

  /**
   * A run that came at `cameMs` has ended: it had waited for `waitMs` before it began, and took `serviceMs`, of which it waited `recordingMs` until
   * `records` of its steps were written.
   */
  ran(cameMs: number, waitMs: number, serviceMs: number, recordingMs = 0, records = 0): void {
    const ownMs = Math.max(0, serviceMs - recordingMs);
    const neededMs = ownMs + this.#worthOf(recordingMs, records);
    if (ownMs < this.#leastOwnMs) this.#leastOwnMs = ownMs;
    this.#lateOwnMs += (this.#lateOwnMs === 0 ? 1 : sampleWeight) * (ownMs - this.#lateOwnMs);
    this.#lateNeededMs += (this.#lateNeededMs === 0 ? 1 : sampleWeight) * (neededMs - this.#lateNeededMs);
    if (cameMs >= this.#notUsedUpMs) this.#isAboutToFlow = true;
    if (cameMs < this.#changedMs) return;
    const measured = this.#measured;
    measured.runs += 1;
    measured.waitMs += Math.max(0, waitMs);
    measured.serviceMs += Math.max(0, serviceMs);
    measured.ownMs += ownMs;
    measured.neededMs += neededMs;
  }

  /**
   * What is worth waiting for: no more than trips to the store take under load. The more runs are under way, the longer they wait for
   * each other's records; to hold more because of that would make them wait longer still.
   */
  #worthOf(recordingMs: number, records: number): number {
    return records === 0 ? recordingMs : Math.min(recordingMs, records * tripsWorth * this.#leastClaimMs);
  }

  /** How long it took to claim a run, and to settle one; undefined for what was not measured. */
  tripped(claimMs: number | undefined, settleMs: number | undefined): void {
    if (claimMs !== undefined) {
      this.#claimMs += sampleWeight * (claimMs - this.#claimMs);
      if (claimMs < this.#leastClaimMs) this.#leastClaimMs = claimMs;
    }
    if (settleMs === undefined) return;
    this.#settleMs += sampleWeight * (settleMs - this.#settleMs);
    if (settleMs < this.#leastSettleMs) this.#leastSettleMs = settleMs;
  }

  /** How many more may be taken. `isDry`: threads have begun everything that they were given. */
  room(nowMs: number, isDry: () => boolean): number {
    if (nowMs - this.#judgedMs >= judgeEveryMs) this.#judge(nowMs, isDry());
    return Math.max(0, this.#size - this.#held);
  }

  /**
   * All that it holds is under way in the threads, which could take more: it grows at once, as nothing that it held waited. So far it holds twice
   * what has begun at most. Returns how many more may be taken.
   */
  begunAll(nowMs: number): number {
    if (this.growth !== "free" || this.#probedFrom > 0 || !this.isFull) return 0;
    this.#resize(this.#size * 2, nowMs);
    return Math.max(0, this.#size - this.#held);
  }

  #judge(nowMs: number, isDry: boolean): void {
    const wasUsedUp = this.#peak >= this.#size * usedUpFrom;
    this.#judgedMs = nowMs;
    this.#peak = this.#held;
    this.#dryFor = isDry && wasUsedUp ? this.#dryFor + 1 : 0;
    if (!wasUsedUp) this.#stopFlow(nowMs, nowMs);
    if (this.#held === 0 && this.#idleSinceMs !== undefined && nowMs - this.#idleSinceMs >= lullMs) return this.#resetAfterLull(nowMs);
    const { runs, waitMs: waitSumMs, serviceMs: serviceSumMs, ownMs: ownSumMs } = this.#measured;
    const waitMs = runs === 0 ? 0 : waitSumMs / runs;
    const tripsMs = this.#claimMs + this.#settleMs;
    const { enoughMs = enoughMsDefault } = this.#bounds;
    const wantedMs = Math.min(enoughMs + tripsMs, this.#waitMaxMs / 2);
    // A whole window of runs predicts the next one; a few that waited too long do not wait less for those behind them. Runs that
    // take long say nothing for long: then what the threads say must do.
    if (runs < this.#size * (this.#isFound ? 1 : startPart) && !(runs >= runsMin && waitMs > this.#waitMaxMs)) {
      // While none has ended, or few at a time, their rate says nothing.
      const isUnknown = this.#measured.ended === 0 || (runs === 0 ? this.#lateOwnMs : ownSumMs / runs) >= judgeEveryMs;
      const mayGrow = this.#probedFrom === 0 && this.#dryFor >= dryJudgements && waitMs < wantedMs;
      const worth = isUnknown ? this.#bounds.ceiling : this.#worth(nowMs);
      if (mayGrow && this.#size < worth) this.#growTo(this.#isFound ? Math.min(this.#size * 2, Math.ceil(worth)) : this.#size * 2, nowMs);
      return;
    }
    this.#serviceMs = serviceSumMs / runs;
    if (this.#probedFrom > 0) return this.#endProbe(nowMs);
    const heldMs = tripsMs + this.#serviceMs;
    const useful = this.#useful(nowMs);
    const worth = this.#worth(nowMs);
    const isUseless = this.#size > uselessFrom * worth;
    if (waitMs > this.#waitMaxMs) this.#resize(Math.floor(this.#size * Math.max(fallMax, (heldMs + wantedMs) / (heldMs + waitMs))), nowMs);
    else if (wasUsedUp && this.#isLeastOld(tripsMs, nowMs)) this.#probe(tripsMs, false, isUseless ? useful : this.#size, nowMs);
    else if (wasUsedUp && waitMs < wantedMs && this.#isLeastDoubtful(tripsMs, nowMs)) this.#probe(tripsMs, true, isUseless ? useful : this.#size, nowMs);
    else if (wasUsedUp && isUseless) {
      this.#isFound = true;
      this.#resize(Math.ceil(useful), nowMs);
    } else if (wasUsedUp && waitMs < wantedMs && this.#size < worth) {
      if (this.#isFound) this.#grow((heldMs + wantedMs) / (heldMs + waitMs), useful, nowMs);
      else this.#growTo(Math.max(this.#size * 2, Math.min(this.#size * (this.#serviceMs < tripsMs ? startTimes : 2), Math.ceil(worth))), nowMs);
    } else {
      this.#isFound = true;
      this.#forget(nowMs);
    }
  }

  /** How many it can have any use of: what ends in the time that a message must be held, and may wait. */
  #useful(nowMs: number, times = 1): number {
    const { runs, neededMs } = this.#measured;
    const leastMs = this.#leastWayMs;
    if (leastMs === Number.POSITIVE_INFINITY) return leastMs;
    const perMs = this.#perMs(nowMs);
    const heldMs = (this.isDriven && this.#isFound ? drivenWorth : tripsWorth) * leastMs + (runs === 0 ? this.#lateNeededMs : neededMs / runs);
    const worth = perMs * (heldMs + togetherWorth * (this.#bounds.enoughMs ?? enoughMsDefault));
    return Math.max(times * worth, Math.min(togetherMin, perMs * togetherOfWait * this.#waitMaxMs));
  }

  /** How many could leave in a millisecond. Time in which there was not enough to do says nothing of that. */
  #perMs(nowMs: number): number {
    const flowMs = nowMs - (this.#flowSinceMs ?? nowMs);
    if (flowMs >= this.#flowMinMs) return this.#flowEnded / flowMs;
    const { ended, sinceMs } = this.#measured;
    return this.#flowPerMs > 0 ? this.#flowPerMs : ended / (nowMs - sinceMs);
  }

  /** Over less than a way it says nothing: what is settled together leaves together, and the next a way later. */
  get #flowMinMs(): number {
    return Math.max(judgeEveryMs, Number.isFinite(this.#leastWayMs) ? this.#leastWayMs : 0);
  }

  /** Nothing was held: not only because the next had to be fetched, if that was for long. */
  #wasIdle(nowMs: number): void {
    if (this.#idleSinceMs !== undefined && nowMs - this.#idleSinceMs > judgeEveryMs + this.#leastWayMs) this.#stopFlow(this.#idleSinceMs, nowMs);
  }

  #stopFlow(flowedUntilMs: number, nowMs: number): void {
    this.#restartFlow(flowedUntilMs);
    this.#flowSinceMs = undefined;
    this.#flowEnded = 0;
    this.#isAboutToFlow = false;
    this.#notUsedUpMs = nowMs;
  }

  #restartFlow(nowMs: number): void {
    if (this.#flowSinceMs === undefined || nowMs - this.#flowSinceMs < this.#flowMinMs) return;
    this.#flowPerMs = this.#flowEnded / (nowMs - this.#flowSinceMs);
    this.#flowSinceMs = nowMs;
    this.#flowEnded = 0;
  }

  /**
   * The least that it takes to receive, to claim and to settle. A claim is a trip to the store; a settlement one to the store and one to the broker:
   * what it takes beyond a claim, it takes to receive as well.
   */
  get #leastWayMs(): number {
    return this.#leastSettleMs + Math.max(this.#leastClaimMs, this.#leastSettleMs);
  }

  /** How far it may grow. */
  #worth(nowMs: number): number {
    return Math.min(this.#useful(nowMs, this.#isFound ? 1 : startWorth), this.#bounds.ceiling);
  }

  #isLeastOld(tripsMs: number, nowMs: number): boolean {
    if (tripsMs <= metAgainWithin * (this.#leastClaimMs + this.#leastSettleMs)) this.#leastMs = nowMs;
    return nowMs - this.#leastMs >= leastAgeMaxMs;
  }

  #isLeastDoubtful(tripsMs: number, nowMs: number): boolean {
    if (!this.#isFound || tripsMs < Math.max(doubtedMinMs, doubtedFrom * (this.#leastClaimMs + this.#leastSettleMs))) return false;
    this.#loadedTripsMs = Math.min(this.#loadedTripsMs, tripsMs);
    const isLongerThanLoaded = tripsMs >= doubtedAgainFrom * this.#loadedTripsMs;
    // Where the main thread is what limits, it is load.
    const isLessDone = this.isDriven && this.#perMs(nowMs) < doneLessBelow * this.#loadedPerMs;
    // Trips were long for a moment when it was looked for last: with all that is held they are hardly longer now than what was found then.
    const wasMisjudged = this.#suspectedMs >= fartherPart * tripsMs;
    return nowMs - this.#lookedForLeastMs >= (isLongerThanLoaded || isLessDone || wasMisjudged ? doubtedAfterMs : doubtedAgainAfterMs);
  }

  /** `isOnlyDoubted`: the least that is believed in is not old, and is kept unless the way has become longer. */
  #probe(tripsMs: number, isOnlyDoubted: boolean, backTo: number, nowMs: number): void {
    this.#isOnlyDoubted = isOnlyDoubted;
    const from = this.#size;
    this.#leastBefore = { claimMs: this.#leastClaimMs, settleMs: this.#leastSettleMs };
    this.#tripsBeforeMs = tripsMs;
    this.#perMsBefore = this.#perMs(nowMs);
    const inRuns = this.#leastOwnMs > tripsMs ? Math.min(from, this.#perMsBefore * this.#leastOwnMs) : 0;
    this.#resize(Math.ceil(inRuns + (from - inRuns) * probePart), nowMs);
    this.#probedFrom = from;
    this.#probedTo = Math.ceil(backTo);
    this.#lookForLeast(nowMs);
  }

  #endProbe(nowMs: number): void {
    const from = this.#probedFrom;
    this.#probedFrom = 0;
    const { claimMs, settleMs } = this.#leastBefore;
    const leastMs = this.#leastClaimMs + this.#leastSettleMs;
    // Of the few that were held none was measured: nothing has been learned.
    if (leastMs === Number.POSITIVE_INFINITY) {
      this.#leastClaimMs = claimMs;
      this.#leastSettleMs = settleMs;
      // So it is sought again soon.
      this.#leastMs = nowMs - leastAgeMaxMs + doubtedAfterMs;
      return this.#resize(from, nowMs);
    }
    // Farther away than before, the window is sought again; else what made trips long was load, also of the little that was held.
    if (leastMs >= Math.max(fartherFrom * (claimMs + settleMs), fartherPart * this.#tripsBeforeMs)) {
      this.#isFound = false;
      this.#loadedTripsMs = 0;
      this.#suspectedMs = 0;
      return this.#resize(from, nowMs);
    }
    this.#loadedTripsMs = this.#tripsBeforeMs;
    this.#loadedPerMs = this.#perMsBefore;
    // Found twice in a row to be due to load, it is.
    this.#suspectedMs = this.#suspectedMs === 0 && leastMs >= fartherFrom * (claimMs + settleMs) ? leastMs : 0;
    if (this.#isOnlyDoubted) {
      this.#leastClaimMs = Math.min(claimMs, this.#leastClaimMs);
      this.#leastSettleMs = Math.min(settleMs, this.#leastSettleMs);
    }
    this.#resize(this.#probedTo, nowMs);
  }

  #lookForLeast(nowMs: number): void {
    this.#leastClaimMs = Number.POSITIVE_INFINITY;
    this.#leastSettleMs = Number.POSITIVE_INFINITY;
    this.#leastOwnMs = Number.POSITIVE_INFINITY;
    this.#leastMs = nowMs;
    this.#lookedForLeastMs = nowMs;
  }

  /** By what is missing. */
  #grow(factor: number, useful: number, nowMs: number): void {
    const grown = Math.min(Math.floor(this.#size * Math.min(2, factor)), Math.ceil(useful));
    this.#growTo(Math.max(this.#size + 1, grown), nowMs);
  }

  #growTo(size: number, nowMs: number): void {
    switch (this.growth) {
      case "free":
        return this.#resize(size, nowMs);
      case "careful":
        return this.#resize(this.#size + 1, nowMs);
      case "none":
        return this.#forget(nowMs);
    }
  }

  #resetAfterLull(nowMs: number): void {
    this.#isFound = false;
    this.#probedFrom = 0;
    this.#loadedTripsMs = 0;
    this.#suspectedMs = 0;
    this.#flowPerMs = 0;
    this.#lookForLeast(nowMs);
    this.#resize(this.#bounds.start, nowMs);
  }

  #resize(size: number, nowMs: number): void {
    const { floor, ceiling } = this.#bounds;
    const bounded = Math.min(ceiling, Math.max(floor, size));
    this.#forget(nowMs);
    if (bounded === this.#size) return;
    this.#fetchedFor = Math.max(bounded, this.#size);
    this.#size = bounded;
    this.#changedMs = nowMs;
    this.#dryFor = 0;
  }

  /** Runs that began together end together: over less time than a few take, their rate is by chance many times what it is. */
  #countEnds(nowMs: number): void {
    const spanMs = nowMs - this.#endsSinceMs;
    if (spanMs < Math.max(judgeEveryMs, endsOfRuns * this.#serviceMs)) return;
    this.#endsPerMs = this.#ends / spanMs;
    this.#ends = 0;
    this.#endsSinceMs = nowMs;
  }

  #forget(nowMs: number): void {
    this.#countEnds(nowMs);
    this.#restartFlow(nowMs);
    this.#measured.sinceMs = nowMs;
    this.#measured.ended = 0;
    this.#measured.runs = 0;
    this.#measured.waitMs = 0;
    this.#measured.serviceMs = 0;
    this.#measured.ownMs = 0;
    this.#measured.neededMs = 0;
  }
}
