import { figure } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { interleave } from "../support/rounds.ts";
import { bodyOf, type Driven, Driver } from "./driver.ts";

export interface DispatchOptions extends ReportOptions {
  readonly rounds: number;
  readonly runs: number;
  readonly pairs: number;
}

const threads = 2;
const spinRuns = 1_000;
const spinMicros = 100;

export async function run(options: DispatchOptions): Promise<number> {
  const report = new Report("dispatch", options);
  const driver = new Driver(threads);
  await driver.start();
  try {
    await measureNothing(report, driver, options);
    await measureSpin(report, driver, options);
  } finally {
    await driver.stop();
  }
  return report.end();
}

async function measureNothing(report: Report, driver: Driver, { rounds, runs }: DispatchOptions): Promise<void> {
  const body = bodyOf({ text: "x".repeat(80) });
  const skills = [{ name: "noop" }, { name: "noop-async" }];
  const samples = await interleave(skills, rounds, ({ name }) => driver.drive(name, body, runs));
  const rows = [...samples].map(([name, list]) => ({
    name,
    main: figure(list, ({ mainCpuMs }) => (mainCpuMs * 1_000) / runs, 2),
    all: figure(list, ({ cpuMs }) => (cpuMs * 1_000) / runs, 2),
    perSecond: figure(list, ({ elapsedMs }) => (runs / elapsedMs) * 1_000, 0),
  }));
  report.table({
    name: "nothing",
    title: `Skills that do nothing, ${threads} threads, bodies of ${body.byteLength} bytes; median (range) of ${rounds} rounds`,
    columns: { name: "skill", main: "main thread CPU, µs a run", all: "CPU of all threads, µs a run", perSecond: "runs/s" },
    rows,
  });
  for (const { name, main } of rows) report.targets({ what: `${name}: main thread CPU a run`, found: main, unit: "µs", bound: { atMost: 5 }, aim: 3.5 });
}

async function measureSpin(report: Report, driver: Driver, { pairs: count }: DispatchOptions): Promise<void> {
  const rounds = await calibrate(driver);
  const one = bodyOf({ rounds, times: 1 });
  const half = bodyOf({ rounds, times: spinRuns / threads });
  await driver.drive("spin", one, spinRuns * 4);
  const pairs: { readonly ideal: Driven; readonly real: Driven }[] = [];
  for (let pair = 1; pair <= count; pair += 1) {
    showProgress(`CPU-bound work, turn ${pair} of ${count}`);
    const ideal = await driver.drive("spin", half, threads);
    // The executor sizes its batches by how long runs took; the long ones have spoilt that, and this mends it.
    await driver.drive("spin", one, spinRuns / 2);
    pairs.push({ ideal, real: await driver.drive("spin", one, spinRuns) });
  }
  showProgress("");
  const byTime = figure(pairs, ({ ideal, real }) => (ideal.elapsedMs / real.elapsedMs) * 100, 1);
  const byCpu = figure(pairs, ({ ideal, real }) => (ideal.cpuMs / real.cpuMs) * 100, 1);
  const work = figure(pairs, ({ ideal }) => (ideal.cpuMs * 1_000) / spinRuns, 0);
  report.table({
    name: "spin",
    title: `CPU-bound work on ${threads} threads; median (range) of ${count} turns`,
    columns: { work: "work, µs a run", byTime: "efficiency by time, %", byCpu: "efficiency by CPU, %" },
    rows: [{ work, byTime, byCpu }],
  });
  report.targets({ what: `runs of ${spinMicros} µs of CPU: efficiency by time`, found: byTime, unit: "%", bound: { atLeast: 85 }, aim: 92 });
}

/** Rounds of the spin that take about `spinMicros` of CPU on a thread that is warm. */
async function calibrate(driver: Driver): Promise<number> {
  const times = 2_000;
  let rounds = 20_000;
  for (let pass = 0; pass < 4; pass += 1) {
    const { cpuMs } = await driver.drive("spin", bodyOf({ rounds, times }), 1);
    rounds = Math.round((rounds * (spinMicros / 1_000) * times) / cpuMs);
  }
  return rounds;
}
