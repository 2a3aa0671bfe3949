/** A value of an application property, as brokers and clients on every stack can carry it. */
export type HeaderValue = string | number | boolean | bigint | Date | null;

/** `data` for a message without a body, too. */
export type BodySection = "data" | "value" | "sequence";

/**
 * No entity locks a message for longer. That a lock has surely ended is counted from its message's receipt, or the lock's last
 * renewal, by the monotonic clock: the end that the broker names is of its wall clock, which ours may be far from.
 */
export const lockMaxMs: number = 300_000;

/** An id as AMQP carries it: text, an unsigned number of 64 bits, bytes, or a UUID. */
export type IdValue = string | bigint | Uint8Array | { readonly uuid: Uint8Array };

/** What a message says of itself beside what a skill sees, for whoever routes, answers or expires it. */
export interface Particulars {
  readonly correlationId?: IdValue | undefined;
  readonly to?: string | undefined;
  readonly replyTo?: string | undefined;
  readonly sessionId?: string | undefined;
  readonly replyToSessionId?: string | undefined;
  readonly partitionKey?: string | undefined;
  /** The SDK's client neither tells nor sends this one. */
  readonly userId?: Uint8Array | undefined;
  /** Nor this one. */
  readonly contentEncoding?: string | undefined;
}

/**
 * A message under peek-lock. The transport makes it; it stays valid until it is settled or its lock is lost. Its body is
 * bytes on the main thread and is never parsed there.
 */
export interface Delivery {
  readonly messageId: string;
  /** Unique in the entity, rising. */
  readonly sequenceNumber: bigint;
  /** 1 for the first delivery; one more after each abandon or expired lock. A scheduled copy starts at 1 again. */
  readonly attempt: number;
  /** When the broker will give the message to someone else, in its wall clock; renewing moves it. */
  readonly lockedUntilMs: number;
  /** When the broker accepted it, in its wall clock. */
  readonly enqueuedAtMs: number;
  readonly contentType: string | undefined;
  readonly correlationId: string | undefined;
  readonly subject: string | undefined;
  /** The body as it was sent. It may share memory with the socket's buffer: copy before keeping it past settlement. */
  readonly body: Uint8Array;
  /** The AMQP section that the body came in. What is no data is given as text or JSON text, by both transports alike. */
  readonly bodySection: BodySection;
  /** One application property, without building a map of them all. */
  header(name: string): HeaderValue | undefined;
  /** All application properties, for making a copy of the message. */
  headers(): Readonly<Record<string, HeaderValue>>;
  /** How long it lives in all, counted from `enqueuedAtMs`; undefined when it does not say. Read for a copy only, as what follows. */
  readonly timeToLiveMs: number | undefined;
  particulars(): Particulars;
}

/** A message to be sent. */
export interface OutgoingMessage extends Particulars {
  readonly messageId: string;
  readonly body: Uint8Array;
  readonly contentType?: string | undefined;
  readonly subject?: string | undefined;
  readonly headers: Readonly<Record<string, HeaderValue>>;
  /** Time by the broker's wall clock before which it does not deliver it. */
  readonly scheduledAtMs?: number | undefined;
  /** How long it lives, in whole milliseconds from when it can be delivered; undefined: as long as the entity lets it. */
  readonly timeToLiveMs?: number | undefined;
  /** Where an emitted event goes, if its skill says so; undefined: where its type does. */
  readonly entity?: string | undefined;
}
