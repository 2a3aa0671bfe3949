/** The stream of a trial: what has been sent of it, and how to make that again for the account. */
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { dueTimes } from "../generator/arrivals.ts";
import { Ahead } from "../generator/ahead.ts";
import { type GeneratedMessage, generate } from "../generator/generate.ts";
import { paced } from "../generator/paced.ts";
import { Sender } from "../generator/send.ts";
import type { BrokerAccount } from "./broker-account.ts";
import type { World } from "./world.ts";

export interface StreamOptions {
  /** Undefined for a stream without end. */
  readonly events?: number;
  readonly duplicates: number;
  readonly poison: number;
  readonly seed: number;
  /** Messages a second of a steady stream. */
  readonly rate: number;
}

const chunkMessages = 256;
/**
 * Messages that may wait for the worker or be in its hands: more than it holds, and far less than a flood. Whoever sends and
 * takes in a flood has the machine for seconds, and the worker that is to be shown has not.
 */
const backlogMax = 2_000;
/** As many may wait at first, and one more for each that ended: a worker that has just started would lose its first second to the sender. */
const backlogFirst = 256;
/** What is made ahead of sending: some 25 000 messages, and of a steady stream enough to begin with. */
const aheadBytesMax = 256 * 1024 * 1024;
const aheadSteadyMax = 256;

/** What the stream goes by. */
type Seen = Pick<BrokerAccount, "accepted" | "ready" | "completed" | "deadLettered">;

/** What was sent: good events, and the messages that they, their duplicates and the poison among them took. */
export interface Sent {
  readonly events: number;
  readonly messages: number;
}

/** The messages of a trial, the first of them made before it begins. */
export type Source = Ahead<GeneratedMessage>;

function generated({ events = Number.MAX_SAFE_INTEGER, duplicates, poison, seed }: StreamOptions): Iterable<GeneratedMessage> {
  return generate({ events, duplicates, poison, seed });
}

/** Makes messages before they are sent, so that making them takes no time from those who work on them. */
export async function makeAhead(options: StreamOptions, signal: AbortSignal): Promise<Source> {
  const source = new Ahead(generated(options), ({ message }) => message.body.byteLength);
  await source.make({ itemsMax: options.events === undefined ? aheadSteadyMax : Number.POSITIVE_INFINITY, bytesMax: aheadBytesMax }, signal);
  return source;
}

export class Stream {
  readonly #options: StreamOptions;
  readonly #sender: Sender;
  readonly #source: Source;
  /** Messages given to the sender, in the stream's order. */
  #given = 0;
  #expected = new Map<string, number>();
  #startedMs: number | undefined;
  #account: Seen = { accepted: 0, ready: 0, completed: 0, deadLettered: 0 };
  #looked = Promise.withResolvers<void>();

  constructor(options: StreamOptions, source: Source, world: World) {
    this.#options = options;
    this.#source = source;
    this.#sender = new Sender({ publisher: world.publisher, entity: world.queue, clock: systemClock });
  }

  /** What the broker has confirmed. */
  get sent(): Sent {
    return { events: this.#sender.acceptedEvents, messages: this.#sender.accepted };
  }

  /** When the first message was given to the sender, on the clock of `performance.now()`. */
  get startedMs(): number | undefined {
    return this.#startedMs;
  }

  /** Of what has been given to the sender so far, the messages that must complete, by skill. */
  get expectedCompletions(): ReadonlyMap<string, number> {
    return this.#expected;
  }

  /** What the broker holds now: there may be room for more. */
  look(account: Seen): void {
    this.#account = account;
    this.#looked.resolve();
    this.#looked = Promise.withResolvers();
  }

  /** Sends up to `messages` more, or all that are left, as fast as the worker takes them. It goes on with each look. */
  async send(signal: AbortSignal, messages: number = Number.POSITIVE_INFINITY): Promise<void> {
    const interrupted = (): void => this.#looked.resolve();
    signal.addEventListener("abort", interrupted);
    for (let left = messages; left > 0 && !signal.aborted;) {
      const { accepted, ready, completed, deadLettered } = this.#account;
      const room = Math.min(backlogMax, backlogFirst + completed + deadLettered) - ready - (this.#given - accepted);
      if (room <= 0) {
        await this.#looked.promise;
        continue;
      }
      const chunk = this.#take(Math.min(left, room, chunkMessages));
      if (chunk.length === 0) break;
      left -= chunk.length;
      await this.#add(chunk);
      await this.#sender.flush();
    }
    signal.removeEventListener("abort", interrupted);
    await this.#finish();
  }

  /** Sends on an open-loop schedule until the signal. */
  async sendSteadily(signal: AbortSignal): Promise<void> {
    for await (const due of paced(this.#left(), { dueMs: dueTimes({ kind: "constant", perSecond: this.#options.rate }, Math.random), clock: systemClock })) {
      await this.#add(due.map(({ item }) => item));
      await this.#sender.flush();
      if (signal.aborted) break;
    }
    await this.#finish();
  }

  /** Everything that was sent, made again. */
  *sentMessages(): Generator<GeneratedMessage> {
    let left = this.#given;
    for (const message of generated(this.#options)) {
      if (left-- === 0) return;
      yield message;
    }
  }

  *#left(): Generator<GeneratedMessage> {
    for (let chunk = this.#take(1); chunk.length > 0; chunk = this.#take(1)) yield* chunk;
  }

  #take(count: number): GeneratedMessage[] {
    const chunk: GeneratedMessage[] = [];
    while (chunk.length < count) {
      const next = this.#source.next();
      if (next.done === true) break;
      chunk.push(next.value);
    }
    return chunk;
  }

  async #add(chunk: readonly GeneratedMessage[]): Promise<void> {
    this.#startedMs ??= performance.now();
    this.#given += chunk.length;
    for (const { expects, skill } of chunk) {
      if (expects === "completed") this.#expected.set(skill, (this.#expected.get(skill) ?? 0) + 1);
    }
    await this.#sender.add(chunk);
  }

  async #finish(): Promise<void> {
    const report = await this.#sender.finish();
    if (report.failure !== undefined) throw new Error(`expected the broker to take every message, ${report.unconfirmed} are unconfirmed: ${report.failure}`);
  }
}
