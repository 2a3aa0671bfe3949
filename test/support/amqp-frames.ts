/** Counts the performatives in what a client sends, by their AMQP descriptor; each connection's bytes come in order. */
export class FrameCounter {
  readonly #counts = new Map<number, number>();
  readonly #rest = new Map<number, Buffer>();

  readonly look: (bytes: Buffer, connection: number) => void = (bytes, connection) => {
    let data = Buffer.concat([this.#rest.get(connection) ?? Buffer.alloc(0), bytes]);
    while (data.length >= 8) {
      // A protocol header is eight bytes and begins with the letters AMQP; everything else begins with its length.
      const size = data.toString("latin1", 0, 4) === "AMQP" ? 8 : data.readUInt32BE(0);
      if (data.length < size) break;
      this.#count(data.subarray(0, size));
      data = data.subarray(size);
    }
    this.#rest.set(connection, data);
  };

  of(descriptor: number): number {
    return this.#counts.get(descriptor) ?? 0;
  }

  #count(frame: Buffer): void {
    const at = (frame[4] ?? 0) * 4;
    if (frame.toString("latin1", 0, 4) === "AMQP" || frame[5] !== 0 || frame.length < at + 3) return;
    const descriptor = frame[at + 2] ?? 0;
    this.#counts.set(descriptor, this.of(descriptor) + 1);
  }
}

export const attach = 0x12;
export const flow = 0x13;
export const disposition = 0x15;
