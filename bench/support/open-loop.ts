/** A contender under a load that does not wait for it, and when each event ended, from the moment when it was meant to be sent. */
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import type { Child } from "#load/dev/child.ts";
import { Drive, type Ended } from "#load/generator/drive.ts";
import { generatePlain } from "#load/generator/plain.ts";
import type { Profile } from "#load/generator/profile.ts";
import { type Arena, type Feed, until } from "./arena.ts";
import type { Contender, Ground } from "./contenders.ts";
import { NoteReader } from "./note-reader.ts";
import { sharedClock, sharedMonotonicMs } from "./notes.ts";
import { treeCpuMs } from "./process-cpu.ts";
import { judge, type Verdict } from "./verdict.ts";

/** A profile, what has a default left out. */
export type Load = Pick<Profile, "events" | "arrivals" | "eventTypes"> & Partial<Profile>;

export interface PlaceOptions {
  readonly ground?: Partial<Ground>;
  /** Workers; default 1. */
  readonly workers?: number;
}

export interface LoadOptions {
  readonly load: Load;
  readonly content?: Readonly<Record<string, unknown>>;
  /** Each message as it is sent. */
  readonly prepare?: (message: OutgoingMessage) => OutgoingMessage;
  /** What else is made warm before the first event is sent. */
  readonly before?: () => Promise<void>;
  /** What happens meanwhile, from when the first event is sent; the run is not over before it is. */
  readonly meanwhile?: (subject: Subject, startMs: number) => Promise<unknown>;
  /** Ends the stream before its end. */
  readonly signal?: AbortSignal;
  /** How long what is left at the end of the stream may take; default 60 s. */
  readonly restMaxMs?: number;
}

export interface OpenLoop {
  readonly drive: Drive;
  /** By the shared clock. */
  readonly ended: readonly Ended[];
  readonly startMs: number;
  readonly verdict: Verdict;
  /** From the end of the stream until everything had ended; undefined when it did not. */
  readonly restMs: number | undefined;
}

/** The contender's processes, which can be hurt. */
export class Subject {
  readonly #contender: Contender;
  readonly ground: Ground;
  readonly #children: (Child<unknown> | undefined)[];

  constructor(contender: Contender, ground: Ground, workers: number) {
    this.#contender = contender;
    this.ground = ground;
    this.#children = Array.from({ length: workers }, () => undefined);
  }

  /** All that are not there. */
  async start(number?: number): Promise<void> {
    await Promise.all(
      this.#children.map(async (child, index) => {
        if (child === undefined && (number ?? index) === index) this.#children[index] = await this.#contender.start(this.ground);
      }),
    );
  }

  async kill(number = 0): Promise<void> {
    const child = this.#children[number];
    this.#children[number] = undefined;
    child?.process.kill("SIGKILL");
    await child?.exited;
  }

  async stop(number?: number): Promise<void> {
    const stopping = this.#children.map((child, index) => ((number ?? index) === index ? child : undefined));
    stopping.forEach((child, index) => {
      if (child !== undefined) this.#children[index] = undefined;
    });
    await Promise.all(stopping.map(async (child) => child?.stop()));
  }

  /** What those that are there have used so far. */
  cpuMs(): number {
    return this.#children.reduce((sum, child) => sum + (treeCpuMs(child?.process.pid ?? 0) ?? Number.NaN), 0);
  }

  freeze(number = 0): void {
    this.#children[number]?.process.kill("SIGSTOP");
  }

  thaw(number = 0): void {
    this.#children[number]?.process.kill("SIGCONT");
  }
}

const pollMs = 10;
const notesMaxMs = 1_500;
const warmUpEvents = 200;
const warmUpMaxMs = 20_000;
const restDefaultMs = 60_000;
const bodyBytes = 256;

/** Has one load and ends. */
export async function openLoop(arena: Arena, contender: Contender, options: PlaceOptions & LoadOptions): Promise<OpenLoop> {
  const under = await UnderLoad.start(arena, contender, options);
  try {
    return await under.bear(options);
  } finally {
    await under.stop();
  }
}

/** A contender that stays, and has one load after the other. */
export class UnderLoad {
  readonly #ground: Ground;
  readonly #feed: Feed;
  readonly #subject: Subject;
  readonly #publisher: Publisher;
  readonly #reader: NoteReader;
  #loads = 0;

  private constructor(arena: Arena, contender: Contender, ground: Ground, workers: number) {
    this.#ground = ground;
    this.#feed = arena.feed(contender, ground);
    this.#subject = new Subject(contender, ground, workers);
    this.#publisher = createAmqpPublisher({ connectionString: arena.broker.connectionString, clock: systemClock });
    this.#reader = new NoteReader(ground.notes);
  }

  static async start(arena: Arena, contender: Contender, { ground, workers = 1 }: PlaceOptions = {}): Promise<UnderLoad> {
    await arena.vacated();
    const under = new UnderLoad(arena, contender, arena.ground(ground), workers);
    await Promise.all([under.#publisher.start(), under.#subject.start()]);
    return under;
  }

  async stop(): Promise<void> {
    await this.#subject.stop();
    await this.#publisher.stop();
    await this.#feed.stop();
  }

  async bear(options: LoadOptions): Promise<OpenLoop> {
    const { content, prepare, meanwhile = () => Promise.resolve() } = options;
    const one = { count: 1, zipf: 0 };
    const profile = { seed: 1, keys: one, tenants: one, duplicates: 0, poison: 0, sizes: { kind: "fixed", bytes: bodyBytes } as const, ...options.load };
    this.#loads += 1;
    const idPrefix = `${this.#ground.prefix}-${this.#loads}-`;
    const stream = { ...profile, idPrefix, ...(content === undefined ? undefined : { content }) };
    const drive = new Drive({
      profile,
      publisher: prepare === undefined ? this.#publisher : preparing(this.#publisher, prepare),
      entity: this.#ground.queue,
      clock: sharedClock,
      idPrefix,
      ...(content === undefined ? undefined : { content }),
    });
    await this.#warmUp(profile, idPrefix);
    await options.before?.();
    const reader = this.#reader;
    const first = reader.all.length;
    const polling = setInterval(() => {
      for (const { place } of reader.next()) drive.ended(place);
    }, pollMs);
    try {
      const startMs = sharedMonotonicMs();
      const [report] = await Promise.all([drive.run(options.signal), meanwhile(this.#subject, startMs)]);
      if (report.failure !== undefined) throw new Error(`expected the broker to take every message: ${report.failure}`);
      const begun = drive.begun;
      const sent = [...generatePlain(stream)].filter(({ kind, index }) => options.signal === undefined || (kind === "first" && index < begun));
      const restMs = await this.#rest(first + begun, options.restMaxMs ?? restDefaultMs);
      const ended = reader.all.slice(first);
      return { drive, ended, startMs, verdict: judge({ sent, outcomes: await this.#feed.outcomes(), done: ended }), restMs };
    } finally {
      clearInterval(polling);
    }
  }

  /** Connections are open and code is compiled before anything counts. */
  async #warmUp({ eventTypes }: Load, idPrefix: string): Promise<void> {
    const reader = this.#reader;
    const before = reader.all.length;
    const stream = generatePlain({ events: warmUpEvents, eventTypes, sizes: { kind: "fixed", bytes: bodyBytes }, idPrefix: `${idPrefix}warm-` });
    const messages = [...stream].map(({ message }) => message);
    await this.#publisher.send(this.#ground.queue, messages);
    const isOver = async (): Promise<boolean> => {
      reader.next();
      return reader.all.length - before >= messages.length && (await this.#feed.left()) === 0;
    };
    await until(isOver, warmUpMaxMs);
  }

  /** Waits until nothing is left and so many notes are there, and says how long that took; undefined when it took too long. */
  async #rest(notes: number, maxMs: number): Promise<number | undefined> {
    const fromMs = performance.now();
    let emptySinceMs: number | undefined;
    const isOver = async (): Promise<boolean> => {
      emptySinceMs = (await this.#feed.left()) > 0 ? undefined : (emptySinceMs ?? performance.now());
      if (emptySinceMs === undefined) return false;
      // What nobody has noted by then is lost.
      return this.#reader.all.length >= notes || performance.now() - emptySinceMs > notesMaxMs;
    };
    return (await until(isOver, maxMs)) ? performance.now() - fromMs : undefined;
  }
}

function preparing(publisher: Publisher, prepare: NonNullable<LoadOptions["prepare"]>): Publisher {
  return {
    start: () => publisher.start(),
    stop: () => publisher.stop(),
    send: (entity, messages) => publisher.send(entity, messages.map(prepare)),
  };
}
