/**
 * The metrics of a worker. What happens with every message is added to typed arrays; what is a state is read when somebody asks. A
 * message costs some tenths of a microsecond, a scrape a millisecond or two.
 */
import { performance } from "node:perf_hooks";
import type { RuntimeEvent } from "../../../core/catalogue.ts";
import type { Clock } from "../../../core/clock.ts";
import { durationBucketsSeconds, type MetricSample } from "../../../core/metric-catalogue.ts";
import { probeSkill } from "../../../core/probe.ts";
import type { CallReport } from "../../../core/outcome.ts";
import type { RunStore } from "../../../ports/run-store.ts";
import type { ExecutionMeter, FinalOutcome, SettledRun, Telemetry } from "../../../ports/telemetry.ts";
import { Durations } from "./durations.ts";
import { type DurationSeries, Exposition } from "./exposition.ts";
import { meteredStore } from "./metered-store.ts";
import type { KnownValues } from "./known-values.ts";
import { DependencyCalls, StoreTrips } from "./per-call.ts";
import { EventCounts } from "./per-event.ts";
import { outcomes, SkillTables } from "./per-skill.ts";

export interface MetricTotals extends Readonly<Record<"completed" | "duplicates" | "deadLettered" | "retried" | "postponed", number>> {
  /** Of what completed, cumulative over the buckets. */
  readonly criticalTime: readonly number[];
}

export class Metrics implements Telemetry, ExecutionMeter {
  readonly #skills = new SkillTables();
  readonly #events = new EventCounts();
  readonly #calls = new DependencyCalls();
  readonly #trips = new StoreTrips();
  readonly #probes = new Map<string, DurationSeries>();
  readonly #answers = new Map<string, DurationSeries>();
  readonly #exposition = new Exposition();
  #loopUse = performance.eventLoopUtilization();

  /** Whatever can happen to these is there from the first scrape on, as 0. */
  expect(known: KnownValues): void {
    const skills = known.skills.filter((skill) => skill !== probeSkill);
    for (const skill of ["", ...skills]) this.#skills.of(skill);
    for (const dependency of known.dependencies) this.#calls.of(dependency);
    this.#events.expect({ ...known, skills });
  }

  settled(outcome: FinalOutcome, skill: string, latencyMs: number, run: SettledRun): void {
    this.#skills.of(skill).settled(outcome, latencyMs, run);
  }

  emit(event: RuntimeEvent): void {
    this.#events.emit(event);
  }

  executed(skill: string, durationMs: number, calls: readonly CallReport[]): void {
    if (skill === probeSkill) return;
    this.#skills.of(skill).processing.record(durationMs);
    if (calls.length > 0) this.#calls.add(calls);
  }

  /** The same store, whose round trips are measured. */
  measured(store: RunStore, clock: Pick<Clock, "monotonicMs">): RunStore {
    return meteredStore(store, this.#trips, clock);
  }

  /** The admin server has answered; operations are few. */
  answered(operation: string, durationMs: number): void {
    const series = this.#answers.get(operation) ?? { name: "holdfast_admin_request_seconds", labels: { operation }, durations: new Durations() };
    this.#answers.set(operation, series);
    series.durations.record(durationMs);
  }

  /** A probe has come back. */
  probed(source: string, stagesMs: Readonly<Record<string, number>>): void {
    for (const [stage, ms] of Object.entries(stagesMs)) {
      const key = `${stage} ${source}`;
      const series = this.#probes.get(key) ?? { name: "holdfast_probe_seconds", labels: { source, stage }, durations: new Durations() };
      this.#probes.set(key, series);
      series.durations.record(ms);
    }
  }

  /** Over all skills, since the start. */
  totals(): MetricTotals {
    const skills = this.#skills.all();
    const sum = (outcome: FinalOutcome): number => skills.reduce((total, counts) => total + counts.count(outcome), 0);
    const criticalTime = Array.from({ length: durationBucketsSeconds.length + 1 }, () => 0);
    for (const { criticalTime: durations } of skills)
      durations.cumulative().forEach((count, index) => (criticalTime[index] = (criticalTime[index] ?? 0) + count));
    return {
      completed: sum("completed"),
      duplicates: sum("duplicate"),
      deadLettered: sum("dead-lettered"),
      retried: sum("retried"),
      postponed: sum("postponed"),
      criticalTime,
    };
  }

  get contentType(): string {
    return this.#exposition.contentType;
  }

  /** All metrics as text; `states`: those that are read off the worker now. */
  text(states: readonly MetricSample[]): Promise<string> {
    const samples = [...states, ...this.#perSkill(), ...this.#events.samples(), ...this.#calls.samples(), ...this.#trips.samples(), ...this.#process()];
    return this.#exposition.text({ samples, durations: this.#durations() });
  }

  #perSkill(): readonly MetricSample[] {
    return this.#skills.all().flatMap((counts): MetricSample[] => [
      ...outcomes.map((outcome): MetricSample => ({
        name: "holdfast_messages_total",
        labels: { skill: counts.skill, outcome },
        value: counts.count(outcome),
      })),
      { name: "holdfast_completed_after_retry_total", labels: { skill: counts.skill }, value: counts.completedAfterRetry },
    ]);
  }

  #durations(): readonly DurationSeries[] {
    return [
      ...this.#skills.all().flatMap(({ skill, criticalTime, processing, laneWait }): DurationSeries[] => [
        { name: "holdfast_critical_time_seconds", labels: { skill }, durations: criticalTime },
        { name: "holdfast_processing_seconds", labels: { skill }, durations: processing },
        { name: "holdfast_lane_wait_seconds", labels: { skill }, durations: laneWait },
      ]),
      ...Array.from(this.#events.recovery, ([what, durations]): DurationSeries => ({ name: "holdfast_recovery_seconds", labels: { what }, durations })),
      ...this.#probes.values(),
      ...this.#answers.values(),
      ...this.#trips.durations().map(([call, durations]): DurationSeries => ({ name: "holdfast_store_call_seconds", labels: { call }, durations })),
    ];
  }

  #process(): readonly MetricSample[] {
    const { user, system } = process.cpuUsage();
    const use = performance.eventLoopUtilization(this.#loopUse);
    this.#loopUse = performance.eventLoopUtilization();
    const { rss, heapUsed } = process.memoryUsage();
    const labels = {};
    return [
      { name: "holdfast_process_cpu_seconds_total", labels, value: (user + system) / 1_000_000 },
      { name: "holdfast_process_resident_memory_bytes", labels, value: rss },
      { name: "holdfast_process_heap_bytes", labels, value: heapUsed },
      { name: "holdfast_process_start_time_seconds", labels, value: performance.timeOrigin / 1_000 },
      { name: "holdfast_event_loop_utilization_ratio", labels, value: use.utilization },
    ];
  }
}
