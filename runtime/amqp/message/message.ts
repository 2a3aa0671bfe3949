// A message as a byte range (part 3, 3.2). Its sections are found when one is first asked for, and a field is decoded when
// it is read: taking one property and one annotation of a message costs little more than stepping over the others.
//
//   header? delivery-annotations? message-annotations? | properties? application-properties? body | footer?
//                                                       `---------- the bare message ----------'
//
// A view stays valid as long as its bytes are not written to; the engine never writes to bytes that came from a socket. It
// keeps the whole buffer in memory that it lies in, so copy what is to be kept for long (`Buffer.from(view.bytes)`).
// Reading throws a ProtocolError (`amqp:decode-error`) where the bytes are not what they should be.
import { u8 } from "../codec/bytes.ts";
import { plainAt } from "../codec/decode.ts";
import { describedValueAt, descriptor, descriptorAt } from "../codec/descriptors.ts";
import { malformed } from "../codec/errors.ts";
import { FieldReader } from "../codec/fields.ts";
import { format } from "../codec/formats.ts";
import { skipValue } from "../codec/skip.ts";
import type { Plain } from "../codec/types.ts";
import { MapView, ValueView } from "../codec/views.ts";

export type SectionName = "header" | "deliveryAnnotations" | "messageAnnotations" | "properties" | "applicationProperties" | "body" | "footer";

export type BodyKind = "data" | "sequence" | "value" | "none";

/** The fields of the properties section, in their order (part 3, 3.2.4). */
export const propertyFields = [
  "messageId",
  "userId",
  "to",
  "subject",
  "replyTo",
  "correlationId",
  "contentType",
  "contentEncoding",
  "absoluteExpiryTime",
  "creationTime",
  "groupId",
  "groupSequence",
  "replyToGroupId",
] as const;

export type PropertyName = (typeof propertyFields)[number];

const propertyIndex = Object.fromEntries(propertyFields.map((name, index) => [name, index])) as { readonly [Name in PropertyName]: number };

const sectionOrder: readonly SectionName[] = ["header", "deliveryAnnotations", "messageAnnotations", "properties", "applicationProperties", "body", "footer"];

const priorityDefault = 4;
const noBytes = Buffer.alloc(0);
/** For one field at a time: nothing else is read before it has been. */
const reader = new FieldReader();

export class MessageView {
  /** The message is `buffer[start, end)`. */
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
  #indexed = false;
  // Where each section begins, at its descriptor; -1: it is not there. They are fields of their own and not an array
  // because there is a view for every message.
  #header = -1;
  #deliveryAnnotations = -1;
  #messageAnnotations = -1;
  #properties = -1;
  #applicationProperties = -1;
  #body = -1;
  #bodyEnd = -1;
  #footer = -1;

  constructor(buffer: Buffer, start = 0, end: number = buffer.length) {
    this.buffer = buffer;
    this.start = start;
    this.end = end;
  }

  /** The whole message as it came. */
  get bytes(): Buffer {
    return this.buffer.subarray(this.start, this.end);
  }

  /** Throws unless the message is a well-formed row of sections. What lies inside them is checked when it is read. */
  check(): void {
    this.#index();
    if (this.#footer >= 0 && this.#footer < this.#body) throw malformed("expected the footer of a message after its body");
  }

  /** Takes a footer that stands before the body for what it is: some clients write it there. Everything else has its order. */
  #index(): void {
    if (this.#indexed) return;
    const { buffer, end } = this;
    let last = 0;
    for (let at = this.start; at < end;) {
      const code = descriptorAt(buffer, at, end);
      const repeats = code === last && (code === descriptor.data || code === descriptor.sequence);
      if (code === descriptor.footer ? this.#footer >= 0 : code <= last && !repeats)
        throw malformed("expected the sections of a message in their order, each once");
      const next = skipValue(buffer, describedValueAt(buffer, at, end), end);
      if (!repeats) this.#place(code, at, last);
      if (code !== descriptor.footer) {
        last = code;
        if (this.#body >= 0) this.#bodyEnd = next;
      }
      at = next;
    }
    this.#indexed = true;
  }

  #place(code: number, at: number, last: number): void {
    switch (code) {
      case descriptor.header:
        this.#header = at;
        return;
      case descriptor.deliveryAnnotations:
        this.#deliveryAnnotations = at;
        return;
      case descriptor.messageAnnotations:
        this.#messageAnnotations = at;
        return;
      case descriptor.properties:
        this.#properties = at;
        return;
      case descriptor.applicationProperties:
        this.#applicationProperties = at;
        return;
      case descriptor.footer:
        this.#footer = at;
        return;
      case descriptor.data:
      case descriptor.sequence:
      case descriptor.value:
        if (last >= descriptor.data) throw malformed("expected one kind of body in a message");
        this.#body = at;
        return;
      default:
        throw malformed(`expected a section of a message, found descriptor ${code}`);
    }
  }

  #sectionAt(name: SectionName): number {
    this.#index();
    switch (name) {
      case "header":
        return this.#header;
      case "deliveryAnnotations":
        return this.#deliveryAnnotations;
      case "messageAnnotations":
        return this.#messageAnnotations;
      case "properties":
        return this.#properties;
      case "applicationProperties":
        return this.#applicationProperties;
      case "body":
        return this.#body;
      case "footer":
        return this.#footer;
    }
  }

  /** One section as it came, its descriptor included. */
  section(name: SectionName): Buffer | undefined {
    const at = this.#sectionAt(name);
    if (at < 0) return undefined;
    const end = name === "body" ? this.#bodyEnd : skipValue(this.buffer, at, this.end);
    return this.buffer.subarray(at, end);
  }

  /** Everything from the first section on that is `name` or comes after it: from "properties" on, what senders may not change. */
  from(name: SectionName): Buffer {
    return this.buffer.subarray(this.startOf(name), this.end);
  }

  /** Where `from` begins in `buffer`. */
  startOf(name: SectionName): number {
    for (let i = sectionOrder.indexOf(name); i < sectionOrder.length; i++) {
      const at = this.#sectionAt(sectionOrder[i]!);
      if (at >= 0) return at;
    }
    return this.end;
  }

  // The header (part 3, 3.2.1).

  get durable(): boolean {
    return this.#fieldsOf("header", 0)?.boolean(false) ?? false;
  }

  get priority(): number {
    return this.#fieldsOf("header", 1)?.ubyte(priorityDefault) ?? priorityDefault;
  }

  /** Time to live; undefined: none. */
  get ttlMs(): number | undefined {
    const ttl = this.#fieldsOf("header", 2)?.uint(-1) ?? -1;
    return ttl < 0 ? undefined : ttl;
  }

  get firstAcquirer(): boolean {
    return this.#fieldsOf("header", 3)?.boolean(false) ?? false;
  }

  /** Earlier deliveries that failed; 0 on the first. */
  get deliveryCount(): number {
    return this.#fieldsOf("header", 4)?.uint(0) ?? 0;
  }

  /** A reader of a section that is a list: the cheapest way to more than one of its fields. */
  fields(name: "header" | "properties"): FieldReader | undefined {
    return this.#open(name, new FieldReader());
  }

  #open(name: "header" | "properties", fields: FieldReader): FieldReader | undefined {
    const at = this.#sectionAt(name);
    return at < 0 ? undefined : fields.open(this.buffer, describedValueAt(this.buffer, at, this.end), this.end);
  }

  /** A reader for one field, `skipped` fields on. */
  #fieldsOf(name: "header" | "properties", skipped: number): FieldReader | undefined {
    const fields = this.#open(name, reader);
    if (fields === undefined) return undefined;
    for (let left = skipped; left > 0; left--) fields.span();
    return fields;
  }

  // Properties (part 3, 3.2.4).

  /** One property, decoded; undefined when it is null or not there. */
  property(name: PropertyName): Plain | undefined {
    const at = this.#propertyAt(name);
    return at < 0 ? undefined : (plainAt(this.buffer, at, this.end) ?? undefined);
  }

  /** One property that is text; undefined when it is not there or of another type. */
  text(name: PropertyName): string | undefined {
    const value = this.property(name);
    return typeof value === "string" ? value : undefined;
  }

  /** One property as it is encoded, to be written elsewhere with its exact type. */
  propertyView(name: PropertyName): ValueView | undefined {
    const at = this.#propertyAt(name);
    return at < 0 ? undefined : new ValueView(this.buffer, at, skipValue(this.buffer, at, this.end));
  }

  /** Where the property's value begins, or -1. */
  #propertyAt(name: PropertyName): number {
    const fields = this.#fieldsOf("properties", propertyIndex[name]);
    return fields?.span() === true ? fields.spanStart : -1;
  }

  // Maps.

  get deliveryAnnotations(): MapView | undefined {
    return this.#map("deliveryAnnotations");
  }

  get messageAnnotations(): MapView | undefined {
    return this.#map("messageAnnotations");
  }

  get applicationProperties(): MapView | undefined {
    return this.#map("applicationProperties");
  }

  get footer(): MapView | undefined {
    return this.#map("footer");
  }

  #map(name: SectionName): MapView | undefined {
    const at = this.mapAt(name);
    return at < 0 ? undefined : new MapView(this.buffer, at, this.end);
  }

  /** Where the map of a section begins in `buffer`, or -1. */
  mapAt(name: SectionName): number {
    const at = this.#sectionAt(name);
    return at < 0 ? -1 : describedValueAt(this.buffer, at, this.end);
  }

  // The body (part 3, 3.2.6 to 3.2.8).

  get bodyKind(): BodyKind {
    this.#index();
    if (this.#body < 0) return "none";
    const code = descriptorAt(this.buffer, this.#body, this.end);
    return code === descriptor.data ? "data" : code === descriptor.sequence ? "sequence" : "value";
  }

  /** The bytes of a body of data: a slice of the message, or a copy when there are several sections. Empty for another body. */
  get data(): Buffer {
    if (this.bodyKind !== "data") return noBytes;
    const valueAt = describedValueAt(this.buffer, this.#body, this.end);
    if (skipValue(this.buffer, valueAt, this.end) !== this.#bodyEnd) return Buffer.concat(this.dataSections());
    return binaryAt(this.buffer, valueAt, this.#bodyEnd);
  }

  /** Each data section's bytes, as slices. */
  dataSections(): Buffer[] {
    if (this.bodyKind !== "data") return [];
    return this.#bodySections().map((view) => binaryAt(view.bytes, view.start, view.end));
  }

  /** The value of an amqp-value body, or each list of an amqp-sequence body. Empty for another body. */
  values(): ValueView[] {
    return this.bodyKind === "data" ? [] : this.#bodySections();
  }

  #bodySections(): ValueView[] {
    this.#index();
    const views: ValueView[] = [];
    for (let at = this.#body; at >= 0 && at < this.#bodyEnd;) {
      const valueAt = describedValueAt(this.buffer, at, this.end);
      at = skipValue(this.buffer, valueAt, this.end);
      views.push(new ValueView(this.buffer, valueAt, at));
    }
    return views;
  }
}

/** The bytes of the binary that is encoded in `bytes[at, end)`, as a slice. */
function binaryAt(bytes: Buffer, at: number, end: number): Buffer {
  const code = u8(bytes, at);
  if (code !== format.binary8 && code !== format.binary32) throw malformed("expected binary in a data section");
  return bytes.subarray(at + (code === format.binary8 ? 2 : 5), end);
}
