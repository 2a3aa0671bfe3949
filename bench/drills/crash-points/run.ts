import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { type CaseOptions, type CaseReport, runCase } from "./drill.ts";
import type { CrashPoint, Moment, NumberedCall } from "#runtime/testing/world/io-points.ts";
import type { Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";

export interface RunOptions {
  readonly scenarios: readonly string[];
  readonly point?: number;
  readonly crashes: "1" | "2";
  readonly cases: number;
  readonly seed: number;
  readonly verbose?: boolean;
}

interface Violation {
  readonly where: string;
  /** Of the first crash; 0 without trouble. */
  readonly point: number;
  readonly violations: readonly string[];
}

export interface ScenarioReport {
  readonly calls: readonly string[];
  readonly cases: number;
  /** Pairs of crashes that there are; 0 where single ones were asked for. */
  readonly pairs: number;
  readonly recoveryMaxMs: number;
  readonly violations: readonly Violation[];
}

export interface CrashOptions extends Omit<CaseOptions, "crashes"> {
  /** Only this call, for the first crash. */
  readonly point?: number;
  /** A second crash as well, at a call that is made after the first one. */
  readonly second?: {
    /** So many pairs at most, drawn by the seed out of all. */
    readonly casesMax: number;
    readonly seed: number;
  };
}

const words: Readonly<Record<Moment, string>> = {
  before: "the worker killed before",
  after: "the worker killed after the answer of",
  "reply-lost": "the worker killed before the answer of",
  unheard: "the answer lost of",
  "thread-before": "the thread lost before",
  "thread-after": "the thread lost before the answer of",
};

/** A case, and the calls that it met when it was found; every crash stands at one of these. */
interface Planned {
  readonly crashes: readonly CrashPoint[];
  readonly calls: readonly NumberedCall[];
}

class Campaign {
  readonly #scenario: Scenario;
  readonly #options: Omit<CaseOptions, "crashes">;
  readonly violations: Violation[] = [];
  cases = 0;
  recoveryMaxMs = 0;

  constructor(scenario: Scenario, options: Omit<CaseOptions, "crashes">) {
    this.#scenario = scenario;
    this.#options = options;
  }

  async play({ crashes, calls }: Planned): Promise<CaseReport> {
    const report = await runCase(this.#scenario, { ...this.#options, crashes });
    const where = crashes.map(({ number, moment }) => `${words[moment]} call ${number}, '${calls[number - 1]?.name}'`).join("; then ");
    const point = crashes[0]?.number ?? 0;
    if (crashes.length > 0) this.cases += 1;
    this.recoveryMaxMs = Math.max(this.recoveryMaxMs, report.recoveryMs);
    for (const { number } of crashes) {
      const [expected, met] = [calls[number - 1]?.name, report.calls[number - 1]?.name];
      if (expected !== met) this.violations.push({ where, point, violations: [`expected call '${expected}' again, met '${met}'`] });
    }
    if (report.violations.length > 0) this.violations.push({ where: where === "" ? "without trouble" : where, point, violations: report.violations });
    return report;
  }
}

/** Every moment of every call from `from` on, after the crashes that there are already. */
function* further({ crashes, calls }: Planned, from: number): Generator<Planned> {
  for (const [index, { moments }] of calls.entries()) {
    if (index + 1 < from) continue;
    for (const moment of moments) yield { crashes: [...crashes, { number: index + 1, moment }], calls };
  }
}

/** Some of them at random, each as likely as any other; all of them where that is not more. */
function drawn<Item>(items: readonly Item[], count: number, random: () => number): readonly Item[] {
  const left = [...items];
  for (let index = 0; index < Math.min(count, left.length); index += 1) {
    const other = index + Math.floor(random() * (left.length - index));
    [left[index], left[other]] = [left[other]!, left[index]!];
  }
  return left.slice(0, count);
}

/** Plays a scenario through without trouble, then with trouble at each of its calls, or at pairs of them. */
export async function crashEverywhere(scenario: Scenario, options: CrashOptions = {}): Promise<ScenarioReport> {
  const { point, second, ...caseOptions } = options;
  const campaign = new Campaign(scenario, caseOptions);
  const { calls } = await campaign.play({ crashes: [], calls: [] });
  const pairs: Planned[] = [];
  for (const single of further({ crashes: [], calls }, 1)) {
    const number = single.crashes[0]?.number ?? 0;
    if (point !== undefined && point !== number) continue;
    const report = await campaign.play(single);
    if (second !== undefined) pairs.push(...further({ crashes: single.crashes, calls: report.calls }, number + 1));
  }
  if (second !== undefined) for (const pair of drawn(pairs, second.casesMax, seededRandom(second.seed))) await campaign.play(pair);
  const { cases, recoveryMaxMs, violations } = campaign;
  return { calls: calls.map(({ name }) => name), cases, pairs: pairs.length, recoveryMaxMs, violations };
}

export async function run({ scenarios: names, point, crashes, cases: casesMax, seed, verbose = false }: RunOptions): Promise<number> {
  const startedAtMs = performance.now();
  const isTwice = crashes === "2";
  const total = { calls: 0, cases: 0, pairs: 0, broken: 0 };
  console.log("scenario              calls  cases  broken  slowest recovery");
  for (const scenario of scenarios.filter(({ name }) => names.includes(name))) {
    const report = await crashEverywhere(scenario, { ...(point === undefined ? {} : { point }), ...(isTwice ? { second: { casesMax, seed } } : {}) });
    total.calls += report.calls.length;
    total.cases += report.cases;
    total.pairs += report.pairs;
    total.broken += report.violations.length;
    const figures = [String(report.calls.length).padStart(5), String(report.cases).padStart(5), String(report.violations.length).padStart(6)];
    console.log(`${scenario.name.padEnd(22)}${figures.join("  ")}  ${(report.recoveryMaxMs / 1_000).toFixed(1).padStart(15)} s`);
    if (verbose) report.calls.forEach((name, index) => console.log(`  ${String(index + 1).padStart(3)} ${name}`));
    for (const { where, point: at, violations } of report.violations) {
      console.log(`  broken: ${where}`);
      for (const violation of violations) console.log(`    ${violation}`);
      const sampled = isTwice ? ` --crashes 2 --cases ${casesMax} --seed ${seed}` : at === 0 ? "" : ` --point ${at}`;
      console.log(`    repeat with: npm run drill -- crash-points --scenarios ${scenario.name}${sampled}`);
    }
  }
  const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1);
  const ofPairs = isTwice ? ` (pairs among them at most ${casesMax} a scenario, out of ${total.pairs}; seed ${seed})` : "";
  console.log(
    `${total.calls} crash points, ${total.cases} cases${ofPairs}, ${total.broken} broken, ${seconds} s; recovery in simulated time, retries and postponements of the scenario included`,
  );
  return total.broken === 0 && total.cases > 0 ? exitCodes.good : 1;
}
