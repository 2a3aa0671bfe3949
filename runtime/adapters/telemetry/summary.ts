/** What happened since the last summary, for one line of the log. */
import type { RuntimeEvent } from "../../core/catalogue.ts";
import { Histogram } from "../../core/histogram.ts";
import type { FinalOutcome, Telemetry } from "../../ports/telemetry.ts";

const latencyMaxMs = 3_600_000;
/** Latencies are exact to a hundredth. */
const latencyBits = 7;
/** Reasons that one summary names; the others are counted together. */
const reasonsMax = 20;
const otherReasons = "other";

/** Deliveries by how they ended. */
export interface Summary {
  readonly completed: number;
  readonly duplicates: number;
  readonly retried: number;
  readonly postponed: number;
  /** Given back, or lost with their locks. */
  readonly returned: number;
  /** By reason. */
  readonly deadLettered: Readonly<Record<string, number>>;
  /** From the broker's enqueue time to settlement, of completed deliveries; undefined when there were none. */
  readonly latencyMs: { readonly p50: number; readonly p99: number } | undefined;
}

export class Summaries implements Telemetry {
  readonly #latency = new Histogram(latencyBits, latencyMaxMs);
  #counts: Record<FinalOutcome, number> = none();
  #reasons = new Map<string, number>();
  #isEmpty = true;

  settled(outcome: FinalOutcome, _skill: string, latencyMs: number): void {
    this.#isEmpty = false;
    this.#counts[outcome] += 1;
    if (outcome === "completed") this.#latency.record(latencyMs);
  }

  emit(event: RuntimeEvent): void {
    if (event.type !== "run.dead-lettered") return;
    const reason = this.#reasons.has(event.reason) || this.#reasons.size < reasonsMax ? event.reason : otherReasons;
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
  }

  /** Undefined when nothing happened since it was last taken. */
  take(): Summary | undefined {
    if (this.#isEmpty) return undefined;
    const { completed, duplicate, retried, postponed, released, dropped } = this.#counts;
    const latency = this.#latency;
    const latencyMs = completed === 0 ? undefined : { p50: latency.percentile(50), p99: latency.percentile(99) };
    const summary = {
      completed,
      duplicates: duplicate,
      retried,
      postponed,
      returned: released + dropped,
      deadLettered: Object.fromEntries(this.#reasons),
      latencyMs,
    };
    this.#counts = none();
    this.#reasons = new Map();
    this.#isEmpty = true;
    latency.reset();
    return summary;
  }
}

function none(): Record<FinalOutcome, number> {
  return { completed: 0, duplicate: 0, "dead-lettered": 0, retried: 0, postponed: 0, released: 0, dropped: 0 };
}
