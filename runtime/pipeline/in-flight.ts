/** Everything the worker holds: by run, and by event, so that a second delivery of an event finds the first. */
import type { Work } from "./work.ts";

export class InFlight {
  readonly #byRun = new Map<number, Work>();
  /** The delivery that owns its event here; others follow it. */
  readonly #byEvent = new Map<string, Work>();
  readonly #empty: (() => void)[] = [];

  get size(): number {
    return this.#byRun.size;
  }

  add(work: Work): void {
    this.#byRun.set(work.runId, work);
  }

  get(runId: number): Work | undefined {
    return this.#byRun.get(runId);
  }

  /** Makes the work the owner of its event here, or returns the one that is. */
  ownerOf(work: Work): Work | undefined {
    const owner = this.#byEvent.get(work.eventId);
    if (owner === undefined) this.#byEvent.set(work.eventId, work);
    return owner;
  }

  remove(work: Work): void {
    this.#byRun.delete(work.runId);
    if (work.route !== undefined && this.#byEvent.get(work.eventId) === work) this.#byEvent.delete(work.eventId);
    if (this.#byRun.size === 0) for (const action of this.#empty.splice(0)) action();
  }

  all(): Work[] {
    return [...this.#byRun.values()];
  }

  /** Resolves when nothing is held. */
  whenEmpty(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#empty.push(resolve);
    });
  }
}
