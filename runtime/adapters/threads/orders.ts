/**
 * Orders on their way to a thread: one slab a task, which changes hands without being copied. Numbers are in the byte order of
 * DataView's default.
 *
 *   skill's length (2) · number of orders (2) · skill · order …
 *
 *   order:  ticket (8) · lease until (8) · time-out (8) · enqueued at (8) · epoch (4) · attempt (4) · generation (4) · body's length (4)
 *           · length of the rest (4) · source (2) · form (1) · codec (1) · lengths of event id, type, version and traceparent
 *           (1 each) · event id · type · version · traceparent · body · rest
 *
 * A type or version of no length is that of the order before. The rest, of orders that have any, is msgpack.
 */
import type { HeaderValue } from "../../core/delivery.ts";
import type { BodyCodec, WireForm } from "../../core/event-envelope.ts";
import type { Allowance } from "../../core/limits.ts";
import type { RunOrder } from "../../ports/executor.ts";
import type { ThreadOrder } from "../../skills/host/run-order.ts";
import { type PackedStep, packStep, packr, unpackStep } from "./wire.ts";

/** An order on its way to a thread. The ticket stands for the run: a run that is posted again gets another. */
export interface TicketedOrder {
  readonly ticket: number;
  readonly order: RunOrder;
  readonly body: Uint8Array;
  readonly leaseUntilMs: number;
}

const forms: readonly WireForm[] = ["canonical", "snake", "cloudevents-structured", "cloudevents-binary", "event-grid", "hooked"];
const codecs: readonly BodyCodec[] = ["json", "msgpack", "bytes"];

const headBytes = 4;
const fixedBytes = 60;
const at = {
  ticket: 0,
  leaseUntilMs: 8,
  timeoutMs: 16,
  enqueuedAtMs: 24,
  epoch: 32,
  attempt: 36,
  generation: 40,
  bodyLength: 44,
  restLength: 48,
  source: 52,
  form: 54,
  codec: 55,
  eventIdLength: 56,
  eventTypeLength: 57,
  versionLength: 58,
  traceparentLength: 59,
} as const;

type Rest = readonly [
  contentEncoding: string | null,
  headers: Readonly<Record<string, HeaderValue>> | null,
  steps: readonly PackedStep[],
  pipelineChanged: boolean,
  inDoubt: boolean,
  rejectedBy: readonly number[],
  allowances: readonly Allowance[] | null,
  sessionId: string | null,
];

const noRest: Rest = [null, null, [], false, false, [], null, null];
const noBytes = new Uint8Array(0);

function packRest({ contentEncoding, headers, steps, pipelineChanged, inDoubt, rejectedBy, allowances, sessionId }: RunOrder): Uint8Array {
  const isUsual = contentEncoding === undefined && headers === undefined && allowances === undefined && sessionId === undefined && rejectedBy.length === 0;
  if (isUsual && steps.length === 0 && !pipelineChanged && !inDoubt) return noBytes;
  const rest: Rest = [
    contentEncoding ?? null,
    headers ?? null,
    steps.map(packStep),
    pipelineChanged,
    inDoubt,
    rejectedBy,
    allowances ?? null,
    sessionId ?? null,
  ];
  return packr.pack(rest);
}

/** Event ids, types and versions are ASCII: what is not is no event of ours. */
function writeText(bytes: Uint8Array, at: number, text: string): void {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f) throw new TypeError(`expected the fields of a route to be ASCII, found ${JSON.stringify(text)}`);
    bytes[at + index] = unit;
  }
}

/** One task: runs of one skill. */
export function packOrders(skill: string, orders: readonly TicketedOrder[]): Uint8Array<ArrayBuffer> {
  const rests: Uint8Array[] = [];
  let length = headBytes + Buffer.byteLength(skill);
  let eventType = "";
  let version = "";
  for (let index = 0; index < orders.length; index += 1) {
    const { order, body } = orders[index]!;
    const { route } = order;
    const rest = packRest(order);
    rests.push(rest);
    length += fixedBytes + route.eventId.length + body.byteLength + rest.byteLength;
    if (order.traceparent !== undefined) length += order.traceparent.length;
    if (route.eventType !== eventType) length += route.eventType.length;
    if (route.version !== version) length += route.version.length;
    ({ eventType, version } = route);
  }
  const slab = Buffer.from(new ArrayBuffer(length));
  const view = new DataView(slab.buffer);
  const skillLength = slab.write(skill, headBytes);
  view.setUint16(0, skillLength);
  view.setUint16(2, orders.length);
  let next = headBytes + skillLength;
  eventType = "";
  version = "";
  for (let index = 0; index < orders.length; index += 1) {
    const ticketed = orders[index]!;
    const { route } = ticketed.order;
    next = writeOrder(slab, view, next, ticketed, rests[index]!, route.eventType === eventType, route.version === version);
    ({ eventType, version } = route);
  }
  return slab;
}

/** Returns where the next one begins. */
function writeOrder(
  slab: Uint8Array,
  view: DataView,
  start: number,
  { ticket, order, body, leaseUntilMs }: TicketedOrder,
  rest: Uint8Array,
  isSameType: boolean,
  isSameVersion: boolean,
): number {
  const { eventId, form, codec } = order.route;
  const eventType = isSameType ? "" : order.route.eventType;
  const version = isSameVersion ? "" : order.route.version;
  view.setFloat64(start + at.ticket, ticket);
  view.setFloat64(start + at.leaseUntilMs, leaseUntilMs);
  view.setFloat64(start + at.timeoutMs, order.timeoutMs);
  view.setFloat64(start + at.enqueuedAtMs, order.enqueuedAtMs);
  view.setUint32(start + at.epoch, order.epoch);
  view.setUint32(start + at.attempt, order.attempt);
  view.setUint32(start + at.generation, order.generation);
  view.setUint32(start + at.bodyLength, body.byteLength);
  view.setUint32(start + at.restLength, rest.byteLength);
  view.setUint16(start + at.source, order.source);
  view.setUint8(start + at.form, forms.indexOf(form));
  view.setUint8(start + at.codec, codecs.indexOf(codec));
  view.setUint8(start + at.eventIdLength, eventId.length);
  view.setUint8(start + at.eventTypeLength, eventType.length);
  view.setUint8(start + at.versionLength, version.length);
  const { traceparent = "" } = order;
  view.setUint8(start + at.traceparentLength, traceparent.length);
  let next = start + fixedBytes;
  writeText(slab, next, eventId);
  next += eventId.length;
  writeText(slab, next, eventType);
  next += eventType.length;
  writeText(slab, next, version);
  next += version.length;
  if (traceparent !== "") writeText(slab, next, traceparent);
  next += traceparent.length;
  slab.set(body, next);
  next += body.byteLength;
  if (rest.byteLength > 0) slab.set(rest, next);
  return next + rest.byteLength;
}

/** Less is not worth it: it is collected with what else is new. */
const releasedBytesMin = 64 * 1024;

/**
 * Gives the memory of a slab back whose runs have begun, and so have read their bodies. V8 collects what is outside of a heap only once there are tens of
 * megabytes of it, in every thread. Not where what was read shares the slab: results of steps, and binary values in msgpack.
 */
export function releaseSlab(orders: readonly ThreadOrder[]): void {
  const buffer = orders[0]?.body.buffer;
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength < releasedBytesMin) return;
  if (orders.every(({ route, steps }) => steps.length === 0 && route.codec !== "msgpack")) buffer.transfer(0);
}

/** Reads what `packOrders` wrote. Bodies share its memory. */
export function unpackOrders({ buffer, byteOffset, byteLength }: Uint8Array): ThreadOrder[] {
  const slab = Buffer.from(buffer, byteOffset, byteLength);
  const view = new DataView(buffer, byteOffset, byteLength);
  const skillEnd = headBytes + view.getUint16(0);
  const skill = slab.toString("utf8", headBytes, skillEnd);
  const orders: ThreadOrder[] = [];
  let eventType = "";
  let version = "";
  let start = skillEnd;
  for (let left = view.getUint16(2); left > 0; left -= 1) {
    const typeAt = start + fixedBytes + view.getUint8(start + at.eventIdLength);
    const versionAt = typeAt + view.getUint8(start + at.eventTypeLength);
    const traceparentAt = versionAt + view.getUint8(start + at.versionLength);
    const bodyAt = traceparentAt + view.getUint8(start + at.traceparentLength);
    const restAt = bodyAt + view.getUint32(start + at.bodyLength);
    const end = restAt + view.getUint32(start + at.restLength);
    if (versionAt > typeAt) eventType = slab.toString("latin1", typeAt, versionAt);
    if (traceparentAt > versionAt) version = slab.toString("latin1", versionAt, traceparentAt);
    const rest = end === restAt ? noRest : (packr.unpack(slab.subarray(restAt, end)) as Rest);
    orders.push({
      runId: view.getFloat64(start + at.ticket),
      skill,
      route: {
        eventId: slab.toString("latin1", start + fixedBytes, typeAt),
        eventType,
        version,
        form: forms[view.getUint8(start + at.form)] ?? "canonical",
        codec: codecs[view.getUint8(start + at.codec)] ?? "json",
      },
      body: slab.subarray(bodyAt, restAt),
      contentEncoding: rest[0] ?? undefined,
      headers: rest[1] ?? undefined,
      enqueuedAtMs: view.getFloat64(start + at.enqueuedAtMs),
      epoch: view.getUint32(start + at.epoch),
      attempt: view.getUint32(start + at.attempt),
      generation: view.getUint32(start + at.generation),
      source: view.getUint16(start + at.source),
      leaseUntilMs: view.getFloat64(start + at.leaseUntilMs),
      timeoutMs: view.getFloat64(start + at.timeoutMs),
      steps: rest[2].map(unpackStep),
      pipelineChanged: rest[3],
      inDoubt: rest[4],
      rejectedBy: rest[5],
      allowances: rest[6] ?? undefined,
      sessionId: rest[7] ?? undefined,
      traceparent: bodyAt === traceparentAt ? undefined : slab.toString("latin1", traceparentAt, bodyAt),
    });
    start = end;
  }
  return orders;
}
