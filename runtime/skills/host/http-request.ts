// Calls over HTTP through undici: one pool of kept-alive connections a dependency and thread.
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TextDecoder } from "node:util";
import { type buildConnector, type Dispatcher, Pool } from "undici";
import type { CallInfo, CallTimeouts, HttpRequest, HttpResponse, RequestFunction } from "../author/define-dependency.ts";
import { PermanentError, TransientError } from "../author/errors.ts";
import { checkRequest, encodeBody } from "./http-message.ts";
import { refusal } from "./http-refusal.ts";
import { retryAfterOf } from "./retry-after.ts";
import { asUnreachable } from "./unreachable.ts";

export interface HttpSettings {
  readonly name: string;
  readonly baseUrl: string;
  readonly timeouts: CallTimeouts;
  readonly responseBytesMax: number;
  /** Connections of one thread. */
  readonly connectionsMax: number;
  /** Makes them; default: over the network. */
  readonly connect?: () => Duplex;
}

/** Of a refusal's body this much is quoted. */
const quotedMax = 200;
const refusalBytesMax = 16 * 1024;
const keepAliveMs = 30_000;

function headersOf(request: HttpRequest, info: CallInfo, contentType: string | undefined): Record<string, string> {
  const headers = Object.create(null) as Record<string, string>;
  headers["accept"] = "application/json";
  if (contentType !== undefined) headers["content-type"] = contentType;
  for (const [name, value] of Object.entries(request.headers ?? {})) headers[name.toLowerCase()] = value;
  headers["idempotency-key"] = info.idempotencyKey;
  headers["holdfast-run"] = info.eventId;
  if (info.step !== undefined) headers["holdfast-step"] = info.step;
  headers["holdfast-epoch"] = String(info.epoch);
  headers["traceparent"] = info.traceparent;
  return headers;
}

/** Reads at most `max` bytes; undefined when there are more. */
async function readBytes(body: AsyncIterable<Uint8Array>, max: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > max) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

/** A body that comes in small pieces never falls silent: the whole has its own end. Where the call ends first, that does. */
async function readInTime(
  name: string,
  body: Dispatcher.ResponseData["body"],
  max: number,
  { bodyMs, totalMs }: CallTimeouts,
): Promise<Uint8Array | undefined> {
  if (bodyMs >= totalMs) return await readBytes(body, max);
  const message = `${name}: expected the whole response within bodyMs (${bodyMs} ms) of its headers, got a part of it`;
  const timer = setTimeout(() => body.destroy(new TransientError(message, { code: "CALL_TIMEOUT", dependency: name, definite: false })), bodyMs);
  try {
    return await readBytes(body, max);
  } finally {
    clearTimeout(timer);
  }
}

async function refusalOf(name: string, { statusCode: status, headers, body }: Dispatcher.ResponseData): Promise<PermanentError | TransientError> {
  const bytes = await readBytes(body, refusalBytesMax).catch(() => undefined);
  const said = bytes === undefined ? "" : new TextDecoder().decode(bytes.subarray(0, quotedMax));
  return refusal({ name, status, said, retryAfterMs: retryAfterOf(headers, Date.now()) });
}

function parseBody(name: string, status: number, contentType: unknown, bytes: Uint8Array): unknown {
  if (bytes.byteLength === 0) return undefined;
  const text = new TextDecoder().decode(bytes);
  if (typeof contentType !== "string" || !/^[^;]*\bjson\b/i.test(contentType)) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new TransientError(`${name}: expected JSON as its content type says, got something else`, {
      code: "HTTP_MALFORMED",
      dependency: name,
      status,
      definite: false,
      cause,
    });
  }
}

/**
 * Asks whether a request may still go out at the moment when it would be written to its connection. Until then it may have
 * waited for a connection or behind another request, and the process may have been stopped: the socket's events can then come
 * before any timer or message that would have called the request off.
 */
function checkedAtWriting(checkMayAct: () => void): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) =>
    dispatch(options, {
      onRequestStart(controller, context) {
        checkMayAct();
        handler.onRequestStart?.(controller, context);
      },
      onResponseStart: (controller, status, headers, message) => handler.onResponseStart?.(controller, status, headers, message),
      onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
      onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
      onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
    });
}

/** The client knows a connection in the turn after it asked for one; of a socket it uses what every stream has. */
function connectorOf(connect: () => Duplex): buildConnector.connector {
  return (_options, callback) => queueMicrotask(() => callback(null, connect() as Socket));
}

/** The request function of an HTTP dependency. Its pool ends with the thread. */
export function makeHttpRequest(settings: HttpSettings): RequestFunction<HttpRequest, HttpResponse> {
  const { name, timeouts, responseBytesMax, connect } = settings;
  const { origin, pathname } = new URL(settings.baseUrl);
  const prefix = pathname === "/" ? "" : pathname;
  const pool = new Pool(origin, {
    connections: settings.connectionsMax,
    connect: connect === undefined ? { timeout: timeouts.connectMs } : connectorOf(connect),
    headersTimeout: timeouts.headersMs,
    bodyTimeout: timeouts.idleMs,
    keepAliveTimeout: keepAliveMs,
  });
  return async (request, info) => {
    checkRequest(name, request);
    const { body, contentType } = encodeBody(name, request.body);
    const headers = headersOf(request, info, contentType);
    const response = await pool
      .compose(checkedAtWriting(info.checkMayAct))
      .request({ path: prefix + request.path, method: request.method, headers, body, signal: info.signal })
      .catch((error: unknown) => {
        throw asUnreachable(name, origin, error);
      });
    const { statusCode: status } = response;
    if (status < 200 || status > 299) throw await refusalOf(name, response);
    const bytes = await readInTime(name, response.body, responseBytesMax, timeouts);
    if (bytes === undefined) {
      const message = `${name}: expected a response of at most ${responseBytesMax} bytes, got more`;
      throw new PermanentError(message, { code: "RESPONSE_TOO_LARGE", dependency: name, status, definite: false });
    }
    return { status, headers: response.headers, body: parseBody(name, status, response.headers["content-type"], bytes) };
  };
}
