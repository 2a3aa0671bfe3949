/** Metrics that are states: read off the worker when somebody asks. */
import type { MetricSample } from "../core/metric-catalogue.ts";
import type { PoliciesView } from "../pipeline/policies.ts";
import type { SourceView } from "../pipeline/source-pipelines.ts";
import type { WorkerView } from "../pipeline/worker-view.ts";
import type { CircuitState } from "../policy/circuit.ts";
import type { Backlog } from "./backlog.ts";
import { waitsFor } from "./worker-state.ts";

const circuitStates: readonly CircuitState[] = ["closed", "open", "half-open", "isolated"];
const none = {};

/** `threads`: how many are configured; `nowMs`: wall clock. */
export function samplesOf(
  view: WorkerView,
  policies: PoliciesView,
  { threads, nowMs, backlog }: { readonly threads: number; readonly nowMs: number; readonly backlog: Backlog },
): readonly MetricSample[] {
  return [
    ...ofWorker(view, threads),
    ...view.sources.flatMap((source) => ofSource(source, nowMs)),
    ...backlog.depths().flatMap(([source, { active, scheduled, deadLettered }]): MetricSample[] => [
      { name: "holdfast_queue_messages", labels: { source, state: "active" }, value: active },
      { name: "holdfast_queue_messages", labels: { source, state: "scheduled" }, value: scheduled },
      { name: "holdfast_queue_messages", labels: { source, state: "dead-lettered" }, value: deadLettered },
    ]),
    ...view.intake.flatMap(ofWindow),
    ...ofSkills(view.intake),
    ...policies.dependencies.flatMap(ofDependency),
    ...policies.limits.flatMap(({ dependency, policy: { by = "all" }, waiting, postponed }): MetricSample[] => [
      { name: "holdfast_limit_waiting", labels: { dependency, by }, value: waiting },
      { name: "holdfast_limit_postponed_total", labels: { dependency, by }, value: postponed },
    ]),
    ...ofBudget(policies.retryBudget),
    ...Object.entries(policies.loadShedding.shed).map(([priority, value]): MetricSample => ({ name: "holdfast_load_shed_total", labels: { priority }, value })),
  ];
}

function ofWorker(view: WorkerView, threads: number): readonly MetricSample[] {
  return [
    { name: "holdfast_ready", labels: none, value: Number(waitsFor(view).length === 0) },
    { name: "holdfast_executing_runs", labels: none, value: view.executing },
    { name: "holdfast_held_bytes", labels: none, value: view.heldBytes },
    { name: "holdfast_locks_renewed_total", labels: none, value: view.locksRenewed },
    { name: "holdfast_store_up", labels: none, value: Number(view.storeUp) },
    { name: "holdfast_store_suspect", labels: none, value: Number(view.storeSuspect.length > 0) },
    { name: "holdfast_event_loop_delay_seconds", labels: none, value: view.loopDelayMs / 1_000 },
    { name: "holdfast_threads", labels: { state: "configured" }, value: threads },
    { name: "holdfast_threads", labels: { state: "stuck" }, value: view.threads.stuck },
    { name: "holdfast_threads", labels: { state: "leaked" }, value: view.threads.leaked },
    { name: "holdfast_threads", labels: { state: "missing" }, value: view.threads.missing },
  ];
}

function ofSource({ source, trouble, held, oldestMs, youngestMs, credit, received }: SourceView, nowMs: number): readonly MetricSample[] {
  const labels = { source };
  const ageSeconds = (enqueuedAtMs: number | undefined): number => Math.max(0, nowMs - (enqueuedAtMs ?? nowMs)) / 1_000;
  return [
    { name: "holdfast_source_up", labels, value: Number(trouble === undefined) },
    { name: "holdfast_held_messages", labels, value: held },
    { name: "holdfast_oldest_held_seconds", labels, value: ageSeconds(oldestMs) },
    { name: "holdfast_lag_seconds", labels, value: ageSeconds(youngestMs) },
    { name: "holdfast_credit", labels, value: credit },
    { name: "holdfast_messages_received_total", labels, value: received },
  ];
}

/** Of many sources and skills most have nothing here: what bounds these says nothing. */
function ofWindow({ source, skill, window, held, boundBy }: WorkerView["intake"][number]): readonly MetricSample[] {
  const labels = { source, skill };
  const bound: MetricSample = { name: "holdfast_window_bound", labels: { ...labels, bound: boundBy }, value: 1 };
  return [
    { name: "holdfast_window_messages", labels, value: window },
    { name: "holdfast_window_held_messages", labels, value: held },
    ...(held > 0 ? [bound] : []),
  ];
}

/** What several sources share of a skill is told once. */
function ofSkills(views: WorkerView["intake"]): readonly MetricSample[] {
  const bySkill = new Map(views.map((view) => [view.skill, view]));
  return [...bySkill].flatMap(([skill, { running, concurrentMax, waiting, stillMs, loopMs }]): MetricSample[] => [
    { name: "holdfast_skill_running", labels: { skill }, value: running },
    { name: "holdfast_skill_slots", labels: { skill }, value: concurrentMax },
    { name: "holdfast_skill_waiting", labels: { skill }, value: waiting },
    { name: "holdfast_skill_loop_seconds_total", labels: { skill }, value: loopMs / 1_000 },
    { name: "holdfast_skill_still_seconds", labels: { skill }, value: stillMs / 1_000 },
  ]);
}

function ofDependency({ dependency, bulkhead, circuit }: PoliciesView["dependencies"][number]): readonly MetricSample[] {
  const labels = { dependency };
  return [
    { name: "holdfast_bulkhead_in_use", labels, value: bulkhead.inUse },
    { name: "holdfast_bulkhead_slots", labels, value: bulkhead.policy.concurrentMax },
    { name: "holdfast_bulkhead_rejected_total", labels, value: bulkhead.rejected },
    { name: "holdfast_lane_waiting", labels, value: bulkhead.waiting },
    { name: "holdfast_lane_places", labels, value: bulkhead.laneMax },
    ...circuitStates.map((state): MetricSample => ({ name: "holdfast_circuit_state", labels: { dependency, state }, value: Number(circuit.state === state) })),
  ];
}

function ofBudget({ left, granted, refused, ofCalls }: PoliciesView["retryBudget"]): readonly MetricSample[] {
  return [
    { name: "holdfast_retry_budget_left", labels: none, value: left },
    { name: "holdfast_retry_budget_granted_total", labels: { of: "call" }, value: ofCalls.granted },
    { name: "holdfast_retry_budget_granted_total", labels: { of: "run" }, value: granted - ofCalls.granted },
    { name: "holdfast_retry_budget_refused_total", labels: { of: "call" }, value: ofCalls.refused },
    { name: "holdfast_retry_budget_refused_total", labels: { of: "run" }, value: refused - ofCalls.refused },
  ];
}
