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

const noTrace = "0".repeat(32);
const noSpan = "0".repeat(16);
const traceIdPattern = /^[0-9a-f]{32}$/;
const traceparentPattern = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/;
/** Longer ones come from versions that are not there yet; of these the beginning is read. */
const traceparentCharactersMax = 128;
const sampledFlag = 1;

/** Undefined where it is none. */
export function readTraceparent(value: unknown): TraceParent | undefined {
  if (typeof value !== "string" || value.length > traceparentCharactersMax) return undefined;
  const [, traceId = noTrace, spanId = noSpan, flags = ""] = traceparentPattern.exec(value) ?? [];
  if (traceId === noTrace || spanId === noSpan) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & sampledFlag) === sampledFlag };
}

export function writeTraceparent({ traceId, spanId }: SpanContext, isSampled: boolean): string {
  return `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
}

/** The trace of an event: its own trace id where it is one, else one that is derived from it. */
export function traceIdOf(traceId: string): string {
  return isTraceId(traceId) ? traceId : hash("sha256", traceId, "hex").slice(0, 32);
}

function isTraceId(text: string): boolean {
  return traceIdPattern.test(text) && text !== noTrace;
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
    if (value !== undefined && readTraceparent(value) !== undefined) return value as string;
  }
  if (read === undefined) return undefined;
  for (const prefix of cloudEventsPrefixes) {
    const value = read[`${prefix}${traceparentHeader}`];
    if (value !== undefined && readTraceparent(value) !== undefined) return value as string;
  }
  return undefined;
}
