/**
 * How many bytes may be on their way to a worker beside what it holds, so that all of it fits its budget of bytes whatever size messages turn
 * out to have. Credit is granted by what they had so far; this holds where that was wrong. It is asked by each link again as its window
 * moves on, and shares what is left among them by the credit that each has out.
 *
 * While a message is held, what does not fit waits at the broker. While none is, the message that has come furthest is let come, however large it is: it
 * would never be served else. Others wait for it.
 */
import type { ByteBudget } from "./byte-budget.ts";

/** A link may always have so much on its way while the budget is not used up: what an idle one is granted before it is known what comes. */
export const stepBytes: number = 256 * 1024;
/** Where there are so many links that their steps would use the budget up, they may have less: a frame, for nothing comes of less than that. */
const stepMinBytes = 64 * 1024;
/** All steps together are to take no more than this part of what may be on its way. */
const stepsPart = 0.25;

type IncomingBudget = Pick<ByteBudget, "budgetBytes" | "leftBytes" | "isEmpty">;

export class IncomingBytes<Link> {
  readonly #budget: IncomingBudget;
  readonly #copiesOfBody: number;
  /** Bytes of messages that have partly come, by link; the one that began first comes first. */
  readonly #arriving = new Map<Link, number>();
  #arrivingBytes = 0;

  /** @param copiesOfBody as how many times its size a message counts once it is held */
  constructor(budget: IncomingBudget, copiesOfBody: number) {
    this.#budget = budget;
    this.#copiesOfBody = copiesOfBody;
  }

  /** What each of so many links may always have on its way while the budget is not used up. */
  stepOf(links: number): number {
    const steps = (this.#budget.budgetBytes / this.#copiesOfBody) * stepsPart;
    return Math.max(stepMinBytes, Math.min(stepBytes, steps / links));
  }

  /**
   * For one link: on their way, and come already of a message that is not whole, of which there are `arrivingBytes`.
   * @param part its share of what is left, for what is on its way beyond these: a message goes on coming while there is any left
   * @param step what it may have on its way however small its share is
   */
  room(link: Link, arrivingBytes: number, part: number, step: number = stepBytes): number {
    this.#note(link, arrivingBytes);
    const leftBytes = this.#budget.leftBytes / this.#copiesOfBody - (this.#arrivingBytes - arrivingBytes);
    const sharedBytes = leftBytes <= 0 ? 0 : Math.max(step, Math.min(leftBytes, arrivingBytes + Math.max(step, leftBytes * part)));
    return this.#isNext(link) ? Math.max(sharedBytes, arrivingBytes + step) : sharedBytes;
  }

  /** Nothing of it has partly come any more. */
  whole(link: Link): void {
    this.#note(link, 0);
  }

  /** Nothing else is held, and no other message began to come before. */
  #isNext(link: Link): boolean {
    if (!this.#budget.isEmpty) return false;
    for (const first of this.#arriving.keys()) return first === link;
    return true;
  }

  #note(link: Link, bytes: number): void {
    const before = this.#arriving.get(link) ?? 0;
    if (bytes === before) return;
    this.#arrivingBytes += bytes - before;
    if (bytes === 0) this.#arriving.delete(link);
    else this.#arriving.set(link, bytes);
  }
}
