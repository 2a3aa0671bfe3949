// An append-only file of records. What is handed over together is written as one batch with a checksum, and counts whole or not
// at all: a message that moves from one entity to another is in one of them, whenever the process ends.
//
//   head    16 bytes: a name, and the version of the format
//   batch   marker, length and checksum of what follows (4 bytes each), then records, each with its length (4 bytes) before it
//
// A process that is killed while it writes leaves a batch at the end that is not whole; it is cut away, for nothing in it was
// confirmed. Damage with whole batches behind it is no such end, and is reported.
import { closeSync, fdatasyncSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";

const magic = "HOLDFAST-LOG";
const version = 1;
const fileHeadBytes = 16;
const batchHeadBytes = 12;
const marker = 0x4842_6c67;
const markerBytes = u32(marker);
const lengthBytes = 4;
const bufferBytes = 1024 * 1024;
/** A buffer that grew beyond this for one batch is not kept for the next one. */
const bufferBytesKept = 8 * 1024 * 1024;
/** Bytes of a batch at most; more is damage. */
const batchBytesMax = 2 ** 31;

/** The file is none of ours, or of a version that this program does not know. */
export class RecordFileError extends Error {
  readonly code = "RecordFile";
}

/** Part of a file that holds no batch, with whole batches behind it. */
export interface Damage {
  readonly at: number;
  readonly bytes: number;
}

/** What writes to a file; returns how many bytes it took. */
export type Write = (fd: number, bytes: Buffer, from: number, length: number) => number;

export interface ReadResult {
  readonly damages: readonly Damage[];
  /** Bytes at the end that are no whole batch. */
  readonly tornBytes: number;
}

export class RecordFile {
  readonly path: string;
  readonly #write: Write;
  #fd: number;
  #buffer: Buffer = Buffer.allocUnsafe(bufferBytes);
  #filled = batchHeadBytes;
  #written: number;
  /** A write failed half-way, and what it left behind could not be cut away yet. */
  #isTorn = false;

  /** Opens or creates a file; with `isFresh` one that was there is emptied. Call `read` before the first `append`. */
  constructor(path: string, isFresh = false, write: Write = writeSync) {
    this.path = path;
    this.#write = write;
    // Only its owner reads it: messages are nobody else's business.
    this.#fd = openSync(path, isFresh ? "w+" : "a+", 0o600);
    this.#written = fstatSync(this.#fd).size;
    if (this.#written < fileHeadBytes) this.#begin();
  }

  /** Bytes of the file, with those that wait to be written. */
  get bytes(): number {
    return this.#written + this.#filled - batchHeadBytes;
  }

  get isFlushed(): boolean {
    return this.#filled === batchHeadBytes;
  }

  /**
   * Hands over every record of every whole batch, from the beginning. Changes nothing.
   *
   * @throws RecordFileError when the file is not one of ours
   */
  read(onRecord: (record: Buffer) => void): ReadResult {
    const source = new Source(this.#fd, this.#written);
    checkHead(this.path, source.slice(0, fileHeadBytes));
    const damages: Damage[] = [];
    let at = fileHeadBytes;
    while (at < this.#written) {
      const batch = batchAt(source, at);
      if (batch === undefined) {
        const next = findBatch(source, at + 1);
        if (next === undefined) return { damages, tornBytes: this.#written - at };
        damages.push({ at, bytes: next - at });
        at = next;
        continue;
      }
      for (let from = 0; from < batch.length;) {
        const length = batch.readUInt32LE(from);
        onRecord(batch.subarray(from + lengthBytes, from + lengthBytes + length));
        from += lengthBytes + length;
      }
      at += batchHeadBytes + batch.length;
    }
    return { damages, tornBytes: 0 };
  }

  /** Cuts bytes away at the end. */
  cut(bytes: number): void {
    this.#written -= bytes;
    ftruncateSync(this.#fd, this.#written);
  }

  append(record: Buffer): void {
    const end = this.#filled + lengthBytes + record.length;
    if (end > this.#buffer.length) this.#grow(end);
    this.#buffer.writeUInt32LE(record.length, this.#filled);
    record.copy(this.#buffer, this.#filled + lengthBytes);
    this.#filled = end;
  }

  /**
   * Hands what was appended to the system, as one batch: it outlasts the process from now on; with `isSynced`, a power cut, too.
   *
   * @throws what the system says; the file is as it was before, and what was appended waits for the next time
   */
  flush(isSynced: boolean): void {
    if (this.isFlushed) return;
    const { length } = this.#head();
    try {
      if (this.#isTorn) this.#mend();
      for (let done = 0; done < length;) done += this.#write(this.#fd, this.#buffer, done, length - done);
      if (isSynced) fdatasyncSync(this.#fd);
    } catch (error) {
      this.#isTorn = true;
      this.#mend(true);
      throw error;
    }
    this.#written += length;
    this.#filled = batchHeadBytes;
    if (this.#buffer.length > bufferBytesKept) this.#buffer = Buffer.allocUnsafe(bufferBytes);
  }

  /** Takes the place of another file, which is closed. */
  replace(other: RecordFile): void {
    this.flush(true);
    renameSync(this.path, other.path);
    syncFolder(dirname(other.path));
    closeSync(other.#fd);
    other.#fd = this.#fd;
    other.#written = this.#written;
    other.#filled = batchHeadBytes;
    other.#isTorn = false;
  }

  close(): void {
    try {
      fsyncSync(this.#fd);
    } finally {
      closeSync(this.#fd);
    }
  }

  /** Writes a new file's head. */
  #begin(): void {
    ftruncateSync(this.#fd, 0);
    writeSync(this.#fd, Buffer.concat([Buffer.from(magic), u32(version)]));
    this.#written = fileHeadBytes;
    fsyncSync(this.#fd);
    syncFolder(dirname(this.path));
  }

  #head(): { readonly length: number } {
    const batch = this.#buffer.subarray(batchHeadBytes, this.#filled);
    this.#buffer.writeUInt32LE(marker, 0);
    this.#buffer.writeUInt32LE(batch.length, 4);
    this.#buffer.writeUInt32LE(crc32(batch), 8);
    return { length: this.#filled };
  }

  #mend(isQuiet = false): void {
    try {
      ftruncateSync(this.#fd, this.#written);
      this.#isTorn = false;
    } catch (error) {
      if (!isQuiet) throw error;
    }
  }

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafe(Math.max(bytes, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#filled);
    this.#buffer = larger;
  }
}

/** A file's bytes from anywhere, read in large pieces. */
class Source {
  readonly size: number;
  readonly #fd: number;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;

  constructor(fd: number, size: number) {
    this.#fd = fd;
    this.size = size;
  }

  /** Fewer bytes at the end of the file. Valid until the next call. */
  slice(at: number, bytes: number): Buffer {
    const end = Math.min(at + bytes, this.size);
    if (at < this.#windowAt || end > this.#windowAt + this.#window.length) {
      const wanted = Buffer.allocUnsafe(Math.min(Math.max(bufferBytes, end - at), this.size - at));
      let done = 0;
      for (let count = 1; done < wanted.length && count > 0; done += count) count = readSync(this.#fd, wanted, done, wanted.length - done, at + done);
      this.#window = wanted.subarray(0, done);
      this.#windowAt = at;
    }
    return this.#window.subarray(at - this.#windowAt, end - this.#windowAt);
  }
}

/** The records of the batch that begins at a place; undefined when no whole one does. */
function batchAt(source: Source, at: number): Buffer | undefined {
  const head = source.slice(at, batchHeadBytes);
  if (head.length < batchHeadBytes || head.readUInt32LE(0) !== marker) return undefined;
  const [length, checksum] = [head.readUInt32LE(4), head.readUInt32LE(8)];
  if (length > batchBytesMax || at + batchHeadBytes + length > source.size) return undefined;
  const batch = source.slice(at + batchHeadBytes, length);
  return crc32(batch) === checksum ? batch : undefined;
}

/** Where the next whole batch begins. */
function findBatch(source: Source, from: number): number | undefined {
  for (let at = from; at + batchHeadBytes <= source.size;) {
    const found = source.slice(at, bufferBytes).indexOf(markerBytes);
    // A marker may lie across the end of what was looked at.
    if (found < 0) at += bufferBytes - (lengthBytes - 1);
    else if (batchAt(source, at + found) !== undefined) return at + found;
    else at += found + 1;
  }
  return undefined;
}

function checkHead(path: string, head: Buffer): void {
  if (head.subarray(0, magic.length).toString("latin1") !== magic)
    throw new RecordFileError(`${path}: expected a file that a broker wrote, found something else; choose another folder for --data`);
  const found = head.readUInt32LE(magic.length);
  if (found !== version)
    throw new RecordFileError(
      `${path}: expected version ${version} of the format, found ${found}; use the version of holdfast that wrote it, or another folder for --data`,
    );
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** A new name in a folder outlasts a power cut once the folder is written. Some systems cannot; there it is as it is. */
function syncFolder(folder: string): void {
  let fd: number | undefined;
  try {
    fd = openSync(folder, "r");
    fsyncSync(fd);
  } catch {
    // Windows opens no folders.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
