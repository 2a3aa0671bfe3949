/** A contender that stays while others have their turns, and drains its queue again and again: what it has compiled and learnt is there the next time. */
import { generatePlain, type PlainMessage, type PlainOptions } from "#load/generator/plain.ts";
import { type Arena, type Feed, notesOf, until } from "./arena.ts";
import type { Contender, Ground } from "./contenders.ts";
import { between, type Measured, type Parts, read, type Reading } from "./reading.ts";
import type { RedisUsage } from "./redis.ts";
import { judge, type Verdict } from "./verdict.ts";

/** What a message cost, of so many that ended in so long. */
export interface Stretch extends Measured {
  readonly messages: number;
  readonly ms: number;
}

export interface ResidentOptions {
  readonly contender: Contender;
  readonly messages: Omit<PlainOptions, "idPrefix" | "events">;
  readonly ground?: Partial<Ground>;
  /** Processes; default 1. */
  readonly workers?: number;
  /** Of the store, where that is not the arena's Redis. */
  readonly usage?: () => Promise<RedisUsage>;
  /** Nothing is delivered before all has been sent: who sends takes no part of what is measured. Default false. */
  readonly isHeld?: boolean;
  /** Share of a turn where what is counted ends; default all but the last few. */
  readonly countedTo?: number;
}

/** Not counted: what ends before, or before all has been sent; and the last ones. */
const countedFrom = 0.2;
const countedToDefault = 0.95;
const drainMaxMs = 120_000;
const eventsMax = 100_000_000;

export class Resident {
  readonly #arena: Arena;
  readonly #contender: Contender;
  readonly #ground: Ground;
  readonly #feed: Feed;
  readonly #parts: Parts;
  readonly #isHeld: boolean;
  readonly #countedTo: number;
  readonly #stream: Iterator<PlainMessage>;
  readonly #sent: PlainMessage[] = [];

  private constructor(
    arena: Arena,
    ground: Ground,
    parts: Parts,
    { contender, isHeld = false, countedTo = countedToDefault }: ResidentOptions,
    stream: Iterator<PlainMessage>,
  ) {
    this.#arena = arena;
    this.#contender = contender;
    this.#ground = ground;
    this.#feed = arena.feed(contender, ground);
    this.#parts = parts;
    this.#isHeld = isHeld;
    this.#countedTo = countedTo;
    this.#stream = stream;
  }

  static async start(arena: Arena, options: ResidentOptions): Promise<Resident> {
    const { contender, messages, ground: changes, workers = 1, usage = () => arena.redis.usage() } = options;
    const ground = arena.ground(changes);
    await arena.vacated();
    const stream = generatePlain({ ...messages, events: eventsMax, idPrefix: `${ground.prefix}-` })[Symbol.iterator]();
    const children = await Promise.all(Array.from({ length: workers }, () => contender.start(ground)));
    return new Resident(arena, ground, { broker: arena.broker, children, usage }, options, stream);
  }

  async drain(count: number): Promise<Stretch> {
    const before = this.#sent.length;
    const messages = Array.from({ length: count }, (): PlainMessage => this.#stream.next().value);
    for (const message of messages) this.#sent.push(message);
    const release = this.#isHeld ? await this.#feed.hold?.() : undefined;
    // What the last one to have its turn has left is not collected in this one.
    if (release === undefined) await this.#arena.broker.peer.call("collectGarbage");
    await this.#feed.send(messages);
    if (release !== undefined) {
      await this.#arena.broker.peer.call("collectGarbage");
      await release();
    }
    const from = await this.#reach(before + count * countedFrom);
    const to = await this.#reach(before + count * this.#countedTo);
    await this.#reach(before + count);
    return { ...between(from, to), messages: to.ended - from.ended, ms: to.atMs - from.atMs };
  }

  /** Whether all has ended as it must. */
  async verdict(): Promise<Verdict> {
    const notes = this.#contender.isBare ? undefined : await notesOf(this.#ground, this.#sent.length);
    return judge({ sent: this.#sent, outcomes: await this.#feed.outcomes(), done: notes });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#parts.children.map((child) => child.stop()));
    await this.#feed.stop();
  }

  async #reach(wanted: number): Promise<Reading> {
    let ended = 0;
    const isReached = await until(async () => {
      const gone = this.#parts.children.find(({ process }) => process.exitCode !== null);
      if (gone !== undefined) throw new Error(`expected the contender to work, it ended with ${gone.process.exitCode}`);
      ended = await this.#feed.ended();
      return ended >= wanted;
    }, drainMaxMs);
    if (!isReached) throw new Error(`expected ${wanted} messages to end within ${drainMaxMs} ms, ${ended} did`);
    return read(this.#parts, ended);
  }
}
