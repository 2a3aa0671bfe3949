// Reading management requests, and the replies that several operations share.
import { type AmqpValue, Uuid } from "../codec/reader.ts";
import type { Writable } from "../codec/writer.ts";
import type { Resolution } from "../entities/namespace.ts";
import type { MessageQueue } from "../entities/queue.ts";
import type { Topic } from "../entities/topic.ts";
import type { ProtocolContext } from "./context.ts";
import { lockLostText, sessionLockLostText } from "./settlements.ts";

export type Entity = Exclude<Resolution, { kind: "notFound" }>;
export type Fields = ReadonlyMap<AmqpValue, AmqpValue>;

export interface Reply {
  readonly code: number;
  readonly description: string;
  readonly condition?: string;
  readonly body?: ReadonlyMap<string, Writable>;
}

export type Operation = (fields: Fields, entity: Entity, context: ProtocolContext) => Reply;

/** A request that cannot be served as it is. */
export class BadRequest extends Error {
  readonly code = "BadRequest";
}

export const done: Reply = { code: 200, description: "OK" };
export const noContent: Reply = { code: 204, description: "No Content" };

export function queueOf(entity: Entity): MessageQueue {
  if (entity.kind === "topic") throw new BadRequest("This operation is for queues and subscriptions, not for topics.");
  return entity.queue;
}

export function destinationOf(entity: Entity): MessageQueue | Topic {
  if (entity.kind === "topic") return entity.topic;
  if (!entity.sendable) throw new BadRequest("Messages are scheduled on queues and topics, not on subscriptions or sub-queues.");
  return entity.queue;
}

export function numberOf(fields: Fields, name: string): number {
  const value = fields.get(name);
  if (typeof value === "number") return value;
  // Beyond safe integers there are no sequence numbers.
  if (typeof value === "bigint") return value < 0n ? 0 : Number.MAX_SAFE_INTEGER;
  throw new BadRequest(`'${name}' must be a number.`);
}

export function textOf(fields: Fields, name: string): string | undefined {
  const value = fields.get(name);
  return typeof value === "string" ? value : undefined;
}

export function listOf(fields: Fields, name: string): readonly AmqpValue[] {
  const value = fields.get(name);
  if (!Array.isArray(value)) throw new BadRequest(`'${name}' must be a list.`);
  return value;
}

export function sequenceNumbers(fields: Fields): number[] {
  return listOf(fields, "sequence-numbers").map((value) => {
    if (typeof value !== "number") throw new BadRequest("'sequence-numbers' must hold numbers.");
    return value;
  });
}

/** The locks that a request names; undefined where a token is not one of ours. */
export function lockIds(fields: Fields, context: ProtocolContext): (number | undefined)[] {
  return listOf(fields, "lock-tokens").map((token) => {
    if (!(token instanceof Uuid)) throw new BadRequest("'lock-tokens' must hold UUIDs.");
    return context.tokens.lockOf(token.bytes);
  });
}

export function lockLost(): Reply {
  return { code: 410, description: lockLostText, condition: "com.microsoft:message-lock-lost" };
}

export function messageNotFound(description: string): Reply {
  return { code: 404, description, condition: "com.microsoft:message-not-found" };
}

export function sessionLockLost(): Reply {
  return { code: 410, description: sessionLockLostText, condition: "com.microsoft:session-lock-lost" };
}
