/** What runtime events are counted as. They are about failures and changes, so there are far fewer of them than messages. */
import type { RuntimeEvent } from "../../../core/catalogue.ts";
import type { MetricName, MetricSample } from "../../../core/metric-catalogue.ts";
import { metricCatalogue } from "../../../core/metric-catalogue.ts";
import { Counts } from "./counts.ts";
import { Durations } from "./durations.ts";
import { type KnownValues, knownCounts } from "./known-values.ts";

const counted = [
  "holdfast_run_failures_total",
  "holdfast_refused_messages_total",
  "holdfast_retries_total",
  "holdfast_postponements_total",
  "holdfast_dead_letters_total",
  "holdfast_revived_total",
  "holdfast_runs_resumed_total",
  "holdfast_compensations_total",
  "holdfast_fallbacks_total",
  "holdfast_locks_lost_total",
  "holdfast_circuit_changes_total",
  "holdfast_settings_changes_total",
  "holdfast_secret_changes_total",
  "holdfast_runtime_events_total",
] as const satisfies readonly MetricName[];

export class EventCounts {
  readonly #counts: ReadonlyMap<MetricName, Counts> = new Map(counted.map((name) => [name, new Counts(metricCatalogue[name].labels)]));
  /** How long something was away, by what. */
  readonly recovery: ReadonlyMap<string, Durations> = new Map(["store", "source", "transport"].map((what) => [what, new Durations()]));

  /** What can happen begins with 0. */
  expect(known: KnownValues): void {
    for (const [name, counts] of knownCounts(known)) for (const values of counts) this.#counts.get(name)?.add(values, 0);
  }

  emit(event: RuntimeEvent): void {
    this.#add("holdfast_runtime_events_total", event.type);
    switch (event.type) {
      case "run.failed":
        this.#add("holdfast_run_failures_total", event.skill, event.class);
        if (event.class === "poison") this.#add("holdfast_refused_messages_total", event.code);
        return;
      case "run.retrying":
        return this.#add("holdfast_retries_total", event.skill);
      case "run.postponed":
        return this.#add("holdfast_postponements_total", event.why);
      case "run.dead-lettered":
        return this.#add("holdfast_dead_letters_total", event.skill, event.reason);
      case "run.revived":
        return this.#add("holdfast_revived_total", event.by);
      case "run.resumed":
        return this.#add("holdfast_runs_resumed_total", event.skill);
      case "step.compensated":
        return this.#add("holdfast_compensations_total", event.skill, event.outcome);
      case "step.fell-back":
        return this.#add("holdfast_fallbacks_total", event.skill, event.quality);
      case "lock.lost":
        return this.#add("holdfast_locks_lost_total", event.where);
      case "circuit.changed":
        return this.#add("holdfast_circuit_changes_total", event.dependency, event.state);
      case "settings.changed":
        return this.#add("holdfast_settings_changes_total", event.from, event.state);
      case "secret.changed":
        return this.#add("holdfast_secret_changes_total", event.state);
      case "store.up":
        return this.recovery.get("store")?.record(event.downMs);
      case "source.up":
        return this.recovery.get("source")?.record(event.downMs);
      case "transport.recovered":
        return this.recovery.get("transport")?.record(event.afterMs);
      default:
        return;
    }
  }

  samples(): readonly MetricSample[] {
    return Array.from(this.#counts).flatMap(([name, counts]) => counts.list().map(({ labels, count }) => ({ name, labels, value: count })));
  }

  #add(name: (typeof counted)[number], ...values: readonly string[]): void {
    this.#counts.get(name)?.add(values);
  }
}
