// The performatives that make the traffic: flow, transfer and disposition (part 2, 2.7.4 to 2.7.6). They are read into
// one object that is used again for the next frame, and written without an object at all.
import { descriptor } from "../codec/descriptors.ts";
import type { DeliveryState } from "../message/delivery-state.ts";
import { ProtocolError, conditions } from "../codec/errors.ts";
import type { FieldReader } from "../codec/fields.ts";
import { format } from "../codec/formats.ts";
import { tagBytesMax } from "../codec/limits.ts";
import type { Writer } from "../codec/writer.ts";

/** All fields are written, though those at the end that are null might be left out: see `encodeWhole`. */
const transferFields = 11;
const flowFields = 11;
const dispositionFields = 6;

/** A transfer (part 2, 2.7.5). -1 stands for null. */
export class Transfer {
  handle = 0;
  deliveryId = -1;
  /** The delivery tag's place in the frame's bytes; empty when it is null. */
  tagStart = 0;
  tagEnd = 0;
  messageFormat = -1;
  settled = false;
  more = false;
  /** 0 first, 1 second. */
  receiverSettleMode = -1;
  resume = false;
  aborted = false;

  read(fields: FieldReader): void {
    this.handle = fields.mandatoryUint("handle of transfer");
    this.deliveryId = fields.uint(-1);
    const tagged = fields.binary();
    this.tagStart = tagged ? fields.spanStart : 0;
    this.tagEnd = tagged ? fields.spanEnd : 0;
    if (this.tagEnd - this.tagStart > tagBytesMax) throw new ProtocolError(conditions.invalidField, `expected a delivery-tag of at most ${tagBytesMax} bytes`);
    this.messageFormat = fields.uint(-1);
    this.settled = fields.boolean(false);
    this.more = fields.boolean(false);
    this.receiverSettleMode = fields.ubyte(-1);
    fields.span();
    this.resume = fields.boolean(false);
    this.aborted = fields.boolean(false);
  }
}

/** Writes the performative of a delivery's first frame. `tag` is at most 32 bytes. */
export function writeTransfer(
  writer: Writer,
  handle: number,
  deliveryId: number,
  tag: Uint8Array,
  messageFormat: number,
  settled: boolean,
  more: boolean,
): void {
  writer.descriptor(descriptor.transfer);
  const mark = writer.openCompound(format.list8);
  writer.uint(handle);
  writer.uint(deliveryId);
  writer.binary(tag);
  writer.uint(messageFormat);
  writer.boolean(settled);
  writer.boolean(more);
  writeNulls(writer, 5);
  writer.closeCompound(mark, transferFields);
}

/** Writes the performative of each further frame of a delivery. */
export function writeContinuation(writer: Writer, handle: number, settled: boolean, more: boolean): void {
  writer.descriptor(descriptor.transfer);
  const mark = writer.openCompound(format.list8);
  writer.uint(handle);
  writeNulls(writer, 3);
  writer.boolean(settled);
  writer.boolean(more);
  writeNulls(writer, 5);
  writer.closeCompound(mark, transferFields);
}

/** A flow (part 2, 2.7.4). -1 stands for null. */
export class Flow {
  nextIncomingId = -1;
  incomingWindow = 0;
  nextOutgoingId = 0;
  outgoingWindow = 0;
  handle = -1;
  deliveryCount = -1;
  linkCredit = -1;
  drain = false;
  echo = false;

  read(fields: FieldReader): void {
    this.nextIncomingId = fields.uint(-1);
    this.incomingWindow = fields.mandatoryUint("incoming-window of flow");
    this.nextOutgoingId = fields.mandatoryUint("next-outgoing-id of flow");
    this.outgoingWindow = fields.mandatoryUint("outgoing-window of flow");
    this.handle = fields.uint(-1);
    this.deliveryCount = fields.uint(-1);
    this.linkCredit = fields.uint(-1);
    fields.uint(0);
    this.drain = fields.boolean(false);
    this.echo = fields.boolean(false);
  }
}

/** A session's half of a flow. */
export interface SessionFlow {
  /** -1 before the peer's begin has come. */
  readonly nextIncomingId: number;
  readonly incomingWindow: number;
  readonly nextOutgoingId: number;
  readonly outgoingWindow: number;
}

/** A link's half of a flow. */
export interface LinkFlow {
  readonly handle: number;
  /** -1 in a receiver's flow before the sender's attach has come (part 2, 2.7.4). */
  readonly deliveryCount: number;
  readonly linkCredit: number;
  readonly drain: boolean;
}

export function writeFlow(writer: Writer, session: SessionFlow, link: LinkFlow | undefined): void {
  writer.descriptor(descriptor.flow);
  const mark = writer.openCompound(format.list8);
  writeUintOrNull(writer, session.nextIncomingId);
  writer.uint(session.incomingWindow);
  writer.uint(session.nextOutgoingId);
  writer.uint(session.outgoingWindow);
  if (link === undefined) writeNulls(writer, 7);
  else {
    writer.uint(link.handle);
    writeUintOrNull(writer, link.deliveryCount);
    writer.uint(link.linkCredit);
    writer.null();
    writer.boolean(link.drain);
    writeNulls(writer, 2);
  }
  writer.closeCompound(mark, flowFields);
}

function writeNulls(writer: Writer, count: number): void {
  for (let left = count; left > 0; left--) writer.null();
}

function writeUintOrNull(writer: Writer, value: number): void {
  if (value < 0) writer.null();
  else writer.uint(value);
}

/** A disposition (part 2, 2.7.6). */
export class Disposition {
  /** Whether the peer speaks as the receiver of the deliveries. */
  fromReceiver = false;
  first = 0;
  last = 0;
  settled = false;
  /** The state's place in the frame's bytes; empty when it is null. */
  stateStart = 0;
  stateEnd = 0;

  read(fields: FieldReader): void {
    this.fromReceiver = fields.mandatoryBoolean("role of disposition");
    this.first = fields.mandatoryUint("first of disposition");
    const last = fields.uint(-1);
    this.last = last < 0 ? this.first : last;
    this.settled = fields.boolean(false);
    const present = fields.span();
    this.stateStart = present ? fields.spanStart : 0;
    this.stateEnd = present ? fields.spanEnd : 0;
  }
}

export function writeDisposition(writer: Writer, asReceiver: boolean, first: number, last: number, settled: boolean, state: DeliveryState | undefined): void {
  writer.descriptor(descriptor.disposition);
  const mark = writer.openCompound(format.list8);
  writer.boolean(asReceiver);
  writer.uint(first);
  if (last === first) writer.null();
  else writer.uint(last);
  writer.boolean(settled);
  if (state === undefined) writer.null();
  else writer.raw(state.bytes);
  writer.null();
  writer.closeCompound(mark, dispositionFields);
}
