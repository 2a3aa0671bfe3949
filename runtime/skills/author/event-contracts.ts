// Types of events by their contracts. They exist for the compiler alone.
import type { EventEnvelope } from "../../core/event-envelope.ts";

/**
 * What events carry, by event type and version. Empty until the file that `holdfast contracts types` writes is part of a project: it adds the project's contracts, each
 * major as its newest minor (`1.x`) and each version by itself.
 */
export interface EventContracts {}

/** Stands for a payload together with the type and version that its event has. No value is of it. */
export interface OfContract<Type extends string, Version extends string, Payload> {
  readonly "~contract": readonly [Type, Version, Payload];
}

type AnyContract = OfContract<string, string, unknown>;
type EventsOf<Contract> = Contract extends OfContract<infer Type, infer Version, infer Payload> ? EventEnvelope<Payload, Type, Version> : never;

/** The event that a skill sees: one of those that it handles, told apart by `eventType` and `version`, where contracts say what they carry. */
export type EventOf<Payload> = [Payload] extends [never]
  ? EventEnvelope<never, never, never>
  : [Payload] extends [AnyContract]
    ? EventsOf<Payload>
    : EventEnvelope<Payload>;

type RangesOf<Handled> = Handled extends { readonly versions: infer Versions }
  ? Versions extends readonly (infer Range extends string)[]
    ? Range
    : Versions extends string
      ? Versions
      : "1.x"
  : "1.x";
type VersionsIn<Range extends string> = Range extends `${infer Major}.x` ? `${Major}.${number}` : Range;
type PayloadIn<Type, Range> = Type extends keyof EventContracts ? (Range extends keyof EventContracts[Type] ? EventContracts[Type][Range] : unknown) : unknown;
type OfRange<Type extends string, Range extends string> = Range extends string ? OfContract<Type, VersionsIn<Range>, PayloadIn<Type, Range>> : never;
type OfHandled<Handled> = Handled extends { readonly eventType: infer Type extends string } ? OfRange<Type, RangesOf<Handled>> : never;

/** What a skill is given that says by no schema what its payload is: what contracts say of the types that it handles. */
export type HandledPayload<Handled extends readonly { readonly eventType: string }[]> = [Extract<Handled[number]["eventType"], keyof EventContracts>] extends [
  never,
]
  ? unknown
  : OfHandled<Handled[number]>;

/** What an event of this type and version carries; anything where no contract says it. */
export type EmittedPayload<Type extends string, Version extends string> = Type extends keyof EventContracts
  ? string extends Version
    ? unknown
    : Version extends keyof EventContracts[Type]
      ? EventContracts[Type][Version]
      : never
  : unknown;
