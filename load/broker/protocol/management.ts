// An entity's `$management` node: what clients ask for outside of links.
import { ProtocolError } from "#runtime/amqp/codec/errors.ts";
import { int, symbol } from "#runtime/amqp/codec/types.ts";
import { readable } from "../codec/readable.ts";
import { encodeReply, type Request } from "../codec/request.ts";
import type { EntityStatus } from "../entities/settings.ts";
import type { Right } from "../security/keys.ts";
import type { ProtocolContext } from "./context.ts";
import type { Faults } from "./faults.ts";
import { BadRequest, type Entity, type Operation, type Reply } from "./management-fields.ts";
import { messageOperations } from "./management-messages.ts";
import { ruleOperations } from "./management-rules.ts";
import { sessionOperations } from "./management-sessions.ts";
import type { Postponement } from "./node.ts";
import { entityDisabled, serverBusy } from "./refusals.ts";
import type { WireConnection } from "./wire.ts";

const operations: ReadonlyMap<string, Operation> = new Map([...messageOperations, ...sessionOperations, ...ruleOperations]);

export function answerManagement(entity: Entity, request: Request, context: ProtocolContext, connection: WireConnection): Buffer {
  const reply = answer(entity, request, context, connection);
  const { path } = entity.kind === "topic" ? entity.topic : entity.queue;
  return encodeAnswer(
    request,
    reply.code < 300 ? reply : { ...reply, description: context.tracking.complete(reply.description, { host: connection.host, path }, reply.condition) },
  );
}

function answer(entity: Entity, request: Request, context: ProtocolContext, connection: WireConnection): Reply {
  const name = request.properties?.get("operation");
  const operation = typeof name === "string" ? operations.get(name) : undefined;
  if (operation === undefined || typeof name !== "string")
    return { code: 501, description: `The operation '${readable(name ?? null)}' is not supported.`, condition: "amqp:not-implemented" };
  const fields = request.body?.asMap();
  if (fields === undefined) return { code: 400, description: "The body of a management request must be a map.", condition: "amqp:invalid-field" };
  const { faults, access } = context;
  const { path } = entity.kind === "topic" ? entity.topic : entity.queue;
  const unauthorized = access.refuseManaging(connection, path, rightsFor(name));
  if (unauthorized !== undefined) return { code: 401, ...unauthorized };
  if (faults.any && faults.strike("throttle", path) !== undefined) return { code: 503, ...serverBusy };
  const refusal = refuseDisabled(name, entity);
  if (refusal !== undefined) return refusal;
  try {
    return operation(fields, entity, context);
  } catch (error) {
    if (error instanceof BadRequest) return { code: 400, description: error.message, condition: error.condition };
    if (error instanceof ProtocolError) return { code: 400, description: error.message, condition: "amqp:decode-error" };
    throw error;
  }
}

/** What a fault does to the reply when a message is settled here and not on its link. */
export function postponeSettlement(path: string, request: Request, faults: Faults): Postponement {
  if (!faults.any || request.properties?.get("operation") !== "com.microsoft:update-disposition") return undefined;
  if (faults.strike("loseSettlements", path) !== undefined) return "never";
  const delayMs = faults.strike("delaySettlements", path);
  return delayMs === undefined ? undefined : (send) => void faults.clock.after(delayMs, send);
}

/** Operations that need another right than to listen. */
const rights: ReadonlyMap<string, readonly Right[]> = new Map<string, readonly Right[]>([
  ["com.microsoft:schedule-message", ["Send"]],
  ["com.microsoft:cancel-scheduled-message", ["Send"]],
  ["com.microsoft:add-rule", ["Manage"]],
  ["com.microsoft:remove-rule", ["Manage"]],
]);
const listen: readonly Right[] = ["Listen"];

function rightsFor(operation: string): readonly Right[] {
  return rights.get(operation) ?? listen;
}

/** What a closed direction closes; everything else is closed by `Disabled` alone. */
const directions: ReadonlyMap<string, EntityStatus> = new Map<string, EntityStatus>([
  ["com.microsoft:schedule-message", "SendDisabled"],
  ["com.microsoft:cancel-scheduled-message", "SendDisabled"],
  ["com.microsoft:receive-by-sequence-number", "ReceiveDisabled"],
  ["com.microsoft:batch-delete-messages", "ReceiveDisabled"],
]);

function refuseDisabled(operation: string, entity: Entity): Reply | undefined {
  const { path, settings } = entity.kind === "topic" ? entity.topic : entity.queue;
  if (settings.status !== "Disabled" && settings.status !== directions.get(operation)) return undefined;
  return { code: 400, ...entityDisabled(path) };
}

function encodeAnswer(request: Request, { code, description, condition, body }: Reply): Buffer {
  const tracking = request.properties?.string("com.microsoft:tracking-id");
  const properties = {
    statusCode: int(code),
    statusDescription: description,
    ...(condition !== undefined && { errorCondition: symbol(condition) }),
    ...(tracking !== undefined && { "com.microsoft:tracking-id": tracking }),
  };
  return encodeReply(request, properties, body);
}
