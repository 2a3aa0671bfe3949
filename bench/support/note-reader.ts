/** Reads notes as they are written. */
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import type { Ended } from "#load/generator/drive.ts";
import { bytesOfNote } from "./notes.ts";

const notesAtOnce = 4_096;

export class NoteReader {
  readonly #file: string;
  readonly #buffer = Buffer.alloc(bytesOfNote * notesAtOnce);
  #read = 0;
  readonly all: Ended[] = [];

  constructor(file: string) {
    this.#file = file;
  }

  /** What has come since the last time. */
  next(): readonly Ended[] {
    if (!existsSync(this.#file)) return [];
    const from = this.all.length;
    const file = openSync(this.#file, "r");
    try {
      for (;;) {
        const bytes = readSync(file, this.#buffer, 0, this.#buffer.length, this.#read * bytesOfNote);
        const notes = Math.floor(bytes / bytesOfNote);
        for (let note = 0; note < notes; note += 1) {
          const at = note * bytesOfNote;
          this.all.push({ place: this.#buffer.readDoubleLE(at), atMs: this.#buffer.readDoubleLE(at + Float64Array.BYTES_PER_ELEMENT) });
        }
        this.#read += notes;
        if (notes < notesAtOnce) return this.all.slice(from);
      }
    } finally {
      closeSync(file);
    }
  }
}
