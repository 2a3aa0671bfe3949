/** Calls of dependencies, and round trips to the run store. */
import type { MetricSample } from "../../../core/metric-catalogue.ts";
import type { CallReport } from "../../../core/outcome.ts";
import { Durations } from "./durations.ts";

const results = ["succeeded", "slow", "failed"] as const;
const requestsAt = results.length;
const tokensAt = requestsAt + 1;

/** By dependency: executions by the result of their calls, then requests and tokens. */
export class DependencyCalls {
  readonly #byDependency = new Map<string, Float64Array>();

  add(calls: readonly CallReport[]): void {
    for (const { dependency, result, usage } of calls) {
      let counts = this.#byDependency.get(dependency);
      if (counts === undefined) {
        counts = new Float64Array(tokensAt + 1);
        this.#byDependency.set(dependency, counts);
      }
      if (result !== "unused") counts[results.indexOf(result)]! += 1;
      if (usage !== undefined) {
        counts[requestsAt]! += usage.requests;
        counts[tokensAt]! += usage.tokens;
      }
    }
  }

  samples(): readonly MetricSample[] {
    return Array.from(this.#byDependency).flatMap(([dependency, counts]): MetricSample[] => [
      ...results.map((result, index): MetricSample => ({ name: "holdfast_dependency_calls_total", labels: { dependency, result }, value: counts[index] ?? 0 })),
      { name: "holdfast_dependency_requests_total", labels: { dependency }, value: counts[requestsAt] ?? 0 },
      { name: "holdfast_dependency_tokens_total", labels: { dependency }, value: counts[tokensAt] ?? 0 },
    ]);
  }
}

export const storeCalls = ["claim", "checkpoint", "finish", "clear-outbox", "fail", "revive", "extend", "read", "close"] as const;
export type StoreCall = (typeof storeCalls)[number];

interface Trips {
  readonly durations: Durations;
  entries: number;
  failures: number;
}

export class StoreTrips {
  readonly #byCall = new Map<StoreCall, Trips>(storeCalls.map((call) => [call, { durations: new Durations(), entries: 0, failures: 0 }]));

  ended(call: StoreCall, entries: number, durationMs: number, isGood: boolean): void {
    const trips = this.#byCall.get(call);
    if (trips === undefined) return;
    trips.durations.record(durationMs);
    trips.entries += entries;
    if (!isGood) trips.failures += 1;
  }

  durations(): readonly (readonly [StoreCall, Durations])[] {
    return Array.from(this.#byCall, ([call, { durations }]) => [call, durations] as const);
  }

  samples(): readonly MetricSample[] {
    const trips = [...this.#byCall];
    return [
      { name: "holdfast_checkpoints_total", labels: {}, value: this.#byCall.get("checkpoint")?.entries ?? 0 },
      ...trips.map(([call, { entries }]): MetricSample => ({ name: "holdfast_store_entries_total", labels: { call }, value: entries })),
      ...trips.map(([call, { failures }]): MetricSample => ({ name: "holdfast_store_call_failures_total", labels: { call }, value: failures })),
    ];
  }
}
