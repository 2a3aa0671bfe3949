/** The runs of one thread pool: those that wait, by skill and size, and how they are cut into tasks. */
import { messageOf } from "../../core/errors.ts";
import { batchSize, measuredWorkMs } from "./batch-size.ts";
import { smallBodyBytes } from "./free-thread.ts";
import { packOrders } from "./orders.ts";
import { type RunEntry, type RunPlace, RunQueue } from "./run-entry.ts";
import type { PoolThread, ThreadPool } from "./thread-pool.ts";

/** Runs of one skill: those with small bodies, which go to any thread, or the others, which must not hold those up. */
interface SkillQueue {
  readonly skill: string;
  readonly queue: RunQueue;
  /** Measured work of one run; undefined before the first. */
  workMs: number | undefined;
  /** Whether it has its place among the turns. */
  isListed: boolean;
  /** Tasks of others that went first since its next body found no room. */
  passedBy: number;
}

/** After so many it waits no longer for room: where others keep every thread busy there would never be any. */
const passedByMax = 64;

export interface LaneOptions {
  nowMs(): number;
  /** A run gets a thread only while no other is with one. */
  readonly isOneAtATime: boolean;
  /** All runs that are not answered, of whichever lane. */
  runs(): Iterable<RunEntry>;
  /** Hears of runs whose task a thread refused. */
  failed(entry: RunEntry, why: string): void;
  /** Hears of a run whose order cannot be packed: no thread can be told of it. */
  untold(entry: RunEntry, why: string): void;
}

export class Lane implements RunPlace {
  readonly pool: ThreadPool;
  /** Names of the plugins whose skills run there. */
  readonly plugins: readonly string[];
  /** Why it has no thread any more, nor will have; undefined while it has, or may. */
  isDown: string | undefined;
  readonly #options: LaneOptions;
  readonly #small = new Map<string, SkillQueue>();
  readonly #large = new Map<string, SkillQueue>();
  /** Those with runs that wait, in the order in which their turn comes. */
  readonly #turns: SkillQueue[] = [];

  constructor(pool: ThreadPool, plugins: readonly string[], options: LaneOptions) {
    this.pool = pool;
    this.plugins = plugins;
    this.#options = options;
  }

  get isOneAtATime(): boolean {
    return this.#options.isOneAtATime;
  }

  enqueue(entry: RunEntry): void {
    const known = this.#skillQueue(entry);
    known.queue.push(entry);
    this.#list(known);
  }

  /** Runs that their lost thread had not begun wait again, ahead of the others of their skill and size. */
  putBack(entries: readonly RunEntry[]): void {
    const nowMs = this.#options.nowMs();
    for (const entry of entries) {
      entry.thread = undefined;
      entry.postedAtMs = nowMs;
      entry.moves += 1;
    }
    for (const [known, back] of Map.groupBy(entries, (entry) => this.#skillQueue(entry))) {
      known.queue.putBack(back);
      this.#list(known);
    }
  }

  #skillQueue({ order: { skill }, body }: RunEntry): SkillQueue {
    const ofSize = body.byteLength > smallBodyBytes ? this.#large : this.#small;
    let known = ofSize.get(skill);
    if (known === undefined) {
      known = { skill, queue: new RunQueue(), workMs: undefined, isListed: false, passedBy: 0 };
      ofSize.set(skill, known);
    }
    return known;
  }

  /** Cuts tasks while threads have room. A large body that fits no thread waits for one, and other tasks go first for a while. */
  dispatch(): void {
    for (let passed = 0; passed < this.#turns.length;) {
      const turn = this.#turns[passed]!;
      const { queue, workMs } = turn;
      const bytes = turn.passedBy < passedByMax ? queue.nextBytes : 0;
      const { thread, idle } = this.pool.findFree(bytes);
      if (thread === undefined && bytes > smallBodyBytes) {
        passed += 1;
        continue;
      }
      if (thread === undefined || (this.isOneAtATime && thread.held > 0)) return;
      if (passed === 0) this.#turns.shift();
      else this.#turns.splice(passed, 1);
      for (let before = 0; before < passed; before += 1) this.#turns[before]!.passedBy += 1;
      turn.isListed = false;
      turn.passedBy = 0;
      if (queue.size === 0) continue;
      const count = this.isOneAtATime ? 1 : batchSize({ queued: queue.size, idleThreads: thread.tasks === 0 ? idle : 0, workMs });
      this.#post(thread, turn, queue.take(count, thread, this.pool.bodyBytesMax));
      if (queue.size > 0) this.#list(turn);
    }
  }

  *#queues(): Iterable<SkillQueue> {
    yield* this.#small.values();
    yield* this.#large.values();
  }

  /** Runs that wait, or are with a thread that has not begun them. */
  get unbegun(): number {
    let sum = 0;
    for (const { queue } of this.#queues()) sum += queue.size;
    for (const thread of this.pool.threads) sum += thread.unbegun;
    return sum;
  }

  /** Runs that wait. */
  *waiting(): Iterable<RunEntry> {
    for (const { queue } of this.#queues()) for (const entry of queue.entries()) if (!entry.isAnswered) yield entry;
  }

  /** A run was answered: it waits no more, nor is it with its thread. True where what waits may fit the thread now. */
  forget(entry: RunEntry): boolean {
    const { thread, body } = entry;
    if (thread === undefined) this.#skillQueue(entry).queue.forget();
    else {
      thread.held -= 1;
      thread.heldBytes -= body.byteLength;
    }
    return body.byteLength > smallBodyBytes && this.#turns.length > 0;
  }

  /** Runs with a thread, in the order in which they were posted. */
  postedTo(thread: PoolThread): readonly RunEntry[] {
    const entries = [...this.#options.runs()].filter((entry) => entry.thread === thread);
    return entries.sort((one, other) => (one.sequence - other.sequence) | 0);
  }

  #list(queue: SkillQueue): void {
    if (queue.isListed) return;
    queue.isListed = true;
    this.#turns.push(queue);
  }

  /** Packed before anything is counted: what cannot be packed must not keep the others of its task from being posted. */
  #pack(thread: PoolThread, skill: string, entries: RunEntry[]): Uint8Array<ArrayBuffer> {
    try {
      return packOrders(skill, entries);
    } catch {
      for (const entry of entries.splice(0)) if (this.#isPackable(thread, skill, entry)) entries.push(entry);
      return packOrders(skill, entries);
    }
  }

  /** One that is not is answered. */
  #isPackable(thread: PoolThread, skill: string, entry: RunEntry): boolean {
    try {
      packOrders(skill, [entry]);
      return true;
    } catch (error) {
      // It waits no more; whoever forgets it takes it from its thread.
      entry.thread = thread;
      thread.held += 1;
      thread.heldBytes += entry.body.byteLength;
      this.#options.untold(entry, messageOf(error));
      return false;
    }
  }

  #post(thread: PoolThread, turn: SkillQueue, entries: RunEntry[]): void {
    const bytes = this.#pack(thread, turn.skill, entries);
    if (entries.length === 0) return;
    const nowMs = this.#options.nowMs();
    for (let index = 0; index < entries.length; index += 1) {
      const entry = entries[index]!;
      entry.thread = thread;
      entry.sequence = thread.posted;
      entry.postedAtMs = nowMs;
      thread.heldBytes += entry.body.byteLength;
      thread.posted = (thread.posted + 1) | 0;
    }
    thread.held += entries.length;
    this.pool.post(thread, bytes, (workMs, why) => {
      if (workMs !== undefined) turn.workMs = measuredWorkMs(turn.workMs, workMs, entries.length);
      else for (const entry of entries) if (!entry.isAnswered) this.#options.failed(entry, why);
      // What is left of piscina's tables of tasks may be taken for alive long after (core/churning.ts): runs and bodies are not to be with it.
      entries.length = 0;
    });
  }
}
