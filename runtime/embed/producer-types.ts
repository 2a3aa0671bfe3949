/** What a program that sends events says, and hears back. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { ConfigInput } from "../core/config.ts";
import type { EmitOptions } from "../skills/author/context.ts";
import type { EmittedPayload } from "../skills/author/event-contracts.ts";
import type { PayloadSchema } from "../skills/author/schema.ts";

/** What an event of one type carries. */
export interface EventContract {
  /** Any Standard Schema validator, or a JSON Schema document. */
  readonly payload: PayloadSchema<unknown>;
  /** `major.minor`. Default "1.0". */
  readonly version?: string;
}

/** By event type. */
export type Contracts = Readonly<Record<string, EventContract>>;

/** What is given for an event: what its schema takes. */
export type PayloadOf<Contract> = Contract extends { readonly payload: infer Schema extends StandardSchemaV1<unknown, unknown> }
  ? StandardSchemaV1.InferInput<Schema>
  : unknown;

/** By the events that the producer was given; without them, by the contracts of the project. */
export type SentPayload<Events, Type extends keyof Events & string, Version extends string> = string extends keyof Events
  ? EmittedPayload<Type, Version>
  : PayloadOf<Events[Type]>;

/** What `createProducer` takes: the broker, where events go, whom they come from, and which there are. */
export interface ProducerConfig<Events extends Contracts = Contracts> extends Pick<ConfigInput, "serviceBus" | "transport" | "contracts"> {
  /** Where events are sent: one entity, and others by event type. A send may name another. */
  readonly publish: NonNullable<ConfigInput["publish"]>;
  /** Whose events they are; 1 to 256 characters. */
  readonly projectId: string;
  /** Who sends them, as `originatingAgent`; 1 to 256 characters. */
  readonly agent: string;
  /** Default: none. */
  readonly tenantId?: string | undefined;
  /** The events that may be sent, with what they carry: payloads are typed by them, and checked before anything is sent. Default: any event, with any JSON. */
  readonly events?: Events | undefined;
}

/** What a send says of its event and of its message, beside type and payload. */
export interface SendOptions extends Omit<EmitOptions, "at" | "delayMs"> {
  /**
   * 1 to 128 characters of `A-Z a-z 0-9 . _ ~ : / + = @ | -`. An event that is sent again under the same id, with the same payload, is done once. Default: a random UUID.
   */
  readonly eventId?: string;
  /** When it happened. Default: now. */
  readonly timestamp?: Date;
  /** Links all that belongs to one piece of work. Default: the trace id of `traceparent`, else made of the event's id. */
  readonly traceId?: string;
  /** W3C trace context of the span that sends it; goes along as an application property. Default: none. */
  readonly traceparent?: string;
  /** Groups the operations of one flow. Default: the event's id. */
  readonly correlationId?: string;
  /** The event that caused this one. Default: none. */
  readonly causationId?: string;
  /** Default: the producer's. */
  readonly tenantId?: string;
  /** The queue or topic that an answer is to be sent to; 1 to 260 characters. Default: none. */
  readonly replyTo?: string;
  /** The session that an answer is to be one of; 1 to 128 characters. Default: none. */
  readonly replyToSessionId?: string;
}

/** Either at a time, or so many milliseconds from now (0 to 400 days). */
export type ScheduleOptions = SendOptions & ({ readonly at: Date; readonly delayMs?: never } | { readonly delayMs: number; readonly at?: never });

/** Type and version by which an event of a batch is typed. */
interface NamedEvent<Type extends string, Version extends string> {
  readonly eventType: Type;
  readonly version?: Version;
}
type VersionOf<Named> = Named extends { readonly version: infer Version extends string } ? Version : "1.0";

/** An event of a batch: it carries what its type and version say. */
export type BatchedEvent<
  Events extends Contracts,
  Type extends keyof Events & string = keyof Events & string,
  Version extends string = "1.0",
> = Type extends unknown ? { readonly eventType: Type; readonly payload: SentPayload<Events, Type, Version> } & SendOptions : never;

/** An event that the broker has accepted. Its message has the event's id. */
export interface SentEvent {
  readonly eventId: string;
  readonly entity: string;
}

/** One that waits at the broker for its time. */
export interface ScheduledEvent extends SentEvent {
  readonly sequenceNumber: bigint;
}

/** Made by `createProducer`. Connects with the first event. */
export interface Producer<Events extends Contracts = Contracts> {
  /**
   * Sends an event, and resolves once the broker has accepted it. Rejects with `InvalidEventError` for an event that cannot be sent as it is (nothing was sent
   * then), and with `TransportError` when the broker did not confirm it: it may have been accepted all the same, so send it again under the same `eventId`.
   */
  send<Type extends keyof Events & string, Version extends string = "1.0">(
    eventType: Type,
    payload: SentPayload<Events, Type, Version>,
    options?: SendOptions & { readonly version?: Version },
  ): Promise<SentEvent>;
  /**
   * Sends events in as few batches as fit, and resolves once all are accepted, in their order. All are checked before any is sent. Rejects as `send` does; a `SendError`
   * says in `failed` which were not accepted.
   */
  sendAll<Name extends keyof Events & string, Version extends string, Types extends readonly NamedEvent<Name, Version>[]>(
    events: Types & { readonly [Index in keyof Types]: BatchedEvent<Events, Types[Index]["eventType"], VersionOf<Types[Index]>> },
  ): Promise<readonly SentEvent[]>;
  /** Has the broker keep an event until its time. Rejects as `send` does. */
  schedule<Type extends keyof Events & string, Version extends string = "1.0">(
    eventType: Type,
    payload: SentPayload<Events, Type, Version>,
    options: ScheduleOptions & { readonly version?: Version },
  ): Promise<ScheduledEvent>;
  /** Takes a scheduled event back. Rejects with `TransportError` when its time had come, or it was taken back before. */
  cancel(scheduled: Pick<ScheduledEvent, "entity" | "sequenceNumber">): Promise<void>;
  /** Waits for what is being sent, and closes. Idempotent. */
  stop(): Promise<void>;
}
