/**
 * What it costs to hand runs to threads.
 *
 * - `noop`: main-thread CPU of one run from `post` to its answer, with 1 000 in flight, and how many a second.
 * - `cpu`: runs of about 100 µs of CPU on two threads, against the same work done by the same two threads in one run each: the
 *   rest is what dispatching costs. Both are measured in turns, because the machine is not ours alone.
 */
import { createThreadsExecutor } from "../../runtime/adapters/threads/executor.ts";
import { defaultDecodeLimits } from "../../runtime/core/read-route.ts";
import type { Executor, RunOrder } from "../../runtime/ports/executor.ts";
import plugin from "./plugin.ts";

const threads = 2;
const inFlightMax = 1_000;
const postedAtOnce = 100;
const rounds = 7;
const spinPairs = 31;

let lastRunId = 0;
let answered: ((runs: number) => void) | undefined;

function bodyOf(payload: object): Uint8Array {
  const envelope = { eventId: "event-0000", eventType: "bench.Noop", traceId: "trace-0000", correlationId: "flow-0000", projectId: "project", originatingAgent: "bench", version: "1.0", timestamp: "2024-01-01T00:00:00.000Z" };
  return Buffer.from(JSON.stringify({ ...envelope, payload }));
}

function orderOf(skill: string, body: Uint8Array): RunOrder {
  lastRunId += 1;
  const route = { eventId: "event-0000", eventType: "bench.Noop", version: "1.0", form: "canonical", codec: "json" } as const;
  const claim = { epoch: 1, attempt: 1, generation: 0, leaseMs: 60_000, timeoutMs: 60_000, steps: [], pipelineChanged: false };
  return { runId: lastRunId, skill, route, body, contentEncoding: undefined, headers: undefined, ...claim };
}

interface Driven {
  readonly elapsedMs: number;
  readonly mainCpuMs: number;
  /** Of all threads. */
  readonly cpuMs: number;
}

function sumMs({ user, system }: { readonly user: number; readonly system: number }): number {
  return (user + system) / 1_000;
}

/** Keeps `inFlightMax` runs in flight until `count` are answered. */
function drive(executor: Executor, skill: string, body: Uint8Array, count: number): Promise<Driven> {
  return new Promise((resolve) => {
    let posted = 0;
    let done = 0;
    const mainCpu = process.threadCpuUsage();
    const cpu = process.cpuUsage();
    const startMs = performance.now();
    const fill = (): void => {
      while (posted < count && posted - done <= inFlightMax - postedAtOnce) {
        const batch = Math.min(postedAtOnce, count - posted);
        executor.post(Array.from({ length: batch }, () => orderOf(skill, body)));
        posted += batch;
      }
    };
    answered = (runs) => {
      done += runs;
      if (done < count) fill();
      else {
        resolve({ elapsedMs: performance.now() - startMs, mainCpuMs: sumMs(process.threadCpuUsage(mainCpu)), cpuMs: sumMs(process.cpuUsage(cpu)) });
      }
    };
    fill();
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function measureNoop(executor: Executor, skill: string): Promise<void> {
  const body = bodyOf({ text: "x".repeat(80) });
  const count = 40_000;
  await drive(executor, skill, body, count);
  const runs: Driven[] = [];
  for (let round = 0; round < rounds; round += 1) runs.push(await drive(executor, skill, body, count));
  const cpuMicros = runs.map(({ mainCpuMs }) => (mainCpuMs * 1_000) / count);
  const allMicros = median(runs.map(({ cpuMs }) => (cpuMs * 1_000) / count));
  const perSecond = median(runs.map(({ elapsedMs }) => (count * 1_000) / elapsedMs));
  process.stdout.write(
    `${skill}: ${median(cpuMicros).toFixed(2)} µs of main-thread CPU a message (${Math.min(...cpuMicros).toFixed(2)} to ${Math.max(...cpuMicros).toFixed(2)}), ${allMicros.toFixed(2)} µs of all threads', ${Math.round(perSecond)} messages/s, body ${body.byteLength} bytes\n`,
  );
}

/** Rounds of the spin that take about 100 µs of CPU on a thread that is warm. */
async function calibrate(executor: Executor): Promise<number> {
  const times = 2_000;
  let rounds = 20_000;
  for (let pass = 0; pass < 4; pass += 1) {
    const { cpuMs } = await drive(executor, "spin", bodyOf({ rounds, times }), 1);
    rounds = Math.round((rounds * 0.1 * times) / cpuMs);
  }
  return rounds;
}

function percents(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): string => ((sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN) * 100).toFixed(1);
  return `${at(0.5)} % (quartiles ${at(0.25)} to ${at(0.75)})`;
}

async function measureCpu(executor: Executor): Promise<void> {
  const spinRounds = await calibrate(executor);
  const count = 1_000;
  const one = bodyOf({ rounds: spinRounds, times: 1 });
  const half = bodyOf({ rounds: spinRounds, times: count / threads });
  await drive(executor, "spin", one, count * 4);
  const pairs: { readonly ideal: Driven; readonly real: Driven }[] = [];
  for (let round = 0; round < spinPairs; round += 1) {
    const ideal = await drive(executor, "spin", half, threads);
    // The long runs have spoilt the measure of the skill's work; this mends it.
    await drive(executor, "spin", one, count / 2);
    pairs.push({ ideal, real: await drive(executor, "spin", one, count) });
  }
  const work = median(pairs.map(({ ideal }) => (ideal.cpuMs * 1_000) / count));
  process.stdout.write(
    `spin: ${work.toFixed(0)} µs of work a message on ${threads} threads; efficiency by time ${percents(pairs.map(({ ideal, real }) => ideal.elapsedMs / real.elapsedMs))}, by CPU ${percents(pairs.map(({ ideal, real }) => ideal.cpuMs / real.cpuMs))}\n`,
  );
}

const executor = createThreadsExecutor({
  consumer: "bench",
  plugins: [{ name: "bench", entry: new URL("./plugin.ts", import.meta.url).href, skills: plugin.skills }],
  dependencies: [],
  dependencyConfig: {},
  circuits: new SharedArrayBuffer(4),
  limits: defaultDecodeLimits,
  threads,
});
await executor.start({
  steps: () => undefined,
  results: (results) => {
    for (const { answer } of results) if (answer.kind !== "completed") throw new Error(`expected every run to complete, got ${JSON.stringify(answer)}`);
    answered?.(results.length);
  },
  threadLost: (why) => {
    throw new Error(`expected no thread to be lost: ${why}`);
  },
});
try {
  await measureNoop(executor, "noop");
  await measureNoop(executor, "noop-async");
  await measureCpu(executor);
} finally {
  await executor.stop();
}
