// What goes out: frames are written one behind the other, and the socket gets all of a tick at once.
//
// Everything small is copied into the writer's slab. A large payload is not: the slab is cut there and the payload goes to
// the socket as it is, so its bytes must not change until the socket has taken them.
import type { Duplex } from "node:stream";
import { copyBytes } from "../codec/bytes.ts";
import { frameBytesMin } from "../codec/limits.ts";
import { Writer } from "../codec/writer.ts";

/** A connection that says little keeps a small slab; one that fills a slab within a tick goes on with one of twice the size. */
const slabBytesMin = 4_096;
const slabBytesMax = 65_536;

/** Room that a new frame finds in its slab; a performative that needs more makes the slab grow. */
const frameRoomBytes = 1_024;

/** Payload from this size on is referred to, not copied. */
const referBytesMin = 8_192;

const headBytes = 8;

export class Output extends Writer {
  /** Largest frame the peer accepts. */
  frameBytesMax: number = frameBytesMin;
  #sealed: Buffer[] = [];
  #sealedBytes = 0;
  #frameMark = 0;

  constructor() {
    super(slabBytesMin);
  }

  get isEmpty(): boolean {
    return this.#sealedBytes === 0 && this.at === this.start;
  }

  /** Bytes that wait for the next flush. */
  get pendingBytes(): number {
    return this.#sealedBytes + this.at - this.start;
  }

  beginFrame(type: number, channel: number): void {
    if (this.bytes.length - this.at < frameRoomBytes) this.#nextSlab();
    this.#frameMark = this.at - this.start;
    const { bytes, at } = this;
    bytes[at + 4] = 2;
    bytes[at + 5] = type;
    bytes[at + 6] = channel >>> 8;
    bytes[at + 7] = channel;
    this.at = at + headBytes;
  }

  /** How much payload still fits into the frame that was begun. */
  get payloadRoom(): number {
    return this.frameBytesMax - (this.at - this.start - this.#frameMark);
  }

  /** Ends the frame; `payloadBytes` are to follow through `append`. */
  endFrame(payloadBytes: number): void {
    const frameAt = this.start + this.#frameMark;
    const size = this.at - frameAt + payloadBytes;
    const { bytes } = this;
    bytes[frameAt] = size >>> 24;
    bytes[frameAt + 1] = size >>> 16;
    bytes[frameAt + 2] = size >>> 8;
    bytes[frameAt + 3] = size;
  }

  /** Adds `source[from, to)` to the payload of the frame that was ended last. */
  append(source: Uint8Array, from: number, to: number): void {
    const length = to - from;
    if (length >= referBytesMin) {
      this.#seal();
      this.#push(Buffer.from(source.buffer, source.byteOffset + from, length));
      return;
    }
    if (this.bytes.length - this.at < length) this.#seal();
    this.ensure(length);
    copyBytes(source, this.bytes, this.at, from, to);
    this.at += length;
  }

  /** A frame whose body is encoded already. */
  frame(type: number, channel: number, body: Uint8Array): void {
    this.beginFrame(type, channel);
    this.endFrame(body.length);
    this.append(body, 0, body.length);
  }

  /** Hands everything to the socket in one write. */
  flush(socket: Duplex): void {
    this.#seal();
    const chunks = this.#sealed;
    if (chunks.length === 0) return;
    this.#sealed = [];
    this.#sealedBytes = 0;
    if (chunks.length > 1) socket.cork();
    for (const chunk of chunks) socket.write(chunk);
    if (chunks.length > 1) socket.uncork();
  }

  #nextSlab(): void {
    this.#seal();
    if (this.#sealedBytes >= this.slabBytes / 2) this.slabBytes = Math.min(this.slabBytes * 2, slabBytesMax);
    this.renew();
  }

  #seal(): void {
    if (this.at > this.start) this.#push(this.take());
  }

  #push(chunk: Buffer): void {
    this.#sealed.push(chunk);
    this.#sealedBytes += chunk.length;
  }
}
