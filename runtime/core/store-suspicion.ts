/**
 * What a store says that has, or may have, lost records.
 *
 *   all          records are gone that were there: nothing is known of any event from before then
 *   redelivered  another server answers, or the same one after a restart, and has every write that this worker made; so a write
 *                can be missing only of a worker that ended together with the server before, and with it only what that worker
 *                held: its messages are redelivered
 */
export type DoubtScope = "all" | "redelivered";

export interface StoreSuspicion {
  readonly scope: DoubtScope;
  /** Records were lost, or may have been, so long ago at most. */
  readonly agoMs: number;
  /** Which parts of the store it is about, from 0; a store in one piece has part 0 alone. */
  readonly parts: readonly number[];
  /** In which part this event's record lies. */
  readonly partOf: (eventId: string) => number;
}
