/**
 * The hash by which an event sent again is distinguished from another event under its id. It is made of the payload alone, so that a
 * fresh timestamp or trace makes no other event of it:
 *
 * | form                              | what is hashed                                                                   |
 * |-----------------------------------|----------------------------------------------------------------------------------|
 * | canonical                         | the bytes of `payload`                                                           |
 * | snake                             | the members that are no field of the envelope, in their order                    |
 * | structured CloudEvent, Event Grid | the bytes of `data`, else of `data_base64`                                       |
 * | binary CloudEvent                 | the body                                                                         |
 * | of an envelope hook               | the bytes of the member that it names as the payload, else the body              |
 *
 * Bytes are taken as they were sent, decompressed: the same payload in another order of keys counts as another one. Where the
 * payload is not found, which the thread will refuse, the whole body is hashed.
 */
import { hash } from "node:crypto";
import { type ContentEncoding, decompressLater, outputBytesMax } from "./decompress.ts";
import type { WireForm } from "./event-envelope.ts";
import { JsonMembers, jsonValueOf } from "./json-scan.ts";
import { walkMsgpack } from "./msgpack-scan.ts";
import type { DecodeLimits, Routed } from "./read-route.ts";
import { KeyTable } from "./wanted-keys.ts";
import { type TellingKeys, formOf, snakeNames } from "./wire-forms.ts";

const places = { payload: 0, data: 1, data_base64: 2, eventId: 3, event_id: 4, specversion: 5, id: 6, eventType: 7, eventTime: 8 } as const;
const telling = new KeyTable(Object.keys(places));
const snakeFields = new KeyTable(Object.values(snakeNames));

/** Where the values of the telling keys lie, of one body after the other. */
class Spans implements TellingKeys {
  readonly starts: Int32Array = new Int32Array(Object.keys(places).length);
  readonly ends: Int32Array = new Int32Array(Object.keys(places).length);

  clear(): void {
    this.starts.fill(-1);
  }

  set(place: number, start: number, end: number): void {
    this.starts[place] = start;
    this.ends[place] = end;
  }

  has(place: number): boolean {
    return (this.starts[place] as number) >= 0;
  }

  get eventId(): boolean {
    return this.has(places.eventId);
  }

  get eventIdInSnake(): boolean {
    return this.has(places.event_id);
  }

  get specversion(): boolean {
    return this.has(places.specversion);
  }

  get eventGrid(): boolean {
    return this.has(places.id) && this.has(places.eventType) && this.has(places.eventTime);
  }

  of(place: number, bytes: Uint8Array): Uint8Array | undefined {
    return this.has(place) ? bytes.subarray(this.starts[place], this.ends[place]) : undefined;
  }
}

/** These forms may come without data. */
const nothing = Buffer.from("null");
const spans = new Spans();
const members = new JsonMembers();

/** The part that a form's body has for a payload, by what was found of it. */
function partOf(form: WireForm, bytes: Uint8Array): Uint8Array | "snake" | undefined {
  switch (form) {
    case "canonical":
      return spans.of(places.payload, bytes);
    case "snake":
      return "snake";
    case "cloudevents-structured":
      return spans.of(places.data_base64, bytes) ?? spans.of(places.data, bytes) ?? nothing;
    case "event-grid":
      return spans.of(places.data, bytes) ?? nothing;
    case "cloudevents-binary":
    case "hooked":
      return undefined;
  }
}

/** Gathers the members that are no fields of the envelope, as an object's text. */
function snakePayload(bytes: Uint8Array, depthMax: number): Uint8Array {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const gathered = Buffer.allocUnsafe(bytes.byteLength + 2);
  let length = 0;
  members.open(bytes, depthMax);
  while (members.next()) {
    const { keyStart, keyEnd, valueEnd } = members;
    if (snakeFields.placeOf(bytes, keyStart, keyEnd) >= 0) continue;
    gathered[length] = length === 0 ? 0x7b : 0x2c;
    length += 1;
    length += view.copy(gathered, length, keyStart - 1, valueEnd);
  }
  if (length === 0) gathered[length++] = 0x7b;
  gathered[length] = 0x7d;
  return gathered.subarray(0, length + 1);
}

function jsonPayload(bytes: Uint8Array, form: WireForm, depthMax: number): Uint8Array | undefined {
  spans.clear();
  members.open(bytes, depthMax);
  while (members.next()) {
    const place = telling.placeOf(bytes, members.keyStart, members.keyEnd);
    if (place < 0) continue;
    spans.set(place, members.valueStart, members.valueEnd);
    // Most bodies are canonical, and their headers or first keys have said so.
    if (place === places.payload && form === "canonical" && spans.eventId) return spans.of(place, bytes);
  }
  if (members.fault !== undefined) return undefined;
  const part = partOf(formOf(form === "cloudevents-structured", spans), bytes);
  return part === "snake" ? snakePayload(bytes, depthMax) : part;
}

function msgpackPayload(bytes: Uint8Array, form: WireForm, depthMax: number): Uint8Array | undefined {
  spans.clear();
  const others: Uint8Array[] = [];
  const isWhole = walkMsgpack(bytes, depthMax, (keyStart, keyEnd, valueStart, valueEnd) => {
    const place = telling.placeOf(bytes, keyStart, keyEnd);
    if (place >= 0) spans.set(place, valueStart, valueEnd);
    if (snakeFields.placeOf(bytes, keyStart, keyEnd) < 0) others.push(bytes.subarray(keyStart, valueEnd));
    return false;
  });
  if (!isWhole) return undefined;
  const part = partOf(formOf(form === "cloudevents-structured", spans), bytes);
  return part === "snake" ? Buffer.concat(others) : part;
}

function hookedPayload(bytes: Uint8Array, { route, headers }: Routed, depthMax: number): Uint8Array | undefined {
  const key = headers?.["payload"];
  if (typeof key !== "string") return undefined;
  if (route.codec === "json") return jsonValueOf(bytes, key, depthMax);
  let found: Uint8Array | undefined;
  walkMsgpack(bytes, depthMax, (keyStart, keyEnd, valueStart, valueEnd) => {
    if (Buffer.from(bytes.subarray(keyStart, keyEnd)).toString("utf8") !== key) return false;
    found = bytes.subarray(valueStart, valueEnd);
    return true;
  });
  return found;
}

/** The bytes of a plain body that are hashed. */
function payloadIn(body: Uint8Array, routed: Routed, depthMax: number): Uint8Array {
  const { form, codec } = routed.route;
  if (form === "cloudevents-binary") return body;
  if (form === "hooked") return hookedPayload(body, routed, depthMax) ?? body;
  return (codec === "msgpack" ? msgpackPayload(body, form, depthMax) : jsonPayload(body, form, depthMax)) ?? body;
}

/** Bodies that are decompressed at once for their hash; more wait, as themselves. */
const decompressionsMax = 4;

/** Answers at once for a plain body, later for a compressed one; never fails. */
export type HashPayload = (body: Uint8Array, routed: Routed) => string | Promise<string>;

export function createPayloadHash(limits: DecodeLimits): HashPayload {
  const waiting: (() => void)[] = [];
  let active = 0;

  const hashNow = (body: Uint8Array, routed: Routed): string => hash("sha1", payloadIn(body, routed, limits.depthMax), "base64");

  const ended = (): void => {
    active -= 1;
    waiting.shift()?.();
  };

  const hashLater = (body: Uint8Array, contentEncoding: ContentEncoding, routed: Routed): Promise<string> =>
    new Promise((resolve) => {
      const begin = (): void => {
        active += 1;
        decompressLater(body, contentEncoding, outputBytesMax(body, limits), (plain) => {
          ended();
          resolve(plain === undefined ? hash("sha1", body, "base64") : hashNow(plain, routed));
        });
      };
      if (active < decompressionsMax) begin();
      else waiting.push(begin);
    });

  return (body, routed) => (routed.contentEncoding === undefined ? hashNow(body, routed) : hashLater(body, routed.contentEncoding, routed));
}

/** Whether it is the hash that a record knows. Of a run that is done, that may be its beginning alone. */
export function isKnownPayload(payloadHash: string, known: string): boolean {
  return known.length < shortHashCharacters ? payloadHash === known : payloadHash.startsWith(known);
}

const shortHashCharacters = 8;
