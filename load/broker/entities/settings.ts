// What can be set on an entity, and the real service's defaults.

export interface QueueSettings {
  /** How long a peek-lock holds. */
  readonly lockDurationMs: number;
  /** Deliveries a message gets before it is dead-lettered; Infinity in a dead-letter sub-queue. */
  readonly deliveryCountMax: number;
  /** How long a message lives at most; Infinity = for ever. */
  readonly timeToLiveMs: number;
  readonly deadLetterOnExpiry: boolean;
  readonly requiresDuplicateDetection: boolean;
  readonly duplicateWindowMs: number;
  readonly requiresSession: boolean;
  /** The queue or topic that every message moves on to; undefined = none. */
  readonly forwardTo: string | undefined;
  readonly messageBytesMax: number;
}

export interface TopicSettings {
  readonly timeToLiveMs: number;
  readonly requiresDuplicateDetection: boolean;
  readonly duplicateWindowMs: number;
  readonly messageBytesMax: number;
}

export const queueDefaults: QueueSettings = {
  lockDurationMs: 60_000,
  deliveryCountMax: 10,
  timeToLiveMs: Infinity,
  deadLetterOnExpiry: false,
  requiresDuplicateDetection: false,
  duplicateWindowMs: 600_000,
  requiresSession: false,
  forwardTo: undefined,
  messageBytesMax: 1024 * 1024,
};

export const topicDefaults: TopicSettings = {
  timeToLiveMs: Infinity,
  requiresDuplicateDetection: false,
  duplicateWindowMs: 600_000,
  messageBytesMax: 1024 * 1024,
};

/** Auto-forwards that one message may go through. */
export const forwardHopsMax = 4;
