// Collects what is to be written to a socket, so that a turn of the event loop makes one write of many frames.
import type { Socket } from "node:net";

const chunkBytes = 64 * 1024;

export class OutputBuffer {
  readonly #socket: Socket;
  /** Called before a flush, for what was put off until then. */
  readonly #beforeFlush: () => void;
  #chunk: Buffer = Buffer.allocUnsafeSlow(chunkBytes);
  #start = 0;
  #end = 0;
  #scheduled = false;

  constructor(socket: Socket, beforeFlush: () => void) {
    this.#socket = socket;
    this.#beforeFlush = beforeFlush;
  }

  get chunk(): Buffer {
    return this.#chunk;
  }

  /** Bytes that have not left for the system yet. */
  get pendingBytes(): number {
    return this.#socket.writableLength + this.#end - this.#start;
  }

  /** Makes room for `bytes` in `chunk` and returns where they go. */
  reserve(bytes: number): number {
    if (this.#end + bytes > this.#chunk.length) {
      this.#write();
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(chunkBytes, bytes));
      this.#start = this.#end = 0;
    }
    const at = this.#end;
    this.#end += bytes;
    this.schedule();
    return at;
  }

  append(bytes: Buffer): void {
    const at = this.reserve(bytes.length);
    bytes.copy(this.#chunk, at);
  }

  /** Makes sure that a flush comes once this turn's work is done. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    this.#beforeFlush();
    this.#scheduled = false;
    this.#write();
  }

  #write(): void {
    if (this.#start === this.#end) return;
    if (this.#socket.writable) this.#socket.write(this.#chunk.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}
