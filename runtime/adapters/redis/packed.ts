// Claims and finishes of a batch as the scripts of the compact layout read them: one buffer, written once. How a record's field and
// its value are made stands in scripts/places.lua.
import type { ClaimRequest, FinishWrite } from "../../ports/run-store.ts";
import { packClaim, packFinish } from "./records.ts";

const uuidMark = 1;
const textMark = 2;
const textBytesMax = 55;
const sha1Mark = 255;
const sha1Bytes = 20;
const sha1Characters = 28;
/** Bytes of a listpack's entry; before the payload in the value of a run: state, lease, end of life, worker and pipeline. */
const valueBytesMax = 64;
const valueHeadBytes = 17;
/** Of one batch, so that one byte tells them apart: a worker claims under one name. */
const workersMax = 8;
const pipelinesMax = 200;
const fnvOffset = 0x811c9dc5;
const fnvPrime = 0x01000193;
const claimHeadBytes = 8;
const finishHeadBytes = 9;
const fieldBytesMax = valueBytesMax;

/** Values of the lower-case hexadecimal digits by character code; 255 for any other. */
const nibbles = Uint8Array.from({ length: 128 }, (_, code) => {
  const digit = "0123456789abcdef".indexOf(String.fromCharCode(code));
  return digit === -1 ? 255 : digit;
});
/** Where the bytes of a UUID begin in its text. */
const uuidPlaces = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const dash = 0x2d;

/** The script's arguments that hold a batch: the buffer, and what does not fit into it. */
export interface PackedBatch {
  readonly blob: Buffer;
  /** Texts that runs name by their number. */
  readonly names: readonly string[];
  /** eventId and request of each run that is odd. */
  readonly odd: readonly (string | Buffer)[];
}

/** Writes a field; returns how long it is, 0 for an id that has none. Its hash goes four bytes before `at`'s header, to `hashAt`. */
function writeField(blob: Buffer, at: number, hashAt: number, eventId: string): number {
  return (eventId.length === 36 ? writeUuid(blob, at, hashAt, eventId) : 0) || writeText(blob, at, hashAt, eventId);
}

function writeUuid(blob: Buffer, at: number, hashAt: number, text: string): number {
  if (text.charCodeAt(8) !== dash || text.charCodeAt(13) !== dash || text.charCodeAt(18) !== dash || text.charCodeAt(23) !== dash) return 0;
  blob[at] = uuidMark;
  let hash = 0;
  for (let index = 0; index < 16; index += 1) {
    const place = uuidPlaces[index] as number;
    const high = nibbles[text.charCodeAt(place)] ?? 255;
    const low = nibbles[text.charCodeAt(place + 1)] ?? 255;
    if ((high | low) > 15) return 0;
    const byte = (high << 4) | low;
    blob[at + 1 + index] = byte;
    hash ^= byte << (24 - ((index & 3) << 3));
  }
  blob.writeInt32BE(hash, hashAt);
  return 17;
}

function writeText(blob: Buffer, at: number, hashAt: number, text: string): number {
  if (text.length > textBytesMax) return 0;
  const bytes = blob.write(text, at + 5, "utf8");
  if (bytes > textBytesMax) return 0;
  let hash = fnvOffset;
  for (let index = at + 5; index < at + 5 + bytes; index += 1) hash = Math.imul(hash ^ (blob[index] as number), fnvPrime);
  blob[at] = textMark;
  blob.writeInt32BE(hash, at + 1);
  blob.writeInt32BE(hash | 0, hashAt);
  return 5 + bytes;
}

/** Writes payload hash and the token's end; returns how long they are, 0 where they do not fit. */
function writeRest(blob: Buffer, at: number, payloadHash: string, token: string, suffixAt: number): number {
  let bytes = 0;
  if (payloadHash.length === sha1Characters && payloadHash.endsWith("=") && !payloadHash.includes("-") && !payloadHash.includes("_")) {
    bytes = blob.write(payloadHash, at + 1, "base64");
    blob[at] = sha1Mark;
    if (bytes !== sha1Bytes) return 0;
  } else {
    if (payloadHash.length > sha1Bytes) return 0;
    bytes = blob.write(payloadHash, at + 1, "utf8");
    blob[at] = bytes;
  }
  const suffixMax = valueBytesMax - valueHeadBytes - 1 - bytes;
  if (token.length - suffixAt > suffixMax) return 0;
  bytes += 1;
  bytes += blob.write(token.slice(suffixAt), at + bytes, "utf8");
  return bytes > valueBytesMax - valueHeadBytes ? 0 : bytes;
}

class Names {
  readonly list: string[] = [];
  readonly #max: number;
  #last = "";
  #lastNumber = -1;
  readonly #numbers = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** -1 where there are too many. */
  numberOf(name: string): number {
    if (this.#lastNumber >= 0 && name === this.#last) return this.#lastNumber;
    let number = this.#numbers.get(name);
    if (number === undefined) {
      if (this.list.length === this.#max) return -1;
      number = this.list.push(name) - 1;
      this.#numbers.set(name, number);
    }
    this.#last = name;
    this.#lastNumber = number;
    return number;
  }
}

export function packClaims(requests: readonly ClaimRequest[]): PackedBatch {
  const blob = Buffer.allocUnsafe(requests.length * (claimHeadBytes + 4 * fieldBytesMax + 4 * valueBytesMax));
  const workers = new Names(workersMax);
  const pipelines = new Names(pipelinesMax);
  const odd: string[] = [];
  const runs: number[] = [];
  let at = 0;
  for (const request of requests) {
    const { eventId, token, payloadHash, pipelineHash } = request;
    const whole = packClaim(request);
    const suffixAt = token.lastIndexOf(":") + 1;
    const worker = workers.numberOf(token.slice(0, suffixAt));
    const pipeline = pipelines.numberOf(pipelineHash);
    const fieldBytes = worker < 0 || pipeline < 0 ? 0 : writeField(blob, at + claimHeadBytes, at, eventId);
    const restBytes = fieldBytes === 0 ? 0 : writeRest(blob, at + claimHeadBytes + fieldBytes, payloadHash, token, suffixAt);
    const isOdd = restBytes === 0;
    if (isOdd) {
      blob.writeInt32BE(0, at);
      odd.push(eventId, whole);
    }
    blob[at + 4] = isOdd ? 0 : worker;
    blob[at + 5] = isOdd ? 0 : pipeline;
    blob[at + 6] = isOdd ? 0 : fieldBytes;
    blob[at + 7] = restBytes;
    runs.push(at);
    at += claimHeadBytes + (isOdd ? 0 : fieldBytes + restBytes);
  }
  // Pipelines are numbered behind the workers.
  const behind = workers.list.length;
  for (const run of runs) blob[run + 5] = (blob[run + 5] as number) + behind;
  return { blob: blob.subarray(0, at), names: [...workers.list, ...pipelines.list], odd };
}

export function packFinishes(writes: readonly FinishWrite[]): PackedBatch {
  const blob = Buffer.allocUnsafe(writes.length * (finishHeadBytes + 4 * fieldBytesMax));
  const odd: (string | Buffer)[] = [];
  let at = 0;
  for (const write of writes) {
    const { eventId, epoch, outbox, steps = [] } = write;
    const isPlain = outbox.length === 0 && steps.length === 0 && epoch >= 0;
    const fieldBytes = isPlain ? writeField(blob, at + finishHeadBytes, at, eventId) : 0;
    if (fieldBytes === 0) {
      blob.writeInt32BE(0, at);
      odd.push(eventId, packFinish(write));
    }
    blob.writeUInt32BE(Math.max(0, epoch), at + 4);
    blob[at + 8] = fieldBytes;
    at += finishHeadBytes + fieldBytes;
  }
  return { blob: blob.subarray(0, at), names: [], odd };
}
