/**
 * The stream of events: example webhook payloads in envelopes, in every wire form, with duplicates and bad input among them.
 *
 * Everything about an event is drawn from the seed and its place in the stream. A duplicate, a thousand events later, is made
 * again from its place rather than kept; so a stream of any length takes the memory of the examples and of a few thousand
 * numbers.
 */
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { InvalidReason } from "#runtime/core/event-envelope.ts";
import { type Draw, drawsOf, traceIdOf, Weighted } from "./draw.ts";
import { type EncodedPayload, eventTypes, Material, type SkillName } from "./material.ts";
import { checkPlaces, type Maker, placed, type Places } from "./places.ts";
import { makePoison, type PoisonKind, poisonKindAt, poisonReasons } from "./poison.ts";
import { codecOf, encode, type Envelope, type Form } from "./wire.ts";

export interface GenerateOptions extends Places {
  /** Weights of the skills; those not named are left out. Default 45 dispatcher, 25 validator, 20 notifier, 10 drafter. */
  readonly mix?: Partial<Readonly<Record<SkillName, number>>>;
  /** Weights of the wire forms; those not named are left out. Default: 58 canonical, 5 to 9 each of the others. */
  readonly forms?: Partial<Readonly<Record<Form, number>>>;
  /** Examples larger than this are left out; default: none is. */
  readonly payloadBytesMax?: number;
  /** The largest body that the runtime is configured to take; a poisoned one is larger. Default 262 144. */
  readonly bodyBytesMax?: number;
}

export interface GeneratedMessage {
  readonly message: OutgoingMessage;
  /** The id it claims; undefined for poison that has none that can be read. */
  readonly eventId: string | undefined;
  readonly kind: "first" | "duplicate" | "poison";
  readonly expects: "completed" | "dead-lettered";
  /** The skill whose event type it names. */
  readonly skill: SkillName;
  readonly form: Form | undefined;
  readonly poison: PoisonKind | undefined;
  /** Why it is expected to be dead-lettered. */
  readonly reason: InvalidReason | undefined;
}

export const defaultMix: Readonly<Record<SkillName, number>> = {
  "event-dispatcher": 45,
  "artifact-validator": 25,
  "webhook-notifier": 20,
  "document-drafter": 10,
};

export const defaultForms: Readonly<Record<Form, number>> = {
  canonical: 58,
  "canonical-bare": 5,
  snake: 5,
  "snake-bare": 7,
  "cloudevents-structured": 8,
  "cloudevents-binary": 9,
  msgpack: 8,
};

export const defaultBodyBytesMax: number = 256 * 1024;

/** What is drawn for an event; each is a stream of numbers of its own. */
const draws = { skill: 0, form: 1, example: 2, trace: 3, flow: 4, tenant: 5, minor: 6, victim: 10, cause: 11 } as const;

/** Events between a reused id and its victim, so that the victim is accepted first where the stream is long enough. */
const reuseDistance = 1_000;
const firstTimestampMs = Date.UTC(2026, 0, 1);
const projects = 20;

/** Makes the messages of a stream from their places. */
class EventMaker implements Maker<GeneratedMessage> {
  readonly #draw: Draw;
  readonly #prefix: string;
  readonly #material: Material;
  readonly #skills: Weighted<SkillName>;
  readonly #forms: Weighted<Form>;
  readonly #bodyBytesMax: number;

  constructor(options: GenerateOptions) {
    const { seed = 1, mix = defaultMix, forms = defaultForms, payloadBytesMax = Number.POSITIVE_INFINITY, bodyBytesMax = defaultBodyBytesMax } = options;
    this.#draw = drawsOf(seed);
    this.#prefix = `evt-${seed.toString(16)}`;
    this.#material = new Material(payloadBytesMax);
    this.#skills = new Weighted("mix", mix as Record<SkillName, number>);
    this.#forms = new Weighted("forms", forms as Record<Form, number>);
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** The event at a place; `copy` 0 is its first message, 1 and on are its duplicates. */
  event(index: number, copy: number): GeneratedMessage {
    const envelope = this.#envelope(index, `${this.#prefix}-${index}`);
    const form = this.#forms.pick(this.#draw(index, draws.form));
    const skill = this.#skill(index);
    const messageId = copy === 0 ? envelope.eventId : `${envelope.eventId}~dup${copy}`;
    const message = encode(form, envelope, this.#payload(index, skill, codecOf(form)), messageId);
    return {
      message,
      eventId: envelope.eventId,
      kind: copy === 0 ? "first" : "duplicate",
      expects: "completed",
      skill,
      form,
      poison: undefined,
      reason: undefined,
    };
  }

  /** The `number`th poisoned message, at a place of the stream. */
  poison(index: number, number: number): GeneratedMessage {
    const kind = poisonKindAt(number);
    const reason = poisonReasons[kind];
    if (kind === "event-id-reuse") return this.#reuse(index, number);
    const envelope = this.#envelope(index, `${this.#prefix}-p${number}`);
    const skill = this.#skill(index);
    const goodPayload = (): Buffer => {
      const { head, example, tail } = this.#payload(index, skill, "json");
      return Buffer.concat([head, example, tail]);
    };
    const message = makePoison(kind, { envelope, messageId: envelope.eventId, goodPayload, bodyBytesMax: this.#bodyBytesMax });
    const readable = kind !== "missing-event-id" && kind !== "array-event-id" && kind !== "long-event-id" && kind !== "bad-event-id";
    return {
      message,
      eventId: readable ? envelope.eventId : undefined,
      kind: "poison",
      expects: "dead-lettered",
      skill,
      form: undefined,
      poison: kind,
      reason,
    };
  }

  /** Another payload under the id of an event that was sent well before. */
  #reuse(index: number, number: number): GeneratedMessage {
    const victims = index > reuseDistance ? index - reuseDistance : Math.floor(index / 2);
    const victim = Math.floor(this.#draw(index, draws.victim) * victims);
    const skill = this.#skill(victim);
    const envelope = this.#envelope(victim, `${this.#prefix}-${victim}`);
    const other = this.#material.otherThan(this.#exampleOf(victim));
    const message = encode("canonical", envelope, this.#material.json(skill, other), `${envelope.eventId}~reuse${number}`);
    return {
      message,
      eventId: envelope.eventId,
      kind: "poison",
      expects: "dead-lettered",
      skill,
      form: "canonical",
      poison: "event-id-reuse",
      reason: "EventIdReuse",
    };
  }

  #skill(index: number): SkillName {
    return this.#skills.pick(this.#draw(index, draws.skill));
  }

  #exampleOf(index: number): number {
    return Math.floor(this.#draw(index, draws.example) * this.#material.size);
  }

  #payload(index: number, skill: SkillName, codec: "json" | "msgpack"): EncodedPayload {
    const number = this.#exampleOf(index);
    return codec === "json" ? this.#material.json(skill, number) : this.#material.msgpack(skill, number);
  }

  #envelope(index: number, eventId: string): Envelope {
    const draw = this.#draw;
    const flow = Math.floor(draw(index, draws.flow) * 0x1_0000_0000);
    const project = flow % projects;
    const envelope: Mutable<Envelope> = {
      eventId,
      eventType: eventTypes[this.#skill(index)],
      traceId: traceIdOf(draw, index, draws.trace),
      correlationId: `flow-${flow.toString(16)}`,
      projectId: `project-${project}`,
      originatingAgent: "repository-watcher",
      version: draw(index, draws.minor) < 0.9 ? "1.0" : "1.1",
      timestamp: new Date(firstTimestampMs + index).toISOString(),
    };
    if (draw(index, draws.tenant) < 0.5) envelope.tenantId = `tenant-${project % 5}`;
    if (index > 0 && draw(index, draws.cause) < 0.25) envelope.causationId = `${this.#prefix}-${index - 1}`;
    return envelope;
  }
}

type Mutable<Record> = { -readonly [Key in keyof Record]: Record[Key] };

/** The stream; iterate it once or as often as wanted, it is the same every time. Made as it is read. */
export function generate(options: GenerateOptions): Iterable<GeneratedMessage> {
  checkPlaces(options);
  const maker = new EventMaker(options);
  return { [Symbol.iterator]: () => placed(maker, options) };
}
