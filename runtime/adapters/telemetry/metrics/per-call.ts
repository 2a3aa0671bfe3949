/** Calls of dependencies, and round trips to the run store. */
import type { MetricSample } from "../../../core/metric-catalogue.ts";
import type { CallReport } from "../../../core/outcome.ts";
import { Durations } from "./durations.ts";

const results = ["succeeded", "slow", "failed"] as const;
const requestsAt = results.length;
const tokensAt = requestsAt + 1;

/** Where what a generative model took begins: tokens in, tokens out, cost. */
const spentAt = tokensAt + 1;
const spentParts = 3;

/** By dependency: executions by the result of their calls, then requests and tokens. */
export class DependencyCalls {
  readonly #byDependency = new Map<string, Float64Array>();
  /** Those whose answers have told tokens. */
  readonly #models = new Set<string>();

  of(dependency: string): Float64Array {
    let counts = this.#byDependency.get(dependency);
    if (counts === undefined) {
      counts = new Float64Array(spentAt + spentParts);
      this.#byDependency.set(dependency, counts);
    }
    return counts;
  }

  add(calls: readonly CallReport[]): void {
    for (const { dependency, result, usage, spent } of calls) {
      const counts = this.of(dependency);
      if (result !== "unused") counts[results.indexOf(result)]! += 1;
      if (usage !== undefined) {
        counts[requestsAt]! += usage.requests;
        counts[tokensAt]! += usage.tokens;
      }
      if (spent !== undefined) {
        this.#models.add(dependency);
        counts[spentAt]! += spent.inputTokens;
        counts[spentAt + 1]! += spent.outputTokens;
        counts[spentAt + 2]! += spent.cost;
      }
    }
  }

  samples(): readonly MetricSample[] {
    return Array.from(this.#byDependency).flatMap(([dependency, counts]): MetricSample[] => [
      ...results.map((result, index): MetricSample => ({ name: "holdfast_dependency_calls_total", labels: { dependency, result }, value: counts[index] ?? 0 })),
      { name: "holdfast_dependency_requests_total", labels: { dependency }, value: counts[requestsAt] ?? 0 },
      { name: "holdfast_dependency_tokens_total", labels: { dependency }, value: counts[tokensAt] ?? 0 },
      ...(this.#models.has(dependency) ? ofModel(dependency, counts) : []),
    ]);
  }
}

function ofModel(dependency: string, counts: Float64Array): readonly MetricSample[] {
  return [
    { name: "holdfast_model_tokens_total", labels: { dependency, kind: "input" }, value: counts[spentAt] ?? 0 },
    { name: "holdfast_model_tokens_total", labels: { dependency, kind: "output" }, value: counts[spentAt + 1] ?? 0 },
    { name: "holdfast_model_cost_total", labels: { dependency }, value: counts[spentAt + 2] ?? 0 },
  ];
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
