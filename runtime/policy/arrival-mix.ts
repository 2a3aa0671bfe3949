/**
 * How messages of one source are divided among skills, as seen lately. What a message is becomes known only once it is here: of
 * a hundred messages asked for, as many are of a skill as its share of those that came before. A skill that has not been seen for long is
 * still expected, `priorArrivals` in what is remembered, so that a worker that knows nothing asks for no more than any one skill
 * has room for.
 */

/** A skill counts as if so many more of its messages had come. */
const priorArrivals = 8;
/**
 * When so many are remembered, a quarter is forgotten: what came long ago says little. It is enough for a round trip of many messages: a skill that
 * does not come, with room for a few, is not to hold up more than arrive within one.
 */
const rememberedMax = 8_192;
const keptPart = 0.75;

export class ArrivalMix {
  readonly #arrivals: number[];
  #total = 0;

  /** `kinds`: how many skills there are; each is named by its index. */
  constructor(kinds: number) {
    this.#arrivals = Array.from({ length: kinds }, () => 0);
  }

  /** A message of this kind has come. */
  came(kind: number): void {
    this.#arrivals[kind]! += 1;
    this.#total += 1;
    if (this.#total < rememberedMax) return;
    this.#total = 0;
    for (let index = 0; index < this.#arrivals.length; index += 1) {
      this.#arrivals[index] = Math.floor(this.#arrivals[index]! * keptPart);
      this.#total += this.#arrivals[index]!;
    }
  }

  /** The part of what comes that is expected to be of this kind: above 0, at most 1. */
  share(kind: number): number {
    return (this.#arrivals[kind]! + priorArrivals) / (this.#total + priorArrivals);
  }

  /** Of how many messages no more than `room` are expected to be of this kind; `room` itself where that is not above 0. */
  messagesFor(kind: number, room: number): number {
    return room > 0 ? Math.floor(room / this.share(kind)) : room;
  }
}
