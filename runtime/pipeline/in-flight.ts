/** Everything the worker holds: by run, and by event, so that a second delivery of an event finds the first. */
import type { Work } from "./work.ts";

export class InFlight {
  readonly #byRun = new Map<number, Work>();
  /** By source, the delivery that owns its event here; others follow it. */
  readonly #byEvent: Map<string, Work>[] = [];
  #whenEmpty: (() => void)[] = [];
  #undecided = 0;
  #lastRunId = 0;

  get size(): number {
    return this.#byRun.size;
  }

  /** Messages of which it is not known yet whether they can be admitted. */
  get undecided(): number {
    return this.#undecided;
  }

  nextRunId(): number {
    this.#lastRunId += 1;
    return this.#lastRunId;
  }

  add(work: Work): void {
    this.#byRun.set(work.runId, work);
    this.#undecided += 1;
  }

  decided(work: Work): void {
    if (work.isUndecided) this.#undecided -= 1;
    work.isUndecided = false;
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
    const events = (this.#byEvent[work.source.number] ??= new Map());
    const owner = events.get(work.eventId);
    if (owner === undefined) events.set(work.eventId, work);
    return owner;
  }

  remove(work: Work): void {
    this.#byRun.delete(work.runId);
    this.decided(work);
    const events = this.#byEvent[work.source.number];
    if (work.route !== undefined && events?.get(work.eventId) === work) events.delete(work.eventId);
    if (this.#byRun.size > 0 || this.#whenEmpty.length === 0) return;
    const actions = this.#whenEmpty;
    this.#whenEmpty = [];
    for (const action of actions) action();
  }

  /** In the order of arrival; works may be removed meanwhile. */
  works(): MapIterator<Work> {
    return this.#byRun.values();
  }

  /** Resolves when nothing is held. */
  whenEmpty(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEmpty.push(resolve);
    });
  }
}
