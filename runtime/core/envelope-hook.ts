/**
 * Envelopes of others: a hook is a pure function from a message's properties and a shallow look at its body to the envelope's
 * fields. It runs on the main thread, once a message, before anything is decoded; its answer is plain data, which goes to the
 * thread with the message.
 *
 *   defineConfig({
 *     envelopes: [
 *       {
 *         name: "masstransit",
 *         read(message) {
 *           const [urn] = (message.field("messageType") ?? []) as string[];
 *           if (urn === undefined) return undefined;
 *           return { eventId: String(message.field("messageId")), eventType: urn.replace(/^urn:message:/, ""), payload: "message" };
 *         },
 *       },
 *     ],
 *   });
 */
import { types } from "node:util";
import type { BodyCodec, Invalid } from "./event-envelope.ts";
import { isEventId, isEventType, isVersion } from "./event-envelope.ts";
import type { Delivery, HeaderValue } from "./delivery.ts";
import { messageOf } from "./errors.ts";
import { jsonValueOf } from "./json-scan.ts";
import { findMsgpackFault, unpackMsgpack, walkMsgpack } from "./msgpack-scan.ts";
import { defaultProjectId, defaultVersion } from "./wire-forms.ts";

/** What a hook is shown of a message. */
export interface EnvelopeSource {
  readonly messageId: string;
  readonly contentType: string | undefined;
  readonly correlationId: string | undefined;
  readonly subject: string | undefined;
  /** When the broker accepted it, in its wall clock. */
  readonly enqueuedAtMs: number;
  /** One application property. */
  header(name: string): HeaderValue | undefined;
  /**
   * The value of one key at the top of the body, which costs a walk over the body. Undefined when there is none, or the body is
   * compressed or no object. Throws for a value of more than 4 096 bytes: a hook looks at ids, and leaves the payload to the thread.
   */
  field(name: string): unknown;
}

/** A hook's answer: the envelope's fields. What is missing of the optional ones gets the defaults that are stated here. */
export interface HookedEnvelope {
  readonly eventId: string;
  readonly eventType: string;
  /** `major.minor`; default `1.0`. */
  readonly version?: string | undefined;
  /** Default: the correlation id. */
  readonly traceId?: string | undefined;
  /** Default: the message's own correlation id, else the event id. */
  readonly correlationId?: string | undefined;
  /** Default `default`. */
  readonly projectId?: string | undefined;
  readonly tenantId?: string | undefined;
  /** Default: the hook's name. */
  readonly originatingAgent?: string | undefined;
  /** ISO 8601, or a Date; default: when the broker accepted the message. */
  readonly timestamp?: string | Date | undefined;
  readonly causationId?: string | undefined;
  readonly artifactUri?: string | undefined;
  /** The key at the top of the body whose value is the payload; default: the whole body. */
  readonly payload?: string | undefined;
  /** `bytes` hands the body over as a Uint8Array; default: by content type, else by the body's first byte. */
  readonly codec?: BodyCodec | undefined;
}

/** Reads messages of a form that the worker does not know: what it says of a message is checked like any envelope. Named in `envelopeHooks` of the configuration. */
export interface EnvelopeHook {
  /** 1 to 64 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter; it is named in the description of a message that it cannot read. */
  readonly name: string;
  /**
   * The fields of a message's envelope, or undefined for a message that is not of its form. Hooks are asked in their order, before
   * the built-in forms. One that throws, or answers anything else, ends that message as `InvalidEnvelope`.
   */
  read(message: EnvelopeSource): HookedEnvelope | undefined;
}

/** Longest value that `field` reads, in bytes. */
const fieldBytesMax = 4_096;
/** Longest text of an answer; the thread checks the bounds of each field. */
const textMax = 2_048;
/** Longest text that the thread takes for an id. */
const defaultTextMax = 256;

class Source implements EnvelopeSource {
  readonly #delivery: Delivery;
  readonly #codec: BodyCodec;
  readonly #depthMax: number;

  constructor(delivery: Delivery, codec: BodyCodec, depthMax: number) {
    this.#delivery = delivery;
    this.#codec = codec;
    this.#depthMax = depthMax;
  }

  get messageId(): string {
    return this.#delivery.messageId;
  }

  get contentType(): string | undefined {
    return this.#delivery.contentType;
  }

  get correlationId(): string | undefined {
    return this.#delivery.correlationId;
  }

  get subject(): string | undefined {
    return this.#delivery.subject;
  }

  get enqueuedAtMs(): number {
    return this.#delivery.enqueuedAtMs;
  }

  header(name: string): HeaderValue | undefined {
    return this.#delivery.header(name);
  }

  field(name: string): unknown {
    if (this.#codec === "bytes") return undefined;
    const { body } = this.#delivery;
    const bytes = this.#codec === "json" ? jsonValueOf(body, name, this.#depthMax) : msgpackValueOf(body, name, this.#depthMax);
    if (bytes === undefined) return undefined;
    if (bytes.byteLength > fieldBytesMax)
      throw new RangeError(`expected field '${name}' to take at most ${fieldBytesMax} bytes, found ${bytes.byteLength}; leave large values to the skill`);
    return this.#codec === "json" ? (JSON.parse(Buffer.from(bytes).toString("utf8")) as unknown) : unpackMsgpack(bytes);
  }
}

function msgpackValueOf(body: Uint8Array, name: string, depthMax: number): Uint8Array | undefined {
  let found: Uint8Array | undefined;
  walkMsgpack(body, depthMax, (keyStart, keyEnd, valueStart, valueEnd) => {
    if (Buffer.from(body.subarray(keyStart, keyEnd)).toString("utf8") !== name) return false;
    found = body.subarray(valueStart, valueEnd);
    return true;
  });
  return found === undefined || findMsgpackFault(found, depthMax) !== undefined ? undefined : found;
}

/** What a hook said of a message, checked: the route's part, and all else as the thread reads it. */
export interface Hooked {
  readonly eventId: string;
  readonly eventType: string;
  readonly version: string;
  readonly codec: BodyCodec | undefined;
  /** The envelope's other fields under their canonical names, and `payload` where the answer names a key; a time only if it has one. */
  readonly headers: Readonly<Record<string, HeaderValue>>;
}

class Nonsense extends Error {}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (value instanceof Promise) return "a promise";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string") return value === "" ? "an empty string" : value.length > textMax ? `a string of ${value.length} characters` : "another string";
  return typeof value === "object" ? "an object" : value === undefined ? "nothing" : `a ${typeof value}`;
}

function textIn(fields: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || value === "" || value.length > textMax)
    throw new Nonsense(`${name}: expected a string of 1 to ${textMax} characters, got ${describe(value)}`);
  return value;
}

function needed<Value>(name: string, expected: string, value: unknown, is: (value: unknown) => value is Value): Value {
  if (!is(value)) throw new Nonsense(`${name}: expected ${expected}, got ${describe(value)}`);
  return value;
}

function timestampIn(fields: Readonly<Record<string, unknown>>): HeaderValue | undefined {
  const value = fields["timestamp"];
  if (!types.isDate(value)) return textIn(fields, "timestamp");
  if (Number.isNaN(value.getTime())) throw new Nonsense("timestamp: expected a time that exists, got an invalid Date");
  return value;
}

const codecs: readonly unknown[] = ["json", "msgpack", "bytes", undefined];
const demandable = ["traceId", "correlationId", "projectId", "originatingAgent", "timestamp", "version"] as const;

function check(hook: EnvelopeHook, delivery: Delivery, answer: unknown, demands: boolean): Hooked {
  if (typeof answer !== "object" || answer === null || Array.isArray(answer) || answer instanceof Promise)
    throw new Nonsense(`expected fields or undefined, got ${describe(answer)}`);
  const fields = answer as Readonly<Record<string, unknown>>;
  const eventId = needed("eventId", "a string of 1 to 128 characters of A-Z a-z 0-9 . _ ~ : / + = @ | -", fields["eventId"], isEventId);
  const eventType = needed("eventType", "a string of 1 to 128 characters of A-Z a-z 0-9 . _ ~ : / -", fields["eventType"], isEventType);
  const codec = fields["codec"];
  if (!codecs.includes(codec)) throw new Nonsense(`codec: expected 'json', 'msgpack' or 'bytes', got ${describe(codec)}`);
  const payload = textIn(fields, "payload");
  if (payload !== undefined && codec === "bytes") throw new Nonsense("payload: expected no key to be named beside the codec 'bytes', got one");
  if (demands)
    for (const name of demandable)
      needed(name, "a value, for the configuration demands them all", fields[name] ?? undefined, (value): value is unknown => value !== undefined);
  const correlationId = textIn(fields, "correlationId") ?? (delivery.correlationId || eventId).slice(0, defaultTextMax);
  const optional = {
    timestamp: timestampIn(fields),
    tenantId: textIn(fields, "tenantId"),
    causationId: textIn(fields, "causationId"),
    artifactUri: textIn(fields, "artifactUri"),
    payload,
  };
  const stated = {
    traceId: textIn(fields, "traceId") ?? correlationId,
    correlationId,
    projectId: textIn(fields, "projectId") ?? defaultProjectId,
    originatingAgent: textIn(fields, "originatingAgent") ?? hook.name,
  };
  const headers: Readonly<Record<string, HeaderValue>> = Object.fromEntries(
    Object.entries({ ...stated, ...optional }).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  return {
    eventId,
    eventType,
    version: needed("version", "a string 'major.minor' of digits", fields["version"] ?? defaultVersion, isVersion),
    codec: codec as BodyCodec | undefined,
    headers,
  };
}

/** Asks the hooks in their order; undefined when the message is of none of their forms. `codec` is what its body seems to be. */
export function askHooks(
  hooks: readonly EnvelopeHook[],
  delivery: Delivery,
  codec: BodyCodec,
  depthMax: number,
  demands: boolean,
): Hooked | Invalid | undefined {
  const source = new Source(delivery, codec, depthMax);
  for (const hook of hooks) {
    try {
      const answer: unknown = hook.read(source);
      // A promise is refused below; that it fails must not end the process.
      if (answer instanceof Promise) answer.catch(() => undefined);
      if (answer !== undefined) return check(hook, delivery, answer, demands);
    } catch (error) {
      const what = error instanceof Nonsense ? error.message : `expected fields or undefined, it threw: ${messageOf(error, 300)}`;
      return { reason: "InvalidEnvelope", description: `envelope hook '${hook.name}': ${what}` };
    }
  }
  return undefined;
}
