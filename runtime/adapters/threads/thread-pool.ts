/**
 * A pool of skill threads on piscina, which makes them, hands tasks over and replaces those that end. What piscina leaves open is
 * closed here: which thread a task went to (so that a lost thread's runs can be answered), when a thread is really up, and what
 * happens when threads cannot start any more: piscina then gives up for good. While others live, those that are missing are tried
 * again in another piscina for as long as it takes; when none is left the pool is rebuilt a few times, then it stays down and says so.
 *
 *   starting ──(all threads said hello)──▶ up ──(a thread ended)──▶ up, one less ──(its replacement said hello)──▶ up
 *       └──(one could not start)──▶ rejected      ├──(it could not start)──▶ up, one less, and tried again later
 *                                                 └──(none left, none can start)──▶ rebuilding ──(tries used up)──▶ down
 *
 * A thread that was to end and does not, because it is in native code, is given up: it counts as ended, and since piscina waits for
 * it with its place, another piscina of one thread takes that. It is leaked until it ends after all.
 */
import { extname } from "node:path";
import { setFlagsFromString } from "node:v8";
import { type MessagePort, type Worker, receiveMessageOnPort } from "node:worker_threads";
import { Piscina } from "piscina";
import { HoldfastError, messageOf } from "../../core/errors.ts";
import { settledWithin } from "../support/settled-within.ts";
import type { SlowStart } from "../../skills/host/start-times.ts";
import { watchLiving } from "./end-process.ts";
import { bodyBytesWithin, freeThread, tasksPerThread } from "./free-thread.ts";
import { type ThreadHello, type ThreadLastWords, type ThreadNews, type ThreadResources, type ThreadSettings, progressPlaces, pulseEveryMs } from "./wire.ts";

/** A thread whose loop has not turned for so long is given nothing more to do until it does. */
export const silentMs: number = 4 * pulseEveryMs;

/** How often a pool that lost all its threads is rebuilt before it stays down. */
export const rebuildsMax = 5;

export interface PoolOptions {
  readonly size: number;
  readonly settings: ThreadSettings;
  /** Heap of one thread; Node's default when undefined. */
  readonly heapBytesMax: number | undefined;
  /** How long threads may take to start. */
  readonly startTimeoutMs: number;
  /** How long a thread may take to end once it was told to. */
  readonly endWithinMs: number;
  /** Before the first time that threads which could not be started are tried again; each time twice as long, up to `rebuildsMax` times. */
  readonly rebuildDelayMs: number;
}

export interface PoolListener {
  /** A report of a thread's; returns the time its task took. */
  reported(bytes: Uint8Array): number;
  /** Parts of a thread's start that took long. */
  slow(parts: readonly SlowStart[]): void;
  /** A thread has room for a task. */
  free(): void;
  /** A thread has ended; nothing more comes from it. Returns why it was lost with what it was at. */
  lost(thread: PoolThread, why: string): string;
  /** A lost thread was, or could not be, replaced. */
  replaced(why: string, replaced: boolean): void;
  /** One that could not be replaced is, after all. */
  replacedLate(why: string): void;
  /** A lost thread does not end: `isOver` when it has after all. */
  leaked(why: string, isOver: boolean): void;
  /** These resources of a thread that is stopped were not closed in the time that all of them have. */
  unclosed(names: readonly string[], withinMs: number): void;
  /** No thread is left and none can be started. */
  down(why: string): void;
}

/** What comes from a thread: packed reports of runs, or a word of its own. */
type FromThread = Uint8Array | ThreadLastWords | ThreadResources;

/** One thread, as the main thread sees it. */
export class PoolThread {
  readonly worker: Worker;
  readonly piscina: Piscina;
  readonly threadId: number;
  readonly #port: MessagePort;
  readonly #progress: Int32Array;
  /** Tasks it holds. */
  tasks = 0;
  /** Runs posted to it, wrapping like its own count of runs begun. */
  posted = 0;
  /** Those of them that are not answered. */
  held = 0;
  /** What the bodies of these take. */
  heldBytes = 0;
  isAlive = true;
  /** Its loop does not turn. */
  isSilent = false;
  /** Of the runs that were taken back last: the number of the first, and that after the last. */
  #takenBack: { readonly from: number; readonly to: number } | undefined;
  /** Since it was told to end. */
  endTimer: NodeJS.Timeout | undefined;
  /** Why the main thread ended it. */
  killedFor: string | undefined;
  /** Names of the resources that it has open, which are to be closed before it ends. */
  resources: readonly string[] = [];
  resourcesClosed: (() => void) | undefined;
  /** What it threw outside of every run. */
  error: string | undefined;
  /** It ended because it took more heap than it may have. */
  isOutOfMemory = false;
  /** The first it said of why it ends by itself; says more than `error`, and an error that ends it calls `process.exit` after. */
  lastWords: string | undefined;

  constructor(worker: Worker, piscina: Piscina, hello: ThreadHello) {
    this.worker = worker;
    this.piscina = piscina;
    this.threadId = hello.threadId;
    this.#port = hello.port;
    this.#progress = new Int32Array(hello.progress);
  }

  get port(): MessagePort {
    return this.#port;
  }

  /** Whether it can be given tasks. */
  get isUsable(): boolean {
    return this.isAlive && !this.isSilent && !this.isEnding;
  }

  get isEnding(): boolean {
    return this.killedFor !== undefined || this.error !== undefined;
  }

  /** Changes with each turn of its loop, every `pulseEveryMs` at most. */
  get pulse(): number {
    return Atomics.load(this.#progress, progressPlaces.pulse);
  }

  /** How long its loop has not turned. */
  silentForMs(nowMs: number): number {
    return ((nowMs | 0) - this.pulse) | 0;
  }

  /** Whether the run that was posted as number `sequence` has begun. */
  hasBegun(sequence: number): boolean {
    return ((Atomics.load(this.#progress, progressPlaces.begun) - sequence) | 0) > 0;
  }

  /** Runs posted to it that it has not begun. */
  get unbegun(): number {
    return (this.posted - Atomics.load(this.#progress, progressPlaces.begun)) | 0;
  }

  /** Number of the run that was begun and has not let go of the thread yet. */
  get beginning(): number | undefined {
    if (Atomics.load(this.#progress, progressPlaces.isBeginning) !== 1) return undefined;
    const begun = Atomics.load(this.#progress, progressPlaces.begun);
    return ((begun === this.#takenBack?.to ? this.#takenBack.from : begun) - 1) | 0;
  }

  /** Keeps it from beginning what it has not begun, and answers with the number of the first of these; undefined where there are none. What is posted later it begins. */
  takeBack(): number | undefined {
    const from = Atomics.load(this.#progress, progressPlaces.begun);
    const to = this.posted;
    if (from === to || Atomics.compareExchange(this.#progress, progressPlaces.begun, from, to) !== from) return undefined;
    this.#takenBack = { from, to };
    return from;
  }

  tell(news: ThreadNews): void {
    if (this.isAlive) this.#port.postMessage(news);
  }
}

const mib = 1024 ** 2;
/** Of a heap, what is for objects that are new; V8 needs no more of them. */
const young = { part: 1 / 4, mbMax: 192 };

/**
 * A limit that was given to the process (`--max-old-space-size`, `NODE_OPTIONS`) is that of the main thread, which has taken it by now; V8
 * would hold every thread to it as well, whatever limits that is given.
 */
function heapLimits(heapBytes: number): { readonly maxOldGenerationSizeMb: number; readonly maxYoungGenerationSizeMb: number } {
  setFlagsFromString("--max-old-space-size=0");
  const heapMb = Math.max(1, Math.floor(heapBytes / mib));
  const youngMb = Math.min(young.mbMax, Math.max(1, Math.floor(heapMb * young.part)));
  return { maxOldGenerationSizeMb: heapMb - youngMb, maxYoungGenerationSizeMb: youngMb };
}

export class ThreadPool {
  readonly #options: PoolOptions;
  readonly #listener: PoolListener;
  readonly #threads = new Map<number, PoolThread>();
  /** Hellos of threads that piscina does not know to be ready yet, and the other way round. */
  readonly #hellos = new Map<number, ThreadHello>();
  readonly #created = new Set<number>();
  /** Why threads were lost that have not been replaced yet. */
  readonly #losses: string[] = [];
  /** Why those were lost that could not be replaced, and are missing. */
  readonly #unreplaced: string[] = [];
  /** The first of them makes all threads, each other one those in the place of threads that are leaked or could not be started. */
  readonly #piscinas = new Set<Piscina>();
  /** Threads that do not end. */
  readonly #leaked = new Set<PoolThread>();
  /** Settings that were replaced, for threads that were made before and are there after. */
  #renewed: readonly ThreadNews[] = [];
  /** What the bodies of the runs that a thread holds may take. */
  readonly bodyBytesMax: number;
  #target = 0;
  #started: PromiseWithResolvers<void> | undefined;
  #startTimer: NodeJS.Timeout | undefined;
  #rebuildTimer: NodeJS.Timeout | undefined;
  #rebuilds = 0;
  /** How often missing threads were tried again since all were there. */
  #refills = 0;
  #isStopped = false;

  constructor(options: PoolOptions, listener: PoolListener) {
    this.#options = options;
    this.#listener = listener;
    this.bodyBytesMax = bodyBytesWithin(options.heapBytesMax);
  }

  get threads(): Iterable<PoolThread> {
    return this.#threads.values();
  }

  get isUp(): boolean {
    return this.#threads.size > 0;
  }

  /** Lost threads that could not be replaced so far. */
  get unreplaced(): number {
    return this.#unreplaced.length;
  }

  /** Rejects with what kept a thread from starting. */
  async start(): Promise<void> {
    this.#started = Promise.withResolvers();
    this.#build(this.#options.size);
    try {
      await this.#started.promise;
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      this.#started = undefined;
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    // Closing takes time, in which neither is to ring: the one starts threads.
    clearTimeout(this.#startTimer);
    clearTimeout(this.#rebuildTimer);
    await Promise.all(Array.from(this.#threads.values(), (thread) => this.#closeResources(thread)));
    for (const thread of this.#threads.values()) this.#close(thread);
    this.#threads.clear();
    for (const thread of this.#leaked) clearTimeout(thread.endTimer);
    for (const hello of this.#hellos.values()) hello.port.close();
    this.#hellos.clear();
    await Promise.all(Array.from(this.#piscinas, (piscina) => this.#end(piscina)));
    this.#started?.reject(new HoldfastError("HOLDFAST_STOPPED", "expected the threads to start, they were stopped"));
  }

  /** Waits until a thread has closed what it has open, or is gone, or has had its time. */
  async #closeResources(thread: PoolThread): Promise<void> {
    // It may have opened some a moment ago.
    this.#hearRest(thread);
    if (thread.resources.length === 0 || !thread.isUsable) return;
    const closed = Promise.withResolvers<void>();
    thread.resourcesClosed = closed.resolve;
    thread.worker.once("exit", closed.resolve);
    thread.tell({ type: "close" });
    const { endWithinMs } = this.#options;
    if (!(await settledWithin(closed.promise, endWithinMs)) && thread.resources.length > 0) this.#listener.unclosed(thread.resources, endWithinMs);
  }

  /** For a task whose first body has so many bytes; see `freeThread`. */
  findFree(bytes: number): { readonly thread: PoolThread | undefined; readonly idle: number } {
    return freeThread(this.#threads.values(), bytes, this.bodyBytesMax);
  }

  /** Gives a thread a task; `ended` hears how long it took to begin its runs, or why it failed. A lost thread's tasks are not reported. */
  post(thread: PoolThread, bytes: Uint8Array<ArrayBuffer>, ended: (workMs: number | undefined, why: string) => void): void {
    thread.tasks += 1;
    this.#target = thread.threadId;
    thread.piscina.run(bytes, { transferList: [bytes.buffer] }).then(
      (report: Uint8Array) => {
        thread.tasks -= 1;
        ended(this.#listener.reported(report), "");
        if (thread.isAlive) this.#listener.free();
      },
      (error: unknown) => {
        thread.tasks -= 1;
        // A thread that is gone is reported by its exit.
        if (!thread.isAlive || thread.isEnding) return;
        ended(undefined, messageOf(error));
        // Its count of runs begun is out of step with the numbers they were posted under.
        this.kill(thread, `it refused a task: ${messageOf(error)}`);
      },
    );
  }

  /** Tells every thread, also those that are just being made, what was replaced. */
  renew(settings: readonly ThreadNews[]): void {
    this.#renewed = settings;
    for (const thread of this.#threads.values()) for (const news of settings) thread.tell(news);
  }

  #outOfMemory(): string {
    const { heapBytesMax } = this.#options;
    const limit = heapBytesMax === undefined ? "as much heap as Node allows" : `a heap of at most ${Math.round(heapBytesMax / mib)} MiB (threadHeapBytesMax)`;
    return `it ran out of memory: expected ${limit}, its code took more`;
  }

  /** Ends a thread that does not answer. */
  kill(thread: PoolThread, why: string): void {
    if (thread.killedFor !== undefined) return;
    thread.killedFor = why;
    void thread.worker.terminate();
    thread.endTimer = setTimeout(() => this.#leak(thread, why), this.#options.endWithinMs);
  }

  /** What it holds is answered, and another takes its place. */
  #leak(thread: PoolThread, killedFor: string): void {
    if (this.#isStopped || !this.#threads.delete(thread.threadId)) return;
    const { endWithinMs } = this.#options;
    this.#leaked.add(thread);
    this.#close(thread);
    // By the time it ends its place is taken: piscina is to start no other.
    thread.worker.prependOnceListener("exit", () => {
      const bounds: { minThreads: number; maxThreads: number } = thread.piscina.options;
      bounds.minThreads -= 1;
      bounds.maxThreads -= 1;
    });
    const why = `${killedFor}; it is in native code and did not end within ${endWithinMs} ms`;
    this.#losses.push(this.#listener.lost(thread, why));
    this.#listener.leaked(why, false);
    this.#build(1);
  }

  /** Those that start no thread any more, and have none. */
  #dropEmpty(): void {
    for (const piscina of this.#piscinas) if (piscina.threads.length === 0) this.#piscinas.delete(piscina);
  }

  /** Ends all threads of a piscina, as far as they can be. */
  async #end(piscina: Piscina): Promise<void> {
    this.#piscinas.delete(piscina);
    const { threads } = piscina;
    const living = new Set(threads);
    for (const worker of threads) worker.once("exit", () => living.delete(worker));
    await settledWithin(piscina.destroy(), this.#options.endWithinMs);
    for (const worker of living) watchLiving(worker);
  }

  #build(size: number): void {
    const { settings, heapBytesMax, startTimeoutMs } = this.#options;
    const piscina = new Piscina({
      filename: new URL(`./entry-thread${extname(import.meta.filename)}`, import.meta.url).href,
      name: "accept",
      minThreads: size,
      maxThreads: size,
      concurrentTasksPerWorker: tasksPerThread,
      atomics: "disabled",
      recordTiming: false,
      workerData: settings,
      ...(heapBytesMax === undefined ? undefined : { resourceLimits: heapLimits(heapBytesMax) }),
      loadBalancer: (_task, workers) => workers.find((worker) => worker.id === this.#target) ?? null,
    });
    this.#piscinas.add(piscina);
    piscina.on("message", (message: ThreadHello) => {
      if (message?.type !== "holdfast.thread") return;
      this.#hellos.set(message.threadId, message);
      this.#welcome(message.threadId);
    });
    piscina.on("workerCreate", (worker: { readonly id: number }) => {
      this.#created.add(worker.id);
      this.#welcome(worker.id);
    });
    piscina.on("error", (error: unknown) => this.#erred(piscina, messageOf(error)));
    this.#awaitStart(startTimeoutMs);
  }

  #awaitStart(startTimeoutMs: number): void {
    clearTimeout(this.#startTimer);
    this.#startTimer = setTimeout(() => {
      for (const worker of this.#starting()) void worker.terminate();
      this.#startFailed(`it did not start within ${startTimeoutMs} ms`, 0);
    }, startTimeoutMs);
  }

  /** Threads that are not up yet. One that could not start is not among them, but for what piscina itself makes in its place. */
  #starting(): readonly Worker[] {
    const known = new Set(Array.from([...this.#threads.values(), ...this.#leaked], ({ worker }) => worker));
    return [...this.#piscinas].flatMap(({ threads }) => threads.filter((worker) => !known.has(worker)));
  }

  /** How many threads are neither up nor, as so many are, starting. */
  #missing(starting: number = this.#starting().length): number {
    return this.#options.size - this.#threads.size - starting;
  }

  /** A thread is up when it has said hello and piscina takes tasks for it. */
  #welcome(threadId: number): void {
    // One that piscina has made meanwhile is ended with it.
    if (this.#isStopped) return;
    const hello = this.#hellos.get(threadId);
    const piscina = [...this.#piscinas].find(({ threads }) => threads.some((worker) => worker.threadId === threadId));
    const worker = piscina?.threads.find((worker) => worker.threadId === threadId);
    if (hello === undefined || piscina === undefined || worker === undefined || !this.#created.has(threadId)) return;
    this.#hellos.delete(threadId);
    this.#created.delete(threadId);
    const thread = new PoolThread(worker, piscina, hello);
    this.#threads.set(threadId, thread);
    watchLiving(worker);
    this.#listener.slow(hello.slow);
    for (const news of this.#renewed) thread.tell(news);
    worker.once("error", (error: unknown) => {
      thread.isOutOfMemory = (error as { readonly code?: unknown } | undefined)?.code === "ERR_WORKER_OUT_OF_MEMORY";
      thread.error = thread.isOutOfMemory ? this.#outOfMemory() : messageOf(error);
    });
    worker.once("exit", (code) => this.#exited(thread, code));
    thread.port.on("message", (message: FromThread) => this.#heard(thread, message));
    if (this.#starting().length === 0) clearTimeout(this.#startTimer);
    if (this.#threads.size === this.#options.size) {
      this.#rebuilds = 0;
      this.#refills = 0;
      this.#started?.resolve();
    }
    this.#tellReplaced();
    this.#listener.free();
  }

  /** A new thread takes the place of one whose loss is not told yet, else of one that was told to be missing. */
  #tellReplaced(): void {
    const why = this.#losses.shift();
    if (why !== undefined) return this.#listener.replaced(why, true);
    const missing = this.#unreplaced.shift();
    if (missing !== undefined) this.#listener.replacedLate(missing);
  }

  /** What a thread has said and nobody has heard yet. */
  #hearRest(thread: PoolThread): void {
    for (let last = receiveMessageOnPort(thread.port); last !== undefined; last = receiveMessageOnPort(thread.port))
      this.#heard(thread, last.message as FromThread);
  }

  #heard(thread: PoolThread, message: FromThread): void {
    if (message instanceof Uint8Array) this.#listener.reported(message);
    else if (message.type === "last-words") thread.lastWords ??= message.why;
    else {
      thread.resources = message.open;
      if (message.areClosed === true) thread.resourcesClosed?.();
    }
  }

  #exited(thread: PoolThread, code: number): void {
    clearTimeout(thread.endTimer);
    this.#dropEmpty();
    if (this.#leaked.delete(thread) && !this.#isStopped) this.#listener.leaked("it ended after all", true);
    if (!this.#threads.delete(thread.threadId)) return;
    // What it said before it ended counts.
    this.#hearRest(thread);
    this.#close(thread);
    const why = thread.killedFor ?? thread.lastWords ?? thread.error ?? `it exited with code ${code}`;
    if (this.#started !== undefined) {
      this.#startFailed(why);
      return;
    }
    this.#losses.push(this.#listener.lost(thread, why));
    if (this.#isStopped) return;
    const missing = this.#missing();
    // Its piscina makes no other one.
    if (missing > 0 && this.#refills > 0) this.#startFailed("threads could not be started before");
    else if (missing > 0) this.#build(missing);
    else this.#awaitStart(this.#options.startTimeoutMs);
  }

  #close(thread: PoolThread): void {
    thread.isAlive = false;
    thread.port.close();
  }

  /** piscina tells alike of a thread that threw while it had no task, and of one that could not start; only the first was known. */
  #erred(piscina: Piscina, why: string): void {
    const living = piscina.threads;
    for (const thread of this.#threads.values()) {
      if (thread.piscina !== piscina || living.includes(thread.worker)) continue;
      thread.error ??= why;
      return;
    }
    if (this.#piscinas.has(piscina)) this.#startFailed(why);
  }

  /** A thread could not start. With others left the pool goes on with less, and tries again; with none it is rebuilt. */
  #startFailed(why: string, starting: number = this.#starting().length): void {
    if (this.#isStopped) return;
    if (this.#started !== undefined) {
      clearTimeout(this.#startTimer);
      this.#started.reject(new HoldfastError("HOLDFAST_THREAD_START", `expected skill threads to start, one could not: ${why}`));
      return;
    }
    this.#dropEmpty();
    const awaited = this.#threads.size === 0 ? 0 : starting;
    for (const loss of this.#losses.splice(0, Math.max(0, this.#losses.length - awaited))) {
      this.#unreplaced.push(loss);
      this.#listener.replaced(`${loss}; ${why}`, false);
    }
    if (awaited === 0) clearTimeout(this.#startTimer);
    if (this.#threads.size === 0) this.#rebuild(why);
    else if (this.#missing(starting) > 0) this.#refillLater();
  }

  /** One that was ended for starting too long may not have ended: it is waited for in its place. */
  #refillLater(): void {
    if (this.#rebuildTimer !== undefined) return;
    this.#rebuildLater(this.#refills, () => {
      const missing = this.#missing();
      if (missing > 0) this.#build(missing);
      else this.#awaitStart(this.#options.startTimeoutMs);
    });
    this.#refills = Math.min(this.#refills + 1, rebuildsMax);
  }

  #rebuildLater(tries: number, build: () => void): void {
    clearTimeout(this.#rebuildTimer);
    const afterMs = this.#options.rebuildDelayMs * 2 ** tries;
    this.#rebuildTimer = setTimeout(() => {
      this.#rebuildTimer = undefined;
      build();
    }, afterMs);
  }

  #rebuild(why: string): void {
    this.#hellos.clear();
    this.#created.clear();
    for (const piscina of this.#piscinas) void this.#end(piscina);
    if (this.#rebuilds >= rebuildsMax) {
      clearTimeout(this.#rebuildTimer);
      this.#listener.down(why);
      return;
    }
    this.#rebuildLater(this.#rebuilds, () => this.#build(this.#options.size));
    this.#rebuilds += 1;
  }
}
