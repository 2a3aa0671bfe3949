// What can be set on an entity, and the real service's defaults.

/** What an entity lets clients do: `SendDisabled` and `ReceiveDisabled` close one direction, `Disabled` both. */
export type EntityStatus = "Active" | "Disabled" | "SendDisabled" | "ReceiveDisabled";

/** What queues, topics and subscriptions have in common. The last six are kept and told, and change nothing. */
export interface Described {
  readonly status: EntityStatus;
  /** How long an unused entity stays; Infinity = for ever. */
  readonly autoDeleteOnIdleMs: number;
  /** What a queue, or all subscriptions of a topic, may hold before senders are refused; a subscription has no bound of its own. */
  readonly sizeMegabytesMax: number;
  readonly userMetadata: string | undefined;
  readonly batchedOperations: boolean;
  readonly partitioned: boolean;
  readonly express: boolean;
  readonly supportOrdering: boolean;
  /** As the administration API carries them. */
  readonly authorizationRules: unknown;
}

export interface QueueSettings extends Described {
  /** How long a peek-lock holds. */
  readonly lockDurationMs: number;
  /** Deliveries a message gets before it is dead-lettered; Infinity in a dead-letter sub-queue. */
  readonly deliveryCountMax: number;
  /** How long a message lives at most; Infinity = for ever. */
  readonly timeToLiveMs: number;
  readonly deadLetterOnExpiry: boolean;
  /** Of a subscription: a message whose filter cannot be computed goes to the dead-letter sub-queue. */
  readonly deadLetterOnFilterError: boolean;
  readonly requiresDuplicateDetection: boolean;
  readonly duplicateWindowMs: number;
  readonly requiresSession: boolean;
  /** The queue or topic that every message moves on to; undefined = none. */
  readonly forwardTo: string | undefined;
  /** The queue or topic that dead letters move on to; undefined = they stay in the dead-letter sub-queue. */
  readonly forwardDeadLettersTo: string | undefined;
  readonly messageBytesMax: number;
}

export interface TopicSettings extends Described {
  readonly timeToLiveMs: number;
  readonly requiresDuplicateDetection: boolean;
  readonly duplicateWindowMs: number;
  readonly messageBytesMax: number;
}

const describedDefaults: Described = {
  status: "Active",
  userMetadata: undefined,
  autoDeleteOnIdleMs: Infinity,
  sizeMegabytesMax: 1024,
  batchedOperations: true,
  partitioned: false,
  express: false,
  supportOrdering: true,
  authorizationRules: undefined,
};

export const queueDefaults: QueueSettings = {
  ...describedDefaults,
  lockDurationMs: 60_000,
  deliveryCountMax: 10,
  timeToLiveMs: Infinity,
  deadLetterOnExpiry: false,
  deadLetterOnFilterError: true,
  requiresDuplicateDetection: false,
  duplicateWindowMs: 600_000,
  requiresSession: false,
  forwardTo: undefined,
  forwardDeadLettersTo: undefined,
  messageBytesMax: 1024 * 1024,
};

export const topicDefaults: TopicSettings = {
  ...describedDefaults,
  timeToLiveMs: Infinity,
  requiresDuplicateDetection: false,
  duplicateWindowMs: 600_000,
  messageBytesMax: 1024 * 1024,
};

/** Auto-forwards that one message may go through. */
export const forwardHopsMax = 4;

const bytesPerMegabyte = 1024 * 1024;

/** Whether so many bytes are within the size that is set. */
export function fits(bytes: number, { sizeMegabytesMax }: Pick<Described, "sizeMegabytesMax">): boolean {
  return bytes <= bytesMaxOf({ sizeMegabytesMax });
}

export function bytesMaxOf({ sizeMegabytesMax }: Pick<Described, "sizeMegabytesMax">): number {
  return sizeMegabytesMax * bytesPerMegabyte;
}
