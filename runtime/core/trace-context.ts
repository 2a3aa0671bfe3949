/** Which trace something belongs to, and how that is said to others: W3C Trace Context, version 00. */
import { hash } from "node:crypto";
import type { Delivery, HeaderValue } from "./delivery.ts";
import { cloudEventsPrefixes } from "./wire-forms.ts";

/** A span, for whoever has it as parent or links to it. Both ids are hexadecimal, of 32 and 16 digits. */
export interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
}

/** What a message or a request says of the span that made it. */
export interface TraceParent extends SpanContext {
  /** It is kept, so what it leads to should be, too. */
  readonly isSampled: boolean;
}

export const traceparentHeader = "traceparent";
/** Azure's own clients wrote this one first, and some still do. */
const traceparentHeaders: readonly string[] = [traceparentHeader, "Diagnostic-Id"];

export const traceIdDigits = 32;
/** Where the parts of a traceparent begin, and where it ends: `version-traceId-spanId-flags`. */
const at = { traceId: 3, spanId: 36, flags: 53, end: 55 } as const;
/** Longer ones come from versions that are not there yet; of these the beginning is read. */
const traceparentCharactersMax = 128;
const sampledFlag = 1;
const dash = "-".charCodeAt(0);
const firstPrintable = " ".charCodeAt(0);
const lastPrintable = "~".charCodeAt(0);

/** Undefined where it is none. */
export function readTraceparent(value: unknown): TraceParent | undefined {
  if (!isTraceparent(value)) return undefined;
  return { traceId: value.slice(at.traceId, at.spanId - 1), spanId: value.slice(at.spanId, at.flags - 1), isSampled: isSampled(value) };
}

/** Every message may have one: it is looked at character by character, which makes nothing. */
export function isTraceparent(value: unknown): value is string {
  if (typeof value !== "string" || value.length < at.end || value.length > traceparentCharactersMax) return false;
  if (value.length > at.end && !isLaterPart(value)) return false;
  for (const place of [at.traceId, at.spanId, at.flags]) if (value.charCodeAt(place - 1) !== dash) return false;
  return (
    areHexDigits(value, 0, at.traceId - 1) &&
    !value.startsWith("ff") &&
    areHexDigits(value, at.flags, at.end) &&
    isId(value, at.traceId, at.spanId - 1) &&
    isId(value, at.spanId, at.flags - 1)
  );
}

/** What later versions have behind the flags: a dash, and text that may stand in a header. Nobody checks it again before it is passed on. */
function isLaterPart(value: string): boolean {
  if (value.charCodeAt(at.end) !== dash) return false;
  for (let place = at.end + 1; place < value.length; place += 1) {
    const unit = value.charCodeAt(place);
    if (unit < firstPrintable || unit > lastPrintable) return false;
  }
  return true;
}

/** Whether what this traceparent names is kept. */
export function isSampled(traceparent: string): boolean {
  return (hexDigitAt(traceparent, at.end - 1) & sampledFlag) === sampledFlag;
}

/** Whether this traceparent is of that trace. */
export function isOfTrace(traceparent: string, traceId: string): boolean {
  return traceId.length === traceIdDigits && traceparent.startsWith(traceId, at.traceId);
}

/** By its character; -1 for what is no digit of an id. */
const digits: Int8Array = Int8Array.from({ length: 128 }, (_, unit) => "0123456789abcdef".indexOf(String.fromCharCode(unit)));

/** What a digit of an id counts; -1 for what is none. Looked up: digits and letters take turns as they like, which no processor foresees. */
export function hexDigitAt(text: string, place: number): number {
  const unit = text.charCodeAt(place);
  return unit < digits.length ? digits[unit]! : -1;
}

function areHexDigits(text: string, from: number, to: number): boolean {
  for (let place = from; place < to; place += 1) if (hexDigitAt(text, place) < 0) return false;
  return true;
}

/** An id of zeros alone is none. */
function isId(text: string, from: number, to: number): boolean {
  let all = 0;
  for (let place = from; place < to; place += 1) {
    const digit = hexDigitAt(text, place);
    if (digit < 0) return false;
    all |= digit;
  }
  return all !== 0;
}

export function writeTraceparent({ traceId, spanId }: SpanContext, isSampled: boolean): string {
  return `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
}

/** The trace of an event: its own trace id where it is one, else one that is derived from it. */
export function traceIdOf(traceId: string): string {
  return isTraceId(traceId) ? traceId : hash("sha256", traceId, "hex").slice(0, 32);
}

/** Whether it is one of W3C's. */
export function isTraceId(text: string): boolean {
  return text.length === traceIdDigits && isId(text, 0, traceIdDigits);
}

/** Where the work on an event belongs. */
export interface JoinedTrace {
  readonly traceId: string;
  /** The span that made its message, of this trace or of another one. */
  readonly creation: TraceParent | undefined;
}

/**
 * The event says which trace it belongs to, wherever it comes from and whoever emits it; a message that was made in another trace is only
 * linked. An event whose id is no W3C trace id goes by its message.
 */
export function joinTrace(traceId: string, creation: TraceParent | undefined): JoinedTrace {
  return { traceId: creation === undefined || isTraceId(traceId) ? traceIdOf(traceId) : creation.traceId, creation };
}

/** What the application properties of a message say of the span that made it, as it is passed on; undefined where they say nothing. */
export function traceparentOf(delivery: Pick<Delivery, "header">, read: Readonly<Record<string, HeaderValue>> | undefined): string | undefined {
  for (const name of traceparentHeaders) {
    const value = delivery.header(name);
    if (isTraceparent(value)) return value;
  }
  if (read === undefined) return undefined;
  for (const prefix of cloudEventsPrefixes) {
    const value = read[`${prefix}${traceparentHeader}`];
    if (isTraceparent(value)) return value;
  }
  return undefined;
}
