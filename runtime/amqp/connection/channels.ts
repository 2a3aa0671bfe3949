// The two numberings of a connection's sessions: each side numbers its own half, and a begin that answers one ties the two
// together (part 2, 2.5.1). A channel is free again when both ends of its session are over.

/** A session, by its numbers. */
interface Numbered {
  /** Our channel. */
  readonly channel: number;
  /** The peer's channel; -1 before its begin. */
  readonly remoteChannel: number;
}

export class Channels<Session extends Numbered> {
  readonly #own: (Session | undefined)[] = [];
  readonly #remote: (Session | undefined)[] = [];

  /** The lowest channel of ours that is free. */
  get free(): number {
    const index = this.#own.indexOf(undefined);
    return index < 0 ? this.#own.length : index;
  }

  /** The session that we number so. */
  own(channel: number): Session | undefined {
    return this.#own[channel];
  }

  /** The session that the peer numbers so. */
  remote(channel: number): Session | undefined {
    return this.#remote[channel];
  }

  add(session: Session): void {
    this.#own[session.channel] = session;
  }

  tie(remoteChannel: number, session: Session): void {
    this.#remote[remoteChannel] = session;
  }

  delete(session: Session): void {
    if (this.#own[session.channel] === session) this.#own[session.channel] = undefined;
    if (session.remoteChannel >= 0 && this.#remote[session.remoteChannel] === session) this.#remote[session.remoteChannel] = undefined;
  }

  all(): readonly Session[] {
    return this.#own.filter((session) => session !== undefined);
  }
}
