/**
 * Runs that may have ended the worker that held them: claimed after a lease that nobody gave back.
 *
 *   the first losses:  on probation: a few at a time, as many as the window of caution allows, beside what executes here
 *   the last two:      alone: nothing else is taken while it waits for the others to end, and while it is on probation, so
 *                      that only its own account can grow
 *   at the limit:      dead-lettered as `CrashLoop`, before it runs again
 *
 * What cannot be tried yet goes back to the queue. A probation ends when the run ends or has lived for long enough; each loss
 * after the first that is tried alone makes it four times as long. After that the worker goes on as before, however long the
 * run may take: most workers end for reasons that lie outside of their runs.
 */
import type { Clock } from "../core/clock.ts";
import type { FinalOutcome, Telemetry } from "../ports/telemetry.ts";
import type { Caution } from "../policy/caution.ts";
import { crashLoop, lossesLimit } from "../policy/recoverability.ts";
import type { InFlight } from "./in-flight.ts";
import type { Settler } from "./settle.ts";
import { ofSource } from "./source.ts";
import type { Work } from "./work.ts";

/** A suspect that executes for this long without ending the process is taken for harmless. */
export const probationMs = 1_000;
/** How much longer each further probation alone is. */
const probationFactor = 4;
/** How many of the losses before the limit are tried alone. */
const triesAlone = 2;
/** What must be alone waits for others to end for this long at most: those that take longer have been harmless for as long. */
const isolationWaitMs = 5_000;

export interface SuspectsOptions {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly caution: Caution;
  readonly inFlight: InFlight;
  /** By source; filled after this is made. */
  readonly settlers: readonly Settler[];
  /** Returns a message of which nothing has begun to the queue. */
  putBack(work: Work): void;
  /** Starts runs that may be tried now. */
  admit(works: readonly Work[]): void;
  /** Returns everything to the queue that has not begun, but for this one. */
  clear(except: Work): void;
  /** Takes back what was granted beyond what there is room for now. */
  trim(): void;
}

export class Suspects {
  readonly #options: SuspectsOptions;
  /** Taken, and not known to be harmless yet. */
  readonly #onProbation = new Set<Work>();
  #alone: Work | undefined;

  constructor(options: SuspectsOptions) {
    this.#options = options;
  }

  /** Whether another run must be the only one here: this one may not begin. */
  excludes(work: Work): boolean {
    return this.#alone !== undefined && this.#alone !== work;
  }

  /** Its claim has ended here without an end of its delivery: whatever it is next, it is claimed as such. */
  claimEnded(work: Work): void {
    this.#onProbation.delete(work);
    if (work === this.#alone) this.#alone = undefined;
  }

  /** How many messages may be taken on beside those that are here. */
  room(): number {
    if (this.#alone !== undefined) return 0;
    const { caution, inFlight } = this.#options;
    return Math.max(0, caution.window - this.#onProbation.size - inFlight.undecided);
  }

  /** Sorts what was just claimed; returns what may be admitted as any other run. */
  sift(claimed: readonly Work[]): readonly Work[] {
    const { caution } = this.#options;
    const suspects = claimed.filter((work) => work.losses > 0);
    if (suspects.length === 0) {
      if (this.#onProbation.size === 0) caution.passed(claimed.length);
      return claimed;
    }
    return [...claimed.filter((work) => work.losses === 0), ...this.#choose(suspects)];
  }

  /** A run is posted to a thread. */
  started(work: Work): void {
    if (!this.#onProbation.has(work)) return;
    const alreadyAlone = Math.max(0, work.losses - this.#aloneFrom(work));
    this.#options.clock.after(probationMs * probationFactor ** alreadyAlone, () => {
      if (work.stage !== "executing") return;
      if (work === this.#alone) this.#alone = undefined;
      this.#proved(work);
    });
  }

  /** A delivery has ended: its place comes free. */
  ended(work: Work, outcome: FinalOutcome): void {
    // What was refused or put off before a claim can have ended nothing; what was only returned may be anything.
    if (work.epoch === 0 && outcome !== "released" && outcome !== "dropped") this.#options.caution.passed(1);
    if (work === this.#alone) this.#alone = undefined;
    // One that was returned unbegun has proved nothing.
    if (work.posts > 0) this.#proved(work);
    else this.#onProbation.delete(work);
    if (this.#alone !== undefined) this.#startAlone();
  }

  /** Those that may be tried now; the others end here. */
  #choose(suspects: readonly Work[]): readonly Work[] {
    const { caution, settlers, telemetry } = this.#options;
    const living = suspects.filter((work) => {
      const end = crashLoop(work.losses, this.#limitOf(work), "its worker ended without returning it to the queue");
      if (end !== undefined) ofSource(settlers, work.source).fail(work, end);
      return end === undefined;
    });
    if (living.length === 0) return living;
    if (caution.alarm()) telemetry.emit({ type: "suspects.found", runs: living.length });
    const tried: Work[] = [];
    for (const work of living) {
      if (this.#alone === undefined && work.losses >= this.#aloneFrom(work)) this.#alone = work;
      else if (this.#alone === undefined && this.#onProbation.size < caution.window) tried.push(work);
      else {
        this.#options.putBack(work);
        continue;
      }
      this.#onProbation.add(work);
    }
    this.#makeRoom();
    return tried;
  }

  #makeRoom(): void {
    const alone = this.#alone;
    if (alone?.stage === "claiming") {
      alone.stage = "isolated";
      this.#options.clear(alone);
      this.#options.clock.soon(() => this.#startAlone());
      this.#options.clock.after(isolationWaitMs, () => this.#startIsolated(alone));
    }
    this.#options.trim();
  }

  /** Starts the one that must be alone once it is; further deliveries of its event may wait for it here. */
  #startAlone(): void {
    const { inFlight } = this.#options;
    const alone = this.#alone;
    if (alone?.stage !== "isolated") return;
    for (const work of inFlight.works()) if (work !== alone && work.stage !== "following") return;
    this.#startIsolated(alone);
  }

  #startIsolated(work: Work): void {
    if (work === this.#alone && work.stage === "isolated") this.#options.admit([work]);
  }

  /** Losses at which a run is given up: below the deliveries that it may have, so that its end mentions them. */
  #limitOf(work: Work): number {
    return lossesLimit(work.skill?.retry, work.source.deliveriesMax);
  }

  #aloneFrom(work: Work): number {
    return Math.max(1, this.#limitOf(work) - triesAlone);
  }

  #proved(work: Work): void {
    if (this.#onProbation.delete(work)) this.#options.caution.passed(1);
  }
}
