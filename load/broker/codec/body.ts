// What a message carries, for people: the type of its event, and its body.
import { MessageView } from "#runtime/amqp/message/message.ts";
import { decodedOrNull } from "./encoded.ts";
import { type Readable, readable } from "./readable.ts";

/** A body as JSON can hold it, its beginning when it is long. */
export interface ReadableBody {
  /** How `value` shows it: as the text it is, as base64 where it is none, or an AMQP value as JSON. */
  readonly kind: "text" | "base64" | "value";
  readonly value: string;
  readonly isCut: boolean;
}

/** Bytes of a body that are shown. */
const bodyShownMax = 4_096;
/** A body that is longer is not searched for an event type. */
const bodyReadMax = 65_536;
const typeHeaders = ["eventType", "event_type", "cloudEvents:type", "cloudEvents_type", "ce-type"] as const;
const typeFields = ["eventType", "event_type", "type"] as const;

export function bodyOf(bare: Buffer): ReadableBody {
  const message = new MessageView(bare);
  if (message.bodyKind !== "data")
    return cut(
      "value",
      Buffer.from(
        message
          .values()
          .map(({ bytes, start, end }) => JSON.stringify(readable(decodedOrNull(bytes.subarray(start, end)))))
          .join("\n"),
      ),
    );
  const bytes = message.data;
  return isText(bytes) ? cut("text", bytes) : cut("base64", bytes);
}

function cut(kind: ReadableBody["kind"], bytes: Buffer): ReadableBody {
  const shown = bytes.subarray(0, bodyShownMax);
  // Cut in the middle of a character, a text would end with one that was never there.
  const value = kind === "base64" ? shown.toString("base64") : new TextDecoder().decode(shown, { stream: true });
  return { kind, value, isCut: bytes.length > bodyShownMax };
}

function isText(bytes: Buffer): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The type of the event that the message brings, by its properties, or else by its body where that is JSON; null when neither tells. */
export function eventTypeOf(bare: Buffer, properties: Readonly<Record<string, Readable>>): string | null {
  for (const name of typeHeaders) {
    const type = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (typeof type === "string") return type;
  }
  return eventTypeInBody(bare);
}

function eventTypeInBody(bare: Buffer): string | null {
  if (bare.length > bodyReadMax) return null;
  try {
    const body = JSON.parse(new MessageView(bare).data.toString("utf8")) as unknown;
    if (typeof body !== "object" || body === null) return null;
    for (const name of typeFields) {
      const type = Object.hasOwn(body, name) ? (body as Readonly<Record<string, unknown>>)[name] : undefined;
      if (typeof type === "string") return type;
    }
  } catch {
    // No JSON: it tells none.
  }
  return null;
}
