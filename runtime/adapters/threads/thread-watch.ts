/**
 * Finds out which threads let nothing in any more, and what holds them. A thread ends a run that is past its time by itself; one
 * whose event loop does not turn cannot. So the main thread looks at each thread's pulse and at the runs that it has begun; what is late
 * there is asked about (ask-thread.ts), and the answer names the run that holds it.
 *
 *   turning ──(a run is past its time, or waits for it, or no pulse for long)──▶ asked ──(a pulse)──▶ turning
 *                                                                │
 *          ┌──────────────────────────┬──────────────────────────┴────────────────┐
 *          ▼                          ▼                                           ▼
 *   held by a run within       held by a run past its time, or by code      no answer: native code
 *   its time: let be; what     of none: a run's signal says so; after      of the run that was being begun, or of
 *   it keeps past theirs is    the grace the thread is ended, and that     the only one there; else of one of several,
 *   begun elsewhere            run alone is guilty                         which are then tried apart, one at a time
 *
 * Where no run is late and some wait for the thread, code of a run that was called off (past its time, taken over) has the grace; code of one that
 * has ended by itself, or of none, has `stuckAfterMs` first, and so has native code of any that has ended.
 */
import type { LossPart, RunAnswer } from "../../core/outcome.ts";
import type { RunOrder, ThreadStuck } from "../../ports/executor.ts";
import type { AtWork } from "../../skills/host/skill-host.ts";
import { askThread } from "./ask-thread.ts";
import type { Lane } from "./lane.ts";
import { monotonicMs } from "./monotonic.ts";
import type { Blame, RunEntry } from "./run-entry.ts";
import { type PoolThread, silentMs } from "./thread-pool.ts";
import { pulseEveryMs } from "./wire.ts";

/** Of the grace, after which part a run that its thread has not ended counts as late: the thread may be busy with others. */
const lateAfter = 0.25;

const beganNone = "it began none of the runs it was given";

export interface ThreadWatchOptions {
  /** From when a thread is asked what holds it until it is ended. */
  readonly graceMs: number;
  /** A thread whose loop has not turned for so long is asked though no run is late, and ended if it is held by code of none. Code of a run that was called off has the grace only, where runs wait for its thread. */
  readonly stuckAfterMs: number;
  /** A run is answered on behalf of its thread, which still lives. */
  giveUp(entry: RunEntry, answer: RunAnswer): void;
  tell(news: ThreadStuck): void;
}

/** Runs with a thread, as they are now. */
interface Posted {
  readonly begun: readonly RunEntry[];
  /** Those begun that are past their time. */
  readonly late: readonly RunEntry[];
  /** When the first of the others was posted; now where there is none. */
  readonly oldestMs: number;
}

/** What is known of a thread since its loop last turned. */
interface Hold {
  readonly pulse: number;
  /** Undefined while it is being asked, and where it does not answer. */
  answer: AtWork | undefined;
  isAsking: boolean;
  askedAtMs: number;
  /** From when on it has been found held by code of a run that was called off and has ended, while others wait for the thread. */
  outlastsSinceMs: number | undefined;
  /** What was told of it; undefined while nothing was. */
  told: Omit<ThreadStuck, "isOver" | "forMs"> | undefined;
}

export class ThreadWatch {
  readonly #options: ThreadWatchOptions;
  readonly #holds = new Map<PoolThread, Hold>();
  /** How long a thread may go on after it was asked: longer than between two pulses, so that one that turns is not taken for stuck. */
  readonly #patienceMs: number;

  constructor(options: ThreadWatchOptions) {
    this.#options = options;
    this.#patienceMs = Math.max(options.graceMs, 2 * pulseEveryMs);
  }

  /** Threads that are held past a run's time, or keep runs past theirs. */
  get stuck(): number {
    let sum = 0;
    for (const { told } of this.#holds.values()) if (told !== undefined) sum += 1;
    return sum;
  }

  /** Looks at each thread of a lane; true when one of them can be given work again, or work was taken from one. */
  look(lane: Lane, nowMs: number): boolean {
    let isFreed = false;
    for (const thread of lane.pool.threads) {
      const wasSilent = thread.isSilent;
      thread.isSilent = thread.silentForMs(nowMs) > silentMs;
      isFreed ||= wasSilent && !thread.isSilent;
      if (thread.isSilent && this.#takeBack(lane, thread)) isFreed = true;
      if (!thread.isEnding) this.#lookAt(lane, thread, nowMs);
    }
    return isFreed;
  }

  /** What a silent thread has not begun is begun by another, where there is one; whether there was anything. */
  #takeBack(lane: Lane, thread: PoolThread): boolean {
    const back = lane.takeBack(thread);
    for (const entry of back) if (entry.stopAs !== undefined) this.#options.giveUp(entry, { kind: entry.stopAs });
    return back.length > 0;
  }

  /** Whether there is something to see in this lane though nothing is to be executed. */
  isOpen(lane: Lane): boolean {
    for (const thread of lane.pool.threads) if (thread.isSilent || this.#holds.has(thread)) return true;
    return false;
  }

  /** It has ended, or is given up. */
  forget(thread: PoolThread): void {
    this.#holds.delete(thread);
  }

  #lookAt(lane: Lane, thread: PoolThread, nowMs: number): void {
    const posted = this.#posted(lane, thread, nowMs);
    const hold = this.#holdOf(thread);
    if (hold === undefined) {
      if (posted.late.length > 0 || this.#isStuck(thread, nowMs) || isWaitedFor(thread, posted, nowMs)) this.#ask(lane, thread, nowMs);
      else if (this.#beganNone(posted, nowMs)) lane.pool.kill(thread, beganNone);
    } else if (!hold.isAsking) this.#judge(lane, thread, hold, posted);
  }

  #isStuck(thread: PoolThread, nowMs: number): boolean {
    return thread.silentForMs(nowMs) > this.#options.stuckAfterMs;
  }

  #beganNone({ begun, oldestMs }: Posted, nowMs: number): boolean {
    return begun.length === 0 && nowMs > oldestMs + this.#options.graceMs + this.#options.stuckAfterMs;
  }

  /** Undefined when the loop has turned since. */
  #holdOf(thread: PoolThread): Hold | undefined {
    const hold = this.#holds.get(thread);
    if (hold === undefined || hold.pulse === thread.pulse) return hold;
    this.#holds.delete(thread);
    if (hold.told !== undefined) this.#options.tell({ ...hold.told, isOver: true, forMs: (thread.pulse - hold.pulse) | 0 });
    return undefined;
  }

  #posted(lane: Lane, thread: PoolThread, nowMs: number): Posted {
    const begun: RunEntry[] = [];
    const late: RunEntry[] = [];
    let oldestMs = nowMs;
    for (const entry of lane.postedTo(thread)) {
      if (!thread.hasBegun(entry.sequence)) {
        oldestMs = Math.min(oldestMs, entry.postedAtMs);
        continue;
      }
      begun.push(entry);
      if (entry.begunSeenAtMs === 0) entry.begunSeenAtMs = nowMs;
      if (nowMs > this.#lateAtMs(entry)) late.push(entry);
    }
    return { begun, late, oldestMs };
  }

  #lateAtMs({ begunSeenAtMs, order }: RunEntry): number {
    return begunSeenAtMs + order.timeoutMs + this.#options.graceMs * lateAfter;
  }

  #ask(lane: Lane, thread: PoolThread, nowMs: number): void {
    const { told, outlastsSinceMs } = this.#holds.get(thread) ?? {};
    const hold: Hold = { pulse: thread.pulse, answer: undefined, isAsking: true, askedAtMs: nowMs, outlastsSinceMs, told };
    this.#holds.set(thread, hold);
    void askThread(thread.threadId, this.#patienceMs).then((answer) => {
      hold.answer = answer;
      hold.isAsking = false;
      if (this.#holds.get(thread) === hold && !thread.isEnding) this.#judge(lane, thread, hold, this.#posted(lane, thread, monotonicMs()));
    });
  }

  #judge(lane: Lane, thread: PoolThread, hold: Hold, posted: Posted): void {
    const { late, begun } = posted;
    const nowMs = monotonicMs();
    // What was in its time when it was asked is not any more: another may hold it now, and a run is called off by the asking.
    if (late.some((entry) => this.#lateAtMs(entry) > hold.askedAtMs)) return this.#ask(lane, thread, nowMs);
    const holder = holderOf(thread, hold, begun);
    const isLate = holder !== undefined && late.includes(holder);
    if (late.length === 0 && hold.answer === undefined && this.#beganNone(posted, nowMs)) return lane.pool.kill(thread, beganNone);
    // Nobody is late, and a run that may still take its time may be at work: as good as any other.
    if (late.length === 0 && (holder !== undefined || hold.answer === undefined)) return;
    this.#tell(thread, hold, holder, nowMs);
    if (late.length === 0 && !this.#isStuck(thread, hold.askedAtMs)) return this.#judgeForWaiting(lane, thread, hold, posted, nowMs);
    if (holder !== undefined && !isLate) return this.#giveBack(late, holder, hold);
    if (nowMs <= hold.askedAtMs + this.#patienceMs) return;
    for (const entry of begun) entry.blame = blameOf(entry, holder, hold);
    lane.pool.kill(thread, `${hold.told?.why ?? "it was held"}, past ${late.length === 1 ? "the time of a run" : "the times of runs"}`);
  }

  /**
   * It was asked for the sake of runs that wait for it, which is no reason to end what it is at: that has its time, and it is asked again then. But code of
   * a run that was called off has no more than the grace. Another may have gone on meanwhile without the loop's having turned: that it is at
   * this code still is asked in the end.
   */
  #judgeForWaiting(lane: Lane, thread: PoolThread, hold: Hold, posted: Posted, nowMs: number): void {
    hold.outlastsSinceMs = hold.answer?.isCalledOff === true && isWaitedFor(thread, posted, nowMs) ? (hold.outlastsSinceMs ?? hold.askedAtMs) : undefined;
    const untilMs = (hold.outlastsSinceMs ?? Number.POSITIVE_INFINITY) + this.#patienceMs;
    if (hold.askedAtMs > untilMs) {
      for (const entry of posted.begun) entry.blame = blameOf(entry, undefined, hold);
      lane.pool.kill(thread, `${hold.told?.why ?? "it was held"} and was called off, while runs wait`);
    } else if (nowMs > untilMs || this.#isStuck(thread, nowMs)) this.#ask(lane, thread, nowMs);
  }

  /** Runs that another one, which may still take its time, keeps from their end: none of them has failed. */
  #giveBack(late: readonly RunEntry[], holder: RunEntry, hold: Hold): void {
    const why = `its thread was held by '${holder.order.skill}' (event ${holder.order.route.eventId})${placed(hold.answer?.at)}`;
    for (const entry of late) this.#options.giveUp(entry, { kind: "thread-lost", why, part: "bystander" });
  }

  #tell(thread: PoolThread, hold: Hold, holder: RunEntry | undefined, nowMs: number): void {
    if (hold.told !== undefined) return;
    const { answer } = hold;
    const at = answer?.at ?? "";
    const run = holder === undefined ? "" : ` of '${holder.order.skill}' (event ${holder.order.route.eventId})`;
    const why = answer === undefined ? `native code${run} holds it` : `it is held${placed(at)}, ${answer.what}`;
    hold.told = { skill: holder?.order.skill ?? "", eventId: holder?.order.route.eventId ?? "", at, why };
    this.#options.tell({ ...hold.told, isOver: false, forMs: thread.silentForMs(nowMs) });
  }
}

/** Runs wait for it that no other thread can be given, and no run of its is known to hold it. */
function isWaitedFor(thread: PoolThread, { oldestMs }: Posted, nowMs: number): boolean {
  return thread.isSilent && thread.beginning === undefined && nowMs > oldestMs + silentMs;
}

function placed(at: string | undefined): string {
  return at === undefined || at === "" ? "" : ` at ${at}`;
}

/** The run whose code the thread is at; undefined when it is nobody's, or is unknown. */
function holderOf(thread: PoolThread, { answer }: Hold, begun: readonly RunEntry[]): RunEntry | undefined {
  if (answer !== undefined) return begun.find(({ ticket }) => ticket === answer.runId);
  const { beginning } = thread;
  const first = begun.find(({ sequence }) => sequence === beginning);
  return first ?? (begun.length === 1 ? begun[0] : undefined);
}

function blameOf(entry: RunEntry, holder: RunEntry | undefined, { answer }: Hold): Blame {
  if (entry === holder) return { part: "guilty", at: answer?.at ?? "" };
  return { part: holder === undefined && answer === undefined ? "suspect" : "bystander" };
}

/** The end of a run that held its thread past its time. */
export function blocked({ timeoutMs }: RunOrder, at: string): RunAnswer {
  const message = `expected the run to end within ${timeoutMs} ms, it let nothing else happen on its thread`;
  return { kind: "timed-out", blockedThread: true, failure: { code: "RUN_TIMEOUT", message, ...(at === "" ? {} : { at }) } };
}

/** The end of a run whose order cannot be packed. */
export function untold(why: string): RunAnswer {
  return { kind: "invalid", invalid: { reason: "InvalidEnvelope", description: `no thread can be told of it: ${why}` } };
}

export function lostWith({ isOutOfMemory }: PoolThread, why: string, part: LossPart): RunAnswer {
  return { kind: "thread-lost", why, part, ...(isOutOfMemory ? ({ outOfMemory: true } as const) : undefined) };
}

/** Runs that are named when a thread is lost. */
const namedMax = 3;

/** Names the runs that a lost thread was at, the likeliest culprits first. */
export function whatRan(thread: PoolThread, begun: readonly RunEntry[]): string {
  if (begun.length === 0) return "it was at no run";
  const { beginning } = thread;
  const held = ({ blame, sequence }: RunEntry): boolean => (blame === undefined ? sequence === beginning : blame.part === "guilty");
  const named = begun.toSorted((one, other) => Number(held(other)) - Number(held(one))).slice(0, namedMax);
  const names = named.map((entry) => `'${entry.order.skill}' (event ${entry.order.route.eventId}${held(entry) ? ", which held it" : ""})`);
  const more = begun.length - named.length;
  return `it was at ${names.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
