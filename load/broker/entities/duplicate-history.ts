// Which message ids were seen within a window of time.

export class DuplicateHistory {
  /** Ids with the time they were seen, oldest first. */
  readonly #seen = new Map<string, number>();
  readonly #windowMs: number;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  get size(): number {
    return this.#seen.size;
  }

  /** Notes the id. True when it was noted within the window before; a repeat does not lengthen the window. */
  isRepeat(messageId: string, nowMs: number): boolean {
    for (const [id, seenAtMs] of this.#seen) {
      if (seenAtMs + this.#windowMs > nowMs) break;
      this.#seen.delete(id);
    }
    if (this.#seen.has(messageId)) return true;
    this.#seen.set(messageId, nowMs);
    return false;
  }
}
