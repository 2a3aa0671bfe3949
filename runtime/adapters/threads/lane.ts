/** The runs of one thread pool: those that wait, by skill and size, and how they are cut into tasks. */
import { messageOf } from "../../core/errors.ts";
import { batchSize, measuredWorkMs } from "./batch-size.ts";
import { smallBodyBytes } from "./free-thread.ts";
import { packOrders } from "./orders.ts";
import { type RunEntry, type RunPlace, RunQueue } from "./run-entry.ts";
import { type PoolThread, type ThreadPool, silentMs } from "./thread-pool.ts";

/** Runs of one skill with bodies of about one size. */
interface SizedQueue {
  readonly queue: RunQueue;
  /** Measured work of one run; undefined before the first. */
  workMs: number | undefined;
}

/** Runs of one skill: those with small bodies, which go to any thread, and the others, which must not hold those up. Both have one turn together. */
interface SkillQueues {
  readonly skill: string;
  readonly small: SizedQueue;
  readonly large: SizedQueue;
  /** Whether it has its place among the turns. */
  isListed: boolean;
  /** Its next turn is one for a large body: the sizes take turns, from that of the first that waits. */
  isLargeNext: boolean;
  /** Tasks that had gone when its next large body was first found to have no room. */
  noRoomSince: number | undefined;
}

/** After so many tasks of others a large body waits no longer for room: where others keep every thread busy there would never be any. */
const passedByMax = 64;

/** Where no other thread has room, runs stay so long with one whose loop does not turn. */
const patientMs = 3 * silentMs;

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
  readonly #skills = new Map<string, SkillQueues>();
  /** Those with runs that wait, in the order in which their turn comes. */
  readonly #turns: SkillQueues[] = [];
  /** Tasks that have gone, of all skills. */
  #gone = 0;

  constructor(pool: ThreadPool, plugins: readonly string[], options: LaneOptions) {
    this.pool = pool;
    this.plugins = plugins;
    this.#options = options;
  }

  get isOneAtATime(): boolean {
    return this.#options.isOneAtATime;
  }

  enqueue(entry: RunEntry): void {
    const known = this.#skillQueues(entry);
    const sized = sizedQueue(known, entry);
    if (!known.isListed) known.isLargeNext = sized === known.large;
    sized.queue.push(entry);
    this.#list(known);
  }

  /**
   * Takes from a thread whose loop does not turn what it has not begun, where another thread is there for it: at once where that has room, else
   * a while later, for a run that computes for a second or two had better find its next one ready. These wait again.
   */
  takeBack(thread: PoolThread): readonly RunEntry[] {
    if (thread.unbegun === 0 || !this.#hasOther(thread)) return [];
    const from = thread.takeBack();
    if (from === undefined) return [];
    const back = this.postedTo(thread).filter(({ sequence }) => ((sequence - from) | 0) >= 0);
    for (const { body } of back) {
      thread.held -= 1;
      thread.heldBytes -= body.byteLength;
    }
    this.putBack(back);
    return back;
  }

  #hasOther(silent: PoolThread): boolean {
    if (silent.silentForMs(this.#options.nowMs()) <= patientMs) return this.pool.findFree(0).thread !== undefined;
    for (const thread of this.pool.threads) if (thread.isUsable) return true;
    return false;
  }

  /** Runs that their lost thread had not begun wait again, ahead of the others of their skill and size. */
  putBack(entries: readonly RunEntry[]): void {
    const nowMs = this.#options.nowMs();
    for (const entry of entries) {
      entry.thread = undefined;
      entry.postedAtMs = nowMs;
    }
    for (const [{ queue }, back] of Map.groupBy(entries, (entry) => sizedQueue(this.#skillQueues(entry), entry))) queue.putBack(back);
    for (const entry of entries) this.#list(this.#skillQueues(entry));
  }

  #skillQueues({ order: { skill } }: RunEntry): SkillQueues {
    let known = this.#skills.get(skill);
    if (known === undefined) {
      const [small, large] = [0, 1].map((): SizedQueue => ({ queue: new RunQueue(), workMs: undefined })) as [SizedQueue, SizedQueue];
      known = { skill, small, large, isListed: false, isLargeNext: false, noRoomSince: undefined };
      this.#skills.set(skill, known);
    }
    return known;
  }

  /** Cuts tasks while threads have room. A large body that fits no thread waits for one, and other tasks go first for a while. */
  dispatch(): void {
    for (let passed = 0; passed < this.#turns.length;) {
      const turn = this.#turns[passed]!;
      const { small, large } = turn;
      let sized = this.#isLargeDue(turn) ? large : small;
      let { thread, idle } = this.pool.findFree(sized === small || this.#hasWaited(turn) ? 0 : large.queue.nextBytes);
      if (thread === undefined && sized === large && !this.#hasWaited(turn)) {
        turn.noRoomSince ??= this.#gone;
        if (small.queue.size === 0) {
          passed += 1;
          continue;
        }
        sized = small;
        ({ thread, idle } = this.pool.findFree(0));
      }
      if (thread === undefined || (this.isOneAtATime && thread.held > 0)) return;
      if (passed === 0) this.#turns.shift();
      else this.#turns.splice(passed, 1);
      turn.isListed = false;
      const { queue, workMs } = sized;
      if (queue.size === 0) continue;
      turn.isLargeNext = sized === small;
      if (sized === large) turn.noRoomSince = undefined;
      const count = this.isOneAtATime ? 1 : batchSize({ queued: queue.size, idleThreads: thread.tasks === 0 ? idle : 0, workMs });
      this.#post(thread, turn.skill, sized, queue.take(count, thread, this.pool.bodyBytesMax));
      if (small.queue.size + large.queue.size > 0) this.#list(turn);
    }
  }

  /** Sizes take turns, but what has waited long enough for room is next. */
  #isLargeDue(turn: SkillQueues): boolean {
    const { small, large, isLargeNext } = turn;
    return large.queue.size > 0 && (isLargeNext || small.queue.size === 0 || this.#hasWaited(turn));
  }

  #hasWaited({ noRoomSince }: SkillQueues): boolean {
    return noRoomSince !== undefined && this.#gone - noRoomSince >= passedByMax;
  }

  *#queues(): Iterable<SizedQueue> {
    for (const { small, large } of this.#skills.values()) {
      yield small;
      yield large;
    }
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
    if (thread === undefined) {
      const known = this.#skillQueues(entry);
      sizedQueue(known, entry).queue.forget();
      if (known.large.queue.size === 0) known.noRoomSince = undefined;
    } else {
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

  #list(skill: SkillQueues): void {
    if (skill.isListed) return;
    skill.isListed = true;
    this.#turns.push(skill);
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

  #post(thread: PoolThread, skill: string, sized: SizedQueue, entries: RunEntry[]): void {
    const bytes = this.#pack(thread, skill, entries);
    if (entries.length === 0) return;
    this.#gone += 1;
    const nowMs = this.#options.nowMs();
    const first = thread.posted;
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
      // Those that were taken back are elsewhere, or have another number; the last one is always among them.
      const isThere = (index: number): boolean => entries[index]?.thread === thread && entries[index].sequence === ((first + index) | 0);
      if (workMs === undefined) for (const entry of entries.filter((_, index) => isThere(index))) if (!entry.isAnswered) this.#options.failed(entry, why);
      if (workMs !== undefined && isThere(entries.length - 1)) sized.workMs = measuredWorkMs(sized.workMs, workMs, entries.length);
      // What is left of piscina's tables of tasks may be taken for alive long after (core/churning.ts): runs and bodies are not to be with it.
      entries.length = 0;
    });
  }
}

function sizedQueue({ small, large }: SkillQueues, { body }: RunEntry): SizedQueue {
  return body.byteLength > smallBodyBytes ? large : small;
}
