// An append-only file of records, each with its length and a checksum. A file that was cut off in the middle of a record ends
// before that record; what follows is cut away.
import { closeSync, fsyncSync, ftruncateSync, openSync, readSync, renameSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";

const headBytes = 8;
const chunkBytes = 1024 * 1024;
/** Bytes of a record at most: a message with everything around it has far fewer. */
const recordBytesMax = 128 * 1024 * 1024;

export class RecordFile {
  readonly #path: string;
  #fd: number;
  #chunk: Buffer = Buffer.allocUnsafe(chunkBytes);
  #filled = 0;
  #written = 0;

  /** Opens or creates a file. Call `read` before the first `append`. */
  constructor(path: string, flags: "a+" | "w+" = "a+") {
    this.#path = path;
    this.#fd = openSync(path, flags);
  }

  /** Bytes appended so far, and those that were there before. */
  get bytes(): number {
    return this.#written + this.#filled;
  }

  /** Hands over every whole record from the beginning, and cuts away what is not whole. Returns how many bytes that were. */
  read(onRecord: (record: Buffer) => void): number {
    let at = 0;
    let window = Buffer.alloc(0);
    let windowAt = 0;
    const need = (from: number, bytes: number): Buffer | undefined => {
      if (from + bytes > windowAt + window.length) {
        const wanted = Buffer.allocUnsafe(Math.max(chunkBytes, bytes));
        window = wanted.subarray(0, readFully(this.#fd, wanted, from));
        windowAt = from;
      }
      const start = from - windowAt;
      return start + bytes <= window.length ? window.subarray(start, start + bytes) : undefined;
    };
    for (;;) {
      const head = need(at, headBytes);
      if (head === undefined) break;
      const [length, checksum] = [head.readUInt32LE(0), head.readUInt32LE(4)];
      const record = length > recordBytesMax ? undefined : need(at + headBytes, length);
      if (record === undefined || crc32(record) !== checksum) break;
      onRecord(record);
      at += headBytes + length;
    }
    const cut = sizeOf(this.#fd, at);
    if (cut > 0) ftruncateSync(this.#fd, at);
    this.#written = at;
    return cut;
  }

  append(record: Buffer): void {
    const total = headBytes + record.length;
    if (this.#filled + total > this.#chunk.length) this.flush();
    if (total > this.#chunk.length) this.#chunk = Buffer.allocUnsafe(total);
    this.#chunk.writeUInt32LE(record.length, this.#filled);
    this.#chunk.writeUInt32LE(crc32(record), this.#filled + 4);
    record.copy(this.#chunk, this.#filled + headBytes);
    this.#filled += total;
  }

  /** Hands everything to the system: it outlasts the process from now on. */
  flush(): void {
    for (let done = 0; done < this.#filled; ) done += writeSync(this.#fd, this.#chunk, done, this.#filled - done);
    this.#written += this.#filled;
    this.#filled = 0;
  }

  /** Takes the place of another file, which is closed. */
  replace(other: RecordFile): void {
    this.flush();
    fsyncSync(this.#fd);
    renameSync(this.#path, other.#path);
    closeSync(other.#fd);
    other.#fd = this.#fd;
    other.#written = this.#written;
    other.#filled = 0;
  }

  close(): void {
    this.flush();
    fsyncSync(this.#fd);
    closeSync(this.#fd);
  }
}

function readFully(fd: number, target: Buffer, from: number): number {
  let done = 0;
  while (done < target.length) {
    const count = readSync(fd, target, done, target.length - done, from + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** Bytes of the file from `from` on. */
function sizeOf(fd: number, from: number): number {
  const probe = Buffer.allocUnsafe(chunkBytes);
  let bytes = 0;
  for (let count = readFully(fd, probe, from); count > 0; count = readFully(fd, probe, from + bytes)) bytes += count;
  return bytes;
}
