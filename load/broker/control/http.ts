// The control endpoint: health, inspection and faults, as JSON over HTTP.
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Faults } from "../protocol/faults.ts";
import { targetOf } from "../http-target.ts";
import type { TokenVerifier } from "../security/tokens.ts";
import { refuseControl } from "./guard.ts";
import { answerFaults, ControlRequestError } from "./faults.ts";
import { type BrokerInspection, type InspectedState, type MessagePage, pageDefault, pageMax, type PageRequest } from "../inspection.ts";

/** What the endpoint can ask. */
export interface Inspectable {
  inspect(): BrokerInspection;
  inspectMessages(path: string, request?: PageRequest): MessagePage | undefined;
  outcomes(path: string): ReadonlyMap<string, readonly string[]> | undefined;
  readonly faults: Faults;
  certificate(): Promise<string>;
}

const states: readonly string[] = ["active", "locked", "scheduled", "deferred"];

/** Bytes of a request's body at most. */
const bodyBytesMax = 64 * 1024;

/**
 * `GET /health`, `GET /inspect`, `GET /inspect/<entity>`, `GET /inspect/<entity>/messages?state=&doubt=&bodies=&from=&top=`,
 * `GET /inspect/<entity>/outcomes`, `GET /certificate` (PEM, for clients that are to trust it), and `/faults` (see faults.ts). An entity's path may contain slashes, as in
 * `topic/Subscriptions/name`.
 */
export function controlHandler(broker: Inspectable, verifier: TokenVerifier): RequestListener {
  return (request, response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= bodyBytesMax) chunks.push(chunk);
    });
    request.on("end", () => {
      if (bytes > bodyBytesMax) send(response, 413, { error: `expected a body of at most ${bodyBytesMax} bytes, found ${bytes}` });
      else serve(broker, verifier, request, Buffer.concat(chunks).toString("utf8"), response);
    });
  };
}

function serve(broker: Inspectable, verifier: TokenVerifier, request: IncomingMessage, body: string, response: ServerResponse): void {
  try {
    const path = pathOf(request);
    const refusal = refuseControl(verifier, request, path);
    if (refusal === undefined) route(broker, request, path, body, response);
    else send(response, refusal.status, { error: refusal.error });
  } catch (error) {
    const status = error instanceof ControlRequestError || error instanceof URIError ? 400 : 500;
    send(response, status, { error: error instanceof Error ? error.message : String(error) });
  }
}

function pathOf(request: IncomingMessage): string {
  return decodeURIComponent(targetOf(request.url ?? "/").path).replace(/\/+$/, "");
}

function route(broker: Inspectable, request: IncomingMessage, path: string, body: string, response: ServerResponse): void {
  if (path === "/faults" || path.startsWith("/faults/")) {
    const answer = answerFaults(broker.faults, request.method ?? "GET", path.slice("/faults".length), body);
    return send(response, answer.status, answer.body);
  }
  if (request.method !== "GET") return send(response, 405, { error: `expected GET, found ${request.method}` });
  if (path === "/certificate") return sendCertificate(broker, response);
  if (path === "/health") return send(response, 200, { status: "healthy" });
  if (path === "/inspect") return send(response, 200, broker.inspect());
  if (!path.startsWith("/inspect/"))
    return send(response, 404, {
      error: "expected /health, /certificate, /faults, /inspect, /inspect/<entity>, /inspect/<entity>/messages or /inspect/<entity>/outcomes",
    });
  const entity = path.slice("/inspect/".length);
  if (entity.endsWith("/messages")) return sendMessages(broker, entity.slice(0, -"/messages".length), targetOf(request.url ?? "/").query, response);
  if (entity.endsWith("/outcomes")) return sendOutcomes(broker, entity.slice(0, -"/outcomes".length), response);
  const { queues, topics } = broker.inspect();
  const found = Object.values({ ...queues, ...topics }).find((candidate) => candidate.path.toLowerCase() === entity.toLowerCase());
  if (found === undefined) return send(response, 404, { error: `expected an entity, found none at ${entity}${othersOf(broker)}` });
  send(response, 200, found);
}

function sendCertificate(broker: Inspectable, response: ServerResponse): void {
  void broker.certificate().then(
    (pem) => {
      response.writeHead(200, { "content-type": "application/x-pem-file" });
      response.end(pem);
    },
    (error: unknown) => send(response, 500, { error: String(error) }),
  );
}

function sendMessages(broker: Inspectable, entity: string, query: URLSearchParams, response: ServerResponse): void {
  const state = query.get("state");
  if (state !== null && !states.includes(state)) return send(response, 400, { error: `expected state to be one of ${states.join(", ")}, found ${state}` });
  const page: PageRequest = {
    ...(state === null ? {} : { state: state as InspectedState }),
    inDoubt: query.get("doubt") === "true",
    bodies: query.get("bodies") === "true",
    from: wholeOf(query, "from", 0, Number.MAX_SAFE_INTEGER) ?? 0,
    top: wholeOf(query, "top", 1, pageMax) ?? pageDefault,
  };
  const messages = broker.inspectMessages(entity, page);
  if (messages === undefined) return send(response, 404, { error: `expected a queue or subscription, found none at ${entity}${othersOf(broker)}` });
  send(response, 200, messages);
}

/** Entities that an error names at most. */
const namedMax = 20;

function othersOf(broker: Inspectable): string {
  const { queues, topics } = broker.inspect();
  const paths = [...Object.values(queues), ...Object.values(topics)].filter(({ kind }) => kind !== "deadLetterQueue").map(({ path }) => path);
  if (paths.length === 0) return "; there are no entities";
  return `; there are ${paths.slice(0, namedMax).join(", ")}${paths.length > namedMax ? ` and ${paths.length - namedMax} more` : ""}`;
}

function wholeOf(query: URLSearchParams, name: string, min: number, max: number): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new ControlRequestError(`expected ${name} to be a whole number from ${min} to ${max}, found ${text}`);
}

function sendOutcomes(broker: Inspectable, entity: string, response: ServerResponse): void {
  const outcomes = broker.outcomes(entity);
  if (outcomes === undefined) return send(response, 404, { error: `expected a queue or subscription whose outcomes are recorded, found none at ${entity}` });
  send(response, 200, Object.fromEntries(outcomes));
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
