/** Dead letters that died of the same failure. */
import type { Letter } from "./letters.ts";

export interface LetterGroup {
  readonly fingerprint: string;
  readonly count: number;
  /** Of the first and the last letter, by the broker's clock. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly eventTypes: readonly string[];
  /** The last one. */
  readonly example: Letter;
}

interface Counted {
  count: number;
  firstMs: number;
  readonly eventTypes: Set<string>;
  example: Letter;
}

/** Counts one letter after the other, so that nothing of them needs to be kept. */
export class Groups {
  readonly #byFingerprint = new Map<string, Counted>();

  add(letter: Letter): void {
    const known = this.#byFingerprint.get(letter.fingerprint);
    if (known === undefined) {
      this.#byFingerprint.set(letter.fingerprint, { count: 1, firstMs: letter.atMs, eventTypes: new Set([letter.eventType]), example: letter });
      return;
    }
    known.count += 1;
    known.firstMs = Math.min(known.firstMs, letter.atMs);
    known.eventTypes.add(letter.eventType);
    if (letter.atMs >= known.example.atMs) known.example = letter;
  }

  /** The largest first. */
  list(): readonly LetterGroup[] {
    const groups = [...this.#byFingerprint].map(([fingerprint, { count, firstMs, eventTypes, example }]) => ({
      fingerprint,
      count,
      firstMs,
      lastMs: example.atMs,
      eventTypes: [...eventTypes].filter((type) => type !== "").sort(),
      example,
    }));
    return groups.sort((one, other) => other.count - one.count || other.lastMs - one.lastMs);
  }
}
