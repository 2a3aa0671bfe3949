/** A stream of plain events: of any types, by size or with the webhook corpus in them, spread over keys and tenants as was asked for. */
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { type Draw, drawsOf, Ranked, traceIdOf, Weighted } from "./draw.ts";
import { type EncodedPayload, Material } from "./material.ts";
import { checkPlaces, type Maker, placed, type Places } from "./places.ts";
import { makePoison } from "./poison.ts";
import { encode, type Envelope } from "./wire.ts";

export interface Spread {
  readonly count: number;
  /** 0 spreads evenly; 1 and more gives most to few. */
  readonly zipf: number;
}

/** Bytes of a body, or the examples of the webhook corpus up to a size. */
export type Sizes =
  | { readonly kind: "fixed"; readonly bytes: number }
  | { readonly kind: "between"; readonly leastBytes: number; readonly mostBytes: number }
  /** As many of each length of number: most are small, and a few are large. */
  | { readonly kind: "skewed"; readonly leastBytes: number; readonly mostBytes: number }
  | { readonly kind: "webhooks"; readonly bytesMax: number };

export interface PlainOptions extends Places {
  /** Weights of the event types. */
  readonly eventTypes: Readonly<Record<string, number>>;
  readonly sizes: Sizes;
  /** What events belong to: it is their `projectId`. */
  readonly keys?: Spread;
  readonly tenants?: Spread;
  /** In every event id, so that the same stream can be sent more than once; default: nothing. */
  readonly idPrefix?: string;
  /** Beside the filler in the payload. */
  readonly content?: Readonly<Record<string, unknown>>;
}

export interface PlainMessage {
  readonly message: OutgoingMessage;
  /** Place of the event in the stream; its id ends with it. -1 for poison. */
  readonly index: number;
  readonly eventId: string;
  readonly eventType: string;
  readonly kind: "first" | "duplicate" | "poison";
}

const draws = { eventType: 20, key: 21, tenant: 22, size: 23, trace: 24 } as const;
/** Kinds that are bad for whoever reads them, whatever he makes of a payload. */
const poisonKinds = ["not-json", "missing-event-id", "array-event-id"] as const;
const one: Spread = { count: 1, zipf: 0 };
const firstTimestampMs = Date.UTC(2026, 0, 1);
const noBytes = Buffer.alloc(0);
const fillerTail = Buffer.from('"}');

class PlainMaker implements Maker<PlainMessage> {
  readonly #draw: Draw;
  readonly #prefix: string;
  readonly #eventTypes: Weighted<string>;
  readonly #keys: Ranked;
  readonly #tenants: Ranked | undefined;
  readonly #sizes: Sizes;
  readonly #corpus: Material | undefined;
  readonly #fillerHead: Buffer;
  #filler = Buffer.alloc(4_096, "x");

  constructor({ seed = 1, eventTypes, sizes, keys = one, tenants, idPrefix = "", content = {} }: PlainOptions) {
    this.#draw = drawsOf(seed);
    this.#prefix = `${idPrefix}evt-${seed.toString(16)}`;
    this.#eventTypes = new Weighted("eventTypes", eventTypes);
    this.#keys = new Ranked(keys.count, keys.zipf);
    this.#tenants = tenants === undefined ? undefined : new Ranked(tenants.count, tenants.zipf);
    this.#sizes = sizes;
    this.#corpus = sizes.kind === "webhooks" ? new Material(sizes.bytesMax) : undefined;
    this.#fillerHead = Buffer.from(JSON.stringify({ ...content, filler: "" }).slice(0, -2));
  }

  event(index: number, copy: number): PlainMessage {
    const envelope = this.#envelope(index, `${this.#prefix}-${index}`);
    const { eventId, eventType } = envelope;
    const messageId = copy === 0 ? eventId : `${eventId}~dup${copy}`;
    return {
      message: encode("canonical", envelope, this.#payload(index, envelope), messageId),
      index,
      eventId,
      eventType,
      kind: copy === 0 ? "first" : "duplicate",
    };
  }

  poison(index: number, number: number): PlainMessage {
    const envelope = this.#envelope(index, `${this.#prefix}-p${number}`);
    const goodPayload = (): Buffer => Buffer.concat([this.#fillerHead, fillerTail]);
    const kind = poisonKinds[number % poisonKinds.length]!;
    const { eventId, eventType } = envelope;
    return { message: makePoison(kind, { envelope, messageId: eventId, goodPayload, bodyBytesMax: 0 }), index: -1, eventId, eventType, kind: "poison" };
  }

  #payload(index: number, envelope: Envelope): EncodedPayload {
    const drawn = this.#draw(index, draws.size);
    if (this.#corpus !== undefined) return this.#corpus.json("event-dispatcher", Math.floor(drawn * this.#corpus.size));
    const empty: EncodedPayload = { head: this.#fillerHead, example: noBytes, tail: fillerTail };
    const missing = this.#bytes(drawn) - encode("canonical", envelope, empty, "").body.byteLength;
    return missing <= 0 ? empty : { ...empty, example: this.#fillerOf(missing) };
  }

  #bytes(drawn: number): number {
    const sizes = this.#sizes;
    switch (sizes.kind) {
      case "fixed":
        return sizes.bytes;
      case "between":
        return Math.round(sizes.leastBytes + drawn * (sizes.mostBytes - sizes.leastBytes));
      case "skewed":
        return Math.round(sizes.leastBytes * (sizes.mostBytes / sizes.leastBytes) ** drawn);
      case "webhooks":
        return 0;
    }
  }

  #fillerOf(bytes: number): Buffer {
    if (this.#filler.byteLength < bytes) this.#filler = Buffer.alloc(bytes, "x");
    return this.#filler.subarray(0, bytes);
  }

  #envelope(index: number, eventId: string): Envelope {
    const draw = this.#draw;
    const tenant = this.#tenants?.pick(draw(index, draws.tenant));
    return {
      eventId,
      eventType: this.#eventTypes.pick(draw(index, draws.eventType)),
      traceId: traceIdOf(draw, index, draws.trace),
      correlationId: eventId,
      projectId: `key-${this.#keys.pick(draw(index, draws.key))}`,
      ...(tenant === undefined ? undefined : { tenantId: `tenant-${tenant}` }),
      originatingAgent: "generator",
      version: "1.0",
      timestamp: new Date(firstTimestampMs + index).toISOString(),
    };
  }
}

/** The stream; the same every time it is read. */
export function generatePlain(options: PlainOptions): Iterable<PlainMessage> {
  checkPlaces(options);
  const maker = new PlainMaker(options);
  return { [Symbol.iterator]: () => placed(maker, options) };
}

/** The place that the id of an event of such a stream ends with; undefined for other ids. */
export function placeOf(eventId: string): number | undefined {
  const place = /evt-[\da-f]+-(\d+)$/.exec(eventId)?.[1];
  return place === undefined ? undefined : Number(place);
}
