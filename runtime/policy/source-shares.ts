/**
 * Whose run goes next when threads are busy and more than one source has some that wait: by weight, counted in the time that runs
 * take and not in their number, after weighted fair queuing (Demers, Keshav, Shenker 1989; start-time fair queuing by Goyal et al. 1996).
 * Each source has a clock that its runs drive on, the slower the greater its weight, and the one that is furthest behind goes next.
 *
 * Sources of a higher priority go before all lower ones, but for a tenth of the time, which is the lower ones' as long as they have
 * something: of these again the higher first. So there are two clocks more for each priority but the lowest, its own and that of all below it.
 *
 * How long a run takes is known when it has ended: as it begins it is counted with what those of its source took lately, and corrected
 * later. A source that had nothing to run for a while may make up for a second of it, not for all of it.
 */
export interface SourceShare {
  /** Its part of the time of its priority, beside those of the others; above 0. */
  readonly weight: number;
  /** The greater goes first. */
  readonly priority: number;
}

/** The part of the time that is left to lower priorities. */
export const lowerPart = 0.1;
/** How far behind the clock of a source that has had nothing to run may be, in its own time. */
export const catchUpMs = 1_000;
/** Weight of the newest measurement of a run's time. */
const sampleWeight = 0.2;
/** What a run is taken to last before one has ended. */
const expectedFirstMs = 1;

/** One clock: how far it has come. */
interface Runner {
  timeMs: number;
}

interface Member extends Runner {
  readonly weight: number;
  readonly level: Level;
  expectedMs: number;
}

/** One priority. */
interface Level {
  readonly members: number[];
  readonly own: Runner;
  readonly lower: Runner;
}

export class SourceShares {
  readonly #members: readonly Member[];
  /** The highest priority first. */
  readonly #levels: readonly Level[];

  /** In the order of the sources' numbers. */
  constructor(shares: readonly SourceShare[]) {
    const byPriority = new Map<number, Level>();
    this.#members = shares.map(({ weight, priority }, number) => {
      if (!(weight > 0)) throw new RangeError(`expected a weight above 0, got ${weight}`);
      const level = byPriority.get(priority) ?? { members: [], own: { timeMs: 0 }, lower: { timeMs: 0 } };
      byPriority.set(priority, level);
      level.members.push(number);
      return { weight, level, timeMs: 0, expectedMs: expectedFirstMs };
    });
    this.#levels = [...byPriority].toSorted(([one], [other]) => other - one).map(([, level]) => level);
  }

  /** The source whose run goes next; undefined when none has any. */
  next(hasWaiting: (source: number) => boolean): number | undefined {
    for (const [index, level] of this.#levels.entries()) {
      const hasOwn = level.members.some(hasWaiting);
      const hasLower = this.#levels.slice(index + 1).some(({ members }) => members.some(hasWaiting));
      if (!hasOwn) continue;
      if (hasLower) {
        keepNear(level.own, level.lower, 1 - lowerPart);
        keepNear(level.lower, level.own, lowerPart);
        if (level.lower.timeMs < level.own.timeMs) continue;
      }
      return this.#nextOf(level, hasWaiting);
    }
    return undefined;
  }

  /** Its run begins. Returns what it is counted with, which `ended` wants to know. */
  began(source: number): number {
    const { expectedMs } = this.#member(source);
    this.#charge(source, expectedMs);
    return expectedMs;
  }

  /** Its run has ended, and took so long. */
  ended(source: number, countedMs: number, tookMs: number): void {
    const member = this.#member(source);
    member.expectedMs += sampleWeight * (tookMs - member.expectedMs);
    this.#charge(source, tookMs - countedMs);
  }

  /** Its run, counted with so much, did not begin: that says nothing of how long they take. */
  withdrew(source: number, countedMs: number): void {
    this.#charge(source, -countedMs);
  }

  #nextOf({ members }: Level, hasWaiting: (source: number) => boolean): number | undefined {
    let next: number | undefined;
    for (const number of members) {
      if (hasWaiting(number) && (next === undefined || this.#member(number).timeMs < this.#member(next).timeMs)) next = number;
    }
    if (next === undefined) return undefined;
    // Who has nothing to run now is not left further behind than it may make up for; all others are ahead.
    for (const number of members) keepNear(this.#member(number), this.#member(next), this.#member(number).weight);
    return next;
  }

  #charge(source: number, tookMs: number): void {
    const member = this.#member(source);
    member.timeMs += tookMs / member.weight;
    const at = this.#levels.indexOf(member.level);
    member.level.own.timeMs += tookMs / (1 - lowerPart);
    for (let above = 0; above < at; above += 1) this.#levels[above]!.lower.timeMs += tookMs / lowerPart;
  }

  #member(source: number): Member {
    const member = this.#members[source];
    if (member === undefined) throw new RangeError(`expected one of ${this.#members.length} sources, got number ${source}`);
    return member;
  }
}

function keepNear(runner: Runner, other: Runner, part: number): void {
  runner.timeMs = Math.max(runner.timeMs, other.timeMs - catchUpMs / part);
}
