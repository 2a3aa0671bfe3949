// The performatives that open and close things (part 2, 2.7.1 to 2.7.3 and 2.7.7 to 2.7.9). They are rare, so each is read
// into an object of its own. The three that make the traffic are in transfers.ts.
import { encodeError, readErrorField } from "../message/condition.ts";
import type { ErrorCondition } from "../message/condition.ts";
import { descriptor } from "../codec/descriptors.ts";
import { encodeWhole } from "../codec/encode.ts";
import { ProtocolError, conditions } from "../codec/errors.ts";
import { missing } from "../codec/fields.ts";
import type { FieldReader } from "../codec/fields.ts";
import { frameBytesMin } from "../codec/limits.ts";
import { encodeSource, encodeTarget, multiple, readSource, readTarget } from "../message/terminus.ts";
import type { Source, SourceFields, Target, TargetFields } from "../message/terminus.ts";
import { symbolMap, ubyte, uint, ulong, ushort } from "../codec/types.ts";
import type { Encodable, Fields, Raw } from "../codec/types.ts";
import { MapView } from "../codec/views.ts";

/** What open, begin and attach may all carry. What came in holds a view of its properties. */
interface Extras {
  readonly offeredCapabilities?: readonly string[] | undefined;
  readonly desiredCapabilities?: readonly string[] | undefined;
  readonly properties?: Fields | MapView | undefined;
}

interface ReadExtras {
  readonly offeredCapabilities: readonly string[];
  readonly desiredCapabilities: readonly string[];
  readonly properties: MapView | undefined;
}

const uintMax = 0xffff_ffff;
const ushortMax = 0xffff;

export interface OpenFields extends Extras {
  readonly containerId: string;
  readonly hostname?: string | undefined;
  readonly maxFrameSize: number;
  readonly channelMax: number;
  readonly idleTimeOutMs?: number | undefined;
}

/** A peer's open (part 2, 2.7.1). */
export interface Open extends ReadExtras {
  readonly containerId: string;
  readonly hostname: string | undefined;
  readonly maxFrameSize: number;
  readonly channelMax: number;
  /** 0: the peer never gives up on silence. */
  readonly idleTimeOutMs: number;
}

export function encodeOpen(open: OpenFields): Buffer {
  return encodeWhole(descriptor.open, [
    open.containerId,
    open.hostname,
    uint(open.maxFrameSize),
    ushort(open.channelMax),
    open.idleTimeOutMs === undefined ? undefined : uint(open.idleTimeOutMs),
    undefined,
    undefined,
    ...encodeExtras(open),
  ]);
}

/** Until the opens are exchanged frames have at most 512 bytes (part 2, 2.4.1), so our own open must fit into one. */
export function requireOpenFits(open: Buffer): Buffer {
  if (open.length + 8 > frameBytesMin)
    throw new RangeError(
      `open: expected container id, host name, capabilities and properties to fit into a frame of ${frameBytesMin} bytes, got ${open.length + 8}`,
    );
  return open;
}

export function readOpen(fields: FieldReader): Open {
  const containerId = fields.text() ?? missing("container-id of open");
  const hostname = fields.text();
  const maxFrameSize = fields.uint(uintMax);
  const channelMax = fields.ushort(ushortMax);
  const idleTimeOutMs = fields.uint(0);
  fields.span();
  fields.span();
  return { containerId, hostname, maxFrameSize, channelMax, idleTimeOutMs, ...readExtras(fields) };
}

export interface BeginFields extends Extras {
  /** The peer's channel, in the answer to its begin. */
  readonly remoteChannel?: number | undefined;
  readonly nextOutgoingId: number;
  readonly incomingWindow: number;
  readonly outgoingWindow: number;
  readonly handleMax: number;
}

/** A peer's begin (part 2, 2.7.2). */
export interface Begin extends ReadExtras {
  /** Our channel when this answers our begin; else undefined. */
  readonly remoteChannel: number | undefined;
  readonly nextOutgoingId: number;
  readonly incomingWindow: number;
  readonly outgoingWindow: number;
  readonly handleMax: number;
}

export function encodeBegin(begin: BeginFields): Buffer {
  return encodeWhole(descriptor.begin, [
    begin.remoteChannel === undefined ? undefined : ushort(begin.remoteChannel),
    uint(begin.nextOutgoingId),
    uint(begin.incomingWindow),
    uint(begin.outgoingWindow),
    uint(begin.handleMax),
    ...encodeExtras(begin),
  ]);
}

export function readBegin(fields: FieldReader): Begin {
  const remoteChannel = fields.ushort(-1);
  const nextOutgoingId = fields.mandatoryUint("next-outgoing-id of begin");
  const incomingWindow = fields.mandatoryUint("incoming-window of begin");
  const outgoingWindow = fields.mandatoryUint("outgoing-window of begin");
  const handleMax = fields.uint(uintMax);
  return { remoteChannel: remoteChannel < 0 ? undefined : remoteChannel, nextOutgoingId, incomingWindow, outgoingWindow, handleMax, ...readExtras(fields) };
}

/** Which end of a link an attach or disposition speaks for (part 2, 2.8.1). */
export type Role = "sender" | "receiver";

/** How a sender settles (part 2, 2.8.2). */
export type SenderSettleMode = "unsettled" | "settled" | "mixed";

/** When a receiver settles: at once, or after the sender has (part 2, 2.8.3). */
export type ReceiverSettleMode = "first" | "second";

const senderSettleModes: readonly SenderSettleMode[] = ["unsettled", "settled", "mixed"];
const receiverSettleModes: readonly ReceiverSettleMode[] = ["first", "second"];

export interface AttachFields extends Extras {
  readonly name: string;
  readonly handle: number;
  readonly role: Role;
  readonly senderSettleMode: SenderSettleMode;
  readonly receiverSettleMode: ReceiverSettleMode;
  /** Null refuses the link, undefined leaves a default source. */
  readonly source: SourceFields | Raw | null;
  readonly target: TargetFields | Raw | null;
  /** A sender's; undefined in a receiver's. */
  readonly initialDeliveryCount?: number | undefined;
  /** In bytes; undefined or 0: no maximum. */
  readonly maxMessageSize?: number | undefined;
}

/** A peer's attach (part 2, 2.7.3). */
export interface Attach extends ReadExtras {
  readonly name: string;
  readonly handle: number;
  /** What the peer is. */
  readonly role: Role;
  readonly senderSettleMode: SenderSettleMode;
  readonly receiverSettleMode: ReceiverSettleMode;
  /** Undefined: null, which from the peer's own end refuses the link. */
  readonly source: Source | undefined;
  readonly target: Target | undefined;
  readonly initialDeliveryCount: number | undefined;
  /** In bytes; 0: no maximum. */
  readonly maxMessageSize: number;
  /** How long the attach itself is: it is kept as long as its link. */
  readonly bytes: number;
}

export function encodeAttach(attach: AttachFields): Buffer {
  return encodeWhole(descriptor.attach, [
    attach.name,
    uint(attach.handle),
    attach.role === "receiver",
    ubyte(senderSettleModes.indexOf(attach.senderSettleMode)),
    ubyte(receiverSettleModes.indexOf(attach.receiverSettleMode)),
    attach.source && encodeSource(attach.source),
    attach.target && encodeTarget(attach.target),
    undefined,
    undefined,
    attach.initialDeliveryCount === undefined ? undefined : uint(attach.initialDeliveryCount),
    attach.maxMessageSize === undefined ? undefined : ulong(attach.maxMessageSize),
    ...encodeExtras(attach),
  ]);
}

export function readAttach(fields: FieldReader): Attach {
  const name = fields.text() ?? missing("name of attach");
  const handle = fields.mandatoryUint("handle of attach");
  const role = fields.mandatoryBoolean("role of attach") ? "receiver" : "sender";
  const senderSettleMode = senderSettleModes[fields.ubyte(2)] ?? outside("snd-settle-mode of attach");
  const receiverSettleMode = receiverSettleModes[fields.ubyte(0)] ?? outside("rcv-settle-mode of attach");
  const source = readSource(fields.view());
  const target = readTarget(fields.view());
  fields.span();
  fields.span();
  const initialDeliveryCount = fields.uint(-1);
  if (role === "sender" && initialDeliveryCount < 0) missing("initial-delivery-count of a sender's attach");
  const maxMessageSize = fields.ulong(0);
  return {
    name,
    handle,
    role,
    senderSettleMode,
    receiverSettleMode,
    source,
    target,
    initialDeliveryCount: initialDeliveryCount < 0 ? undefined : initialDeliveryCount,
    maxMessageSize,
    ...readExtras(fields),
    bytes: fields.bytes.length,
  };
}

/** A peer's detach (part 2, 2.7.7). */
export interface Detach {
  readonly handle: number;
  readonly closed: boolean;
  readonly error: ErrorCondition | undefined;
}

export function encodeDetach(detach: Detach): Buffer {
  return encodeWhole(descriptor.detach, [uint(detach.handle), detach.closed, encodeError(detach.error)]);
}

export function readDetach(fields: FieldReader): Detach {
  return { handle: fields.mandatoryUint("handle of detach"), closed: fields.boolean(false), error: readErrorField(fields) };
}

export function encodeEnd(error: ErrorCondition | undefined): Buffer {
  return encodeWhole(descriptor.end, [encodeError(error)]);
}

export function encodeClose(error: ErrorCondition | undefined): Buffer {
  return encodeWhole(descriptor.close, [encodeError(error)]);
}

function encodeExtras(extras: Extras): Encodable[] {
  const { properties } = extras;
  return [
    multiple(extras.offeredCapabilities),
    multiple(extras.desiredCapabilities),
    properties instanceof MapView ? properties.raw() : properties && symbolMap(properties),
  ];
}

function readExtras(fields: FieldReader): ReadExtras {
  return { offeredCapabilities: fields.symbols(), desiredCapabilities: fields.symbols(), properties: fields.map() };
}

function outside(field: string): never {
  throw new ProtocolError(conditions.invalidField, `expected ${field} to be a value of the specification`);
}
