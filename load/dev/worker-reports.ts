/** What all lives of a worker reported together. */
import { type StatisticsSnapshot, latencyHistogram } from "#runtime/adapters/telemetry/statistics.ts";
import type { Histogram } from "#runtime/core/histogram.ts";
import type { WorkerView } from "#runtime/pipeline/worker-view.ts";

export interface WorkerReport {
  readonly statistics: StatisticsSnapshot;
  readonly view: WorkerView;
  /** Numbers of the histogram of latencies. */
  readonly latencies: readonly number[];
}

export interface WorkerTotals {
  readonly outcomes: Readonly<Record<string, number>>;
  readonly skills: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly events: Readonly<Record<string, number>>;
}

const none: WorkerTotals = { outcomes: {}, skills: {}, events: {} };

export class WorkerReports {
  /** The last one of each life. */
  readonly #last: WorkerReport[] = [];
  #before: { readonly totals: WorkerTotals; readonly latencies: readonly number[] } = { totals: none, latencies: [] };

  /** `life`: 0 is the first one. */
  add(life: number, report: WorkerReport): void {
    this.#last[life] = report;
  }

  /** Of its present life. */
  get view(): WorkerView | undefined {
    return this.#last.at(-1)?.view;
  }

  /** What was reported so far is left out from here on. */
  begin(): void {
    const [max = 0, ...counts] = this.#reportedLatencies().toNumbers();
    // Bucket and count in turns: what is taken off again later.
    this.#before = { totals: this.#reported(), latencies: [max, ...counts.map((number, place) => (place % 2 === 0 ? number : -number))] };
  }

  totals(): WorkerTotals {
    const { outcomes, events, skills } = this.#reported();
    const before = this.#before.totals;
    return {
      outcomes: without(outcomes, before.outcomes),
      events: without(events, before.events),
      skills: Object.fromEntries(Object.entries(skills).map(([skill, counts]) => [skill, without(counts, before.skills[skill])])),
    };
  }

  latencies(): Histogram {
    const all = this.#reportedLatencies();
    all.add(this.#before.latencies);
    return all;
  }

  #reported(): WorkerTotals {
    const all = this.#last.map(({ statistics }) => statistics);
    const skills = new Set(all.flatMap((statistics) => Object.keys(statistics.skills)));
    return {
      outcomes: sumOf(all.map(({ outcomes }) => outcomes)),
      events: sumOf(all.map(({ events }) => events)),
      skills: Object.fromEntries(
        Array.from(skills, (skill) => [skill, sumOf(all.filter((one) => Object.hasOwn(one.skills, skill)).map((one) => one.skills[skill] ?? {}))]),
      ),
    };
  }

  #reportedLatencies(): Histogram {
    const all = latencyHistogram();
    for (const { latencies } of this.#last) all.add(latencies);
    return all;
  }
}

function sumOf(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums = new Map<string, number>();
  for (const [name, count] of all.flatMap((counts) => Object.entries(counts))) sums.set(name, (sums.get(name) ?? 0) + count);
  return Object.fromEntries(sums);
}

function without(counts: Readonly<Record<string, number>>, before: Readonly<Record<string, number>> | undefined): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, count - (before?.[name] ?? 0)]));
}
