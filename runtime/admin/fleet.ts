/**
 * The workers of a pool, as they tell each other: each leaves a note in the store every few seconds, which ends soon after the worker does. So
 * any of them can show them all. Nothing depends on the notes: a store that does not answer is tried again with the next.
 */
import { z } from "zod";
import type { Clock } from "../core/clock.ts";
import { counted } from "../core/counted.ts";
import { messageOf } from "../core/errors.ts";
import type { WorkerView } from "../pipeline/worker-view.ts";
import type { PoolBoard } from "../ports/pool-board.ts";
import type { Reporter } from "../ports/telemetry.ts";
import { type Operation, read } from "./operations.ts";
import { type Life, readiness } from "./probes.ts";

/** The worse first. */
const states = ["not-ready", "draining", "paused", "ready"] as const;
export type WorkerStanding = (typeof states)[number];

/** What a worker says of itself. */
export interface WorkerNote {
  readonly name: string;
  readonly host: string;
  readonly version: string;
  /** When it started, and when it said this, by its own clock. */
  readonly since: string;
  readonly at: string;
  readonly state: WorkerStanding;
  /** Why it takes no messages; empty while it does. */
  readonly why: readonly string[];
  readonly sources: readonly string[];
  /** Over the last while. */
  readonly completedPerSecond: number;
  readonly deadLettersPerMinute: number;
  readonly lagMs: number;
  readonly inFlight: number;
  readonly executing: number;
  readonly threads: number;
  /** Dependencies whose circuit is open. */
  readonly circuitsOpen: readonly string[];
  /** Where its admin server can be reached from other machines; null where it cannot, or there is none. */
  readonly adminUrl: string | null;
}

/** Those of other versions may be unlike. */
const noteSchema: z.ZodType<WorkerNote> = z.object({
  name: z.string(),
  host: z.string(),
  version: z.string(),
  since: z.string(),
  at: z.string(),
  state: z.enum(states),
  why: z.array(z.string()),
  sources: z.array(z.string()),
  completedPerSecond: z.number(),
  deadLettersPerMinute: z.number(),
  lagMs: z.number(),
  inFlight: z.number(),
  executing: z.number(),
  threads: z.number(),
  circuitsOpen: z.array(z.string()),
  adminUrl: z.string().nullable(),
});

export interface FleetOptions {
  readonly board: PoolBoard;
  readonly clock: Clock;
  readonly workerId: string;
  readonly host: string;
  readonly version: string;
  readonly threads: number;
  readonly view: () => WorkerView;
  /** Since the start. */
  readonly counts: () => { readonly completed: number; readonly deadLettered: number };
}

const topic = "workers";
export const noteEveryMs = 5_000;
/** A worker that misses three of them is gone. */
const keepMs = 4 * noteEveryMs;
/** What is counted within this time makes a rate. */
const rateOverMs = 60_000;

interface Counted {
  readonly atMs: number;
  readonly completed: number;
  readonly deadLettered: number;
}

export class Fleet implements Reporter {
  readonly #options: FleetOptions;
  readonly #since: string;
  readonly #counted: Counted[] = [];
  #phase: Life["phase"] = "running";
  #adminUrl: string | null = null;
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#since = new Date(options.clock.wallMs()).toISOString();
  }

  start(): void {
    this.#next();
  }

  /** It takes no more messages, and ends. */
  drains(): void {
    this.#phase = "stopping";
    if (this.#cancel !== undefined) void this.#leave();
  }

  /** Others may be told where. */
  servesAt(url: string): void {
    this.#adminUrl = url;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel?.();
    const { board, workerId } = this.#options;
    await board.take(topic, workerId).catch(() => undefined);
    await board.stop();
  }

  giveUp(): void {}

  operations(): readonly (readonly [string, Operation])[] {
    return [["listWorkers", read(async () => ({ body: await this.list() }))]];
  }

  /** All that have said something lately, what is wrong first; this one as it is now, also where the store does not answer. */
  async list(): Promise<{ readonly workers: readonly (WorkerNote & { readonly isThisOne: boolean })[]; readonly trouble: string }> {
    const { board, workerId } = this.#options;
    const own = { ...this.#note(), isThisOne: true };
    try {
      const notes = await board.list(topic);
      const said = notes.filter(({ name }) => name !== workerId).map(({ text }) => noteOf(text));
      const others = said.flatMap((note) => (note === undefined ? [] : [{ ...note, isThisOne: false }]));
      const unread = said.length - others.length;
      const trouble = unread === 0 ? "" : `${counted(unread, "worker")} left a note that cannot be read here, as one of another version may`;
      return { workers: [own, ...others].toSorted(worseFirst), trouble };
    } catch (error) {
      return { workers: [own], trouble: messageOf(error, 300) };
    }
  }

  #next(): void {
    if (this.#isStopped) return;
    this.#count();
    void this.#leave();
    const timer = this.#options.clock.after(noteEveryMs, () => this.#next());
    this.#cancel = () => timer.cancel();
  }

  async #leave(): Promise<void> {
    const { board, workerId } = this.#options;
    await board.put(topic, workerId, JSON.stringify(this.#note()), keepMs).catch(() => undefined);
  }

  #count(): void {
    const atMs = this.#options.clock.monotonicMs();
    this.#counted.push({ atMs, ...this.#options.counts() });
    while ((this.#counted[1]?.atMs ?? atMs) < atMs - rateOverMs) this.#counted.shift();
  }

  #note(): WorkerNote {
    const { clock, workerId, host, version, threads, view: look, counts } = this.#options;
    const view = look();
    const nowMs = clock.monotonicMs();
    const first = this.#counted[0] ?? { atMs: nowMs, completed: 0, deadLettered: 0 };
    const seconds = Math.max(1, (nowMs - first.atMs) / 1_000);
    const { completed, deadLettered } = counts();
    const { isWell, why } = readiness({ phase: this.#phase, wornOut: undefined }, view);
    const wallMs = clock.wallMs();
    return {
      name: workerId,
      host,
      version,
      since: this.#since,
      at: new Date(wallMs).toISOString(),
      state: this.#phase === "stopping" ? "draining" : isWell ? "ready" : view.isPaused && why.length === 1 ? "paused" : "not-ready",
      why,
      sources: view.sources.map(({ source }) => source),
      completedPerSecond: rounded((completed - first.completed) / seconds),
      deadLettersPerMinute: rounded(((deadLettered - first.deadLettered) * 60) / seconds),
      lagMs: Math.max(0, ...view.sources.flatMap(({ youngestMs }) => (youngestMs === undefined ? [] : [Math.round(wallMs - youngestMs)]))),
      inFlight: view.inFlight,
      executing: view.executing,
      threads,
      circuitsOpen: view.gates.filter(({ circuit }) => circuit !== "closed").map(({ dependency }) => dependency),
      adminUrl: this.#adminUrl,
    };
  }
}

function noteOf(text: string): WorkerNote | undefined {
  try {
    return noteSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}

function worseFirst(one: WorkerNote, other: WorkerNote): number {
  const rank = ({ state, circuitsOpen, deadLettersPerMinute }: WorkerNote): number =>
    states.indexOf(state) * 4 + (circuitsOpen.length > 0 ? 0 : 1) + (deadLettersPerMinute > 0 ? 0 : 2);
  return rank(one) - rank(other) || (one.name < other.name ? -1 : 1);
}
