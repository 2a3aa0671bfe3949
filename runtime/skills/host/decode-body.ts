/**
 * Turns a body's bytes into a value, in the thread. What a sender can do to a decoder is stopped before the decoder runs:
 * decompression has a cap on its output, depth is measured on the bytes, and msgpack is walked before it is unpacked.
 */
import { isUtf8 } from "node:buffer";
import { decompressNow, isContentEncoding, outputBytesMax } from "../../core/decompress.ts";
import type { BodyCodec, Invalid, InvalidReason } from "../../core/event-envelope.ts";
import { isJsonWithinDepth, jsonStart } from "../../core/json-scan.ts";
import { findMsgpackFault, unpackMsgpack } from "../../core/msgpack-scan.ts";
import type { DecodeLimits } from "../../core/read-route.ts";
import { recogniseBody } from "../../core/recognise-body.ts";

export type Decoded<Value> = { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly invalid: Invalid };

export function refuse(reason: InvalidReason, description: string): { readonly ok: false; readonly invalid: Invalid } {
  return { ok: false, invalid: { reason, description } };
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
}

/** Refuses bytes that are not what they should be, and says what they are as far as it can be seen. */
export function unlike(expected: string, bytes: Uint8Array, otherwise = "something else"): { readonly ok: false; readonly invalid: Invalid } {
  const found = recogniseBody(bytes);
  return refuse("InvalidEnvelope", `body: expected ${expected}, ${found === undefined ? `got ${otherwise}` : `found ${found}`}`);
}

/** Decompresses a body; more than the cap, or than the ratio allows, is refused without being produced. */
export function decompress(bytes: Uint8Array, contentEncoding: string, limits: DecodeLimits): Decoded<Uint8Array> {
  if (!isContentEncoding(contentEncoding)) return refuse("InvalidEnvelope", "content-encoding: expected gzip, deflate or br, got something else");
  const outputMax = outputBytesMax(bytes, limits);
  try {
    return { ok: true, value: decompressNow(bytes, contentEncoding, outputMax) };
  } catch (error) {
    if (isTooLarge(error)) {
      return refuse("BodyTooLarge", `body: expected at most ${outputMax} bytes when decompressed from ${bytes.byteLength}, got more`);
    }
    return unlike(`${contentEncoding} data`, bytes);
  }
}

const suspicious = /__proto__|constructor|\\u00/;

/** Whether a parsed value holds a key that pollutes prototypes when somebody merges it carelessly. */
function hasForbiddenKey(root: object): boolean {
  const pending: object[] = [root];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (Object.hasOwn(next, "__proto__")) return true;
    const made: unknown = Object.hasOwn(next, "constructor") ? next.constructor : undefined;
    if (typeof made === "object" && made !== null && Object.hasOwn(made, "prototype")) return true;
    for (const value of Object.values(next) as unknown[]) {
      if (typeof value === "object" && value !== null) pending.push(value);
    }
  }
  return false;
}

const forbiddenKey = "body: expected no key '__proto__' and no 'constructor' with a 'prototype', got one";

function decodeJson(bytes: Uint8Array, limits: DecodeLimits): Decoded<unknown> {
  if (!isJsonWithinDepth(bytes, limits.depthMax)) return refuse("DecodeLimit", `body: expected a depth of at most ${limits.depthMax}, got more`);
  if (!isUtf8(bytes)) return unlike("UTF-8", bytes, "other bytes");
  const view = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = view.toString("utf8", jsonStart(bytes));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return unlike("JSON", bytes);
  }
  if (suspicious.test(text) && typeof value === "object" && value !== null && hasForbiddenKey(value)) return refuse("InvalidEnvelope", forbiddenKey);
  return { ok: true, value };
}

function decodeMsgpack(bytes: Uint8Array, limits: DecodeLimits): Decoded<unknown> {
  const fault = findMsgpackFault(bytes, limits.depthMax);
  switch (fault) {
    case "too-deep":
      return refuse("DecodeLimit", `body: expected a depth of at most ${limits.depthMax}, got more`);
    case "too-many-elements":
      return refuse("DecodeLimit", "body: expected a byte for each element that its headers claim, got fewer");
    case "forbidden-key":
      return refuse("InvalidEnvelope", forbiddenKey);
    case "extension":
      return refuse("InvalidEnvelope", "body: expected no msgpack extension but the timestamp, got another");
    case "malformed":
      return unlike("one whole msgpack value", bytes);
    case undefined:
  }
  try {
    const value: unknown = unpackMsgpack(bytes);
    if (typeof value === "object" && value !== null && hasForbiddenKey(value)) return refuse("InvalidEnvelope", forbiddenKey);
    return { ok: true, value };
  } catch {
    return unlike("msgpack", bytes);
  }
}

/**
 * JSON's numbers are doubles, as `JSON.parse` makes them: a producer sends integers beyond 2^53 as text. msgpack says what is an
 * integer, and those beyond 2^53 arrive as bigint. `bytes` arrive as a Uint8Array of their own.
 */
export function decodeBody(bytes: Uint8Array, codec: BodyCodec, limits: DecodeLimits): Decoded<unknown> {
  switch (codec) {
    case "json":
      return decodeJson(bytes, limits);
    case "msgpack":
      return decodeMsgpack(bytes, limits);
    case "bytes":
      return { ok: true, value: Uint8Array.from(bytes) };
  }
}
