/** Counts what the runtime reports, cheaply: numbers in typed arrays and one histogram; readers take snapshots. */
import type { RuntimeEvent } from "../../core/catalogue.ts";
import { Histogram } from "../../core/histogram.ts";
import type { FinalOutcome, Telemetry } from "../../ports/telemetry.ts";

const outcomes: readonly FinalOutcome[] = ["completed", "duplicate", "dead-lettered", "retried", "postponed", "released", "dropped"];
const outcomeIndex = new Map(outcomes.map((outcome, index) => [outcome, index]));

/** Latencies, exact to a thousandth. */
export function latencyHistogram(): Histogram {
  return new Histogram(10, 3_600_000);
}

/** Counts since the worker started. */
export interface StatisticsSnapshot {
  /** Deliveries by how they ended. */
  readonly outcomes: Readonly<Record<FinalOutcome, number>>;
  /** The same by skill; the empty name is for messages that reached none. */
  readonly skills: Readonly<Record<string, Readonly<Record<FinalOutcome, number>>>>;
  /** Runtime events by type. */
  readonly events: Readonly<Record<string, number>>;
  /** From the broker's enqueue time to settlement, of completed deliveries. */
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number; readonly count: number };
}

export class Statistics implements Telemetry {
  readonly #skills = new Map<string, Float64Array>();
  readonly #events = new Map<string, number>();
  readonly #latency = latencyHistogram();

  settled(outcome: FinalOutcome, skill: string, latencyMs: number): void {
    let counts = this.#skills.get(skill);
    if (counts === undefined) {
      counts = new Float64Array(outcomes.length);
      this.#skills.set(skill, counts);
    }
    const index = outcomeIndex.get(outcome) ?? 0;
    counts[index] = (counts[index] ?? 0) + 1;
    if (outcome === "completed") this.#latency.record(latencyMs);
  }

  emit(event: RuntimeEvent): void {
    this.#events.set(event.type, (this.#events.get(event.type) ?? 0) + 1);
  }

  snapshot(): StatisticsSnapshot {
    const total = new Float64Array(outcomes.length);
    for (const counts of this.#skills.values()) {
      counts.forEach((count, index) => {
        total[index] = (total[index] ?? 0) + count;
      });
    }
    const latency = this.#latency;
    return {
      outcomes: named(total),
      skills: Object.fromEntries(Array.from(this.#skills, ([skill, counts]) => [skill, named(counts)])),
      events: Object.fromEntries(this.#events),
      latencyMs: { p50: latency.percentile(50), p99: latency.percentile(99), max: latency.max, count: latency.count },
    };
  }

  /** All latencies of completed deliveries as numbers of their histogram, for adding up several workers'. */
  latencies(): readonly number[] {
    return this.#latency.toNumbers();
  }
}

function named(counts: Float64Array): Record<FinalOutcome, number> {
  return Object.fromEntries(outcomes.map((outcome, index) => [outcome, counts[index] ?? 0])) as Record<FinalOutcome, number>;
}
