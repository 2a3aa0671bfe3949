/**
 * The canonical event envelope. `eventId` is the identity that de-duplication uses; `payload` is what the skill's schema
 * describes.
 */
export interface EventEnvelope<Payload = unknown, Type extends string = string, Version extends string = string> {
  /** Unique id of the event: 1 to 128 characters of `A-Z a-z 0-9 . _ ~ : / + = @ | -`. */
  readonly eventId: string;
  readonly eventType: Type;
  /** Links all events and spans of one piece of work. */
  readonly traceId: string;
  /** Groups the operations of one flow. */
  readonly correlationId: string;
  readonly projectId: string;
  readonly tenantId?: string;
  /** The agent that emitted the event. */
  readonly originatingAgent: string;
  /** Schema version, `major.minor`. */
  readonly version: Version;
  /** UTC, ISO 8601. */
  readonly timestamp: string;
  /** The event that caused this one. */
  readonly causationId?: string;
  /** Where the artifact lies (blob or git). */
  readonly artifactUri?: string;
  readonly payload: Payload;
}

/** How the envelope is written in a message. */
export type WireForm = "canonical" | "snake" | "cloudevents-structured" | "cloudevents-binary" | "event-grid" | "hooked";

/** How the body's bytes are encoded; `bytes` are handed over as they are. */
export type BodyCodec = "json" | "msgpack" | "bytes";

/** What routing needs, read without decoding the body. */
export interface Route {
  readonly eventId: string;
  readonly eventType: string;
  /** `major.minor`. */
  readonly version: string;
  readonly form: WireForm;
  readonly codec: BodyCodec;
}

/** Why an input is refused for good. Each is the dead-letter reason too. */
export type InvalidReason =
  | "BodyTooLarge"
  | "DecodeLimit"
  | "InvalidEnvelope"
  | "InvalidPayload"
  | "UnknownEventType"
  | "Unrouted"
  | "UnsupportedVersion"
  | "EventIdReuse"
  | "DeliveryLimit";

export interface Invalid {
  readonly reason: InvalidReason;
  /** What was expected and what was found; no payload values, at most 1 000 characters. */
  readonly description: string;
}

const eventIdPattern = /^[A-Za-z0-9._~:/+=@|-]{1,128}$/;
const eventTypePattern = /^[A-Za-z0-9._~:/-]{1,128}$/;
const versionPattern = /^\d{1,4}\.\d{1,4}$/;

export function isEventId(value: unknown): value is string {
  return typeof value === "string" && eventIdPattern.test(value);
}

/** The type and the version that were found to be ones last: most messages have the same again. */
let lastEventType = "";
let lastVersion = "";

export function isEventType(value: unknown): value is string {
  if (typeof value !== "string") return false;
  if (value === lastEventType && value !== "") return true;
  if (!eventTypePattern.test(value)) return false;
  lastEventType = value;
  return true;
}

/** What most texts of an envelope are. */
export const envelopeTextMax = 256;

export function isEnvelopeText(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= envelopeTextMax;
}

export function isVersion(value: unknown): value is string {
  if (typeof value !== "string") return false;
  if (value === lastVersion && value !== "") return true;
  if (!versionPattern.test(value)) return false;
  lastVersion = value;
  return true;
}
