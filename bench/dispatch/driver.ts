/** Keeps an executor busy with runs of one skill, and measures. */
import { createThreadsExecutor } from "#runtime/adapters/threads/executor.ts";
import { defaultDecodeLimits } from "#runtime/core/read-route.ts";
import { retryLedgerBytes } from "#runtime/policy/retry-ledger.ts";
import type { Executor, RunOrder } from "#runtime/ports/executor.ts";
import plugin from "./plugin.ts";

const inFlightMax = 1_000;
const postedAtOnceDefault = 100;

export interface Driven {
  readonly elapsedMs: number;
  readonly mainCpuMs: number;
  /** Of all threads. */
  readonly cpuMs: number;
}

export class Driver {
  readonly #executor: Executor;
  #lastRunId = 0;
  #answered: (runs: number) => void = () => undefined;

  constructor(threads: number) {
    this.#executor = createThreadsExecutor({
      consumers: ["bench"],
      plugins: [{ name: "bench", entry: new URL("./plugin.ts", import.meta.url).href, folder: import.meta.dirname, skills: plugin.skills }],
      dependencies: [],
      dependencyConfig: new Map(),
      circuits: new SharedArrayBuffer(4),
      retries: new SharedArrayBuffer(retryLedgerBytes),
      limits: defaultDecodeLimits,
      threads,
    });
  }

  async start(): Promise<void> {
    await this.#executor.start({
      steps: () => undefined,
      usage: () => undefined,
      questions: () => undefined,
      results: (results) => {
        for (const { answer } of results) if (answer.kind !== "completed") throw new Error(`expected every run to complete, got ${JSON.stringify(answer)}`);
        this.#answered(results.length);
      },
      threadLost: (why) => {
        throw new Error(`expected no thread to be lost: ${why}`);
      },
      threadReplaced: () => undefined,
      threadStuck: ({ why }) => {
        throw new Error(`expected no thread to be stuck: ${why}`);
      },
      threadLeaked: () => undefined,
      threadsDown: () => undefined,
    });
  }

  stop(): Promise<void> {
    return this.#executor.stop();
  }

  /** Keeps `inFlightMax` runs in flight until `count` are answered. */
  drive(skill: string, body: Uint8Array, count: number, postedAtOnce = postedAtOnceDefault): Promise<Driven> {
    return new Promise((resolve) => {
      let posted = 0;
      let done = 0;
      const mainCpu = process.threadCpuUsage();
      const cpu = process.cpuUsage();
      const startMs = performance.now();
      const fill = (): void => {
        while (posted < count && posted - done <= inFlightMax - postedAtOnce) {
          const batch = Math.min(postedAtOnce, count - posted);
          this.#executor.post(Array.from({ length: batch }, () => this.#orderOf(skill, body)));
          posted += batch;
        }
      };
      this.#answered = (runs) => {
        done += runs;
        if (done < count) fill();
        else resolve({ elapsedMs: performance.now() - startMs, mainCpuMs: sumMs(process.threadCpuUsage(mainCpu)), cpuMs: sumMs(process.cpuUsage(cpu)) });
      };
      fill();
    });
  }

  #orderOf(skill: string, body: Uint8Array): RunOrder {
    this.#lastRunId += 1;
    const route = { eventId: "event-0000", eventType: "bench.Noop", version: "1.0", form: "canonical", codec: "json" } as const;
    const claim = {
      epoch: 1,
      attempt: 1,
      generation: 0,
      leaseMs: 60_000,
      timeoutMs: 60_000,
      steps: [],
      apart: false,
      pipelineChanged: false,
      inDoubt: false,
      rejectedBy: [],
    };
    return { runId: this.#lastRunId, skill, route, body, contentEncoding: undefined, headers: undefined, enqueuedAtMs: 0, source: 0, ...claim };
  }
}

export function bodyOf(payload: object): Uint8Array {
  const envelope = {
    eventId: "event-0000",
    eventType: "bench.Noop",
    traceId: "trace-0000",
    correlationId: "flow-0000",
    projectId: "project",
    originatingAgent: "bench",
    version: "1.0",
    timestamp: "2024-01-01T00:00:00.000Z",
  };
  return Buffer.from(JSON.stringify({ ...envelope, payload }));
}

function sumMs({ user, system }: { readonly user: number; readonly system: number }): number {
  return (user + system) / 1_000;
}
