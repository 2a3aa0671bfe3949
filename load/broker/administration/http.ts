// The administration API over HTTP: Atom XML, as the clients of the real service speak it. A request names an entity by its
// path.
import type { IncomingMessage, ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";
import { answerAdministration } from "./answer.ts";
import { targetOf } from "../http-target.ts";
import { type AdministrationContext, type Answer, type Call, complete, refuse } from "./call.ts";

/** Bytes of a request's body at most; a description with every setting has a few thousand. */
const bodyBytesMax = 512 * 1024;

export function serveAdministration(context: AdministrationContext, request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= bodyBytesMax) chunks.push(chunk);
  });
  request.on("end", () => {
    const { path, query } = targetOf(request.url ?? "/");
    const base = `${request.socket instanceof TLSSocket ? "https" : "http"}://${request.headers.host ?? "localhost"}`;
    const call = {
      method: request.method ?? "GET",
      path: decodePath(path),
      query,
      authorization: request.headers.authorization,
      ifMatch: request.headers["if-match"],
      body: Buffer.concat(chunks).toString("utf8"),
      base,
    };
    send(response, bytes > bodyBytesMax ? complete(context, call, refuse(413, `The body is larger than ${bodyBytesMax} bytes.`)) : answerSafely(context, call));
  });
}

function answerSafely(context: AdministrationContext, call: Call): Answer {
  try {
    return answerAdministration(context, call);
  } catch (error) {
    return complete(context, call, refuse(500, error instanceof Error ? error.message : String(error)));
  }
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path).replace(/^\/+|\/+$/g, "");
  } catch {
    return path;
  }
}

function send(response: ServerResponse, { status, tag, body }: Answer): void {
  response.writeHead(status, {
    ...(tag !== undefined && { etag: tag }),
    "content-type": "application/atom+xml;type=entry;charset=utf-8",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}
