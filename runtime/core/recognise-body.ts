/**
 * Says what a body is that cannot be read, and what would make it readable. It is asked only when reading has failed, so it may
 * guess; it shows no content.
 */
import { isUtf8 } from "node:buffer";

interface Kind {
  readonly found: string;
  readonly remedy: string;
  is(bytes: Uint8Array): boolean;
}

function beginsWith(bytes: Uint8Array, ...start: readonly number[]): boolean {
  return start.every((byte, at) => bytes[at] === byte);
}

/** The first bytes as text, one character a byte, without a byte order mark and leading space. */
function startOf(bytes: Uint8Array, length: number): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, length + 64)).toString("latin1");
  return text
    .replace(/^\u00ef\u00bb\u00bf/, "")
    .trimStart()
    .slice(0, length);
}

/** Every second byte of plain text in UTF-16 is zero. */
function isUtf16(bytes: Uint8Array): boolean {
  if (bytes.length < 4 || bytes.length % 2 !== 0) return false;
  const looked = Math.min(bytes.length, 32);
  let even = 0;
  let odd = 0;
  for (let at = 0; at < looked; at += 2) {
    if (bytes[at] === 0) even += 1;
    if (bytes[at + 1] === 0) odd += 1;
  }
  return Math.max(even, odd) > looked / 4 && Math.min(even, odd) === 0;
}

/** Skips the value of a protobuf field of this wire type; past the end when there is none. */
function skipProtobufValue(bytes: Uint8Array, at: number, wireType: number): number {
  let next = at;
  if (wireType === 1) return next + 8;
  if (wireType === 5) return next + 4;
  if (wireType !== 0 && wireType !== 2) return Number.POSITIVE_INFINITY;
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[next] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    next += 1;
    if (byte < 0x80) return wireType === 2 ? next + value : next;
  }
  if (wireType === 2) return Number.POSITIVE_INFINITY;
  // A negative number takes ten bytes.
  while ((bytes[next] ?? 0) >= 0x80) next += 1;
  return next + 1;
}

/** Whether the bytes are protobuf fields from end to end, and no text. */
function isLikeProtobuf(bytes: Uint8Array): boolean {
  if (bytes.length < 2 || (isUtf8(bytes) && !bytes.some((byte) => byte < 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09))) return false;
  let next = 0;
  while (next < bytes.length) {
    const tag = bytes[next] as number;
    const isLongTag = tag >= 0x80;
    if (isLongTag && (bytes[next + 1] ?? 0xff) >= 0x80) return false;
    if (!isLongTag && tag >> 3 === 0) return false;
    next = skipProtobufValue(bytes, next + (isLongTag ? 2 : 1), tag & 7);
  }
  return next === bytes.length;
}

const asBytes =
  "send JSON or msgpack, or have it handed over as bytes: by a binary CloudEvent whose content type names it, or by an envelope hook with codec 'bytes'";
const dataContract = "http://schemas.microsoft.com/2003/10/Serialization/";

const kinds: readonly Kind[] = [
  { found: "an empty body", remedy: "send the envelope as its body", is: (bytes) => bytes.length === 0 },
  {
    found: "UTF-16 text with a byte order mark",
    remedy: "encode it as UTF-8 (in .NET Encoding.UTF8, not Encoding.Unicode)",
    is: (bytes) => beginsWith(bytes, 0xff, 0xfe) || beginsWith(bytes, 0xfe, 0xff),
  },
  { found: "UTF-16 text without a byte order mark", remedy: "encode it as UTF-8 (in .NET Encoding.UTF8, not Encoding.Unicode)", is: isUtf16 },
  {
    found: "the DataContract envelope of the old .NET client (WindowsAzure.ServiceBus), in binary XML",
    remedy: "construct its BrokeredMessage from a Stream of the bytes instead of an object, or send with Azure.Messaging.ServiceBus",
    is: (bytes) => bytes[0] === 0x40 && startOf(bytes, 160).includes(dataContract),
  },
  {
    found: "gzip data",
    remedy: "say so in the application property content-encoding: gzip, beside eventId, eventType and version",
    is: (bytes) => beginsWith(bytes, 0x1f, 0x8b),
  },
  {
    found: "zstd data",
    remedy: "compress it with gzip, deflate or br, and say so in the application property content-encoding",
    is: (bytes) => beginsWith(bytes, 0x28, 0xb5, 0x2f, 0xfd),
  },
  {
    found: "deflate data",
    remedy: "say so in the application property content-encoding: deflate, beside eventId, eventType and version",
    is: (bytes) => bytes[0] === 0x78 && [0x01, 0x5e, 0x9c, 0xda].includes(bytes[1] ?? 0) && !isUtf8(bytes),
  },
  { found: "an Avro object container", remedy: asBytes, is: (bytes) => beginsWith(bytes, 0x4f, 0x62, 0x6a, 0x01) },
  { found: "XML or HTML", remedy: asBytes, is: (bytes) => /^<[A-Za-z!?]/.test(startOf(bytes, 2)) },
  { found: "JSON in base64", remedy: "send the bytes that it stands for", is: (bytes) => /^eyJ[A-Za-z0-9+/_-]*={0,2}$/.test(startOf(bytes, 64)) },
  { found: "a JSON string that holds JSON", remedy: "encode it once, not twice", is: (bytes) => /^"\s*(?:\{\s*\\"|\[)/.test(startOf(bytes, 32)) },
  {
    found: "several JSON values, one after another",
    remedy: "send each as a message of its own",
    is: (bytes) => /^\{[^\n]*\}\s*\n\s*\{/.test(startOf(bytes, 4_096)),
  },
  { found: "bytes that look like protobuf", remedy: asBytes, is: isLikeProtobuf },
];

/** `found`, and what to do about it; undefined for what is nothing that is known. */
export function recogniseBody(bytes: Uint8Array): string | undefined {
  const kind = kinds.find((candidate) => candidate.is(bytes));
  return kind === undefined ? undefined : `${kind.found}; ${kind.remedy}`;
}
