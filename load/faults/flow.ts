/**
 * One direction of a connection. What comes in is held until it is due and then passed on, in order; when it is due is decided
 * by what is wrong at the time. The pieces that wait are bounded: past that, the sender is no longer read from, as by a full pipe.
 */
import type { Socket } from "node:net";
import type { Random } from "#runtime/core/clock.ts";
import type { Toxic } from "./toxics.ts";

/** What a flow asks when it passes something on. */
export interface FlowOptions {
  /** What is wrong with this direction of this connection now. */
  readonly toxics: () => readonly Toxic[];
  readonly random: Random;
  /** So many bytes may pass in all; called when they have. */
  readonly exhausted: () => void;
}

/** A piece, or that the sender has ended, or that it is gone. */
interface OnTheWay {
  readonly piece: Buffer | "end" | "gone";
  readonly dueMs: number;
}

const heldBytesMax = 16 * 1024 * 1024;
/** Pieces in which a narrow line passes things on. */
const narrowBytes = 1_024;
const passedMax = 1_024;
/** What is due so soon goes now: timers are no finer. */
const soonMs = 0.5;

export class Flow {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #options: FlowOptions;
  readonly #onTheWay: OnTheWay[] = [];
  #head = 0;
  #heldBytes = 0;
  /** When the last piece is due, and when the line is free again where it is narrow. */
  #lastDueMs = 0;
  #lineFreeMs = 0;
  #passedBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Nothing passes: a black hole. */
  #isHeld = false;
  #isFull = false;
  #toxics: readonly Toxic[] = [];
  /** Bytes that may pass in all. */
  #bytesMax = Infinity;

  constructor(from: Socket, to: Socket, options: FlowOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    from.on("data", (chunk: Buffer) => this.#come(chunk));
    from.on("end", () => this.#put("end"));
    to.on("drain", () => {
      this.#isFull = false;
      this.#pass();
    });
    from.on("close", () => {
      if (!from.readableEnded) this.#put("gone");
    });
    to.on("close", () => clearTimeout(this.#timer));
    this.changed();
  }

  /** What is wrong has changed. */
  changed(): void {
    this.#toxics = this.#options.toxics();
    this.#isHeld = this.#toxics.some(({ kind }) => kind === "black-hole");
    this.#bytesMax = Math.min(...this.#toxics.map((toxic) => (toxic.kind === "limited-data" ? toxic.bytes : Infinity)));
    if (this.#passedBytes >= this.#bytesMax) this.#options.exhausted();
    this.#pass();
  }

  #come(chunk: Buffer): void {
    const slicing = this.#toxics.find((toxic) => toxic.kind === "slicing");
    const size = slicing?.bytes ?? (this.#toxics.some(({ kind }) => kind === "bandwidth") ? narrowBytes : chunk.length);
    for (let at = 0; at < chunk.length; at += size) this.#put(chunk.subarray(at, at + size));
  }

  #put(piece: OnTheWay["piece"]): void {
    const bytes = typeof piece === "string" ? 0 : piece.length;
    this.#onTheWay.push({ piece, dueMs: this.#dueMs(bytes, typeof piece === "string") });
    this.#heldBytes += bytes;
    if (this.#heldBytes > heldBytesMax) this.#from.pause();
    this.#pass();
  }

  /** When a piece that comes now is due: never before the one ahead of it. */
  #dueMs(bytes: number, isEnd: boolean): number {
    const nowMs = performance.now();
    let dueMs = nowMs;
    for (const toxic of this.#toxics) {
      switch (toxic.kind) {
        case "latency":
          dueMs += Math.max(0, toxic.latencyMs + (this.#options.random() * 2 - 1) * toxic.jitterMs);
          break;
        case "bandwidth":
          this.#lineFreeMs = Math.max(this.#lineFreeMs, nowMs) + (bytes * 1_000) / toxic.bytesPerSecond;
          dueMs += this.#lineFreeMs - nowMs;
          break;
        case "slicing":
          dueMs = Math.max(dueMs, this.#lastDueMs + toxic.delayMs);
          break;
        case "slow-close":
          if (isEnd) dueMs += toxic.delayMs;
          break;
        case "down":
        case "refused":
        case "black-hole":
        case "reset":
        case "limited-data":
          break;
      }
    }
    this.#lastDueMs = Math.max(dueMs, this.#lastDueMs);
    return this.#lastDueMs;
  }

  /** Passes on what is due. */
  #pass(): void {
    if (this.#timer !== undefined) return;
    while (!this.#isHeld && !this.#isFull) {
      const next = this.#onTheWay[this.#head];
      if (next === undefined || this.#head > passedMax) {
        this.#onTheWay.splice(0, this.#head);
        this.#head = 0;
        if (next === undefined) return;
      }
      const waitMs = next.dueMs - performance.now();
      if (waitMs > soonMs) {
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.#pass();
        }, waitMs);
        return;
      }
      this.#head += 1;
      if (next.piece === "end") this.#to.end();
      else if (next.piece === "gone") this.#to.destroySoon();
      else this.#deliver(next.piece);
    }
  }

  #deliver(piece: Buffer): void {
    this.#heldBytes -= piece.length;
    if (this.#from.isPaused() && this.#heldBytes <= heldBytesMax / 2) this.#from.resume();
    if (!this.#to.writable) return;
    const left = this.#bytesMax - this.#passedBytes;
    this.#isFull = !this.#to.write(left < piece.length ? piece.subarray(0, left) : piece);
    this.#passedBytes += Math.min(piece.length, left);
    if (this.#passedBytes >= this.#bytesMax) this.#options.exhausted();
  }
}
