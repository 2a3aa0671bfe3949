/** The worker of the world: a process that can be killed and started again, and what all its lives reported together. */
import { type StatisticsSnapshot, latencyHistogram } from "#runtime/adapters/telemetry/statistics.ts";
import type { Histogram } from "#runtime/core/histogram.ts";
import type { WorkerView } from "#runtime/pipeline/worker-view.ts";
import { type Child, startChild } from "./child.ts";

interface Report {
  readonly type: "report";
  readonly statistics: StatisticsSnapshot;
  readonly view: WorkerView;
  /** Numbers of the histogram of latencies. */
  readonly latencies: readonly number[];
}

interface Ready {
  /** Where its admin server listens; undefined where it has none. */
  readonly admin?: string;
}

export interface WorkerTotals {
  readonly outcomes: Readonly<Record<string, number>>;
  readonly skills: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly events: Readonly<Record<string, number>>;
}

export class WorkerProcess {
  readonly #configFile: string;
  readonly #env: Readonly<Record<string, string>> | undefined;
  /** The last report of each life. */
  readonly #reports: Report[] = [];
  #child: Child<Ready> | undefined;

  /** `env` comes beside this process's own environment. */
  constructor(configFile: string, env?: Readonly<Record<string, string>>) {
    this.#configFile = configFile;
    this.#env = env;
  }

  async start(): Promise<void> {
    const life = this.#reports.length;
    const heard = (message: unknown): void => {
      const report = message as Report;
      if (report.type === "report") this.#reports[life] = report;
    };
    this.#child = await startChild("runtime/cli/main", ["start", "--config", this.#configFile], heard, this.#env);
  }

  /** Of its present life. */
  get pid(): number | undefined {
    return this.#child?.process.pid;
  }

  /** Where its live page is, in its present life; undefined where it has none. */
  get page(): string | undefined {
    return this.#child?.ready.admin;
  }

  /** Ends it at once, as a lost node would; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child?.process.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** Stops it in its tracks, without its knowing. */
  freeze(): void {
    this.#child?.process.kill("SIGSTOP");
  }

  /** Lets it go on where it was frozen. */
  thaw(): void {
    this.#child?.process.kill("SIGCONT");
  }

  /** Lets it drain and hand back; resolves when it is gone. */
  async stop(): Promise<void> {
    await this.#child?.stop();
  }

  get view(): WorkerView | undefined {
    return this.#reports.at(-1)?.view;
  }

  totals(): WorkerTotals {
    const all = this.#reports.map(({ statistics }) => statistics);
    const skills = new Set(all.flatMap((statistics) => Object.keys(statistics.skills)));
    return {
      outcomes: sumOf(all.map(({ outcomes }) => outcomes)),
      events: sumOf(all.map(({ events }) => events)),
      skills: Object.fromEntries(
        Array.from(skills, (skill) => [skill, sumOf(all.filter((one) => Object.hasOwn(one.skills, skill)).map((one) => one.skills[skill] ?? {}))]),
      ),
    };
  }

  latencies(): Histogram {
    const all = latencyHistogram();
    for (const { latencies } of this.#reports) all.add(latencies);
    return all;
  }
}

function sumOf(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums = new Map<string, number>();
  for (const [name, count] of all.flatMap((counts) => Object.entries(counts))) sums.set(name, (sums.get(name) ?? 0) + count);
  return Object.fromEntries(sums);
}
