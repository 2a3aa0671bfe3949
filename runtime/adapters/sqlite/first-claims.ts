/** Runs that this store has claimed as the first, with the row that each was given: most are done under that claim, and their row needs not be looked up. */
import type { ClaimRequest } from "../../ports/run-store.ts";

export interface FirstClaim {
  readonly row: number;
  readonly request: ClaimRequest;
}

/** Claims of a generation; two are kept. What is forgotten is looked up. */
const generationMax = 8_192;

export class FirstClaims {
  #young = new Map<string, FirstClaim>();
  #old = new Map<string, FirstClaim>();

  add(row: number, request: ClaimRequest): void {
    if (this.#young.size === generationMax) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(request.eventId, { row, request });
  }

  /** Undefined where it is not known; known once. */
  take(eventId: string): FirstClaim | undefined {
    const claim = this.#young.get(eventId);
    if (claim !== undefined) {
      this.#young.delete(eventId);
      return claim;
    }
    const older = this.#old.get(eventId);
    if (older !== undefined) this.#old.delete(eventId);
    return older;
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }
}
