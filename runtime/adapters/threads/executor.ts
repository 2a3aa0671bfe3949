/**
 * The executor on threads. Runs wait here until a thread has room, go out in batches, and are answered exactly once: by their
 * thread, or on its behalf when it dies, hangs or cannot start. Those that a lost thread had not begun go to another one.
 *
 * Time is watched twice. The thread itself ends a run that is past its time, which costs nobody else anything. A thread whose
 * loop is blocked cannot: thread-watch.ts sees to those.
 */
import { availableParallelism } from "node:os";
import { ChurningTable } from "../../core/churning.ts";
import { messageOf } from "../../core/errors.ts";
import type { GarbageExtent } from "../../core/memory.ts";
import type { CallReport, RunAnswer } from "../../core/outcome.ts";
import type {
  Executor,
  ExecutorListener,
  QuestionAnswer,
  RunOrder,
  RunQuestion,
  RunResult,
  StepAcknowledgement,
  StepRequest,
  ThreadsView,
  UsageAnswer,
  UsageRequest,
} from "../../ports/executor.ts";
import type { LogLevel } from "../../skills/author/context.ts";
import { type SlowStart, toldOnce } from "../../skills/host/start-times.ts";
import { Flags } from "../../skills/host/flags.ts";
import { leastLevel } from "../../skills/host/run-log.ts";
import { Lane } from "./lane.ts";
import { SkillLoopTimeReader } from "./skill-loop-time.ts";
import { monotonicMs } from "./monotonic.ts";
import { type Report, forEachResult, openReport } from "./reports.ts";
import { RunEntry } from "./run-entry.ts";
import { poolLimits, type ThreadsExecutorOptions, threadPlugin, unclosedText } from "./thread-options.ts";
import { type PoolThread, ThreadPool } from "./thread-pool.ts";
import { ThreadWatch, blocked, lostWith, untold, whatRan } from "./thread-watch.ts";
import type { ThreadNews, ThreadSettings } from "./wire.ts";

const defaultGraceMs = 2_000;
const defaultStuckAfterMs = 10_000;
const watchMaxMs = 250;
/** How often a run is moved from a thread that was lost before it began the run; then it is answered `not-started`. */
export const movesMax = 3;

const noCalls: readonly CallReport[] = [];
/** Where nobody says otherwise. */
const infoAndAbove = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
new Int32Array(infoAndAbove)[0] = leastLevel("info");

/** Makes the executor; it starts no thread before `start`. */
export function createThreadsExecutor(options: ThreadsExecutorOptions): ThreadsExecutor {
  return new ThreadsExecutor(options);
}

/** The executor, and what only threads need. */
export class ThreadsExecutor implements Executor {
  readonly #options: ThreadsExecutorOptions;
  readonly #graceMs: number;
  readonly #shared = "";
  /** No skill has this name. The lane is there once a run has to be apart. */
  readonly #apart = "(apart)";
  /** By dedicated skill; the shared one under the empty name. */
  readonly #lanes = new Map<string, Lane>();
  readonly #runs = ChurningTable.byNumber<RunEntry>();
  readonly #slow: (parts: readonly SlowStart[]) => void;
  readonly #threadWatch: ThreadWatch;
  readonly #skillNames: readonly string[];
  /** Whose threads run the runtime's own skills where no others share any. */
  #host: Lane | undefined;
  readonly #loopTime: SkillLoopTimeReader;
  #leaked = 0;
  #lastRequest = 0;
  #listener: ExecutorListener | undefined;
  #watch: NodeJS.Timeout | undefined;
  #late: RunResult[] = [];
  #isDown: string | undefined = "the threads have not been started";
  #isStopped = false;

  constructor(options: ThreadsExecutorOptions) {
    this.#options = options;
    this.#graceMs = options.graceMs ?? defaultGraceMs;
    this.#slow = toldOnce(options.slow);
    this.#skillNames = options.plugins.flatMap(({ skills }) => skills.map(({ name }) => name));
    this.#loopTime = new SkillLoopTimeReader(this.#skillNames);
    this.#threadWatch = new ThreadWatch({
      graceMs: this.#graceMs,
      stuckAfterMs: options.stuckAfterMs ?? defaultStuckAfterMs,
      giveUp: (entry, answer) => this.#giveUp(entry, answer),
      tell: (stuck) => this.#listener?.threadStuck(stuck),
    });
  }

  async start(listener: ExecutorListener): Promise<void> {
    if (this.#listener !== undefined) throw new TypeError("expected an executor to be started once");
    this.#listener = listener;
    const { threads = availableParallelism(), dedicatedThreads = 1, plugins } = this.#options;
    const skills = plugins.flatMap((plugin) => plugin.skills.map(({ name, isolation }) => ({ name, isolation, isOwn: plugin.isBuiltIn === true })));
    const dedicated = skills.filter(({ isolation }) => isolation === "dedicated").map(({ name }) => name);
    const shared = skills.filter(({ isolation }) => isolation === "shared");
    const sharedNames = shared.map(({ name }) => name);
    // For the runtime's own alone there are no threads: they are guests of the first that there are.
    const areGuests = dedicated.length > 0 && shared.every(({ isOwn }) => isOwn);
    if (shared.length > 0 && !areGuests) this.#addLane(this.#shared, threads, sharedNames);
    for (const name of dedicated) {
      const isHost = areGuests && this.#host === undefined;
      const lane = this.#addLane(name, dedicatedThreads, isHost ? [name, ...sharedNames] : [name]);
      if (isHost) this.#host = lane;
    }
    try {
      await Promise.all(Array.from(this.#lanes.values(), (lane) => lane.pool.start()));
    } catch (error) {
      await this.stop();
      throw error;
    }
    if (!this.#isStopped) this.#isDown = undefined;
  }

  post(orders: readonly RunOrder[]): void {
    const nowMs = monotonicMs();
    const lanes = new Set<Lane>();
    for (let index = 0; index < orders.length; index += 1) {
      const order = orders[index]!;
      const lane = this.#isDown === undefined ? this.#laneOf(order) : undefined;
      const why = this.#isDown ?? (lane === undefined ? `no thread runs a skill '${order.skill}'` : lane.isDown);
      if (lane === undefined || why !== undefined) {
        this.#answerLater(order.runId, { kind: "not-started", why: why ?? "" });
        continue;
      }
      const entry = new RunEntry(lane, order, nowMs);
      this.#runs.set(order.runId, entry);
      lane.enqueue(entry);
      lanes.add(lane);
    }
    for (const lane of lanes) lane.dispatch();
    if (lanes.size > 0) this.#armWatch();
  }

  acknowledge(acknowledgements: readonly StepAcknowledgement[]): void {
    const byThread = new Map<PoolThread, { requestIds: number[]; results: StepAcknowledgement["result"][] }>();
    for (const { runId, requestId, result } of acknowledgements) {
      const entry = this.#runs.get(runId);
      const inner = entry?.requests?.get(requestId);
      if (entry?.thread === undefined || inner === undefined) continue;
      const news = byThread.get(entry.thread) ?? { requestIds: [], results: [] };
      news.requestIds.push(inner);
      news.results.push(result);
      byThread.set(entry.thread, news);
      entry.requests?.delete(requestId);
    }
    for (const [thread, news] of byThread) thread.tell({ type: "acknowledge", ...news });
  }

  allow(answers: readonly UsageAnswer[]): void {
    const byThread = new Map<PoolThread, { requestIds: number[]; afterMs: number[] }>();
    for (const { runId, requestId, afterMs } of answers) {
      const thread = this.#runs.get(runId)?.thread;
      if (thread === undefined) continue;
      const news = byThread.get(thread) ?? { requestIds: [], afterMs: [] };
      news.requestIds.push(requestId);
      news.afterMs.push(afterMs);
      byThread.set(thread, news);
    }
    for (const [thread, news] of byThread) thread.tell({ type: "allow", ...news });
  }

  tell(answers: readonly QuestionAnswer[]): void {
    for (const { runId, requestId, said } of answers) this.#runs.get(runId)?.thread?.tell({ type: "answer", requestId, said });
  }

  extend(runIds: readonly number[], leaseMs: number): void {
    const leaseUntilMs = monotonicMs() + leaseMs;
    this.#tell(
      runIds,
      (entry) => (entry.leaseUntilMs = leaseUntilMs),
      (tickets) => ({ type: "extend", tickets, leaseUntilMs }),
    );
  }

  interrupt(runIds: readonly number[], as: "interrupted" | "stale"): void {
    this.#tell(
      runIds,
      (entry) => {
        entry.stopAs = as;
        if (entry.thread === undefined) this.#giveUp(entry, { kind: as });
      },
      (tickets) => ({ type: "interrupt", tickets, as }),
    );
  }

  get unbegun(): number {
    return [...this.#lanes.values()].reduce((sum, lane) => sum + lane.unbegun, 0);
  }

  get threads(): ThreadsView {
    const missing = [...this.#lanes.values()].reduce((sum, { pool }) => sum + pool.unreplaced, 0);
    return { stuck: this.#threadWatch.stuck, leaked: this.#leaked, missing };
  }

  get unbegunShared(): number {
    return this.#lanes.get(this.#shared)?.unbegun ?? 0;
  }

  heldMs(skill: string): number {
    return this.#loopTime.heldMs(skill);
  }

  /** Threads are told what the settings of their plugins are now. */
  renewSettings(): void {
    for (const lane of this.#lanes.values()) {
      const news = lane.plugins.flatMap((plugin): ThreadNews[] => {
        const given = this.#options.settings?.(plugin);
        return given === undefined ? [] : [{ type: "settings", plugin, given }];
      });
      lane.pool.renew(news);
    }
  }

  collectGarbage(extent: GarbageExtent): void {
    for (const lane of this.#lanes.values()) for (const thread of lane.pool.threads) thread.tell({ type: "collect", extent });
  }

  isReady(): boolean {
    return this.#isDown === undefined && Array.from(this.#lanes).every(([name, { pool }]) => pool.isUp || name === this.#apart);
  }

  async stop(): Promise<void> {
    if (!this.#isStopped) {
      this.#isStopped = true;
      this.#isDown = "the threads were stopped";
      clearTimeout(this.#watch);
      this.#loseAll(this.#isDown);
    }
    await Promise.all(Array.from(this.#lanes.values(), (lane) => lane.pool.stop()));
  }

  #addLane(name: string, size: number, skills: readonly string[]): Lane {
    const {
      consumers,
      agent,
      limits,
      plugins,
      dependencies,
      dependencyConfig,
      circuits,
      flags = Flags.of(new Map()).shared,
      retries,
      log,
      logLevel = infoAndAbove,
      traces,
      contracts,
      rehearses = true,
      settings: settingsOf,
    } = this.#options;
    const settings: ThreadSettings = {
      consumers,
      agent,
      limits,
      logLevel: log === undefined ? undefined : logLevel,
      plugins: plugins.flatMap((plugin) => {
        const names = plugin.skills.map((skill) => skill.name).filter((skill) => skills.includes(skill));
        return names.length === 0 ? [] : [threadPlugin(plugin, names, settingsOf)];
      }),
      dependencies: { numbered: dependencies, config: dependencyConfig },
      circuits,
      flags,
      retries,
      traces,
      contracts,
      rehearses,
      loopTime: { sums: this.#loopTime.buffer, skills: this.#skillNames },
    };
    const pool: ThreadPool = new ThreadPool(
      { size, settings, ...poolLimits(this.#options) },
      {
        reported: (bytes) => this.#reported(bytes),
        slow: this.#slow,
        free: () => this.#lanes.get(name)?.dispatch(),
        lost: (thread, why) => this.#lost(name, thread, why),
        replaced: (why, replaced) => this.#listener?.threadLost(why, replaced),
        replacedLate: (why) => this.#listener?.threadReplaced({ why, missing: this.threads.missing }),
        leaked: (why, isOver) => {
          this.#leaked += isOver ? -1 : 1;
          this.#listener?.threadLeaked({ isOver, why, leaked: this.#leaked });
        },
        unclosed: (resources, withinMs) => this.#say("warn", unclosedText(resources, withinMs)),
        down: (why) => this.#wentDown(name, why),
      },
    );
    const told = settings.plugins.map((plugin) => plugin.name);
    const lane = new Lane(pool, told, {
      nowMs: monotonicMs,
      isOneAtATime: name === this.#apart,
      runs: () => this.#runs.values(),
      failed: (entry, why) => this.#giveUp(entry, { kind: "thread-lost", why, part: "suspect" }),
      untold: (entry, why) => this.#giveUp(entry, untold(why)),
    });
    this.#lanes.set(name, lane);
    return lane;
  }

  /** A line about no run. */
  #say(level: LogLevel, message: string): void {
    this.#options.log?.([{ level, skill: "", eventId: "", traceId: "", attempt: 0, message, fields: undefined }]);
  }

  /** One more thread, started when it is first needed, for every skill: what runs there ends nobody else with it. */
  #laneApart(): Lane {
    const known = this.#lanes.get(this.#apart);
    if (known !== undefined) return known;
    const lane = this.#addLane(
      this.#apart,
      1,
      this.#options.plugins.flatMap((plugin) => plugin.skills.map(({ name }) => name)),
    );
    lane.pool.start().catch((error: unknown) => this.#loseApart(lane, messageOf(error)));
    return lane;
  }

  /** Its runs are answered; the next one that has to be apart finds it made again. */
  #loseApart(lane: Lane | undefined, why: string): void {
    if (lane === undefined || lane !== this.#lanes.get(this.#apart) || this.#isStopped) return;
    for (const entry of lane.waiting()) this.#giveUp(entry, { kind: "not-started", why });
    this.#lanes.delete(this.#apart);
    void lane.pool.stop();
  }

  #laneOf({ apart, skill }: RunOrder): Lane | undefined {
    const lane = this.#lanes.get(skill) ?? this.#lanes.get(this.#shared) ?? this.#host;
    return apart && lane !== undefined ? this.#laneApart() : lane;
  }

  #reported(bytes: Uint8Array): number {
    const opened = openReport(bytes);
    const { workMs, rest: report } = opened;
    // Before the answers, which end what they are of.
    const steps: StepRequest[] = [];
    for (const { ticket, requestId, step, fellBack } of report.steps) {
      const entry = this.#runs.get(ticket);
      if (entry === undefined) continue;
      this.#lastRequest += 1;
      (entry.requests ??= new Map()).set(this.#lastRequest, requestId);
      steps.push({ runId: entry.order.runId, requestId: this.#lastRequest, step, fellBack });
    }
    const results: RunResult[] = [];
    // All of them were with one thread.
    const freed: RunEntry["lane"][] = [];
    const traces = report.traces.length === 0 ? undefined : new Map(report.traces.map(({ ticket, trace }) => [ticket, trace]));
    forEachResult(opened, (ticket, durationMs, recordingMs, answer, calls) => {
      const entry = this.#runs.get(ticket);
      if (entry === undefined) return;
      if (this.#forget(entry) && freed.length === 0) freed.push(entry.lane);
      results.push({ runId: entry.order.runId, answer, calls, durationMs, recordingMs, trace: traces?.get(ticket) });
    });
    freed[0]?.dispatch();
    if (steps.length > 0) this.#listener?.steps(steps);
    if (report.needs.length > 0) this.#listener?.usage(this.#requestsOf(report.needs));
    if (report.questions.length > 0) this.#listener?.questions(this.#questionsOf(report.questions));
    if (results.length > 0) this.#listener?.results(results);
    if (report.logs.length > 0) this.#options.log?.(report.logs);
    return workMs;
  }

  #requestsOf(needs: Report["needs"]): UsageRequest[] {
    return needs.flatMap(({ ticket, ...request }) => {
      const entry = this.#runs.get(ticket);
      return entry === undefined ? [] : [{ runId: entry.order.runId, ...request }];
    });
  }

  #questionsOf(questions: Report["questions"]): RunQuestion[] {
    return questions.flatMap(({ ticket, requestId, about }) => {
      const entry = this.#runs.get(ticket);
      return entry === undefined ? [] : [{ runId: entry.order.runId, requestId, about }];
    });
  }

  /** Reaches runs wherever they are: all of them here, for they may yet be moved, and those with a thread there. */
  #tell(runIds: readonly number[], here: (entry: RunEntry) => void, news: (tickets: readonly number[]) => ThreadNews): void {
    const byThread = new Map<PoolThread, number[]>();
    for (const runId of runIds) {
      const entry = this.#runs.get(runId);
      if (entry === undefined) continue;
      here(entry);
      if (entry.thread === undefined) continue;
      const tickets = byThread.get(entry.thread);
      if (tickets === undefined) byThread.set(entry.thread, [entry.ticket]);
      else tickets.push(entry.ticket);
    }
    for (const [thread, tickets] of byThread) thread.tell(news(tickets));
  }

  /** Whether others may get a thread for it. */
  #forget(entry: RunEntry): boolean {
    entry.isAnswered = true;
    const { lane, ticket } = entry;
    this.#runs.delete(ticket);
    const makesRoom = lane.forget(entry);
    if (lane.isOneAtATime) lane.dispatch();
    return makesRoom;
  }

  /** Answers in a turn of its own, so that the listener is never called from within a call of its own. */
  #answerLater(runId: number, answer: RunAnswer): void {
    if (this.#late.length === 0) {
      setImmediate(() => {
        const results = this.#late;
        this.#late = [];
        this.#listener?.results(results);
      });
    }
    this.#late.push({ runId, answer, calls: noCalls, durationMs: 0, recordingMs: 0 });
  }

  /** Answers what a lost thread had begun and moves the rest. Returns why it was lost with what it was at. */
  #lost(name: string, thread: PoolThread, why: string): string {
    const lane = this.#lanes.get(name);
    const begun: RunEntry[] = [];
    const moved: RunEntry[] = [];
    const held = lane?.postedTo(thread) ?? [];
    for (const entry of held) if (thread.hasBegun(entry.sequence)) begun.push(entry);
    // Alone on a thread that others use, too, it may still pay for what one before it left behind there.
    const isBlamed = begun.some((entry) => entry.blame !== undefined);
    const part = isBlamed ? "bystander" : begun.length === 1 && lane?.isOneAtATime === true ? "sole" : "suspect";
    this.#threadWatch.forget(thread);
    for (const entry of held) {
      if (thread.hasBegun(entry.sequence)) {
        const { blame = { part } } = entry;
        this.#giveUp(entry, blame.part === "guilty" ? blocked(entry.order, blame.at) : lostWith(thread, why, blame.part));
      } else if (entry.stopAs !== undefined) this.#giveUp(entry, { kind: entry.stopAs });
      else if ((entry.moves += 1) <= movesMax) moved.push(entry);
      else this.#giveUp(entry, { kind: "not-started", why: `${entry.moves} threads were lost before they began it, the last one because ${why}` });
    }
    lane?.putBack(moved);
    lane?.dispatch();
    return `${why}; ${whatRan(thread, begun)}`;
  }

  #wentDown(name: string, why: string): void {
    if (name === this.#apart) return this.#loseApart(this.#lanes.get(this.#apart), why);
    const lane = this.#lanes.get(name);
    if (lane === undefined) return;
    const whose = name === this.#shared ? "that skills share" : `of skill '${name}'`;
    lane.isDown = `no thread ${whose} is left, and none can be started: ${why}`;
    for (const entry of lane.waiting()) this.#giveUp(entry, { kind: "not-started", why: lane.isDown });
    if (!this.#isStopped) this.#listener?.threadsDown(lane.isDown);
  }

  #loseAll(why: string): void {
    for (const entry of this.#runs.values()) {
      // A thread that still lives may begin a run of its own while it is ended.
      this.#giveUp(entry, entry.thread === undefined ? { kind: "not-started", why } : { kind: "thread-lost", why, part: "bystander" });
    }
  }

  #armWatch(): void {
    if (this.#watch !== undefined || this.#isStopped) return;
    this.#watch = setTimeout(
      () => {
        this.#watch = undefined;
        for (const lane of this.#lanes.values()) this.#look(lane);
        if (this.#runs.size > 0 || [...this.#lanes.values()].some((lane) => this.#threadWatch.isOpen(lane))) this.#armWatch();
      },
      Math.min(watchMaxMs, Math.max(10, this.#graceMs / 2)),
    );
  }

  /** With no thread to run them, waiting runs are answered when their time would be over. */
  #giveUpWaiting(lane: Lane, nowMs: number): void {
    for (const entry of lane.waiting()) {
      if (nowMs <= entry.postedAtMs + entry.order.timeoutMs + this.#graceMs) continue;
      this.#giveUp(entry, { kind: "not-started", why: "no thread was there to begin it" });
    }
  }

  #look(lane: Lane): void {
    const nowMs = monotonicMs();
    if (!lane.pool.isUp) this.#giveUpWaiting(lane, nowMs);
    if (this.#threadWatch.look(lane, nowMs)) lane.dispatch();
  }

  #giveUp(entry: RunEntry, answer: RunAnswer): void {
    this.#forget(entry);
    this.#answerLater(entry.order.runId, answer);
  }
}
