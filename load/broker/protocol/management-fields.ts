// Reading management requests, and the replies that several operations share.
import type { Encodable, Plain } from "#runtime/amqp/codec/types.ts";
import type { MapView } from "#runtime/amqp/codec/views.ts";
import type { Resolution } from "../entities/namespace.ts";
import type { MessageQueue } from "../entities/queue.ts";
import type { Topic } from "../entities/topic.ts";
import type { ProtocolContext } from "./context.ts";
import { lockLost, sessionLockLost } from "./refusals.ts";
import type { WireError } from "./wire.ts";

export type Entity = Exclude<Resolution, { kind: "notFound" }>;

export interface Reply {
  readonly code: number;
  readonly description: string;
  readonly condition?: string;
  readonly body?: { readonly [name: string]: Encodable };
}

export type Operation = (fields: MapView, entity: Entity, context: ProtocolContext) => Reply;

/** A request that cannot be served as it is. */
export class BadRequest extends Error {
  readonly code = "BadRequest";
  readonly condition: string;

  constructor(message: string, condition = "amqp:invalid-field") {
    super(message);
    this.condition = condition;
  }

  static of({ condition, description }: WireError): BadRequest {
    return new BadRequest(description, condition);
  }
}

export const done: Reply = { code: 200, description: "OK" };

/** Nothing was found: no failure, but clients look for what it was that was not there. */
export function noContent(condition: "com.microsoft:message-not-found" | "com.microsoft:session-not-found" | "amqp:not-found"): Reply {
  return { code: 204, description: "No Content", condition };
}

export function queueOf(entity: Entity): MessageQueue {
  if (entity.kind === "topic") throw new BadRequest("This operation is for queues and subscriptions, not for topics.");
  return entity.queue;
}

export function destinationOf(entity: Entity): MessageQueue | Topic {
  if (entity.kind === "topic") return entity.topic;
  if (!entity.sendable) throw new BadRequest("Messages are scheduled on queues and topics, not on subscriptions or sub-queues.");
  return entity.queue;
}

export function numberOf(fields: MapView, name: string): number {
  const value = fields.get(name);
  if (Number.isInteger(value)) return value as number;
  // Beyond safe integers there are no sequence numbers.
  if (typeof value === "bigint") return value < 0n ? 0 : Number.MAX_SAFE_INTEGER;
  throw new BadRequest(`'${name}' must be a whole number.`);
}

export function textOf(fields: MapView, name: string): string | undefined {
  return fields.string(name);
}

export function listOf(fields: MapView, name: string): readonly Plain[] {
  const value = fields.get(name);
  if (!Array.isArray(value)) throw new BadRequest(`'${name}' must be a list.`);
  return value;
}

export function sequenceNumbers(fields: MapView): number[] {
  return listOf(fields, "sequence-numbers").map((value) => {
    if (typeof value !== "number") throw new BadRequest("'sequence-numbers' must hold numbers.");
    return value;
  });
}

const uuidText = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The locks that a request names; undefined where a token is not one of ours. */
export function lockIds(fields: MapView, context: ProtocolContext): (number | undefined)[] {
  return listOf(fields, "lock-tokens").map((token) => {
    if (typeof token !== "string" || !uuidText.test(token)) throw new BadRequest("'lock-tokens' must hold UUIDs.");
    return context.tokens.lockOf(Buffer.from(token.replaceAll("-", ""), "hex"));
  });
}

export const replyLockLost: Reply = { code: 410, ...lockLost };
export const replySessionLockLost: Reply = { code: 410, ...sessionLockLost };
