/** The worker of the world: a process that can be killed and started again, and what all its lives reported together. */
import { type Histogram, build, decodeFromCompressedBase64 } from "hdr-histogram-js";
import type { StatisticsSnapshot } from "#runtime/adapters/telemetry/statistics.ts";
import type { WorkerView } from "#runtime/pipeline/lifecycle.ts";
import { type Child, startChild } from "./child.ts";

interface Report {
  readonly type: "report";
  readonly statistics: StatisticsSnapshot;
  readonly view: WorkerView;
  /** Latencies as an encoded HDR histogram. */
  readonly latencies: string;
}

export interface WorkerTotals {
  readonly outcomes: Readonly<Record<string, number>>;
  readonly skills: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly events: Readonly<Record<string, number>>;
}

export class WorkerProcess {
  readonly #configFile: string;
  /** The last report of each life. */
  readonly #reports: Report[] = [];
  #child: Child<unknown> | undefined;

  constructor(configFile: string) {
    this.#configFile = configFile;
  }

  async start(): Promise<void> {
    const life = this.#reports.length;
    this.#child = await startChild("runtime/cli/main", ["start", "--config", this.#configFile], (message) => {
      const report = message as Report;
      if (report.type === "report") this.#reports[life] = report;
    });
  }

  /** Ends it at once, as a lost node would; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child?.process.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** Lets it drain and hand back; resolves when it is gone. */
  async stop(): Promise<void> {
    await this.#child?.stop();
  }

  get view(): WorkerView | undefined {
    return this.#reports.at(-1)?.view;
  }

  totals(): WorkerTotals {
    const outcomes: Record<string, number> = {};
    const events: Record<string, number> = {};
    const skills: Record<string, Record<string, number>> = {};
    for (const { statistics } of this.#reports) {
      add(outcomes, statistics.outcomes);
      add(events, statistics.events);
      for (const [skill, counts] of Object.entries(statistics.skills)) add((skills[skill] ??= {}), counts);
    }
    return { outcomes, skills, events };
  }

  latencies(): Histogram {
    const all = build({ lowestDiscernibleValue: 1, highestTrackableValue: 3_600_000, numberOfSignificantValueDigits: 3 });
    for (const { latencies } of this.#reports) all.add(decodeFromCompressedBase64(latencies));
    return all;
  }
}

function add(into: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) into[name] = (into[name] ?? 0) + count;
}
