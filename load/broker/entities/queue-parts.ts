// What a queue is made of.
import type { Clock } from "./clock.ts";
import type { Transfer } from "./message.ts";
import type { EntityJournal } from "./message-store.ts";
import type { OutcomeLog } from "./outcome-log.ts";
import type { QueueSettings } from "./settings.ts";

export interface QueueParts<Letters> {
  readonly path: string;
  readonly settings: QueueSettings;
  readonly clock: Clock;
  /** Lock numbers, unique over the whole broker. */
  readonly nextLockId: () => number;
  /** Where dead letters go; undefined in a dead-letter sub-queue, which has none. */
  readonly deadLetters: Letters | undefined;
  /** The longest life that something above it allows. */
  readonly timeToLiveMaxMs: () => number;
  /** Where messages go that cannot be moved on. */
  readonly transferLetters: Letters | undefined;
  /** Moves a message on to another entity. Returns why it cannot. */
  readonly forward: (transfer: Transfer, to: string) => string | undefined;
  readonly log: OutcomeLog | undefined;
  /** Told of what has to outlast the process; undefined = nothing has. */
  readonly journal: EntityJournal | undefined;
}
