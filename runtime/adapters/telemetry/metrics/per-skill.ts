/** What is counted of every message, by skill: on typed arrays alone. */
import type { FinalOutcome, SettledRun } from "../../../ports/telemetry.ts";
import { Durations } from "./durations.ts";

export const outcomes: readonly FinalOutcome[] = ["completed", "duplicate", "dead-lettered", "retried", "postponed", "released", "dropped"];

const places: Readonly<Record<FinalOutcome, number>> = { completed: 0, duplicate: 1, "dead-lettered": 2, retried: 3, postponed: 4, released: 5, dropped: 6 };
const afterRetryAt = outcomes.length;

export class SkillCounts {
  readonly skill: string;
  readonly criticalTime: Durations = new Durations();
  readonly processing: Durations = new Durations();
  readonly laneWait: Durations = new Durations();
  readonly #counts = new Float64Array(outcomes.length + 1);

  constructor(skill: string) {
    this.skill = skill;
  }

  settled(outcome: FinalOutcome, latencyMs: number, { attempt, waitedMs }: SettledRun): void {
    const counts = this.#counts;
    counts[places[outcome]]! += 1;
    if (outcome === "completed") {
      this.criticalTime.record(latencyMs);
      if (attempt > 1) counts[afterRetryAt]! += 1;
    }
    this.laneWait.record(waitedMs);
  }

  count(outcome: FinalOutcome): number {
    return this.#counts[places[outcome]] ?? 0;
  }

  get completedAfterRetry(): number {
    return this.#counts[afterRetryAt] ?? 0;
  }
}

/** The counts of each skill. The last one asked for is found without a look-up: messages of a skill come together. */
export class SkillTables {
  readonly #bySkill = new Map<string, SkillCounts>();
  #last: SkillCounts | undefined;

  of(skill: string): SkillCounts {
    const last = this.#last;
    if (last !== undefined && last.skill === skill) return last;
    let counts = this.#bySkill.get(skill);
    if (counts === undefined) {
      counts = new SkillCounts(skill);
      this.#bySkill.set(skill, counts);
    }
    this.#last = counts;
    return counts;
  }

  all(): readonly SkillCounts[] {
    return [...this.#bySkill.values()];
  }
}
