// A socket whose far end is the test: what goes in is pushed, what goes out is kept, write by write.
import { Duplex } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { encodeBegin, encodeOpen } from "#runtime/amqp/frame/performatives.ts";
import { describedValueAt, descriptorAt } from "#runtime/amqp/codec/descriptors.ts";
import { FieldReader } from "#runtime/amqp/codec/fields.ts";
import { FrameReader, protocolHeader, protocolId } from "#runtime/amqp/frame/frames.ts";
import { bareFrame } from "./loopback.ts";
import type { Seen } from "./loopback.ts";

export class StubSocket extends Duplex {
  /** How often the engine handed something to the socket. */
  writes = 0;
  /** Whether what is written is taken a turn later. */
  isSlow = false;
  readonly headers: number[] = [];
  readonly frames: Seen[] = [];
  readonly #reader: FrameReader;

  constructor() {
    super();
    this.#reader = new FrameReader(
      {
        onHeader: ({ id }) => {
          this.headers.push(id);
          this.#reader.expect("frame");
        },
        onFrame: (type, channel, bytes, start, end) => {
          const body = Buffer.from(bytes.subarray(start, end));
          const code = body.length === 0 ? -1 : descriptorAt(body, 0, body.length);
          const fields = new FieldReader();
          if (code >= 0) fields.open(body, describedValueAt(body, 0, body.length), body.length);
          this.frames.push({ type, channel, code, body, fields });
          if (type === 1 && (code === 0x44 || code === 0x41)) this.#reader.expect("header");
        },
      },
      1_048_576,
    );
  }

  override _read(): void {
    // Everything is pushed.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.writes++;
    this.#reader.push(chunk);
    if (this.isSlow) setImmediate(done);
    else done();
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: () => void): void {
    this.writes++;
    for (const { chunk } of chunks) this.#reader.push(chunk);
    done();
  }

  /** Hands bytes in, and lets the engine's tick end. */
  async feed(...bytes: readonly Uint8Array[]): Promise<void> {
    this.push(Buffer.concat(bytes));
    await nextTurn();
    await nextTurn();
  }

  codes(): number[] {
    return this.frames.map((frame) => frame.code);
  }
}

export const header: Buffer = protocolHeader(protocolId.amqp);
export const openFrame: Buffer = bareFrame(encodeOpen({ containerId: "far", maxFrameSize: 65_536, channelMax: 100 }));

export function beginFrame(remoteChannel?: number, channel = 0): Buffer {
  return bareFrame(encodeBegin({ remoteChannel, nextOutgoingId: 0, incomingWindow: 10_000, outgoingWindow: 10_000, handleMax: 100 }), channel);
}
