/** One failure that a rule counts, and when so many of them are escalated. */
export interface CountAsk {
  /** Names the rule, and what it counts apart. */
  readonly key: string;
  /** Names the failure: told once more, it counts once, and is answered as before. */
  readonly failure: string;
  /** It is escalated at the `needed`th within `windowMs`; `kept` of them are counted at most. */
  readonly needed: number;
  readonly kept: number;
  readonly windowMs: number;
  readonly repeatAfterMs: number;
}

export interface CountAnswer {
  /** Within the window, this one included. */
  readonly count: number;
  /** Since the last escalation of the same key, this one included. */
  readonly sinceLast: number;
  /** `few`: the threshold is not reached. Else as in `policy/escalation.ts`. */
  readonly due: "few" | "now" | "repeated" | "held-back";
}

/** What all workers of a consumer count together, by one clock. */
export interface SharedCounts {
  /** In their order. Rejects with `StoreUnavailableError`; whether they were counted then is not known. */
  count(asks: readonly CountAsk[], perHourMax: number): Promise<readonly CountAnswer[]>;
  /** Idempotent. */
  stop(): Promise<void>;
}
