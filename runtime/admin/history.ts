/** What a worker did in each of the last seconds, for curves. */
import { durationBucketsSeconds } from "../core/metric-catalogue.ts";
import type { WorkerView } from "../pipeline/worker-view.ts";

/** Since the start. */
export interface Totals {
  readonly completed: number;
  readonly duplicates: number;
  readonly deadLettered: number;
  readonly retried: number;
  readonly postponed: number;
  /** Of critical times, cumulative over the buckets. */
  readonly criticalTime: readonly number[];
}

export interface HistoryPoint extends Omit<Totals, "criticalTime"> {
  readonly atMs: number;
  /** Critical time of what completed in this second; null when nothing did. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly lagMs: number;
  readonly held: number;
  readonly executing: number;
}

export interface HistorySource {
  readonly view: () => WorkerView;
  readonly totals: () => Totals;
  /** Wall clock. */
  readonly nowMs: () => number;
}

export const historyEveryMs = 1_000;
const pointsMax = 600;

export class History {
  readonly #source: HistorySource;
  readonly #points: HistoryPoint[] = [];
  #before: Totals;
  #timer: NodeJS.Timeout | undefined;

  constructor(source: HistorySource) {
    this.#source = source;
    this.#before = source.totals();
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), historyEveryMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** What was so far is left out from here on. */
  begin(): void {
    this.#points.length = 0;
    this.#before = this.#source.totals();
  }

  /** After this point of time; all where it is 0. */
  since(atMs: number): readonly HistoryPoint[] {
    return this.#points.filter((point) => point.atMs > atMs);
  }

  look(): void {
    const { view, totals, nowMs } = this.#source;
    const atMs = nowMs();
    const before = this.#before;
    const now = totals();
    const { sources, inFlight, executing } = view();
    const took = now.criticalTime.map((count, index) => count - (before.criticalTime[index] ?? 0));
    const youngest = sources.flatMap(({ youngestMs }) => youngestMs ?? []);
    this.#before = now;
    this.#points.push({
      atMs,
      completed: now.completed - before.completed,
      duplicates: now.duplicates - before.duplicates,
      deadLettered: now.deadLettered - before.deadLettered,
      retried: now.retried - before.retried,
      postponed: now.postponed - before.postponed,
      p50Ms: quantileMs(took, 0.5),
      p99Ms: quantileMs(took, 0.99),
      lagMs: Math.max(0, ...youngest.map((ms) => atMs - ms)),
      held: inFlight,
      executing,
    });
    if (this.#points.length > pointsMax) this.#points.shift();
  }
}

/** As Prometheus has it: evenly spread within a bucket; null without any. */
export function quantileMs(cumulative: readonly number[], quantile: number): number | null {
  const total = cumulative.at(-1) ?? 0;
  if (total === 0) return null;
  const rank = quantile * total;
  const at = cumulative.findIndex((count) => count >= rank);
  const upper = durationBucketsSeconds[at];
  if (upper === undefined) return (durationBucketsSeconds.at(-1) ?? 0) * 1_000;
  const lower = durationBucketsSeconds[at - 1] ?? 0;
  const below = cumulative[at - 1] ?? 0;
  return (lower + ((upper - lower) * (rank - below)) / ((cumulative[at] ?? 0) - below)) * 1_000;
}
