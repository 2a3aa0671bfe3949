/** A note that a worker has left. */
export interface Note {
  readonly name: string;
  readonly text: string;
}

/**
 * Short texts that the workers of a pool leave for each other in the store, each for a while. They are for looking at, and nothing depends on
 * them: whoever cannot reach them goes on without. Topics are kept apart. Every method rejects with `StoreUnavailableError` when the store
 * does not answer.
 */
export interface PoolBoard {
  /** Leaves a note, in the place of an earlier one of that name; it is gone after `keepMs` by the store's clock. One round trip. */
  put(topic: string, name: string, text: string, keepMs: number): Promise<void>;
  /** All of a topic that are still to be seen, by name. */
  list(topic: string): Promise<readonly Note[]>;
  /** Takes one away, and answers what it said; undefined where there is none. */
  take(topic: string, name: string): Promise<string | undefined>;
  /** Idempotent. */
  stop(): Promise<void>;
}

/** What a topic keeps at the most; the oldest to end go first. */
export const notesMax = 500;
