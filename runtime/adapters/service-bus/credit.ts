/**
 * The credit of one receiver. What was granted is either here, on loan to a link, or spent on a delivery; nothing else, so
 * that never more is handed out than was granted.
 */
export class Credit {
  #available = 0;

  get available(): number {
    return this.#available;
  }

  add(count: number): void {
    this.#available += count;
  }

  /** Takes up to `countMax`; returns how much. */
  take(countMax: number): number {
    const taken = Math.min(countMax, this.#available);
    this.#available -= taken;
    return taken;
  }
}
