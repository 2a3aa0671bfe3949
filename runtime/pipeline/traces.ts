/**
 * What is told of deliveries as spans. A thread says which of its runs are told of, and what they did; around that stands here what became of
 * their messages. Of a message that is not told of nothing is kept but the batch that it came in.
 *
 *   receive (the batch, linked) · process ─▶ run ─▶ step ─▶ call
 *                                    ├─────▶ send (linked to the events that it sends)
 *                                    └─────▶ complete | dead-letter | …
 */
import type { Clock, Random } from "../core/clock.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import { lineageOf, traceOfMessage } from "../core/lineage.ts";
import { type RunTrace, type Span, type SpanAttributes, spanName } from "../core/spans.ts";
import { type JoinedTrace, type SpanContext, type TraceParent, joinTrace, readTraceparent, traceparentHeader, traceparentOf } from "../core/trace-context.ts";
import type { FinalOutcome } from "../ports/telemetry.ts";
import type { Tracing } from "../ports/tracing.ts";
import type { SettleOrder } from "../ports/transport.ts";
import type { Source } from "./source.ts";
import { DeliveryTrace, type ReceivedBatch, type TracedWork } from "./delivery-trace.ts";
import type { Work } from "./work.ts";

export interface TracesOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly tracing: Tracing;
}

/** Links of one span; more messages than that are counted, not linked. */
const linksMax = 128;
const system = "servicebus";
const noLinks: readonly SpanContext[] = [];

const verbNames: Readonly<Record<SettleOrder["verb"], string>> = {
  complete: "complete",
  abandon: "abandon",
  release: "release",
  defer: "defer",
  "dead-letter": "dead_letter",
};

/** The digits of each byte: an id is made of some, and most numbers of more bits would be written as digits by way of a heap number. */
const bytes: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

const traceIdBytes = 16;
const spanIdBytes = 8;

/** One moment by both clocks. */
interface Now {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

type EndedPart = Pick<Span, "name" | "attributes" | "links" | "error"> & { readonly sinceMs: number };

/** What a source is called in spans; the same for all of its messages. */
interface Destination {
  readonly name: string;
  readonly subscription: string | undefined;
}

export class Traces {
  readonly #options: TracesOptions;
  readonly #destinations = new Map<Source, Destination>();

  constructor(options: TracesOptions) {
    this.#options = options;
  }

  received(source: Source, messages: number): ReceivedBatch {
    return { source, messages, startMs: this.#options.clock.monotonicMs(), spanOf: this.#spanOf, left: messages, context: undefined, links: [] };
  }

  /** A thread tells of an execution. */
  executed(work: Work, trace: RunTrace): void {
    const delivery = (work.trace ??= this.#begin(work, joinTrace(trace.traceId, this.#creationOf(work))));
    const { traceId, spanId } = delivery;
    delivery.said = trace.saidTraceId;
    delivery.error = trace.error;
    const attributes = { "holdfast.skill": work.skillName, "holdfast.attempt": work.attempt, "holdfast.spans_dropped": trace.spansDropped || undefined };
    const { startMs, endMs, error } = trace;
    const name = spanName("run", work.skillName);
    const { spans } = delivery;
    spans.push({ traceId, spanId: trace.spanId, parentSpanId: spanId, name, kind: "internal", startMs, endMs, attributes, links: noLinks, error });
    for (const part of trace.spans) spans.push({ traceId, links: noLinks, ...part });
  }

  /** It failed, or is refused; told of by whatever its thread has said. */
  failed(work: Work, code: string): void {
    this.#traceOf(work).error = code;
  }

  sending({ trace }: Work): void {
    if (trace !== undefined) trace.sendingSinceMs = this.#options.clock.monotonicMs();
  }

  /** Its events have been sent, or could not be. */
  sent({ trace }: Work, outbox: readonly OutgoingMessage[], entities: readonly string[], error: string | undefined): void {
    if (trace === undefined) return;
    const created = outbox.flatMap(({ headers }) => readTraceparent(headers[traceparentHeader]) ?? []);
    const [destination] = entities;
    const attributes = {
      "messaging.system": system,
      "messaging.operation.type": "send",
      "messaging.operation.name": "send",
      "messaging.destination.name": entities.every((entity) => entity === destination) ? destination : undefined,
      "messaging.batch.message_count": outbox.length,
    };
    const part = { name: spanName("send", destination), sinceMs: trace.sendingSinceMs, attributes, links: created.slice(0, linksMax), error };
    this.#add(trace, part, this.#now());
  }

  settling({ trace }: Work, verb: SettleOrder["verb"]): void {
    if (trace !== undefined) trace.settling = { verb, sinceMs: this.#options.clock.monotonicMs() };
  }

  /** A delivery has ended; what there is to tell of it goes out. */
  ended(work: Work, outcome: FinalOutcome): void {
    const { batch } = work;
    if (work.trace === undefined && outcome === "dead-lettered") this.#traceOf(work);
    if (work.trace !== undefined) this.#tell(work, work.trace, outcome);
    if (batch === undefined) return;
    batch.left -= 1;
    if (batch.left === 0 && batch.context !== undefined) this.#tellBatch(batch, batch.context);
  }

  #tell(work: Work, trace: DeliveryTrace, outcome: FinalOutcome): void {
    const { batch, delivery, source, route } = work;
    const { traceId, spanId, parentSpanId, error, joined } = trace;
    const { creation } = joined;
    const now = this.#now();
    if (trace.settling !== undefined) this.#addSettling(work, trace, trace.settling, now);
    const links: SpanContext[] = creation === undefined ? [] : [creation];
    if (batch !== undefined) {
      batch.context ??= { traceId: this.#randomId(traceIdBytes), spanId: this.#randomId(spanIdBytes) };
      if (batch.links.length < linksMax) batch.links.push(creation ?? trace);
      links.push(batch.context);
    }
    const destination = this.#destinationOf(source);
    const attributes: SpanAttributes = {
      "messaging.system": system,
      "messaging.operation.type": "process",
      "messaging.operation.name": "process",
      "messaging.destination.name": destination.name,
      "messaging.destination.subscription.name": destination.subscription,
      "messaging.message.id": delivery.messageId,
      "messaging.servicebus.message.delivery_count": delivery.attempt,
      "messaging.servicebus.message.enqueued_time": Math.round(delivery.enqueuedAtMs / 1_000),
      "holdfast.event.id": work.eventId,
      "holdfast.event.type": route?.eventType,
      "holdfast.skill": work.skillName,
      "holdfast.attempt": work.attempt,
      "holdfast.waited_ms": Math.round(work.waitedMs),
      "holdfast.outcome": outcome,
      "holdfast.trace_id": trace.said,
    };
    const name = spanName("process", source.name);
    const startMs = startOf(now, batch?.startMs ?? work.cameMs);
    const { spans } = trace;
    // It stands before its parts.
    spans.unshift({ traceId, spanId, parentSpanId, name, kind: "consumer", startMs, endMs: now.wallMs, attributes, links, error });
    this.#options.tracing.take(spans);
  }

  #tellBatch({ source, messages, startMs, links }: ReceivedBatch, { traceId, spanId }: SpanContext): void {
    const destination = this.#destinationOf(source);
    const attributes = {
      "messaging.system": system,
      "messaging.operation.type": "receive",
      "messaging.operation.name": "receive",
      "messaging.destination.name": destination.name,
      "messaging.destination.subscription.name": destination.subscription,
      "messaging.batch.message_count": messages,
    };
    const now = this.#now();
    const told = { name: spanName("receive", source.name), kind: "consumer", attributes, links, error: undefined } as const;
    this.#options.tracing.take([{ traceId, spanId, parentSpanId: undefined, ...told, startMs: startOf(now, startMs), endMs: now.wallMs }]);
  }

  #addSettling({ source }: Work, trace: DeliveryTrace, { verb, sinceMs }: NonNullable<DeliveryTrace["settling"]>, now: Now): void {
    const name = verbNames[verb];
    const destination = this.#destinationOf(source);
    const attributes = {
      "messaging.system": system,
      "messaging.operation.type": "settle",
      "messaging.operation.name": name,
      "messaging.destination.name": destination.name,
      "messaging.destination.subscription.name": destination.subscription,
      "messaging.servicebus.disposition_status": name,
    };
    this.#add(trace, { name: spanName(name, source.name), sinceMs, attributes, links: noLinks, error: undefined }, now);
  }

  /** A part of what a delivery takes; it ends now. */
  #add(trace: DeliveryTrace, { name, sinceMs, attributes, links, error }: EndedPart, now: Now): void {
    const { traceId, spanId: parentSpanId } = trace;
    const startMs = startOf(now, sinceMs);
    const spanId = this.#randomId(spanIdBytes);
    trace.spans.push({ traceId, spanId, parentSpanId, name, kind: "client", startMs, endMs: now.wallMs, attributes, links, error });
  }

  #traceOf(work: Work): DeliveryTrace {
    return (work.trace ??= this.#read(work));
  }

  /** Its thread has said nothing of it: its message does. */
  #read(work: Work): DeliveryTrace {
    const said = lineageOf(work.delivery, work.headers).traceId;
    const joined = traceOfMessage(work);
    const trace = this.#begin(work, joined);
    if (said !== joined.traceId && said !== "") trace.said = said;
    return trace;
  }

  #begin(work: Work, joined: JoinedTrace): DeliveryTrace {
    return new DeliveryTrace(joined, this.#spanIdOf(work));
  }

  /** For a line of the log about a delivery, which need not be told of. */
  readonly #spanOf = (work: TracedWork): TraceParent => {
    const { trace } = work;
    return { traceId: (trace ?? traceOfMessage(work)).traceId, spanId: this.#spanIdOf(work), isSampled: trace !== undefined };
  };

  #spanIdOf(work: Pick<TracedWork, "spanId">): string {
    if (work.spanId === "") work.spanId = this.#randomId(spanIdBytes);
    return work.spanId;
  }

  #creationOf({ traceparent, delivery, headers }: Work): JoinedTrace["creation"] {
    return readTraceparent(traceparent ?? traceparentOf(delivery, headers));
  }

  #now(): Now {
    const { clock } = this.#options;
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
  }

  #destinationOf(source: Source): Destination {
    let destination = this.#destinations.get(source);
    if (destination === undefined) {
      destination = destinationOf(source);
      this.#destinations.set(source, destination);
    }
    return destination;
  }

  #randomId(count: number): string {
    const { random } = this.#options;
    // No byte is 0, so that no id is.
    let id = "";
    for (let made = 0; made < count; made += 1) id += bytes[1 + Math.floor(random() * 255)]!;
    return id;
  }
}

/** When a period began that ends now, by the wall clock. */
function startOf({ wallMs, monotonicMs }: Now, sinceMs: number): number {
  return wallMs - Math.max(0, monotonicMs - sinceMs);
}

function destinationOf({ name }: Source): Destination {
  const at = name.lastIndexOf("/");
  return at < 0 ? { name, subscription: undefined } : { name: name.slice(0, at), subscription: name.slice(at + 1) };
}
