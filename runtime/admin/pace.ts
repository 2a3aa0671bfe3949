/** How much one caller may ask for in a minute; a burst of as much at once. */
import { type Bucket, drawFrom } from "../core/token-bucket.ts";
import { Problem } from "./problem.ts";

/** Callers that are remembered; of more, the one that was heard of least lately starts over. */
const callersMax = 1_000;

export class Pace {
  readonly #perMinute: number;
  readonly #nowMs: () => number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(perMinute: number, nowMs: () => number) {
    this.#perMinute = perMinute;
    this.#nowMs = nowMs;
  }

  /** Throws `Problem` when it is too much. */
  take(caller: string): void {
    const { bucket, grant } = this.#draw(caller, 1);
    this.#keep(caller, bucket);
    if (grant.granted === 0) throw tooMany(grant.afterMs);
  }

  /** The same, as an answer: whether it is not too much. */
  takes(caller: string): boolean {
    const { bucket, grant } = this.#draw(caller, 1);
    this.#keep(caller, bucket);
    return grant.granted > 0;
  }

  /** The same, without taking. */
  check(caller: string): void {
    const { grant } = this.#draw(caller, 1);
    if (grant.granted === 0) throw tooMany(grant.afterMs);
  }

  #draw(caller: string, need: number): ReturnType<typeof drawFrom> {
    const rate = { perMinute: this.#perMinute, capacity: this.#perMinute };
    return drawFrom(this.#buckets.get(caller), rate, { need, want: need, back: 0, waitMaxMs: 0 }, this.#nowMs());
  }

  #keep(caller: string, bucket: Bucket): void {
    this.#buckets.delete(caller);
    this.#buckets.set(caller, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > callersMax && oldest !== undefined) this.#buckets.delete(oldest);
  }
}

function tooMany(afterMs: number): Problem {
  const seconds = Math.max(1, Math.ceil(afterMs / 1_000));
  return new Problem("too-many", `expected fewer requests of this caller in a minute; try again in ${seconds} s`, {}, seconds);
}
