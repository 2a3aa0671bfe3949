// The `$cbs` node, where clients put their tokens. Any token is good as long as no keys are configured.
import { type Request, writeReply } from "../codec/request.ts";
import { int, type Writable } from "../codec/writer.ts";

export function answerTokenRequest(request: Request): Buffer {
  const known = request.properties.get("operation") === "put-token";
  const code = known ? 202 : 400;
  const description = known ? "Accepted" : "The operation is unknown; put-token is the only one.";
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
