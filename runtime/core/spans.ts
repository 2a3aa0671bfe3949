/**
 * What a worker tells of its work as spans. Only attributes of this list leave the worker, each with values of its kind: names that plugins
 * and configurations give to things, ids, counts and codes, and nothing of what a payload, a request, a response or an error's text says.
 */
import type { SpanContext } from "./trace-context.ts";

export type SpanKind = "internal" | "client" | "producer" | "consumer";

export type SpanValue = string | number | readonly string[];

/** A name: of a queue, a skill, a step, a model. */
const namePattern = /^[\w .:@/~+-]{1,260}$/;
/** What others call a thing of theirs: no text. */
const wordPattern = /^[\w.:@/-]{1,100}$/;
/** A code as constants, classes and the runtime's own reasons are written: a text of a skill's own making does not look like one. */
const codePattern = /^(?:[A-Z][A-Z0-9_]*|[A-Z][A-Za-z0-9]*(?:Error|Exception)|(?:[A-Z][a-z]+){2,6}|Unrouted|amqp:[a-z:-]+)$/;
const codeCharactersMax = 64;
/** What OpenTelemetry has for an error that it knows no name for. */
export const otherError = "_OTHER";

const isName = (value: unknown): value is string => typeof value === "string" && namePattern.test(value);
const isWord = (value: unknown): value is string => typeof value === "string" && wordPattern.test(value);
const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const areWords = (value: unknown): value is readonly string[] => Array.isArray(value) && value.length <= 16 && value.every(isWord);
const isCode = (value: unknown): value is string =>
  typeof value === "string" && value.length <= codeCharactersMax && (value === otherError || codePattern.test(value));

/** By the semantic conventions of OpenTelemetry where these have a name for it. */
const names = [
  "gen_ai.operation.name",
  "gen_ai.provider.name",
  "holdfast.dependency",
  "holdfast.event.id",
  "holdfast.event.type",
  "holdfast.outcome",
  "holdfast.quality",
  "holdfast.skill",
  "holdfast.step",
  "holdfast.step.kind",
  "holdfast.trace_id",
  "messaging.destination.name",
  "messaging.destination.subscription.name",
  "messaging.message.id",
  "messaging.operation.name",
  "messaging.operation.type",
  "messaging.servicebus.disposition_status",
  "messaging.system",
  "server.address",
] as const;
const words = ["gen_ai.request.model", "gen_ai.response.model", "http.request.method"] as const;
const lists = ["gen_ai.response.finish_reasons"] as const;
const codes = ["error.type"] as const;
const numbers = [
  "gen_ai.request.max_tokens",
  "gen_ai.request.temperature",
  "gen_ai.usage.input_tokens",
  "gen_ai.usage.output_tokens",
  "holdfast.attempt",
  "holdfast.spans_dropped",
  "holdfast.waited_ms",
  "http.request.resend_count",
  "http.response.status_code",
  "messaging.batch.message_count",
  "messaging.servicebus.message.delivery_count",
  "messaging.servicebus.message.enqueued_time",
  "server.port",
] as const;

export type SpanAttribute = (typeof names)[number] | (typeof words)[number] | (typeof lists)[number] | (typeof codes)[number] | (typeof numbers)[number];

type Check = (value: unknown) => value is SpanValue;
/** What a value of each must be. */
export const spanAttributes: ReadonlyMap<SpanAttribute, Check> = new Map<SpanAttribute, Check>([
  ...names.map((name) => [name, isName] as const),
  ...words.map((name) => [name, isWord] as const),
  ...lists.map((name) => [name, areWords] as const),
  ...codes.map((name) => [name, isCode] as const),
  ...numbers.map((name) => [name, isNumber] as const),
]);

export type SpanAttributes = { readonly [Name in SpanAttribute]?: SpanValue | undefined };

/** Which runs are told of. */
export interface SamplingPolicy {
  /** Of traces that nobody has decided on; 0 to 1. */
  readonly ratio: number;
  /** A run that takes so long in its thread is told. */
  readonly slowMs: number;
  /** Whether what made the message decides, where its message says so. */
  readonly followParent: boolean;
}

/** A part of a run. */
export interface SpanDraft {
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: SpanAttributes;
  /** Code of the failure that it ended in. */
  readonly error: string | undefined;
}

/** What a thread tells of one execution of a run. Its times are of the wall clock: what threads count from differs. */
export interface RunTrace {
  readonly traceId: string;
  /** What the event calls its trace, where that is no trace id. */
  readonly saidTraceId: string | undefined;
  /** Of the span that stands for the execution. */
  readonly spanId: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly spans: readonly SpanDraft[];
  readonly spansDropped: number;
  /** Code of the failure that it ended in. */
  readonly error: string | undefined;
}

/** A span that has ended, by the wall clock. */
export interface Span extends SpanContext {
  /** Of the same trace; undefined where it begins here. */
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: SpanAttributes;
  readonly links: readonly SpanContext[];
  /** Code of the failure that it ended in; undefined where it did not fail. */
  readonly error: string | undefined;
}

/** What may be told of it: attributes that are not on the list, or not of their kind, are left out. */
export function allowedAttributes({ attributes, error }: Pick<Span, "attributes" | "error">): (readonly [name: SpanAttribute, value: SpanValue])[] {
  const allowed: (readonly [name: SpanAttribute, value: SpanValue])[] = [];
  for (const name of Object.keys(attributes) as SpanAttribute[]) {
    const value = attributes[name];
    if (value !== undefined && spanAttributes.get(name)?.(value) === true) allowed.push([name, value]);
  }
  if (error !== undefined) allowed.push(["error.type", errorTypeOf(error)]);
  return allowed;
}

/** What may be told of the code of a failure. */
export function errorTypeOf(error: string): string {
  return isCode(error) ? error : otherError;
}

/** What is done, and with what: of what has no name, what is done. */
export function spanName(what: string, name: unknown): string {
  return isWord(name) ? `${what} ${name}` : what;
}
