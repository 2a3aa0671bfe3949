import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { runCase } from "./drill.ts";
import type { CrashPoint, Moment } from "./io-points.ts";
import type { Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";

export interface RunOptions {
  readonly scenarios: readonly string[];
  readonly point?: number;
  readonly verbose?: boolean;
}

export interface ScenarioReport {
  readonly calls: readonly string[];
  readonly cases: number;
  readonly recoveryMaxMs: number;
  readonly violations: readonly { readonly where: string; readonly point: number; readonly violations: readonly string[] }[];
}

const words: Readonly<Record<Moment, string>> = {
  before: "the worker killed before",
  after: "the worker killed after the answer of",
  "reply-lost": "the worker killed before the answer of",
  unheard: "the answer lost of",
  "thread-before": "the thread lost before",
  "thread-after": "the thread lost before the answer of",
};

/** Plays a scenario through without trouble, then with trouble at each of its calls. */
export async function crashEverywhere(
  scenario: Scenario,
  options: Omit<Parameters<typeof runCase>[1] & object, "crash"> & { readonly point?: number } = {},
): Promise<ScenarioReport> {
  const { point, ...caseOptions } = options;
  const calm = await runCase(scenario, caseOptions);
  const violations: ScenarioReport["violations"][number][] = [];
  if (calm.violations.length > 0) violations.push({ where: "without trouble", point: 0, violations: calm.violations });
  let cases = 0;
  let recoveryMaxMs = 0;
  for (const [index, { name, moments }] of calm.calls.entries()) {
    if (point !== undefined && point !== index + 1) continue;
    for (const moment of moments) {
      const crash: CrashPoint = { number: index + 1, moment };
      const report = await runCase(scenario, { ...caseOptions, crash });
      cases += 1;
      recoveryMaxMs = Math.max(recoveryMaxMs, report.recoveryMs);
      const where = `${words[moment]} call ${index + 1}, '${name}'`;
      if (report.calls[index]?.name !== name)
        violations.push({ where, point: index + 1, violations: [`expected call '${name}' again, met '${report.calls[index]?.name}'`] });
      if (report.violations.length > 0) violations.push({ where, point: index + 1, violations: report.violations });
    }
  }
  return { calls: calm.calls.map(({ name }) => name), cases, recoveryMaxMs, violations };
}

export async function run({ scenarios: names, point, verbose = false }: RunOptions): Promise<number> {
  const startedAtMs = performance.now();
  let calls = 0;
  let cases = 0;
  let broken = 0;
  console.log("scenario              calls  cases  broken  slowest recovery");
  for (const scenario of scenarios.filter(({ name }) => names.includes(name))) {
    const report = await crashEverywhere(scenario, point === undefined ? {} : { point });
    calls += report.calls.length;
    cases += report.cases;
    broken += report.violations.length;
    const figures = [String(report.calls.length).padStart(5), String(report.cases).padStart(5), String(report.violations.length).padStart(6)];
    console.log(`${scenario.name.padEnd(22)}${figures.join("  ")}  ${(report.recoveryMaxMs / 1_000).toFixed(1).padStart(15)} s`);
    if (verbose) report.calls.forEach((name, index) => console.log(`  ${String(index + 1).padStart(3)} ${name}`));
    for (const { where, point: at, violations } of report.violations) {
      console.log(`  broken: ${where}`);
      for (const violation of violations) console.log(`    ${violation}`);
      console.log(`    repeat with: npm run drill -- crash-points --scenarios ${scenario.name}${at === 0 ? "" : ` --point ${at}`}`);
    }
  }
  const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1);
  console.log(
    `${calls} crash points, ${cases} cases, ${broken} broken, ${seconds} s; recovery in simulated time, retries and postponements of the scenario included`,
  );
  return broken === 0 && cases > 0 ? exitCodes.good : 1;
}
