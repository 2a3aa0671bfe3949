// What a peer may send: traffic that is mostly right, from which the hostile kind is made by changing it.
import { accepted, modified, rejected, released } from "#runtime/amqp/delivery-state.ts";
import { descriptor } from "#runtime/amqp/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/encode.ts";
import { conditions } from "#runtime/amqp/errors.ts";
import { frameType, protocolHeader, protocolId } from "#runtime/amqp/frames.ts";
import { encodeMessage } from "#runtime/amqp/message-writer.ts";
import { encodeAttach, encodeBegin, encodeClose, encodeDetach, encodeEnd, encodeOpen } from "#runtime/amqp/performatives.ts";
import { Raw, Typed, described, int, long, symbol, symbols, ubyte, uint, ulong, ushort, uuid } from "#runtime/amqp/types.ts";
import type { Encodable } from "#runtime/amqp/types.ts";
import type { Random } from "../random.ts";

export function frame(body: Uint8Array, channel = 0, type: number = frameType.amqp): Buffer {
  const head = Buffer.from([0, 0, 0, 0, 2, type, channel >>> 8, channel & 0xff]);
  head.writeUInt32BE(8 + body.length);
  return Buffer.concat([head, body]);
}

/** Any value, a few levels deep. */
export function anyValue(random: Random, depth = 3): Encodable {
  const kinds = depth > 0 ? 16 : 12;
  switch (random.below(kinds)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
      return uint(random.edge());
    case 3:
      return ulong(random.edge());
    case 4:
      return int(random.edge() | 0);
    case 5:
      return long(random.edge());
    case 6:
      return "text".repeat(random.below(100));
    case 7:
      return symbol("name".repeat(random.below(80)));
    case 8:
      return random.bytes(random.below(40));
    case 9:
      return uuid(random.bytes(16));
    case 10:
      return new Typed("double", random.u32() / 3);
    case 11:
      return ushort(random.edge() & 0xffff);
    case 12:
      return Array.from({ length: random.below(6) }, () => anyValue(random, depth - 1));
    case 13:
      return Object.fromEntries(Array.from({ length: random.below(5) }, (_, index) => [`k${index}`, anyValue(random, depth - 1)]));
    case 14:
      return symbols(["a", "b"].slice(random.below(3)));
    default:
      return described(ulong(random.below(0x80)), int(random.below(9)));
  }
}

const states = [accepted, released, modified({ deliveryFailed: true, messageAnnotations: { a: 1 } }), rejected({ condition: "x:y", description: "z", info: { a: "b" } })];

/** One peer's talk, of either role, with a rough idea of where it stands. */
export class Talk {
  readonly #random: Random;
  readonly #isServer: boolean;
  #nextId: number;
  #handles = 0;
  #continues = false;

  /** `isServer`: the peer is the server, so it answers sessions and links of the engine's. */
  constructor(random: Random, isServer: boolean) {
    this.#random = random;
    this.#isServer = isServer;
    this.#nextId = random.chance(0.5) ? 0 : 0xffff_fffe;
  }

  /** Header, SASL as the engine expects it, and open. */
  opening(sasl: boolean): Buffer[] {
    const parts: Buffer[] = [];
    if (sasl) {
      parts.push(protocolHeader(protocolId.sasl));
      if (this.#isServer) parts.push(frame(encodeComposite(descriptor.saslMechanisms, [symbols(["ANONYMOUS", "PLAIN"])]), 0, frameType.sasl), frame(encodeComposite(descriptor.saslOutcome, [ubyte(0)]), 0, frameType.sasl));
      else parts.push(frame(encodeComposite(descriptor.saslInit, [symbol("ANONYMOUS"), Buffer.from("x")]), 0, frameType.sasl));
    }
    const idleTimeOutMs = this.#random.chance(0.2) ? 1_000 : undefined;
    parts.push(protocolHeader(protocolId.amqp), frame(encodeOpen({ containerId: "fuzz", maxFrameSize: this.#random.pick([512, 600, 4_096, 65_536, 0xffff_ffff]), channelMax: this.#random.pick([0, 1, 0xffff]), idleTimeOutMs })));
    return parts;
  }

  /** A session and links in it, with credit. */
  setting(): Buffer[] {
    const { remoteChannel } = { remoteChannel: this.#isServer ? 0 : undefined };
    const window = this.#random.pick([0, 1, 5, 1_000, 0x7fff_ffff]);
    const begin = encodeBegin({ remoteChannel, nextOutgoingId: this.#nextId, incomingWindow: window, outgoingWindow: 100, handleMax: this.#random.pick([7, 7, 0xffff_ffff, 1]) });
    return [frame(begin), this.#attach("receiver"), this.#attach("sender"), this.#flow(0), this.#flow(1)];
  }

  #attach(role: "sender" | "receiver"): Buffer {
    const random = this.#random;
    const handle = this.#handles++;
    // The engine's client names its links so.
    const name = this.#isServer ? (role === "receiver" ? "our sender" : "our receiver") : `link ${random.chance(0.9) ? handle : 0}`;
    return frame(
      encodeAttach({
        name,
        handle,
        role,
        senderSettleMode: random.pick(["unsettled", "settled", "mixed"]),
        receiverSettleMode: random.pick(["first", "second"]),
        source: random.chance(0.9) ? { address: "q", filter: { f: anyValue(random) } } : null,
        target: random.chance(0.9) ? { address: "q" } : null,
        initialDeliveryCount: role === "sender" ? random.pick([0, 0xffff_ffff]) : undefined,
        maxMessageSize: random.edge(),
        properties: { p: anyValue(random) },
      }),
    );
  }

  #flow(handle: number | undefined): Buffer {
    const random = this.#random;
    const fields: Encodable[] = [uint(random.pick([0, 1, random.edge()])), uint(random.pick([0, 3, 1_000, random.edge()])), uint(this.#nextId), uint(100)];
    if (handle !== undefined) fields.push(uint(handle), random.chance(0.8) ? uint(random.pick([0, 1, 2, random.edge()])) : undefined, uint(random.pick([0, 1, 10, 500, random.edge()])), undefined, random.chance(0.2), random.chance(0.2));
    return frame(encodeComposite(descriptor.flow, fields));
  }

  #transfer(): Buffer {
    const random = this.#random;
    const begins = !this.#continues;
    const id = begins ? this.#nextId : undefined;
    if (begins) this.#nextId = (this.#nextId + 1) >>> 0;
    this.#continues = random.chance(0.3);
    const message = encodeMessage({
      header: { deliveryCount: random.below(3) },
      messageAnnotations: { a: anyValue(random) },
      properties: { messageId: "m", correlationId: anyValue(random, 0) },
      applicationProperties: { eventId: "e", v: anyValue(random) },
      body: random.chance(0.7) ? { data: random.bytes(random.below(300)) } : { value: anyValue(random) },
    });
    const payload = random.chance(0.8) ? message : random.bytes(random.below(200));
    const performative = encodeComposite(descriptor.transfer, [uint(1), id === undefined ? undefined : uint(id), random.bytes(random.below(33)), uint(0), random.chance(0.2), this.#continues, undefined, undefined, undefined, random.chance(0.03)]);
    return frame(Buffer.concat([performative, payload]));
  }

  #disposition(): Buffer {
    const random = this.#random;
    const first = random.chance(0.9) ? random.below(40) : random.pick([0xffff_ffff, random.edge()]);
    const last = random.chance(0.5) ? undefined : uint(random.chance(0.95) ? (first + random.below(20)) >>> 0 : random.edge());
    const state = random.chance(0.9) ? new Raw(random.pick(states).bytes) : anyValue(random);
    return frame(encodeComposite(descriptor.disposition, [random.chance(0.7), uint(first), last, random.chance(0.6), state]));
  }

  /** What ends things or begins more of them. */
  #rare(): Buffer {
    const random = this.#random;
    switch (random.below(6)) {
      case 0:
      case 1:
        return this.#attach(random.pick(["sender", "receiver"]));
      case 2:
        return frame(encodeDetach({ handle: random.below(this.#handles), closed: random.chance(0.7), error: random.chance(0.5) ? { condition: "x:y" } : undefined }));
      case 3:
        return frame(encodeBegin({ nextOutgoingId: 0, incomingWindow: 10, outgoingWindow: 10, handleMax: 3 }), 1 + random.below(3));
      case 4:
        return frame(encodeEnd(undefined));
      default:
        return frame(encodeClose(undefined));
    }
  }

  /** A frame that fits, more or less, where the talk stands. */
  next(): Buffer {
    const random = this.#random;
    switch (random.below(20)) {
      case 0:
        return this.#rare();
      case 1:
      case 2:
        return frame(Buffer.alloc(0));
      case 3:
      case 4:
      case 5:
      case 6:
        return this.#flow(random.pick([undefined, 0, 0, 0, 1]));
      case 7:
      case 8:
      case 9:
      case 10:
        return this.#disposition();
      default:
        return this.#transfer();
    }
  }
}

/** A frame with any performative and any fields. */
export function anyFrame(random: Random): Buffer {
  const code = random.pick([0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x40, 0x41, 0x44, random.below(256)]);
  const fields = Array.from({ length: random.below(14) }, () => (random.chance(0.5) ? uint(random.pick([0, 1, random.edge()])) : anyValue(random)));
  return frame(encodeComposite(code, fields), random.pick([0, 0, 0, 1, random.edge() & 0xffff]), random.chance(0.95) ? 0 : random.below(256));
}

/** Bytes with a few of them changed, cut out, put in or doubled. */
export function mutated(random: Random, bytes: Buffer): Buffer {
  let changed = Buffer.from(bytes);
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(changed.length);
    switch (random.below(5)) {
      case 0:
        if (changed.length > 0) changed[at] = changed[at]! ^ (1 << random.below(8));
        break;
      case 1:
        if (changed.length > 0) changed[at] = random.pick([0, 1, 0x40, 0x7f, 0x80, 0xd0, 0xf0, 0xff, random.below(256)]);
        break;
      case 2:
        changed = Buffer.concat([changed.subarray(0, at), changed.subarray(at + random.below(9))]);
        break;
      case 3:
        changed = Buffer.concat([changed.subarray(0, at), random.bytes(random.below(9)), changed.subarray(at)]);
        break;
      default:
        if (changed.length >= at + 4) changed.writeUInt32BE(random.edge(), at);
    }
  }
  // Most changes are more telling when the frame around them stays whole.
  if (changed.length >= 8 && random.chance(0.7)) changed.writeUInt32BE(changed.length, 0);
  return changed;
}

/** Bytes that get one certain condition when they come to an open connection. */
export function certain(random: Random): { readonly bytes: Buffer; readonly condition: string } {
  const sized = (size: number): Buffer => {
    const bytes = frame(Buffer.alloc(0));
    bytes.writeUInt32BE(size);
    return bytes;
  };
  const offset = frame(Buffer.alloc(4));
  offset[4] = random.pick([0, 1, 4, 255]);
  return random.pick([
    { bytes: sized(random.below(8)), condition: conditions.framingError },
    { bytes: sized(65_537 + random.below(0x7fff_ffff)), condition: conditions.framingError },
    { bytes: offset, condition: conditions.framingError },
    { bytes: frame(encodeEnd(undefined), 0, 2 + random.below(254)), condition: conditions.framingError },
    { bytes: frame(encodeEnd(undefined), 100 + random.below(60_000)), condition: conditions.notAllowed },
    { bytes: frame(encodeComposite(0x60, [])), condition: conditions.notImplemented },
    { bytes: frame(encodeOpen({ containerId: "again", maxFrameSize: 512, channelMax: 1 })), condition: conditions.illegalState },
    { bytes: frame(Buffer.concat([Buffer.from([0, 0x53, 0x11]), random.pick([Buffer.from([0xff]), Buffer.from([0xd0, 0, 0]), Buffer.from([0x43])])])), condition: conditions.decodeError },
    { bytes: frame(encodeComposite(descriptor.begin, [])), condition: conditions.invalidField },
  ]);
}
