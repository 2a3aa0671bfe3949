// What a hostile peer sends: any value, any frame, right frames with bytes of them changed, and bytes with one certain answer.
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { conditions } from "#runtime/amqp/codec/errors.ts";
import { frameType } from "#runtime/amqp/frame/frames.ts";
import { encodeEnd, encodeOpen } from "#runtime/amqp/frame/performatives.ts";
import { Typed, described, int, long, symbol, symbols, uint, ulong, ushort, uuid } from "#runtime/amqp/codec/types.ts";
import type { Encodable } from "#runtime/amqp/codec/types.ts";
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
    {
      bytes: frame(Buffer.concat([Buffer.from([0, 0x53, 0x11]), random.pick([Buffer.from([0xff]), Buffer.from([0xd0, 0, 0]), Buffer.from([0x43])])])),
      condition: conditions.decodeError,
    },
    { bytes: frame(encodeComposite(descriptor.begin, [])), condition: conditions.invalidField },
  ]);
}
