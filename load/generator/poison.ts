// Every way of being bad input, each with the reason it is expected to be dead-lettered for.
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { InvalidReason } from "#runtime/core/event-envelope.ts";
import { packHead } from "./material.ts";
import type { Envelope } from "./wire.ts";

export type PoisonKind =
  | "not-json"
  | "missing-event-id"
  | "array-event-id"
  | "long-event-id"
  | "bad-event-id"
  | "unknown-event-type"
  | "unsupported-version"
  | "invalid-payload"
  | "deep-json"
  | "msgpack-bomb"
  | "prototype-keys"
  | "header-mismatch"
  | "event-id-reuse"
  | "body-too-large";

export const poisonReasons: Readonly<Record<PoisonKind, InvalidReason>> = {
  "not-json": "InvalidEnvelope",
  "missing-event-id": "InvalidEnvelope",
  "array-event-id": "InvalidEnvelope",
  "long-event-id": "InvalidEnvelope",
  "bad-event-id": "InvalidEnvelope",
  "unknown-event-type": "UnknownEventType",
  "unsupported-version": "UnsupportedVersion",
  "invalid-payload": "InvalidPayload",
  "deep-json": "DecodeLimit",
  "msgpack-bomb": "DecodeLimit",
  "prototype-keys": "InvalidEnvelope",
  "header-mismatch": "InvalidEnvelope",
  "event-id-reuse": "EventIdReuse",
  "body-too-large": "BodyTooLarge",
};

const kinds = Object.keys(poisonReasons) as PoisonKind[];
/** A body over the cap is as large as dozens of others: it comes in the first of so many cycles. */
const largeBodyCycles = 4;
const depth = 100;
const bombHeaders = 1_000;
const longIdCharacters = 200;

/** The kind of the `number`th poisoned message from 0: each kind once a cycle, the large body once in four. */
export function poisonKindAt(number: number): PoisonKind {
  const others = kinds.length - 1;
  const inFourCycles = number % (others * largeBodyCycles + 1);
  if (inFourCycles === others) return "body-too-large";
  return kinds[(inFourCycles > others ? inFourCycles - 1 : inFourCycles) % others] as PoisonKind;
}

/** What a poisoned message is made of; all but `event-id-reuse`, which is a good event in itself. */
export interface PoisonParts {
  readonly envelope: Envelope;
  readonly messageId: string;
  /** A payload that would be accepted, as JSON. */
  readonly goodPayload: () => Buffer;
  /** Largest body the runtime takes. */
  readonly bodyBytesMax: number;
}

interface Changes {
  readonly contentType?: string;
  readonly headers?: OutgoingMessage["headers"];
}

function message(parts: PoisonParts, body: Buffer, { contentType = "application/json", headers }: Changes = {}): OutgoingMessage {
  const { eventId, eventType, version, correlationId } = parts.envelope;
  return { messageId: parts.messageId, correlationId, contentType, headers: headers ?? { eventId, eventType, version }, body };
}

function json(envelope: object, payload: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify(envelope).slice(0, -1)},"payload":`), Buffer.from(payload), Buffer.from("}")]);
}

/** A message whose envelope, in headers and body alike, differs in some fields. */
function withFields(parts: PoisonParts, changes: Readonly<Record<string, unknown>>, payload: string | Buffer): OutgoingMessage {
  const envelope = { ...parts.envelope, ...changes };
  const { eventId, eventType, version } = envelope;
  return message(parts, json(envelope, payload), { headers: { eventId, eventType, version } });
}

/** The same without headers, so that the body alone says what it is. */
function bare(parts: PoisonParts, changes: Readonly<Record<string, unknown>>): OutgoingMessage {
  return message(parts, json({ ...parts.envelope, ...changes }, parts.goodPayload()), { headers: {} });
}

function bomb(envelope: Envelope): Buffer {
  const headers = Buffer.alloc(bombHeaders * 5, 0xff);
  for (let at = 0; at < headers.length; at += 5) headers[at] = 0xdd;
  return Buffer.concat([packHead({ ...envelope }, "payload"), headers]);
}

export function makePoison(kind: Exclude<PoisonKind, "event-id-reuse">, parts: PoisonParts): OutgoingMessage {
  const { envelope, goodPayload, bodyBytesMax } = parts;
  switch (kind) {
    case "not-json": {
      const whole = json(envelope, goodPayload());
      return message(parts, whole.subarray(0, whole.length >> 1));
    }
    case "missing-event-id":
      return bare(parts, { eventId: undefined });
    case "array-event-id":
      return bare(parts, { eventId: [envelope.eventId, "DEL", "*"] });
    case "long-event-id":
      return withFields(parts, { eventId: envelope.eventId.padEnd(longIdCharacters, "0") }, goodPayload());
    case "bad-event-id":
      return withFields(parts, { eventId: `${envelope.eventId} {tag}\r\n` }, goodPayload());
    case "unknown-event-type":
      return withFields(parts, { eventType: "NobodyHandlesThis" }, goodPayload());
    case "unsupported-version":
      return withFields(parts, { version: "9.0" }, goodPayload());
    case "invalid-payload":
      return message(parts, json(envelope, '{"name":7,"artifactId":[],"channel":null,"title":""}'));
    case "deep-json":
      return message(parts, json(envelope, `{"name":"deep","event":{"deep":${"[".repeat(depth)}${"]".repeat(depth)}}}`));
    case "msgpack-bomb":
      return message(parts, bomb(envelope), { contentType: "application/msgpack" });
    case "prototype-keys":
      return message(parts, json(envelope, '{"name":"issues","event":{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}}'));
    case "header-mismatch":
      return message(parts, json({ ...envelope, eventId: `${envelope.eventId}-other` }, goodPayload()));
    case "body-too-large":
      return message(parts, json(envelope, `{"name":"large","event":{"text":"${"x".repeat(bodyBytesMax)}"}}`));
  }
}
