import type { SettleOrder } from "#runtime/ports/transport.ts";

export type Verb = SettleOrder["verb"];

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
  #state: number;
  #settlements = 0;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** Settlements that were chosen: those of an abandoned message are two. */
  get settlements(): number {
    return this.#settlements;
  }

  /** The outcome for a message that came, now or once again. */
  next(messageId: string): Verb {
    this.#settlements += 1;
    if (this.#verbs.has(messageId)) return "complete";
    const verb = choices[Math.floor(this.#random() * choices.length)]!;
    this.#verbs.set(messageId, verb);
    return verb;
  }

  /** How many of `messages` the broker's record tells otherwise, or not at all. */
  wrongIn(outcomes: ReadonlyMap<string, readonly string[]>, messages: number): number {
    let right = 0;
    for (const [id, verb] of this.#verbs) if (outcomes.get(id)?.join() === records[verb]) right += 1;
    return messages - right;
  }

  /** Repeatable, in [0, 1). */
  #random(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state / 2 ** 32;
  }
}
