/** What may be on its way of the messages of sessions: of their source's part of it, an equal part for each session that may be worked at once. */
import type { IncomingBytes } from "../policy/incoming-bytes.ts";
import type { HeldSession } from "../ports/transport.ts";

export class SessionBytes {
  readonly #incoming: IncomingBytes<object>;
  readonly #partOfAll: () => number;
  readonly #concurrentMax: number;
  readonly #stepBytes: number;
  /** Those whose message waits at the broker for room. */
  readonly #short = new Set<HeldSession>();

  /** @param partOfAll of all sessions of the source together */
  constructor(incoming: IncomingBytes<object>, partOfAll: () => number, concurrentMax: number) {
    this.#incoming = incoming;
    this.#partOfAll = partOfAll;
    this.#concurrentMax = concurrentMax;
    this.#stepBytes = incoming.stepOf(concurrentMax);
  }

  get areShort(): boolean {
    return this.#short.size > 0;
  }

  isShort(session: HeldSession): boolean {
    return this.#short.has(session);
  }

  room(session: HeldSession, arrivingBytes: number): number {
    const room = this.#incoming.room(session, arrivingBytes, this.#partOfAll() / this.#concurrentMax, this.#stepBytes);
    if (room - arrivingBytes < this.#stepBytes) this.#short.add(session);
    else this.#short.delete(session);
    return room;
  }

  /** Nothing of it has partly come: its message is here, or it is held no more. */
  whole(session: HeldSession): void {
    this.#short.delete(session);
    this.#incoming.whole(session);
  }

  /** There may be room. */
  widen(): void {
    for (const session of this.#short) session.widen?.();
  }
}
