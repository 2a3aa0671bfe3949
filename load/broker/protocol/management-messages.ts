// What clients ask about messages outside of links: renewing, peeking, scheduling, deferred messages, late settlements.
import { array, int, long, timestamp, uuid } from "#runtime/amqp/codec/types.ts";
import type { MapView } from "#runtime/amqp/codec/views.ts";
import { encodedEntries } from "../codec/encoded.ts";
import { encodeDelivery, encodePeeked, parseMessage } from "../codec/message.ts";
import type { MessageContent } from "../entities/message.ts";
import { readable } from "../codec/readable.ts";
import type { Settlement } from "../entities/settlement.ts";
import type { ProtocolContext } from "./context.ts";
import { deadLetterSettlement } from "./settlements.ts";
import type { EncodedFields } from "./wire.ts";
import { bytesOf, full, requiresSession } from "./entity-sender.ts";
import { deferredNotFound, messageTooLarge, scheduledNotFound, sessionIdMissing } from "./refusals.ts";
import {
  BadRequest,
  destinationOf,
  done,
  type Entity,
  listOf,
  lockIds,
  noContent,
  numberOf,
  type Operation,
  queueOf,
  type Reply,
  replyLockLost,
  replySessionLockLost,
  sequenceNumbers,
  textOf,
} from "./management-fields.ts";

export const messageOperations: readonly (readonly [string, Operation])[] = [
  ["com.microsoft:renew-lock", renewLock],
  ["com.microsoft:peek-message", peekMessage],
  ["com.microsoft:schedule-message", scheduleMessage],
  ["com.microsoft:cancel-scheduled-message", cancelScheduledMessage],
  ["com.microsoft:receive-by-sequence-number", receiveBySequenceNumber],
  ["com.microsoft:update-disposition", updateDisposition],
  ["com.microsoft:batch-delete-messages", batchDeleteMessages],
];

function renewLock(fields: MapView, entity: Entity, context: ProtocolContext): Reply {
  const queue = queueOf(entity);
  const expirations: number[] = [];
  for (const lockId of lockIds(fields, context)) {
    const untilMs = lockId === undefined ? undefined : queue.renew(lockId);
    if (untilMs === undefined) return replyLockLost;
    expirations.push(untilMs);
  }
  return { ...done, body: { expirations: array("timestamp", expirations.map(timestamp)) } };
}

/** Messages of one peek reply at most, and the bytes after which no more are added. */
const peekCountMax = 1000;
const peekBytesMax = 1024 * 1024;

function peekMessage(fields: MapView, entity: Entity): Reply {
  const from = numberOf(fields, "from-sequence-number");
  const count = numberOf(fields, "message-count");
  const omitBody = fields.get("omit-message-body") === true;
  const messages: { readonly message: Buffer }[] = [];
  let bytes = 0;
  for (const message of queueOf(entity).peek(from, Math.min(count, peekCountMax), textOf(fields, "session-id"))) {
    // A lock is its holder's business: who peeks sees none.
    const { content, sequenceNumber, enqueuedSequenceNumber, enqueuedAtMs, expiresAtMs, deliveryCount, state, deadLetterSource, properties } = message;
    const encoded = encodePeeked(
      { content, sequenceNumber, enqueuedSequenceNumber, enqueuedAtMs, expiresAtMs, deliveryCount, lockedUntilMs: 0, state, deadLetterSource, properties },
      omitBody,
    );
    messages.push({ message: encoded });
    bytes += encoded.length;
    if (bytes >= peekBytesMax) break;
  }
  if (messages.length === 0) return noContent("com.microsoft:message-not-found");
  return { ...done, body: { messages } };
}

function scheduleMessage(fields: MapView, entity: Entity, context: ProtocolContext): Reply {
  const destination = destinationOf(entity);
  const contents: { content: MessageContent; dueAtMs: number }[] = [];
  for (const item of listOf(fields, "messages")) {
    const bytes = item instanceof Map ? item.get("message") : undefined;
    if (!Buffer.isBuffer(bytes)) throw new BadRequest("Each of 'messages' must be a map with the encoded message under 'message'.");
    if (bytes.length > destination.settings.messageBytesMax) return { code: 413, ...messageTooLarge(bytes.length, destination.settings.messageBytesMax) };
    const content = parseMessage(bytes, context.newMessageId);
    if (requiresSession(destination) && content.sessionId === undefined) throw BadRequest.of(sessionIdMissing);
    contents.push({ content, dueAtMs: content.scheduledAtMs ?? 0 });
  }
  if (!destination.hasRoomFor(bytesOf(contents.map(({ content }) => content)))) return { code: 403, ...full(destination) };
  const numbers = contents.map(({ content, dueAtMs }) => destination.schedule(content, dueAtMs));
  return { ...done, body: { "sequence-numbers": array("long", numbers.map(long)) } };
}

function cancelScheduledMessage(fields: MapView, entity: Entity): Reply {
  const missing = destinationOf(entity).cancelScheduled(sequenceNumbers(fields));
  return missing.length === 0 ? done : { code: 404, ...scheduledNotFound(missing) };
}

function receiveBySequenceNumber(fields: MapView, entity: Entity, context: ProtocolContext): Reply {
  const mode = numberOf(fields, "receiver-settle-mode") === 0 ? "receiveAndDelete" : "peekLock";
  const queue = queueOf(entity);
  const sessionId = textOf(fields, "session-id");
  if (queue.sessions !== undefined && queue.sessions.lockedUntil(sessionId) === undefined) return replySessionLockLost;
  const found = queue.receiveDeferred(sequenceNumbers(fields), mode, "management", sessionId);
  if (found === undefined) return { code: 404, ...deferredNotFound };
  const messages = found.map((message) => {
    if (mode === "receiveAndDelete") return { message: encodeDelivery(message) };
    // Some clients look for the token beside the message, others in it.
    const token = context.tokens.tokenOf(message.lockId);
    return { message: encodeDelivery(message, token), "lock-token": uuid(token) };
  });
  return { ...done, body: { messages } };
}

function updateDisposition(fields: MapView, entity: Entity, context: ProtocolContext): Reply {
  const queue = queueOf(entity);
  const settlement = settlementOf(fields);
  if (queue.sessions !== undefined && queue.sessions.lockedUntil(textOf(fields, "session-id")) === undefined) return replySessionLockLost;
  for (const lockId of lockIds(fields, context)) {
    const result = lockId === undefined ? "lockLost" : queue.settleByLock(lockId, settlement);
    if (result === "lockLost") return replyLockLost;
    if (result === "notAllowed")
      return { code: 400, description: "A message in a dead-letter sub-queue cannot be dead-lettered again.", condition: "amqp:not-allowed" };
  }
  return done;
}

/** Messages that one request deletes at most, as the real service has it. */
const deleteCountMax = 4000;

function batchDeleteMessages(fields: MapView, entity: Entity): Reply {
  const before = fields.get("enqueued-time-utc");
  if (!(before instanceof Date)) throw new BadRequest("'enqueued-time-utc' must be a timestamp.");
  const count = queueOf(entity).deleteBatch(Math.min(numberOf(fields, "message-count"), deleteCountMax), before.getTime(), textOf(fields, "session-id"));
  return count === 0 ? noContent("com.microsoft:message-not-found") : { ...done, body: { "message-count": int(count) } };
}

/** The reason and the description, which have fields of their own here, among the properties to change. */
function withLetters(properties: EncodedFields | undefined, fields: MapView): EncodedFields {
  const all = new Map(properties);
  for (const [field, name] of [
    ["deadletter-reason", "DeadLetterReason"],
    ["deadletter-description", "DeadLetterErrorDescription"],
  ] as const) {
    const value = fields.view(field);
    if (value !== undefined) all.set(name, Buffer.from(value.bytes.subarray(value.start, value.end)));
  }
  return all;
}

function settlementOf(fields: MapView): Settlement {
  const status = fields.get("disposition-status");
  const changed = fields.view("properties-to-modify")?.asMap();
  const properties = changed === undefined ? undefined : encodedEntries(changed);
  switch (status) {
    case "completed":
      return { kind: "complete" };
    case "abandoned":
      return { kind: "abandon", properties };
    case "defered":
      return { kind: "defer", properties };
    case "suspended":
      return deadLetterSettlement(withLetters(properties, fields));
    default:
      throw new BadRequest(`'disposition-status' must be completed, abandoned, defered or suspended; it is '${readable(status ?? null)}'.`);
  }
}
