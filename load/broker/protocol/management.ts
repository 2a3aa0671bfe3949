// An entity's `$management` node: what clients ask for outside of links.
import { encodeMessage, type MessageContent, parseMessage } from "../codec/message.ts";
import { plain } from "../codec/plain.ts";
import { type AmqpValue, MalformedError, Uuid } from "../codec/reader.ts";
import { type Request, writeReply } from "../codec/request.ts";
import { int, longArray, symbol, timestampArray, type Writable } from "../codec/writer.ts";
import type { Resolution } from "../entities/namespace.ts";
import type { PropertyChanges } from "../entities/message.ts";
import type { MessageQueue } from "../entities/queue.ts";
import type { Settlement } from "../entities/settlement.ts";
import type { Topic } from "../entities/topic.ts";
import type { ProtocolContext } from "./context.ts";
import { encodeFields } from "./encode-fields.ts";
import { lockLostText } from "./settlements.ts";

type Entity = Exclude<Resolution, { kind: "notFound" }>;
type Fields = ReadonlyMap<AmqpValue, AmqpValue>;

interface Reply {
  readonly code: number;
  readonly description: string;
  readonly condition?: string;
  readonly body?: ReadonlyMap<string, Writable>;
}

type Operation = (fields: Fields, entity: Entity, context: ProtocolContext) => Reply;

const operations: ReadonlyMap<string, Operation> = new Map([
  ["com.microsoft:renew-lock", renewLock],
  ["com.microsoft:peek-message", peekMessage],
  ["com.microsoft:schedule-message", scheduleMessage],
  ["com.microsoft:cancel-scheduled-message", cancelScheduledMessage],
  ["com.microsoft:receive-by-sequence-number", receiveBySequenceNumber],
  ["com.microsoft:update-disposition", updateDisposition],
]);

/** A request that cannot be served as it is. */
class BadRequest extends Error {
  readonly code = "BadRequest";
}

const done: Reply = { code: 200, description: "OK" };

export function answerManagement(entity: Entity, request: Request, context: ProtocolContext): Buffer {
  return encodeReply(request, answer(entity, request, context));
}

function answer(entity: Entity, request: Request, context: ProtocolContext): Reply {
  const name = request.properties.get("operation");
  const operation = typeof name === "string" ? operations.get(name) : undefined;
  if (operation === undefined) return { code: 501, description: `The operation '${plain(name ?? null)}' is not supported.`, condition: "amqp:not-implemented" };
  if (!(request.body instanceof Map)) return { code: 400, description: "The body of a management request must be a map.", condition: "amqp:invalid-field" };
  try {
    return operation(request.body, entity, context);
  } catch (error) {
    if (error instanceof BadRequest) return { code: 400, description: error.message, condition: "amqp:invalid-field" };
    if (error instanceof MalformedError || error instanceof RangeError) return { code: 400, description: error.message, condition: "amqp:decode-error" };
    throw error;
  }
}

function encodeReply(request: Request, reply: Reply): Buffer {
  const properties = new Map<string, Writable>([
    ["statusCode", int(reply.code)],
    ["statusDescription", reply.description],
  ]);
  if (reply.condition !== undefined) properties.set("errorCondition", symbol(reply.condition));
  const tracking = request.properties.get("com.microsoft:tracking-id");
  if (typeof tracking === "string") properties.set("com.microsoft:tracking-id", tracking);
  return writeReply(
    request.messageId,
    (writer) => writer.map(properties),
    (writer) => writer.value(reply.body ?? null),
  );
}

// --- operations ---

function renewLock(fields: Fields, entity: Entity, context: ProtocolContext): Reply {
  const queue = queueOf(entity);
  const expirations: number[] = [];
  for (const lockId of lockIds(fields, context)) {
    const untilMs = lockId === undefined ? undefined : queue.renew(lockId);
    if (untilMs === undefined) return lockLost();
    expirations.push(untilMs);
  }
  return { ...done, body: new Map([["expirations", timestampArray(expirations)]]) };
}

/** Messages of one peek reply at most, and the bytes after which no more are added. */
const peekCountMax = 1000;
const peekBytesMax = 1024 * 1024;

function peekMessage(fields: Fields, entity: Entity): Reply {
  const from = numberOf(fields, "from-sequence-number");
  const count = numberOf(fields, "message-count");
  const omitBody = fields.get("omit-message-body") === true;
  const messages: Map<string, Writable>[] = [];
  let bytes = 0;
  for (const message of queueOf(entity).peek(from, Math.min(count, peekCountMax))) {
    // A lock is its holder's business: who peeks sees none.
    const { content, sequenceNumber, enqueuedSequenceNumber, enqueuedAtMs, deliveryCount, state, deadLetterSource, properties } = message;
    const encoded = encodeMessage({ content, sequenceNumber, enqueuedSequenceNumber, enqueuedAtMs, deliveryCount, lockedUntilMs: 0, state, deadLetterSource, properties }, omitBody);
    messages.push(new Map([["message", encoded]]));
    bytes += encoded.length;
    if (bytes >= peekBytesMax) break;
  }
  if (messages.length === 0) return { code: 204, description: "No Content" };
  return { ...done, body: new Map([["messages", messages]]) };
}

function scheduleMessage(fields: Fields, entity: Entity, context: ProtocolContext): Reply {
  const destination = destinationOf(entity);
  const contents: { content: MessageContent; dueAtMs: number }[] = [];
  for (const item of listOf(fields, "messages")) {
    const bytes = item instanceof Map ? item.get("message") : undefined;
    if (!Buffer.isBuffer(bytes)) throw new BadRequest("Each of 'messages' must be a map with the encoded message under 'message'.");
    if (bytes.length > destination.settings.messageBytesMax) throw new BadRequest(`A message of ${bytes.length} bytes is larger than the maximum of ${destination.settings.messageBytesMax} bytes.`);
    const content = parseMessage(bytes, context.newMessageId);
    contents.push({ content, dueAtMs: content.scheduledAtMs ?? 0 });
  }
  const numbers = contents.map(({ content, dueAtMs }) => destination.schedule(content, dueAtMs));
  return { ...done, body: new Map([["sequence-numbers", longArray(numbers)]]) };
}

function cancelScheduledMessage(fields: Fields, entity: Entity): Reply {
  return destinationOf(entity).cancelScheduled(sequenceNumbers(fields)) ? done : messageNotFound("One of the sequence numbers is not of a scheduled message.");
}

function receiveBySequenceNumber(fields: Fields, entity: Entity, context: ProtocolContext): Reply {
  const mode = numberOf(fields, "receiver-settle-mode") === 0 ? "receiveAndDelete" : "peekLock";
  const found = queueOf(entity).receiveDeferred(sequenceNumbers(fields), mode, "management");
  if (found === undefined) return messageNotFound("One of the sequence numbers is not of a deferred message that could be locked.");
  const messages = found.map((message) => {
    const entry = new Map<string, Writable>([["message", encodeMessage(message)]]);
    if (mode === "peekLock") entry.set("lock-token", new Uuid(context.tokens.tokenOf(message.lockId)));
    return entry;
  });
  return { ...done, body: new Map([["messages", messages]]) };
}

function updateDisposition(fields: Fields, entity: Entity, context: ProtocolContext): Reply {
  const queue = queueOf(entity);
  const settlement = settlementOf(fields);
  for (const lockId of lockIds(fields, context)) {
    const result = lockId === undefined ? "lockLost" : queue.settleByLock(lockId, settlement);
    if (result === "lockLost") return lockLost();
    if (result === "notAllowed") return { code: 400, description: "A message in a dead-letter sub-queue cannot be dead-lettered again.", condition: "amqp:not-allowed" };
  }
  return done;
}

function settlementOf(fields: Fields): Settlement {
  const status = fields.get("disposition-status");
  const changed = fields.get("properties-to-modify");
  const properties: PropertyChanges | undefined = changed instanceof Map ? encodeFields(changed) : undefined;
  switch (status) {
    case "completed":
      return { kind: "complete" };
    case "abandoned":
      return { kind: "abandon", properties };
    case "defered":
      return { kind: "defer", properties };
    case "suspended":
      return { kind: "deadLetter", reason: textOf(fields, "deadletter-reason"), description: textOf(fields, "deadletter-description"), properties };
    default:
      throw new BadRequest(`'disposition-status' must be completed, abandoned, defered or suspended; it is '${plain(status ?? null)}'.`);
  }
}

// --- reading requests ---

function queueOf(entity: Entity): MessageQueue {
  if (entity.kind === "topic") throw new BadRequest("This operation is for queues and subscriptions, not for topics.");
  return entity.queue;
}

function destinationOf(entity: Entity): MessageQueue | Topic {
  if (entity.kind === "topic") return entity.topic;
  if (!entity.sendable) throw new BadRequest("Messages are scheduled on queues and topics, not on subscriptions or sub-queues.");
  return entity.queue;
}

function numberOf(fields: Fields, name: string): number {
  const value = fields.get(name);
  if (typeof value === "number") return value;
  // Beyond safe integers there are no sequence numbers.
  if (typeof value === "bigint") return value < 0n ? 0 : Number.MAX_SAFE_INTEGER;
  throw new BadRequest(`'${name}' must be a number.`);
}

function textOf(fields: Fields, name: string): string | undefined {
  const value = fields.get(name);
  return typeof value === "string" ? value : undefined;
}

function listOf(fields: Fields, name: string): readonly AmqpValue[] {
  const value = fields.get(name);
  if (!Array.isArray(value)) throw new BadRequest(`'${name}' must be a list.`);
  return value;
}

function sequenceNumbers(fields: Fields): number[] {
  return listOf(fields, "sequence-numbers").map((value) => {
    if (typeof value !== "number") throw new BadRequest("'sequence-numbers' must hold numbers.");
    return value;
  });
}

/** The locks that a request names; undefined where a token is not one of ours. */
function lockIds(fields: Fields, context: ProtocolContext): (number | undefined)[] {
  return listOf(fields, "lock-tokens").map((token) => {
    if (!(token instanceof Uuid)) throw new BadRequest("'lock-tokens' must hold UUIDs.");
    return context.tokens.lockOf(token.bytes);
  });
}

function lockLost(): Reply {
  return { code: 410, description: lockLostText, condition: "com.microsoft:message-lock-lost" };
}

function messageNotFound(description: string): Reply {
  return { code: 404, description, condition: "com.microsoft:message-not-found" };
}
