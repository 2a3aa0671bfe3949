import { availableParallelism } from "node:os";
import { bodyOf, Driver } from "../dispatch/driver.ts";
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

interface Row {
  readonly threads: number;
  readonly micros: number;
  readonly batch: number;
  /** Percent. */
  readonly efficiency: Figure;
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
    title: `Efficiency by time, %, of work that needs the CPU; ${cores} cores; median (range) of ${rounds} rounds`,
    columns: { micros: "a run, µs of CPU", threads: "threads", batch: "posted at once", efficiency: "efficiency" },
    rows: rows.map(({ micros, threads, batch, efficiency }) => ({ micros, threads, batch, efficiency })),
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
    report.targets({ what: "runs of 100 µs on two threads: efficiency", found: two.efficiency, unit: "%", bound: { atLeast: 60 }, aim: 92 });
  return report.end();
}

async function measure(threads: number, rounds: number, turnCpuMicros: number): Promise<readonly Row[]> {
  const driver = new Driver(threads);
  await driver.start();
  try {
    const rows: Row[] = [];
    for (const micros of works) {
      const spins = roundsFor(micros);
      const runs = Math.round((turnCpuMicros * threads) / micros);
      const one = bodyOf({ rounds: spins, times: 1 });
      const whole = bodyOf({ rounds: spins, times: runs / threads });
      await driver.drive("spin", one, runs);
      for (const batch of batches) {
        const samples: number[] = [];
        for (let round = 1; round <= rounds; round += 1) {
          showProgress(`${threads} threads, ${micros} µs, ${batch} at once: round ${round} of ${rounds}`);
          const ideal = await driver.drive("spin", whole, threads);
          // The executor sizes its batches by how long runs took; the long ones have spoilt that, and this mends it.
          await driver.drive("spin", one, Math.ceil(runs / 4));
          const real = await driver.drive("spin", one, runs, batch);
          samples.push((ideal.elapsedMs / real.elapsedMs) * 100);
        }
        rows.push({ threads, micros, batch, efficiency: figure(samples, Number, 1) });
      }
    }
    return rows;
  } finally {
    await driver.stop();
  }
}
