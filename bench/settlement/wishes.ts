import type { SettleOrder } from "#runtime/ports/transport.ts";
import { Random } from "../fuzz/random.ts";

/** The outcomes that every contender knows. */
export type Verb = Exclude<SettleOrder["verb"], "release">;

/** Half of the first outcomes are completions. */
const choices: readonly Verb[] = ["complete", "complete", "complete", "dead-letter", "defer", "abandon"];

/** What the broker records of a message that was settled so. */
const records: Readonly<Record<Verb, string>> = {
  complete: "accepted,delivered,completed",
  "dead-letter": "accepted,delivered,deadLettered",
  defer: "accepted,delivered,deferred",
  abandon: "accepted,delivered,abandoned,delivered,completed",
};

/** Chooses what becomes of each message, and remembers. */
export class Wishes {
  readonly #verbs = new Map<string, Verb>();
  readonly #random: Random;
  #settlements = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** Settlements that were chosen: those of an abandoned message are two. */
  get settlements(): number {
    return this.#settlements;
  }

  /** The outcome for a message that came, now or once again. */
  next(messageId: string): Verb {
    this.#settlements += 1;
    if (this.#verbs.has(messageId)) return "complete";
    const verb = this.#random.pick(choices);
    this.#verbs.set(messageId, verb);
    return verb;
  }

  /** How many of `messages` the broker's record tells otherwise, or not at all. */
  wrongIn(outcomes: ReadonlyMap<string, readonly string[]>, messages: number): number {
    let right = 0;
    for (const [id, verb] of this.#verbs) if (outcomes.get(id)?.join() === records[verb]) right += 1;
    return messages - right;
  }
}
