/**
 * Which messages are given back while a worker is over its bounds, so that more important ones are run in their place.
 *
 * A worker takes no more than it can begin soon, so what is too much waits in the queue, important or not: there the wait is measured.
 * When even the youngest of a look's messages had waited for longer than `queueAgeMs`, that is no burst but a queue that stands (as in
 * Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012, and Zhou et al., "Overload Control for Scaling WeChat
 * Microservices", SoCC 2018, which decide by the wait in the queue, too). Memory or an event loop that run short count as well.
 *
 *   off ──(queue old, memory or loop tight)──▶ shedding: pressure from 0 to 1 ──(below half the bound, and the pressure has died away)──▶ off
 *
 * With the pressure grows the part of the messages that is shed: all of the lowest priority before any of the next, in zones of equal
 * width, as Netflix does by utilisation ("Enhancing Netflix Reliability with Service-Level Prioritized Load Shedding", 2024) and Envoy's
 * overload manager between the two thresholds of a scaled trigger. Pressure grows at once and is halved with each look that finds less.
 *
 *                 low            normal           high        critical
 *   upTo: low     0 … 1          never            never       never
 *   upTo: high    0 … ⅓          ⅓ … ⅔            ⅔ … 1       never
 *
 * What is shed comes back, and each time costs a copy and a settlement. So it is in proportion to what is found behind it (`ratio`,
 * `perSecondMin`), nothing is shed for its queue's age while its skill has room, and no message for ever (`postponementsMax`).
 */
import type { Random } from "../core/clock.ts";
import type { LoadSheddingPolicy } from "../core/load-shedding.ts";
import type { Priority } from "../core/priority.ts";
import { Ladder } from "./ladder.ts";
import { ReadAhead } from "./read-ahead.ts";

/** All of the lowest zone is shed from so many times `queueAgeMs` on. */
const shortFromAges = 2;
/** Until it is below so many times that again. */
const shortUntilAges = 1.5;
/** Below this part of it the queue does not stand any more. */
const calmPart = 0.5;
/** With so much of its window used up a skill has no room for what may wait. */
const busyFrom = 0.5;
/** A pressure that has died away to this is none. */
const pressureMin = 0.05;
/** Messages that may be shed at the start, and the most that can be saved up. */
const reserve = 500;

/** What it is that is over its bounds. */
export type SheddingCause = "queue-age" | "memory" | "loop";

export interface LoadSheddingView {
  readonly policy: LoadSheddingPolicy;
  readonly isActive: boolean;
  /** Of what presses most; undefined while nothing does. */
  readonly why: SheddingCause | undefined;
  /** 0 to 1. */
  readonly pressure: number;
  /** How long the youngest messages of the last look had waited in the queue. */
  readonly queueAgeMs: number;
  /** Given back since the start, by priority. */
  readonly shed: Readonly<Record<Priority, number>>;
  /** Run all the same since the start: too few important ones were found for what they cost. */
  readonly spared: number;
  /** Dead-lettered since the start, because they had been postponed too often. */
  readonly givenUp: number;
}

/** A message that nothing has begun of. */
export interface Arrival {
  readonly priority: Priority;
  /** False where it has begun, or would not live to come back. */
  readonly mayWait: boolean;
  /** Of its skill's window, which part is used up. */
  readonly usage: number;
  /** How often it was postponed before. */
  readonly postponements: number;
}

export type SheddingAnswer = "run" | "shed" | "give-up";

const ranks: Readonly<Record<Priority, number>> = { low: 0, normal: 1, high: 2, critical: 3 };

export class LoadShedding {
  #policy: LoadSheddingPolicy;
  #age: Ladder;
  #budget: ReadAhead;
  /** The shortest wait of a message since the last look; undefined while none came. */
  #youngestMs: number | undefined;
  #queueAgeMs = 0;
  readonly #pressures: Record<SheddingCause, number> = { "queue-age": 0, memory: 0, loop: 0 };
  #isActive = false;
  readonly #shed: Record<Priority, number> = { low: 0, normal: 0, high: 0, critical: 0 };
  #spared = 0;
  #givenUp = 0;

  constructor(policy: LoadSheddingPolicy) {
    this.#policy = policy;
    this.#age = ageLadder(policy);
    this.#budget = budgetOf(policy);
  }

  get isEnabled(): boolean {
    return this.#policy.enabled;
  }

  /** Whether anything is to be decided at all. */
  get isActive(): boolean {
    return this.#isActive;
  }

  get policy(): LoadSheddingPolicy {
    return this.#policy;
  }

  /** What it has measured stays, and is judged by the new bounds with the next look. */
  change(changes: Partial<LoadSheddingPolicy>): void {
    this.#policy = { ...this.#policy, ...changes };
    this.#age = ageLadder(this.#policy);
    this.#budget = budgetOf(this.#policy);
    if (!this.#policy.enabled) this.#stop();
  }

  /** A message has come that waited in the queue for so long. */
  arrived(ageMs: number): void {
    this.#youngestMs = Math.min(ageMs, this.#youngestMs ?? ageMs);
  }

  /**
   * Once a second. `pressures`: how near memory and loop are to their ends, 0 to 1. `isIdle`: nothing is held, so that a queue from which
   * nothing came is empty; else it is as old as it was. True when shedding begins or ends by it.
   */
  look(pressures: { readonly memory: number; readonly loop: number }, isIdle: boolean): boolean {
    const wasActive = this.#isActive;
    if (!this.#policy.enabled) return false;
    this.#queueAgeMs = this.#youngestMs ?? (isIdle ? 0 : this.#queueAgeMs);
    this.#youngestMs = undefined;
    this.#age.measured(this.#queueAgeMs);
    this.#press("queue-age", this.#age.pressure);
    this.#press("memory", pressures.memory);
    this.#press("loop", pressures.loop);
    this.#isActive = this.#why() !== undefined;
    return this.#isActive !== wasActive;
  }

  /** What becomes of a message; asked while it is active, for each. */
  decide({ priority, mayWait, usage, postponements }: Arrival, nowMs: number, random: Random): SheddingAnswer {
    const { upTo, postponementsMax, afterwards } = this.#policy;
    const rank = ranks[priority];
    // Of what ranks higher than `upTo` it is 0 or less, whatever the pressure.
    const part = mayWait ? this.#pressureAt(usage) * (ranks[upTo] + 1) - rank : 0;
    if (random() >= part) {
      if (rank > 0) this.#budget.found();
      return "run";
    }
    if (postponements >= postponementsMax) {
      if (afterwards === "run") return "run";
      this.#givenUp += 1;
      return "give-up";
    }
    if (this.#budget.left(nowMs) < 1) {
      this.#spared += 1;
      return "run";
    }
    this.#budget.spent();
    this.#shed[priority] += 1;
    return "shed";
  }

  view(): LoadSheddingView {
    const why = this.#why();
    return {
      policy: this.#policy,
      isActive: this.#isActive,
      why,
      pressure: why === undefined ? 0 : this.#pressures[why],
      queueAgeMs: this.#queueAgeMs,
      shed: { ...this.#shed },
      spared: this.#spared,
      givenUp: this.#givenUp,
    };
  }

  /** A queue's age is no reason while the skill could begin more. */
  #pressureAt(usage: number): number {
    const { memory, loop, "queue-age": age } = this.#pressures;
    return Math.max(memory, loop, usage >= busyFrom ? age : 0);
  }

  #press(cause: SheddingCause, measured: number): void {
    const pressure = Math.max(measured, this.#pressures[cause] / 2);
    this.#pressures[cause] = measured > 0 || pressure >= pressureMin ? pressure : 0;
  }

  #why(): SheddingCause | undefined {
    const { memory, loop, "queue-age": age } = this.#pressures;
    const most = Math.max(memory, loop, age);
    if (most === 0) return undefined;
    if (most === age) return "queue-age";
    return most === memory ? "memory" : "loop";
  }

  #stop(): void {
    this.#isActive = false;
    this.#youngestMs = undefined;
    this.#queueAgeMs = 0;
    this.#pressures["queue-age"] = 0;
    this.#pressures.memory = 0;
    this.#pressures.loop = 0;
  }
}

function ageLadder({ queueAgeMs }: LoadSheddingPolicy): Ladder {
  return new Ladder({
    tightFrom: queueAgeMs,
    ampleBelow: queueAgeMs * calmPart,
    shortFrom: queueAgeMs * shortFromAges,
    tightBelow: queueAgeMs * shortUntilAges,
  });
}

function budgetOf({ ratio, perSecondMin }: LoadSheddingPolicy): ReadAhead {
  return new ReadAhead(ratio, perSecondMin, reserve);
}
