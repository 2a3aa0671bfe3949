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

const verbNames: Readonly<Record<SettleOrder["verb"], string>> = {
  complete: "complete",
  abandon: "abandon",
  release: "release",
  defer: "defer",
  "dead-letter": "dead_letter",
};

export class Traces {
  readonly #options: TracesOptions;

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
    const of = { traceId, links: [] };
    const attributes = { "holdfast.skill": work.skillName, "holdfast.attempt": work.attempt, "holdfast.spans_dropped": trace.spansDropped || undefined };
    const { startMs, endMs, error } = trace;
    const run = { spanId: trace.spanId, parentSpanId: spanId, name: spanName("run", work.skillName), kind: "internal", startMs, endMs, error } as const;
    delivery.spans.push({ ...of, ...run, attributes }, ...trace.spans.map((span) => ({ ...of, ...span })));
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
    this.#add(trace, {
      name: spanName("send", destination),
      sinceMs: trace.sendingSinceMs,
      attributes: {
        ...operation("send", "send"),
        ...(entities.every((entity) => entity === destination) ? { "messaging.destination.name": destination } : undefined),
        "messaging.batch.message_count": outbox.length,
      },
      links: created.slice(0, linksMax),
      error,
    });
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
    const { creation } = trace.joined;
    if (trace.settling !== undefined) this.#addSettling(work, trace, trace.settling);
    const links = creation === undefined ? [] : [creation];
    if (batch !== undefined) {
      batch.context ??= { traceId: this.#randomId(32), spanId: this.#randomId(16) };
      if (batch.links.length < linksMax) batch.links.push(creation ?? trace);
      links.push({ ...batch.context, isSampled: true });
    }
    const attributes: SpanAttributes = {
      ...operation("process", "process"),
      ...destinationOf(source),
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
    const { traceId, spanId, parentSpanId, error } = trace;
    const ended = { traceId, spanId, parentSpanId, name: spanName("process", source.name), kind: "consumer", attributes, links, error } as const;
    this.#options.tracing.take([{ ...ended, ...this.#period(batch?.startMs ?? work.cameMs) }, ...trace.spans]);
  }

  #tellBatch({ source, messages, startMs, links }: ReceivedBatch, context: SpanContext): void {
    const attributes = { ...operation("receive", "receive"), ...destinationOf(source), "messaging.batch.message_count": messages };
    const told = { parentSpanId: undefined, name: spanName("receive", source.name), kind: "consumer", attributes, links, error: undefined } as const;
    this.#options.tracing.take([{ ...context, ...told, ...this.#period(startMs) }]);
  }

  #addSettling({ source }: Work, trace: DeliveryTrace, { verb, sinceMs }: NonNullable<DeliveryTrace["settling"]>): void {
    const name = verbNames[verb];
    const attributes = { ...operation("settle", name), ...destinationOf(source), "messaging.servicebus.disposition_status": name };
    this.#add(trace, { name: spanName(name, source.name), sinceMs, attributes, links: [], error: undefined });
  }

  /** A part of what a delivery takes; it ends now. */
  #add(trace: DeliveryTrace, { sinceMs, ...part }: Pick<Span, "name" | "attributes" | "links" | "error"> & { readonly sinceMs: number }): void {
    const { traceId, spanId: parentSpanId } = trace;
    trace.spans.push({ traceId, spanId: this.#randomId(16), parentSpanId, kind: "client", ...part, ...this.#period(sinceMs) });
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
    if (work.spanId === "") work.spanId = this.#randomId(16);
    return work.spanId;
  }

  #creationOf({ traceparent, delivery, headers }: Work): JoinedTrace["creation"] {
    return readTraceparent(traceparent ?? traceparentOf(delivery, headers));
  }

  /** From then until now, by the wall clock. */
  #period(sinceMs: number): Pick<Span, "startMs" | "endMs"> {
    const { clock } = this.#options;
    const endMs = clock.wallMs();
    return { startMs: endMs - Math.max(0, clock.monotonicMs() - sinceMs), endMs };
  }

  #randomId(digits: number): string {
    const { random } = this.#options;
    let id = "";
    while (id.length < digits) id += (Math.floor(random() * 0xffff_ffff) + 1).toString(16).padStart(8, "0").slice(-8);
    return id;
  }
}

function operation(type: string, name: string): SpanAttributes {
  return { "messaging.system": "servicebus", "messaging.operation.type": type, "messaging.operation.name": name };
}

function destinationOf({ name }: Source): SpanAttributes {
  const at = name.lastIndexOf("/");
  if (at < 0) return { "messaging.destination.name": name };
  return { "messaging.destination.name": name.slice(0, at), "messaging.destination.subscription.name": name.slice(at + 1) };
}
