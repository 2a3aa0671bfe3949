// What the journal writes down, packed as an array that begins with its kind.
import { Packr } from "msgpackr/pack";
import type { MessageContent, PropertyChanges, StoredMessage } from "../entities/message.ts";

export const kind = { entity: 1, put: 2, change: 3, remove: 4, session: 5, sequence: 6, definitions: 7, forget: 8, lock: 9, seen: 10 };

const packr = new Packr({ useRecords: false, mapsAsObjects: false, int64AsType: "number" });

export function pack(record: readonly unknown[]): Buffer {
  return packr.pack(record);
}

export function unpack(bytes: Buffer): readonly unknown[] {
  return packr.unpack(bytes) as readonly unknown[];
}

/** A message as it comes back from a journal. */
export interface KeptMessage {
  readonly sequenceNumber: number;
  readonly enqueuedSequenceNumber: number;
  readonly enqueuedAtMs: number;
  state: StoredMessage["state"];
  deliveryCount: number;
  properties: PropertyChanges | undefined;
  readonly expiresAtMs: number;
  readonly dueAtMs: number;
  readonly hops: number;
  readonly deadLetterSource: string | undefined;
  isInDoubt: boolean;
  /** It was under a lock, which no process can still hold. */
  isLocked: boolean;
  readonly content: MessageContent;
}

export function packMessage(entity: number, message: StoredMessage): Buffer {
  const {
    sequenceNumber,
    enqueuedSequenceNumber,
    enqueuedAtMs,
    state,
    deliveryCount,
    properties,
    expiresAtMs,
    dueAtMs,
    hops,
    deadLetteredBy,
    isInDoubt,
    lockId,
  } = message;
  const { bare, durable, priority, timeToLiveMs, annotations, annotationCount, messageId, sessionId, partitionKey, scheduledAtMs } = message.content;
  const content = [bare, durable, priority, timeToLiveMs, annotations, annotationCount, messageId, sessionId, partitionKey, scheduledAtMs];
  return pack([
    kind.put,
    entity,
    sequenceNumber,
    enqueuedSequenceNumber,
    enqueuedAtMs,
    state,
    deliveryCount,
    properties,
    expiresAtMs,
    dueAtMs,
    hops,
    deadLetteredBy,
    content,
    isInDoubt,
    lockId !== 0,
  ]);
}

export function unpackMessage(record: readonly unknown[]): KeptMessage {
  const [
    ,
    ,
    sequenceNumber,
    enqueuedSequenceNumber,
    enqueuedAtMs,
    state,
    deliveryCount,
    properties,
    expiresAtMs,
    dueAtMs,
    hops,
    deadLetterSource,
    content,
    isInDoubt,
    isLocked,
  ] = record;
  const [bare, durable, priority, timeToLiveMs, annotations, annotationCount, messageId, sessionId, partitionKey, scheduledAtMs] = content as unknown[];
  return {
    sequenceNumber,
    enqueuedSequenceNumber,
    enqueuedAtMs,
    state,
    deliveryCount,
    properties: copied(properties),
    expiresAtMs,
    dueAtMs,
    hops,
    deadLetterSource: deadLetterSource ?? undefined,
    isInDoubt,
    isLocked,
    content: {
      bare: Buffer.from(bare as Buffer),
      durable,
      priority,
      timeToLiveMs: timeToLiveMs ?? undefined,
      annotations: annotations === undefined || annotations === null ? undefined : Buffer.from(annotations as Buffer),
      annotationCount,
      messageId,
      sessionId: sessionId ?? undefined,
      partitionKey: partitionKey ?? undefined,
      scheduledAtMs: scheduledAtMs ?? undefined,
    } as MessageContent,
  } as KeptMessage;
}

/** Properties out of a record: what they hold must not lie in the record's own bytes. */
export function copied(properties: unknown): PropertyChanges | undefined {
  if (!(properties instanceof Map)) return undefined;
  return new Map([...(properties as Map<string, string | Uint8Array>)].map(([name, value]) => [name, typeof value === "string" ? value : Buffer.from(value)]));
}
