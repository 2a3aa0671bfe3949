// The whole story of each message id in one entity, for a checker that looks for wrong outcomes. Costs memory for every
// message that ever passed, so it is off unless asked for.

export type OutcomeWord =
  | "accepted"
  | "scheduled"
  | "duplicate"
  | "delivered"
  | "completed"
  | "receivedAndDeleted"
  | "abandoned"
  | "released"
  | "deferred"
  | "deadLettered"
  | "expired"
  | "cancelled"
  | "deleted"
  | "forwarded"
  | "lockExpired"
  | "lockLost";

/** Message ids that a log holds at most; the oldest go first. */
const idsMax = 5_000_000;

export class OutcomeLog {
  readonly #outcomes = new Map<string, OutcomeWord[]>();

  add(messageId: string, outcome: OutcomeWord): void {
    const known = this.#outcomes.get(messageId);
    if (known !== undefined) {
      known.push(outcome);
      return;
    }
    if (this.#outcomes.size >= idsMax) {
      const oldest = this.#outcomes.keys().next();
      if (oldest.done !== true) this.#outcomes.delete(oldest.value);
    }
    this.#outcomes.set(messageId, [outcome]);
  }

  get(messageId: string): readonly OutcomeWord[] | undefined {
    return this.#outcomes.get(messageId);
  }

  entries(): ReadonlyMap<string, readonly OutcomeWord[]> {
    return this.#outcomes;
  }
}
