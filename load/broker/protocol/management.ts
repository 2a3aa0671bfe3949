// An entity's `$management` node: what clients ask for outside of links.
import { plain } from "../codec/plain.ts";
import { MalformedError } from "../codec/reader.ts";
import { type Request, writeReply } from "../codec/request.ts";
import { int, symbol, type Writable } from "../codec/writer.ts";
import type { ProtocolContext } from "./context.ts";
import { serverBusy } from "./entity-sender.ts";
import { BadRequest, type Entity, type Operation, type Reply } from "./management-fields.ts";
import { messageOperations } from "./management-messages.ts";
import { ruleOperations } from "./management-rules.ts";
import { sessionOperations } from "./management-sessions.ts";

const operations: ReadonlyMap<string, Operation> = new Map([...messageOperations, ...sessionOperations, ...ruleOperations]);

export function answerManagement(entity: Entity, request: Request, context: ProtocolContext): Buffer {
  return encodeReply(request, answer(entity, request, context));
}

function answer(entity: Entity, request: Request, context: ProtocolContext): Reply {
  const name = request.properties.get("operation");
  const operation = typeof name === "string" ? operations.get(name) : undefined;
  if (operation === undefined) return { code: 501, description: `The operation '${plain(name ?? null)}' is not supported.`, condition: "amqp:not-implemented" };
  if (!(request.body instanceof Map)) return { code: 400, description: "The body of a management request must be a map.", condition: "amqp:invalid-field" };
  const { faults } = context;
  if (faults.any && faults.strike("throttle", entity.kind === "topic" ? entity.topic.path : entity.queue.path) !== undefined) return { code: 503, ...serverBusy };
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
