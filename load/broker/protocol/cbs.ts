// The `$cbs` node, where clients put their tokens.
import { int } from "#runtime/amqp/codec/types.ts";
import { encodeReply, type Request } from "../codec/request.ts";
import { pathOf } from "../entities/namespace.ts";
import type { TokenAnswer } from "./access.ts";
import type { ProtocolContext } from "./context.ts";
import type { WireConnection } from "./wire.ts";

export function answerTokenRequest(connection: WireConnection, request: Request, context: ProtocolContext): Buffer {
  const { code, description } = judge(connection, request, context);
  const audience = request.properties?.string("name") ?? "$cbs";
  const told = code < 300 ? description : context.tracking.complete(description, { host: connection.host, path: pathOf(audience) });
  return encodeReply(request, { "status-code": int(code), "status-description": told }, null);
}

function judge(connection: WireConnection, { properties, body }: Request, { faults, access }: ProtocolContext): TokenAnswer {
  if (properties?.get("operation") !== "put-token") return { code: 400, description: "The operation is unknown; put-token is the only one." };
  const audience = properties.get("name");
  if (typeof audience !== "string") return { code: 400, description: "The application property 'name' must say what the token is for." };
  if (faults.any && faults.strike("failTokens", pathOf(audience)) !== undefined)
    return { code: 401, description: "InvalidSignature: The token has an invalid signature." };
  return access.putToken(connection, body?.plain(), properties.get("type"), audience);
}
