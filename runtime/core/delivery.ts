/** A value of an application property, as brokers and clients on every stack can carry it. */
export type HeaderValue = string | number | boolean | bigint | Date | null;

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
  /** One application property, without building a map of them all. */
  header(name: string): HeaderValue | undefined;
  /** All application properties, for making a copy of the message. */
  headers(): Readonly<Record<string, HeaderValue>>;
}

/** A message to be sent. */
export interface OutgoingMessage {
  readonly messageId: string;
  readonly body: Uint8Array;
  readonly contentType?: string | undefined;
  readonly correlationId?: string | undefined;
  readonly subject?: string | undefined;
  readonly headers: Readonly<Record<string, HeaderValue>>;
  /** Wall clock time before which the broker does not deliver it. */
  readonly scheduledAtMs?: number;
}
