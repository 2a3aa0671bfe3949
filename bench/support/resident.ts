/** A contender that stays while others have their turns, and drains its queue again and again: what it has compiled and learnt is there the next time. */
import type { Child } from "#load/dev/child.ts";
import { generatePlain, type PlainMessage, type PlainOptions } from "#load/generator/plain.ts";
import { type Arena, type Feed, notesOf, until } from "./arena.ts";
import type { Contender, Ground } from "./contenders.ts";
import { sharedMonotonicMs } from "./notes.ts";
import { judge, type Verdict } from "./verdict.ts";

/** Messages that ended, and in how long. */
export interface Stretch {
  readonly messages: number;
  readonly ms: number;
}

export interface ResidentOptions {
  readonly contender: Contender;
  readonly messages: Omit<PlainOptions, "idPrefix" | "events">;
  readonly ground: Partial<Ground>;
}

/** Not counted: what ends before, or before all has been sent; and the last ones. */
const countedFrom = 0.2;
const countedTo = 0.95;
const drainMaxMs = 120_000;
const eventsMax = 100_000_000;

export class Resident {
  readonly #arena: Arena;
  readonly #contender: Contender;
  readonly #ground: Ground;
  readonly #feed: Feed;
  readonly #child: Child<unknown>;
  readonly #stream: Iterator<PlainMessage>;
  readonly #sent: PlainMessage[] = [];

  private constructor(arena: Arena, contender: Contender, ground: Ground, child: Child<unknown>, stream: Iterator<PlainMessage>) {
    this.#arena = arena;
    this.#contender = contender;
    this.#ground = ground;
    this.#feed = arena.feed(contender, ground);
    this.#child = child;
    this.#stream = stream;
  }

  static async start(arena: Arena, { contender, messages, ground: changes }: ResidentOptions): Promise<Resident> {
    const ground = arena.ground(changes);
    const stream = generatePlain({ ...messages, events: eventsMax, idPrefix: `${ground.prefix}-` })[Symbol.iterator]();
    return new Resident(arena, contender, ground, await contender.start(ground), stream);
  }

  async drain(count: number): Promise<Stretch> {
    const before = this.#sent.length;
    const messages = Array.from({ length: count }, (): PlainMessage => this.#stream.next().value);
    for (const message of messages) this.#sent.push(message);
    // What the last one to have its turn has left is not collected in this one.
    await this.#arena.broker.peer.call("collectGarbage");
    await this.#feed.send(messages);
    const from = await this.#reach(before + count * countedFrom);
    const to = await this.#reach(before + count * countedTo);
    await this.#reach(before + count);
    return { messages: to.ended - from.ended, ms: to.atMs - from.atMs };
  }

  /** Whether all has ended as it must. */
  async verdict(): Promise<Verdict> {
    const notes = this.#contender.isBare ? undefined : await notesOf(this.#ground, this.#sent.length);
    return judge({ sent: this.#sent, outcomes: await this.#feed.outcomes(), done: notes });
  }

  async stop(): Promise<void> {
    await this.#child.stop();
    await this.#feed.stop();
  }

  async #reach(wanted: number): Promise<{ readonly ended: number; readonly atMs: number }> {
    let ended = 0;
    const isReached = await until(async () => {
      const { exitCode } = this.#child.process;
      if (exitCode !== null) throw new Error(`expected the contender to work, it ended with ${exitCode}`);
      ended = await this.#feed.ended();
      return ended >= wanted;
    }, drainMaxMs);
    if (!isReached) throw new Error(`expected ${wanted} messages to end within ${drainMaxMs} ms, ${ended} did`);
    return { ended, atMs: sharedMonotonicMs() };
  }
}
