// Which message ids were seen within a window of time.

/** Told of what has to outlast the process. */
export interface HistoryJournal {
  seen(messageId: string, atMs: number): void;
}

export class DuplicateHistory {
  /** Ids with the time they were seen, oldest first. */
  readonly #seen = new Map<string, number>();
  readonly #journal: HistoryJournal | undefined;
  #windowMs: number | undefined;

  /** @param windowMs undefined = nothing counts as seen */
  constructor(windowMs: number | undefined, journal?: HistoryJournal) {
    this.#windowMs = windowMs;
    this.#journal = journal;
  }

  get size(): number {
    return this.#seen.size;
  }

  /** Takes another window; what was seen counts in it. */
  resize(windowMs: number): void {
    if (this.#windowMs !== undefined) this.#windowMs = windowMs;
  }

  /** Takes back what was kept over a restart, oldest first. */
  restore(seen: ReadonlyMap<string, number>): void {
    if (this.#windowMs !== undefined) for (const [messageId, atMs] of seen) this.#seen.set(messageId, atMs);
  }

  /** Notes the id. True when it was noted within the window before; a repeat does not lengthen the window. */
  isRepeat(messageId: string, nowMs: number): boolean {
    if (this.#windowMs === undefined) return false;
    this.#forgetOld(nowMs, this.#windowMs);
    if (this.#seen.has(messageId)) return true;
    this.#seen.set(messageId, nowMs);
    this.#journal?.seen(messageId, nowMs);
    return false;
  }

  /** The ids with the time they were seen, oldest first. */
  entries(): ReadonlyMap<string, number> {
    return this.#seen;
  }

  #forgetOld(nowMs: number, windowMs: number): void {
    for (const [id, seenAtMs] of this.#seen) {
      if (seenAtMs + windowMs > nowMs) break;
      this.#seen.delete(id);
    }
  }
}
