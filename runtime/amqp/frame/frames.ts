// Cutting what a socket delivers into protocol headers and frames (part 2, 2.2 and 2.3).
//
//   frame:   size u32 | doff u8 | type u8 | channel u16 | extended header | body … size
//   header:  "AMQP" | protocol id u8 | major u8 | minor u8 | revision u8
//
// A frame that lies whole in one chunk is handed on where it lies. Only a frame that is cut by the end of a chunk is copied:
// into a buffer of its own size, once. So slices of a frame stay valid for as long as anyone holds them; a slice keeps the
// whole chunk in memory that it lies in.
import { u16, u32, u8 } from "../codec/bytes.ts";
import { ProtocolError, conditions } from "../codec/errors.ts";

/** Both a header and the fixed part of a frame are this long. */
const headBytes = 8;

export const frameType = { amqp: 0, sasl: 1 } as const;

export interface ProtocolHeader {
  /** 0 AMQP, 2 TLS, 3 SASL. */
  readonly id: number;
  /** Whether it begins with "AMQP" and the version is 1.0.0. */
  readonly supported: boolean;
}

export const protocolId = { amqp: 0, sasl: 3 } as const;

export function protocolHeader(id: number): Buffer {
  return Buffer.from([0x41, 0x4d, 0x51, 0x50, id, 1, 0, 0]);
}

export interface FrameHandler {
  onHeader(header: ProtocolHeader): void;
  /** The body is `bytes[start, end)`; empty in a heartbeat. */
  onFrame(type: number, channel: number, bytes: Buffer, start: number, end: number): void;
}

/** What comes next on the wire. */
type Expected = "header" | "frame" | "nothing";

export class FrameReader {
  /** Largest frame accepted, its head included. */
  frameBytesMax: number;
  readonly #handler: FrameHandler;
  #expected: Expected = "header";
  /** A unit that the last chunk ended in the middle of; its length is what the unit needs as far as that is known. */
  #partial: Buffer | undefined;
  #filled = 0;
  #held: Buffer[] | undefined;

  constructor(handler: FrameHandler, frameBytesMax: number) {
    this.#handler = handler;
    this.frameBytesMax = frameBytesMax;
  }

  /** Whatever comes after the present frame or header is `next`; after `nothing` the rest is dropped. */
  expect(next: Expected): void {
    this.#expected = next;
    if (next !== "nothing") return;
    this.#partial = undefined;
    this.#held = undefined;
  }

  /** Hands on nothing more until `release`; what comes meanwhile is kept. Stop the socket too. */
  hold(): void {
    this.#held ??= [];
  }

  /** Goes on with what was kept. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const chunk of held) this.push(chunk);
  }

  /** Takes a chunk as the socket gave it. Throws a ProtocolError on what is no frame. */
  push(chunk: Buffer): void {
    let at = this.#partial === undefined || this.#held !== undefined ? 0 : this.#fill(this.#partial, chunk);
    while (this.#expected !== "nothing" && at < chunk.length) {
      if (this.#held !== undefined) {
        this.#held.push(chunk.subarray(at));
        return;
      }
      const left = chunk.length - at;
      const size = left < headBytes ? headBytes : this.#sizeAt(chunk, at);
      if (left < size) {
        this.#keep(chunk, at, size);
        return;
      }
      this.#handle(chunk, at, at + size);
      at += size;
    }
  }

  #keep(chunk: Buffer, at: number, size: number): void {
    this.#partial = Buffer.allocUnsafeSlow(size);
    this.#filled = chunk.copy(this.#partial, 0, at);
  }

  /** Goes on with a unit that was cut. Returns where in the chunk the next one begins. */
  #fill(partial: Buffer, chunk: Buffer): number {
    let at = chunk.copy(partial, this.#filled);
    this.#filled += at;
    if (this.#filled < partial.length) return at;
    const size = this.#sizeAt(partial, 0);
    if (size === partial.length) {
      this.#partial = undefined;
      this.#handle(partial, 0, size);
      return at;
    }
    const whole = Buffer.allocUnsafeSlow(size);
    partial.copy(whole);
    this.#partial = whole;
    at += this.#fill(whole, chunk.subarray(at));
    return at;
  }

  /** The size of the unit whose head lies at `at`. */
  #sizeAt(bytes: Buffer, at: number): number {
    if (this.#expected === "header") return headBytes;
    const size = u32(bytes, at);
    if (size < headBytes) throw framing(`a frame of at least ${headBytes} bytes`, `${size}`);
    if (size > this.frameBytesMax) throw framing(`a frame of at most ${this.frameBytesMax} bytes`, `${size}`);
    return size;
  }

  #handle(bytes: Buffer, at: number, end: number): void {
    if (this.#expected === "header") {
      const supported = bytes.toString("latin1", at, at + 4) === "AMQP" && u8(bytes, at + 5) === 1 && u16(bytes, at + 6) === 0;
      this.#handler.onHeader({ id: u8(bytes, at + 4), supported });
      return;
    }
    const bodyAt = at + u8(bytes, at + 4) * 4;
    if (bodyAt < at + headBytes || bodyAt > end) throw framing("a data offset inside the frame", `${u8(bytes, at + 4)}`);
    this.#handler.onFrame(u8(bytes, at + 5), u16(bytes, at + 6), bytes, bodyAt, end);
  }
}

function framing(expected: string, found: string): ProtocolError {
  return new ProtocolError(conditions.framingError, `expected ${expected}, found ${found}`);
}
