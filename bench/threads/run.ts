import { availableParallelism } from "node:os";
import { bodyOf, type Driven, Driver } from "../dispatch/driver.ts";
import { roundsFor } from "../peers/handlers.ts";
import { type Figure, figure, median } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";

export interface ThreadsOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
}

const works = [100, 1_000];
const batches = [1, 16, 100];
/** CPU of all runs of a turn together, on one thread. */
const turnMicros = 300_000;
const quickMicros = 120_000;
const warmUpTurnsMax = 20;
/** What is not compiled takes twenty times as long. */
const compiledTimes = 3;

interface Row {
  readonly threads: number;
  readonly micros: number;
  readonly batch: number;
  /** Percent, by time and by the CPU that was used: the latter holds also on a machine that others use. */
  readonly efficiency: Figure;
  readonly byCpu: Figure;
}

export async function run(options: ThreadsOptions): Promise<number> {
  const { quick = false, rounds = quick ? 2 : 5 } = options;
  const report = new Report("threads", options);
  const cores = availableParallelism();
  const counts = [...new Set([1, 2, cores, 2 * cores])].filter((threads) => !quick || threads <= 2).toSorted((a, b) => a - b);
  const rows: Row[] = [];
  for (const threads of counts) rows.push(...(await measure(threads, rounds, quick ? quickMicros : turnMicros)));
  showProgress("");
  report.table({
    name: "threads",
    title: `Efficiency, %, of work that needs the CPU; ${cores} cores; median (range) of ${rounds} rounds`,
    columns: { micros: "a run, µs of CPU", threads: "threads", batch: "posted at once", efficiency: "by time", byCpu: "by CPU" },
    rows: rows.map(({ micros, threads, batch, efficiency, byCpu }) => ({ micros, threads, batch, efficiency, byCpu })),
  });
  report.chart({
    kind: "bars",
    title: "CPU that is left for skills",
    unit: "%",
    labels: counts.map((threads) => `${threads} threads`),
    series: works.flatMap((micros) =>
      batches.map((batch) => ({
        name: `${micros} µs, ${batch} at once`,
        values: counts.map((threads) =>
          median(rows.find((row) => row.threads === threads && row.micros === micros && row.batch === batch)!.efficiency.samples),
        ),
      })),
    ),
  });
  const two = rows.find(({ threads, micros, batch }) => threads === 2 && micros === 100 && batch === 100);
  if (two !== undefined)
    report.targets({ what: "runs of 100 µs on two threads: efficiency by time", found: two.efficiency, unit: "%", bound: { atLeast: 60 }, aim: 92 });
  return report.end();
}

/** Code is compiled beside what runs, and on a busy machine late: turns are taken until they become no quicker and cost about what their work does. */
async function whenCompiled(workMicros: number, turn: () => Promise<Driven>): Promise<void> {
  let before = Infinity;
  for (let taken = 0; taken < warmUpTurnsMax; taken += 1) {
    const { cpuMs } = await turn();
    if (taken > 0 && cpuMs > before * 0.9 && cpuMs * 1_000 < workMicros * compiledTimes) return;
    before = cpuMs;
  }
}

async function measure(threads: number, rounds: number, turnCpuMicros: number): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const micros of works) {
    // The executor sizes its batches by how long runs took: the long ones of the comparison go elsewhere, and each work starts over.
    const drivers = { ideal: new Driver(threads), real: new Driver(threads) };
    await Promise.all([drivers.ideal.start(), drivers.real.start()]);
    try {
      const spins = roundsFor(micros);
      const runs = Math.round((turnCpuMicros * threads) / micros);
      const one = bodyOf({ rounds: spins, times: 1 });
      const whole = bodyOf({ rounds: spins, times: runs / threads });
      await whenCompiled(turnCpuMicros * threads, () => drivers.ideal.drive("spin", whole, threads));
      await whenCompiled(turnCpuMicros * threads, () => drivers.real.drive("spin", one, runs));
      for (const batch of batches) {
        const turns: { readonly ideal: Driven; readonly real: Driven }[] = [];
        for (let round = 1; round <= rounds; round += 1) {
          showProgress(`${threads} threads, ${micros} µs, ${batch} at once: round ${round} of ${rounds}`);
          const ideal = await drivers.ideal.drive("spin", whole, threads);
          const real = await drivers.real.drive("spin", one, runs, batch);
          turns.push({ ideal, real });
        }
        rows.push({
          threads,
          micros,
          batch,
          efficiency: figure(turns, ({ ideal, real }) => (ideal.elapsedMs / real.elapsedMs) * 100, 1),
          byCpu: figure(turns, ({ ideal, real }) => (ideal.cpuMs / real.cpuMs) * 100, 1),
        });
      }
    } finally {
      await Promise.all([drivers.ideal.stop(), drivers.real.stop()]);
    }
  }
  return rows;
}
