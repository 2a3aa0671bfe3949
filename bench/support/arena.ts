/** One broker, one Redis and one place for contenders to work in turn, each on a queue of its own; and how a turn is measured. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Child } from "#load/dev/child.ts";
import type { Ended } from "#load/generator/drive.ts";
import { generatePlain, type PlainMessage, type PlainOptions } from "#load/generator/plain.ts";
import { type StandInProcess, StandInControl, spawnStandIns } from "#load/stand-ins/client.ts";
import { type DependencyName, dependencyNames } from "../peers/handlers.ts";
import { JobQueue } from "../peers/bullmq.ts";
import { type BenchBroker, fill, startBenchBroker } from "./broker.ts";
import { type Contender, contenderOf, type Ground } from "./contenders.ts";
import { NoteReader } from "./note-reader.ts";
import { sharedMonotonicMs } from "./notes.ts";
import { between, type Measured, read, type Reading } from "./reading.ts";
import { type BenchRedis, type RedisUsage, startBenchRedis } from "./redis.ts";
import { judge, type Verdict } from "./verdict.ts";

export interface ArenaOptions {
  /** Turns at most. */
  readonly turnsMax?: number;
  readonly lockDurationMs?: number;
  /** Of a message on the broker; default as the broker's. */
  readonly messageBytesMax?: number;
  readonly needsDependencies?: boolean;
  /** Its queues are not drained: each load warms up what it uses. */
  readonly isForLoads?: boolean;
}

/** What is asked of a turn beside who has it. */
export interface TurnOptions {
  readonly messages: Omit<PlainOptions, "idPrefix">;
  /** Default 1. */
  readonly threads?: number;
  /** Processes; default 1. */
  readonly workers?: number;
  readonly ground?: Partial<Ground>;
  /** Of the store, where that is not the arena's Redis. */
  readonly usage?: () => Promise<RedisUsage>;
  /** The handler of the event at this place takes so long; the turn is over when all others have ended. */
  readonly held?: { readonly place: number; readonly waitMs: number };
}

/** What a message cost in the part after the warm-up. */
export interface Turn extends Measured {
  readonly verdict: Verdict;
  /** From the end of the counted part until all had ended. */
  readonly tailMs: number;
  /** The part that was counted, by the shared clock. */
  readonly counted: { readonly messages: number; readonly fromMs: number; readonly toMs: number };
}

/** Share of a turn that is not counted: connecting, starting threads, compiling. */
const warmUpPart = 1 / 2;
/** Nor is the end: the last few may have been left to other workers, and come back when nobody else is there. */
const countedTo = 0.95;
/** Whoever came first would work beside a broker and a Redis that are not warm: some have a turn that nobody counts, at the same time. */
const warmers = ["holdfast", "bare-sdk"] as const;
const warmUpEvents = 20_000;
const lookEveryMs = 20;
/** A short queue is over soon: it is looked at more often. */
const shortQueue = 5_000;
const lookOftenMs = 2;
const turnMaxMs = 120_000;
const notesMaxMs = 2_000;
/** Each is a queue more that the broker looks at. */
const turnsMaxDefault = 64;

/** Messages of a queue, and how they end: the broker's, or BullMQ's. */
export interface Feed {
  send(messages: readonly PlainMessage[]): Promise<void>;
  /** Nobody gets anything before the returned function has been called; undefined where that cannot be. */
  readonly hold?: () => Promise<() => Promise<void>>;
  /** Of what was sent through the feed. */
  ended(): Promise<number>;
  /** What is still there, whoever sent it. */
  left(): Promise<number>;
  outcomes(): Promise<ReadonlyMap<string, readonly string[]>>;
  stop(): Promise<void>;
}

export class Arena {
  readonly broker: BenchBroker;
  readonly redis: BenchRedis;
  readonly folder = mkdtempSync(join(tmpdir(), "holdfast-arena-"));
  /** Arenas may share a Redis, at once or one after the other: what one has remembered is no duplicate in the next. */
  readonly #prefix = `bench-${randomUUID().slice(0, 8)}`;
  readonly dependencies: Readonly<Record<DependencyName, { readonly url: string; readonly control: StandInControl }>> | undefined;
  readonly #standIns: readonly StandInProcess[];
  readonly #turnsMax: number;
  #turns = 0;
  #leaving: Promise<void> = Promise.resolve();

  private constructor(broker: BenchBroker, redis: BenchRedis, standIns: readonly StandInProcess[], turnsMax: number) {
    this.broker = broker;
    this.redis = redis;
    this.#standIns = standIns;
    this.#turnsMax = turnsMax;
    const byName = dependencyNames.map((name, index) => {
      const process = standIns[index];
      return [name, process === undefined ? undefined : { url: process.urls.notifier, control: new StandInControl(process.controlUrl) }] as const;
    });
    this.dependencies = standIns.length === 0 ? undefined : (Object.fromEntries(byName) as unknown as NonNullable<Arena["dependencies"]>);
  }

  static async start({
    turnsMax = turnsMaxDefault,
    lockDurationMs,
    messageBytesMax,
    needsDependencies = false,
    isForLoads = false,
  }: ArenaOptions = {}): Promise<Arena> {
    const queues = Array.from({ length: turnsMax + warmers.length }, (_, turn) => queueOf(turn));
    const [broker, redis, standIns] = await Promise.all([
      startBenchBroker(queues, {
        record: true,
        ...(lockDurationMs === undefined ? undefined : { lockDurationMs }),
        ...(messageBytesMax === undefined ? undefined : { messageBytesMax }),
      }),
      startBenchRedis(),
      Promise.all(needsDependencies ? dependencyNames.map(() => spawnStandIns()) : []),
    ]);
    const arena = new Arena(broker, redis, standIns, turnsMax + warmers.length);
    try {
      if (!isForLoads) await arena.#warmUp();
      return arena;
    } catch (error) {
      await arena.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#leaving.catch(() => undefined);
    await Promise.all([this.broker.peer.stop(), this.redis.stop(), ...this.#standIns.map((standIn) => standIn.stop())]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #warmUp(): Promise<void> {
    const messages = { events: warmUpEvents, eventTypes: { nothing: 1 }, sizes: { kind: "fixed", bytes: 256 } } as const;
    await Promise.all(warmers.map((key) => this.drain(contenderOf(key), { messages })));
    await this.vacated();
  }

  /** A place for one turn: a queue, keys and notes that nobody has used. Wait until it is `vacated` before anything counts. */
  ground(changes: Partial<Ground> = {}): Ground {
    if (this.#turns === this.#turnsMax) throw new Error(`expected ${this.#turnsMax} turns at most in one arena`);
    const turn = this.#turns;
    this.#turns += 1;
    return {
      connectionString: this.broker.connectionString,
      queue: queueOf(turn),
      redisUrl: this.redis.url,
      prefix: `${this.#prefix}-${turn}`,
      dependencies: { sound: this.dependencies?.sound.url ?? "http://127.0.0.1:9", troubled: this.dependencies?.troubled.url ?? "http://127.0.0.1:9" },
      folder: this.folder,
      notes: join(this.folder, `notes-${turn}`),
      isNotedAtOnce: false,
      threads: 1,
      ...changes,
    };
  }

  feed(contender: Contender, ground: Ground): Feed {
    return contender.readsJobs ? jobFeed(ground) : this.#brokerFeed(ground.queue);
  }

  /** Fills the queue, lets a contender drain it, and measures the part after the warm-up. */
  async drain(
    contender: Contender,
    { messages, threads = 1, workers = 1, ground: changes, usage = () => this.redis.usage(), held }: TurnOptions,
  ): Promise<Turn> {
    const ground = this.ground({ threads, ...changes });
    const feed = this.feed(contender, ground);
    const sent = messagesWith({ ...messages, idPrefix: `${ground.prefix}-` }, held);
    const wanted = sent.length - (held === undefined ? 0 : 1);
    const children = await this.#ready(feed, sent, () => Promise.all(Array.from({ length: workers }, () => contender.start(ground))));
    try {
      const warm = await this.#reach(feed, children, usage, Math.round(wanted * warmUpPart));
      const done = await this.#reach(feed, children, usage, Math.round(wanted * countedTo));
      if (!(await until(async () => (await feed.ended()) >= wanted, turnMaxMs))) throw new Error(`expected all messages to end, ${await feed.left()} did not`);
      const tailMs = sharedMonotonicMs() - done.atMs;
      const counted = done.ended - warm.ended;
      if (held !== undefined) await until(async () => (await feed.ended()) >= sent.length, turnMaxMs);
      const notes = contender.isBare ? undefined : await notesOf(ground, sent.filter(({ kind }) => kind === "first").length);
      return {
        ...between(warm, done),
        verdict: judge({ sent, outcomes: await feed.outcomes(), done: notes }),
        tailMs,
        counted: { messages: counted, fromMs: warm.atMs, toMs: done.atMs },
      };
    } finally {
      this.leave(children, feed);
    }
  }

  /** Has a turn's processes end while the next turn is made ready: some clients take a second to close, in which they do nothing. */
  leave(children: readonly Child<unknown>[], feed: Feed): void {
    const others = this.#leaving;
    const gone = Promise.all(children.map((child) => child.stop())).then(() => feed.stop());
    this.#leaving = Promise.all([others, gone]).then(() => undefined);
    // It is thrown where it is waited for.
    this.#leaving.catch(() => undefined);
  }

  /** Resolves when the processes of the last turn are gone. */
  vacated(): Promise<void> {
    return this.#leaving;
  }

  /** The queue is full, and those who are to drain it are there; nothing else goes on any more. Where nothing can be held back, they come last. */
  async #ready(feed: Feed, sent: readonly PlainMessage[], start: () => Promise<readonly Child<unknown>[]>): Promise<readonly Child<unknown>[]> {
    const release = await feed.hold?.();
    if (release === undefined) {
      await Promise.all([feed.send(sent), this.vacated()]);
      return start();
    }
    const [children] = await Promise.all([start(), feed.send(sent), this.vacated()]);
    await this.broker.peer.call("collectGarbage");
    await release();
    return children;
  }

  async #reach(feed: Feed, children: readonly Child<unknown>[], usage: () => Promise<RedisUsage>, wanted: number): Promise<Reading> {
    const endMs = performance.now() + turnMaxMs;
    for (;;) {
      const ended = await feed.ended();
      if (ended >= wanted) return await read({ broker: this.broker, children, usage }, ended);
      if (performance.now() > endMs) throw new Error(`expected ${wanted} messages to end within ${turnMaxMs} ms, ${ended} did`);
      const gone = children.find((child) => child.process.exitCode !== null);
      if (gone !== undefined) throw new Error(`expected the contender to work, it ended with ${gone.process.exitCode}`);
      await pause(wanted < shortQueue ? lookOftenMs : lookEveryMs);
    }
  }

  #brokerFeed(queue: string): Feed {
    const { broker } = this;
    let sent = 0;
    const left = async (): Promise<number> => {
      const { active, locked, scheduled } = await broker.peer.call("states", queue);
      return active + locked + scheduled;
    };
    return {
      async send(messages) {
        sent += messages.length;
        await fill(broker, queue, messages.length, (index) => messages[index]!.message);
      },
      hold: async () => {
        const { id } = await broker.peer.call("addFault", { kind: "holdDeliveries", target: queue });
        return async () => void (await broker.peer.call("removeFault", id));
      },
      ended: async () => sent - (await left()),
      left,
      outcomes: async () => (await broker.peer.call("outcomes", queue)) ?? new Map<string, readonly string[]>(),
      stop: () => Promise.resolve(),
    };
  }
}

function messagesWith(options: PlainOptions, held: TurnOptions["held"]): readonly PlainMessage[] {
  const messages = [...generatePlain(options)];
  if (held === undefined) return messages;
  const content = { waitMs: held.waitMs };
  const [holding] = [...generatePlain({ ...options, events: held.place + 1, poison: 0, duplicates: 0, eventTypes: { hold: 1 }, content })].slice(-1);
  return messages.map((message) => (message.index === held.place && message.kind === "first" ? holding! : message));
}

function queueOf(turn: number): string {
  return `turn-${turn}`;
}

function jobFeed(ground: Ground): Feed {
  const jobs = new JobQueue(ground);
  return {
    async send(messages) {
      for (let from = 0; from < messages.length; from += 1_000) await jobs.add(messages.slice(from, from + 1_000).map(({ message }) => message));
    },
    ended: () => jobs.ended(),
    left: () => jobs.left(),
    outcomes: () => jobs.outcomes(),
    stop: () => jobs.stop(),
  };
}

/** What was noted, once it is so much or nothing more comes. */
export async function notesOf({ notes }: Pick<Ground, "notes">, wanted: number): Promise<readonly Ended[]> {
  const reader = new NoteReader(notes);
  await until(() => {
    reader.next();
    return reader.all.length >= wanted;
  }, notesMaxMs);
  return reader.all;
}

/** Whether it became so in time. */
export async function until(isSo: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
  const endMs = performance.now() + limitMs;
  while (!(await isSo())) {
    if (performance.now() > endMs) return false;
    await pause(lookEveryMs);
  }
  return true;
}

/** Hands `act` an arena, and clears it away whatever happens. */
export async function inArena<Result>(options: ArenaOptions, act: (arena: Arena) => Promise<Result>): Promise<Result> {
  const arena = await Arena.start(options);
  try {
    return await act(arena);
  } finally {
    await arena.stop();
  }
}
