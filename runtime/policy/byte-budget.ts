import { noFraction } from "../core/fractions.ts";
/**
 * How many messages may be taken so that what is held fits a budget of bytes. The size of what comes is estimated from what came:
 * mean and four mean deviations, as TCP estimates round trips (Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988). A
 * message larger than the whole budget is served all the same, by itself.
 */
const meanWeight = 1 / 8;
const deviationWeight = 1 / 4;
const deviations = 4;
/** What waits for long takes no more than this part of it. */
const restsPart = 0.5;

export class ByteBudget {
  readonly budgetBytes: number;
  #heldBytes = 0;
  #messages = 0;
  /** Of these, those that wait for long, and their bytes. */
  #resting = 0;
  #restingBytes = 0;
  #meanBytes = noFraction;
  #deviationBytes = noFraction;

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Below 0 when more is held than was to be. */
  get leftBytes(): number {
    return this.budgetBytes - this.#heldBytes;
  }

  /** No message is held, but for those that wait for long: nobody knows when these end. */
  get isEmpty(): boolean {
    return this.#messages === this.#resting;
  }

  get restsTooMuch(): boolean {
    return this.#restingBytes > this.budgetBytes * restsPart;
  }

  /** What a message that comes may take; 0 before the first has come. */
  get expectedBytes(): number {
    return this.#meanBytes + deviations * this.#deviationBytes;
  }

  took(bytes: number): void {
    this.#heldBytes += bytes;
    this.#messages += 1;
    if (this.#meanBytes === 0) this.#meanBytes = bytes;
    const error = bytes - this.#meanBytes;
    this.#meanBytes += meanWeight * error;
    this.#deviationBytes += deviationWeight * (Math.abs(error) - this.#deviationBytes);
  }

  gave(bytes: number): void {
    if (this.#messages === 0) throw new RangeError("expected a held message to leave, found none");
    this.#heldBytes -= bytes;
    this.#messages -= 1;
  }

  /** A message that is held waits for long. */
  rests(bytes: number): void {
    this.#resting += 1;
    this.#restingBytes += bytes;
  }

  /** It does so no more, with as many bytes as were said. */
  goesOn(bytes: number): void {
    this.#resting -= 1;
    this.#restingBytes -= bytes;
  }

  /** What comes with a message that is held has grown by so much, or shrunk: results of its steps, what it sends. */
  grew(bytes: number): void {
    this.#heldBytes += bytes;
  }

  /** How many more messages are likely to fit; 1 while nothing is held that ends soon, whatever their size. */
  room(): number {
    const expectedBytes = this.expectedBytes;
    if (expectedBytes === 0) return Number.POSITIVE_INFINITY;
    const room = Math.floor(this.leftBytes / expectedBytes);
    return Math.max(this.isEmpty ? 1 : 0, room);
  }
}
