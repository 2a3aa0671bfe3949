// The `$cbs` node, where clients put their tokens. Any token is good as long as no keys are configured.
import { type Request, writeReply } from "../codec/request.ts";
import { int, type Writable } from "../codec/writer.ts";
import { pathOf } from "../entities/namespace.ts";
import type { ProtocolContext } from "./context.ts";
import type { Faults } from "./faults.ts";

export function answerTokenRequest(request: Request, { faults }: ProtocolContext): Buffer {
  const { code, description } = judge(request, faults);
  const properties = new Map<string, Writable>([
    ["status-code", int(code)],
    ["status-description", description],
  ]);
  return writeReply(
    request.messageId,
    (writer) => writer.map(properties),
    (writer) => writer.value(null),
  );
}

function judge(request: Request, faults: Faults): { readonly code: number; readonly description: string } {
  if (request.properties.get("operation") !== "put-token") return { code: 400, description: "The operation is unknown; put-token is the only one." };
  const audience = request.properties.get("name");
  const path = typeof audience === "string" ? pathOf(audience) : "";
  if (faults.any && faults.strike("failTokens", path) !== undefined) return { code: 401, description: "InvalidSignature: The token has an invalid signature." };
  return { code: 202, description: "Accepted" };
}
