/** Everything the worker holds: by run, and by event, so that a second delivery of an event finds the first. */
import { ChurningTable } from "../core/churning.ts";
import type { SkillPolicy } from "../core/skill.ts";
import type { Work } from "./work.ts";

export class InFlight {
  readonly #byRun = ChurningTable.byNumber<Work>();
  /** By source, the delivery that owns its event here; others follow it. */
  readonly #byEvent: ChurningTable<string, Work>[] = [];
  #whenEmpty: (() => void)[] = [];
  #undecided = 0;
  /** Of those, how many use each dependency, by its number; and of how many it is not known which they use. */
  readonly #undecidedUses: number[] = [];
  #unrouted = 0;
  #lastRunId = 0;

  get size(): number {
    return this.#byRun.size;
  }

  /** Messages of which it is not known yet whether they can be admitted. */
  get undecided(): number {
    return this.#undecided;
  }

  /** Those of them that may come to need one of these dependencies. */
  undecidedOf(uses: readonly number[]): number {
    let most = 0;
    for (const number of uses) most = Math.max(most, this.#undecidedUses[number] ?? 0);
    return this.#unrouted + most;
  }

  nextRunId(): number {
    this.#lastRunId += 1;
    return this.#lastRunId;
  }

  add(work: Work): void {
    this.#byRun.set(work.runId, work);
    this.#undecided += 1;
    this.#unrouted += 1;
  }

  /** It is known what runs it. */
  routed(work: Work, skill: SkillPolicy): void {
    work.skill = skill;
    this.#unrouted -= 1;
    this.#countUses(skill.uses, 1);
  }

  decided(work: Work): void {
    if (!work.isUndecided) return;
    work.isUndecided = false;
    this.#undecided -= 1;
    if (work.skill === undefined) this.#unrouted -= 1;
    else this.#countUses(work.skill.uses, -1);
  }

  #countUses(uses: readonly number[], by: number): void {
    for (const number of uses) this.#undecidedUses[number] = (this.#undecidedUses[number] ?? 0) + by;
  }

  get(runId: number): Work | undefined {
    return this.#byRun.get(runId);
  }

  /** Gives the work a new run id, so that nothing that still arrives of its last execution is taken for the next one. */
  renumber(work: Work): void {
    this.#byRun.delete(work.runId);
    work.runId = this.nextRunId();
    this.#byRun.set(work.runId, work);
  }

  /** Makes the work the owner of its event here, or returns the one that is. */
  ownerOf(work: Work): Work | undefined {
    const events = (this.#byEvent[work.source.number] ??= ChurningTable.byText<Work>());
    const owner = events.getOrSet(work.eventId, work);
    return owner === work ? undefined : owner;
  }

  /** Whether a delivery of the same event is here, and owns it. */
  isOwned({ source, eventId }: Work): boolean {
    return this.#byEvent[source.number]?.get(eventId) !== undefined;
  }

  remove(work: Work): void {
    this.#byRun.delete(work.runId);
    this.decided(work);
    if (work.route !== undefined) this.#byEvent[work.source.number]?.delete(work.eventId, work);
    if (this.#byRun.size > 0 || this.#whenEmpty.length === 0) return;
    const actions = this.#whenEmpty;
    this.#whenEmpty = [];
    for (const action of actions) action();
  }

  /** In the order of arrival, or of being numbered again; works may be removed meanwhile. */
  works(): Iterable<Work> {
    return this.#byRun.values();
  }

  /** In no order, which is quicker; none may be added or removed meanwhile. */
  forEach(visit: (work: Work) => void): void {
    this.#byRun.forEach(visit);
  }

  /** Resolves when nothing is held. */
  whenEmpty(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEmpty.push(resolve);
    });
  }
}
