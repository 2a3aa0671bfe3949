/**
 * What a hung dependency does to the rest: the throughput of the skills that do not use it, before and while it hangs, in one
 * run on one machine.
 */
import type { BrokerAccount } from "./broker-account.ts";
import { Progress } from "./progress.ts";
import type { Stream } from "./stream.ts";
import type { World } from "./world.ts";

export interface HangResult {
  readonly dependency: string;
  /** Completions a second of skills that do not use it, while all is well. */
  readonly healthyPerSecond: number;
  /** The same while it hangs. */
  readonly hungPerSecond: number;
  readonly ratio: number;
  readonly ratioExpected: number;
}

type Until = (phase: string, done: (account: BrokerAccount) => boolean) => Promise<void>;

const ratioExpected = 0.8;
/** Shares of the events: the first warms threads and code, the other two are compared. */
const shares = { warmUp: 0.2, healthy: 0.4 } as const;

const skillsByDependency: ReadonlyMap<string, readonly string[]> = new Map([
  ["notifier", ["webhook-notifier"]],
  ["model", ["document-drafter"]],
  ["library", ["document-drafter"]],
]);

export class HangComparison {
  readonly #dependency: string;
  readonly #stream: Stream;
  readonly #world: World;
  readonly #signal: AbortSignal;
  readonly #until: Until;
  #healthyPerSecond = 0;
  #hungPerSecond = 0;

  constructor(dependency: string, stream: Stream, world: World, signal: AbortSignal, until: Until) {
    this.#dependency = dependency;
    this.#stream = stream;
    this.#world = world;
    this.#signal = signal;
    this.#until = until;
  }

  get result(): HangResult {
    return {
      dependency: this.#dependency,
      healthyPerSecond: Math.round(this.#healthyPerSecond),
      hungPerSecond: Math.round(this.#hungPerSecond),
      ratio: Math.round((this.#hungPerSecond / this.#healthyPerSecond) * 100) / 100,
      ratioExpected,
    };
  }

  async run(events: number): Promise<void> {
    const { standIns } = this.#world;
    await this.#measure("warming up", Math.round(events * shares.warmUp));
    this.#healthyPerSecond = await this.#measure("all healthy", Math.round(events * shares.healthy));
    await standIns.behave({ target: this.#dependency, hang: true });
    this.#hungPerSecond = await this.#measure(`${this.#dependency} hangs`, Number.POSITIVE_INFINITY);
    await standIns.behave({ target: this.#dependency, hang: false });
    await this.#until("draining", (account) => account.queued === 0);
  }

  /** Sends so many messages and gives the rate at which the skills that do not use the dependency completed theirs. */
  async #measure(phase: string, messages: number): Promise<number> {
    const startedMs = performance.now();
    const before = this.#completed();
    const sending = new Progress(this.#stream.send(this.#signal, messages));
    let endedMs = startedMs;
    await this.#until(phase, () => {
      endedMs = performance.now();
      return sending.isDone() && this.#completed() >= this.#expected();
    });
    await sending.done;
    return (this.#completed() - before) / ((endedMs - startedMs) / 1_000);
  }

  /** Completions so far by skills that do not use the dependency. */
  #completed(): number {
    let sum = 0;
    for (const [skill, counts] of Object.entries(this.#world.worker.reports.totals().skills)) {
      if (this.#isOther(skill)) sum += (counts["completed"] ?? 0) + (counts["duplicate"] ?? 0);
    }
    return sum;
  }

  #expected(): number {
    let sum = 0;
    for (const [skill, count] of this.#stream.expectedCompletions) if (this.#isOther(skill)) sum += count;
    return sum;
  }

  #isOther(skill: string): boolean {
    return !(skillsByDependency.get(this.#dependency) ?? []).includes(skill);
  }
}
