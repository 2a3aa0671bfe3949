/** A broker with one queue, a folder, and workers of the shapes plugin. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Child, startChild } from "#load/dev/child.ts";
import type { ConfigInput } from "#runtime/core/config.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { BrokerCalls } from "./broker-process.ts";
import { type BenchBroker, fill, startBenchBroker } from "./broker.ts";
import { newPrefix, workerConfig } from "./worker-config.ts";

export const queue = "intake";
const lookEveryMs = 20;
const turnMaxMs = 180_000;

/** A moment, and how many messages had been completed by then. */
export interface Mark {
  readonly atMs: number;
  readonly completed: number;
}

export interface StageOptions {
  readonly threads?: number;
  /** Starts the worker in place of Node, with Node's arguments. */
  readonly execPath?: string;
  /** How far away the broker and the store are, each way. */
  readonly connectionString?: string;
  readonly config?: Partial<ConfigInput>;
}

type Inspected = Awaited<ReturnType<BrokerCalls["inspect"]>>["queues"][string];

export class Stage {
  readonly broker: BenchBroker;
  readonly #folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
  readonly #prefix = newPrefix();
  readonly #workers: Child<unknown>[] = [];
  #configs = 0;
  #filled = 0;

  private constructor(broker: BenchBroker) {
    this.broker = broker;
  }

  /** `messageBytesMax`: of the queue; default as the broker's. */
  static async start(messageBytesMax?: number): Promise<Stage> {
    return new Stage(await startBenchBroker([queue], messageBytesMax === undefined ? {} : { messageBytesMax }));
  }

  async stop(): Promise<void> {
    await this.stopWorkers();
    await this.broker.peer.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Somebody else sends so many. */
  expect(count: number): void {
    this.#filled += count;
  }

  fill(count: number, make: (index: number) => OutgoingMessage): Promise<void> {
    this.#filled += count;
    return fill(this.broker, queue, count, make);
  }

  async startWorker(options: StageOptions = {}): Promise<Child<unknown>> {
    this.#configs += 1;
    const file = join(this.#folder, `holdfast-${this.#configs}.config.json`);
    writeFileSync(file, JSON.stringify(this.#config(options)));
    const worker = await startChild<unknown>("runtime/cli/main", ["start", "--config", file], undefined, undefined, options.execPath);
    this.#workers.push(worker);
    return worker;
  }

  async stopWorkers(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((worker) => worker.stop()));
  }

  async queue(): Promise<Inspected> {
    return (await this.broker.peer.call("inspect")).queues[queue]!;
  }

  /** Of what was filled in. What was postponed is completed, too, but for its copy. */
  async completed(): Promise<number> {
    const { active, locked, scheduled } = (await this.queue()).states;
    return this.#filled - active - locked - scheduled;
  }

  /** Messages that workers hold. */
  async held(): Promise<number> {
    return (await this.queue()).states.locked;
  }

  /** Waits until so many messages have been completed since the beginning. */
  async reach(completed: number): Promise<Mark> {
    return (await this.marksUntil(completed)).at(-1)!;
  }

  /** Waits until nothing is left. */
  async empty(): Promise<void> {
    const endMs = performance.now() + turnMaxMs;
    for (;;) {
      const { active, locked, scheduled } = (await this.queue()).states;
      if (active + locked + scheduled === 0) return;
      if (performance.now() > endMs) throw new Error(`expected an empty queue within ${turnMaxMs} ms, ${active + locked + scheduled} messages are left`);
      await pause(lookEveryMs);
    }
  }

  /** Where things stand every few milliseconds from now on, until so many messages have been completed since the beginning. */
  async marksUntil(completed: number, onMark: (mark: Mark) => Promise<void> | void = () => undefined): Promise<readonly Mark[]> {
    const marks: Mark[] = [];
    const endMs = performance.now() + turnMaxMs;
    for (;;) {
      const mark = { atMs: performance.now(), completed: await this.completed() };
      marks.push(mark);
      if (mark.completed >= completed) return marks;
      if (mark.atMs > endMs) throw new Error(`expected ${completed} messages to be completed within ${turnMaxMs} ms, ${mark.completed} were`);
      await onMark(mark);
      await pause(lookEveryMs);
    }
  }

  #config({ threads = 2, connectionString = this.broker.connectionString, config }: StageOptions): ConfigInput {
    return { ...workerConfig({ connectionString, queue, folder: this.#folder, plugin: "shapes", threads, prefix: this.#prefix }), ...config };
  }
}

/** Hands `act` a stage, and clears it away whatever happens. */
export async function onStage<Result>(act: (stage: Stage) => Promise<Result>): Promise<Result> {
  const stage = await Stage.start();
  try {
    return await act(stage);
  } finally {
    await stage.stop();
  }
}

/** Messages a second between two marks. */
export function rate(from: Mark, to: Mark): number {
  return ((to.completed - from.completed) / (to.atMs - from.atMs)) * 1_000;
}
