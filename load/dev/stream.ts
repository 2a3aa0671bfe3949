/** The stream of a trial: what has been sent of it, and how to make that again for the account. */
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { type GeneratedMessage, generate } from "../generator/generate.ts";
import { paced } from "../generator/paced.ts";
import { Sender } from "../generator/send.ts";
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

export class Stream {
  readonly #options: StreamOptions;
  readonly #sender: Sender;
  readonly #source: Iterator<GeneratedMessage>;
  /** Messages given to the sender, in the stream's order. */
  #given = 0;
  #expected = new Map<string, number>();
  #startedMs: number | undefined;

  constructor(options: StreamOptions, world: World) {
    this.#options = options;
    this.#sender = new Sender({ publisher: world.publisher, entity: world.queue, clock: systemClock });
    this.#source = this.#generate()[Symbol.iterator]();
  }

  /** Messages the broker has confirmed. */
  get sent(): number {
    return this.#sender.accepted;
  }

  /** When the first message was given to the sender, on the clock of `performance.now()`. */
  get startedMs(): number | undefined {
    return this.#startedMs;
  }

  /** Of what has been given to the sender so far, the messages that must complete, by skill. */
  get expectedCompletions(): ReadonlyMap<string, number> {
    return this.#expected;
  }

  /** Sends up to `messages` more, or all that are left, at full speed. */
  async send(signal: AbortSignal, messages: number = Number.POSITIVE_INFINITY): Promise<void> {
    for (let left = messages; left > 0 && !signal.aborted; left -= chunkMessages) {
      const chunk = this.#take(Math.min(left, chunkMessages));
      if (chunk.length === 0) break;
      await this.#add(chunk);
    }
    await this.#finish();
  }

  /** Sends on an open-loop schedule until the signal. */
  async sendSteadily(signal: AbortSignal): Promise<void> {
    for await (const due of paced(this.#left(), { perSecond: this.#options.rate, clock: systemClock })) {
      await this.#add(due.map(({ item }) => item));
      await this.#sender.flush();
      if (signal.aborted) break;
    }
    await this.#finish();
  }

  /** Everything that was sent, made again. */
  *sentMessages(): Generator<GeneratedMessage> {
    let left = this.#given;
    for (const message of this.#generate()) {
      if (left-- === 0) return;
      yield message;
    }
  }

  #generate(): Iterable<GeneratedMessage> {
    const { events = Number.MAX_SAFE_INTEGER, duplicates, poison, seed } = this.#options;
    return generate({ events, duplicates, poison, seed });
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
