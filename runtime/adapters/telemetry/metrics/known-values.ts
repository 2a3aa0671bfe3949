/**
 * What can be counted, as far as that is known before it happens. A counter that begins with its first event has no value before that, so
 * that its rise is seen by nobody who reads it from time to time (`increase` of Prometheus): these begin with 0. What skills make up, reasons
 * of dead letters among them, is known once it has happened.
 */
import type { RuntimeEvent } from "../../../core/catalogue.ts";
import { deathClasses } from "../../../core/death.ts";
import { failureTable } from "../../../core/failure-class.ts";
import type { MetricName } from "../../../core/metric-catalogue.ts";
import type { StepQuality } from "../../../core/run.ts";
import type { PostponeReason } from "../../../core/settlement.ts";
import { eventTypes } from "../event-words.ts";

/** Of a worker. */
export interface KnownValues {
  readonly skills: readonly string[];
  readonly dependencies: readonly string[];
}

type Of<Type extends RuntimeEvent["type"], Field extends string> = Extract<RuntimeEvent, { type: Type }> extends Record<Field, infer Value> ? Value : never;

/** All that a type has: one more does not compile before it stands here. */
function valuesOf<Value extends string>(values: Readonly<Record<Value, true>>): readonly string[] {
  return Object.keys(values);
}

const postponeReasons = valuesOf<PostponeReason>({
  held: true,
  "lane-full": true,
  "window-full": true,
  "circuit-open": true,
  "rate-limited": true,
  "publish-failed": true,
  "not-started": true,
  "store-down": true,
  shed: true,
});
const revivers = valuesOf<Of<"run.revived", "by">>({ resend: true, replay: true });
const compensated = valuesOf<Of<"step.compensated", "outcome">>({ compensated: true, "not-needed": true, failed: true });
const qualities = valuesOf<StepQuality>({ full: true, degraded: true, template: true, cached: true });
const whereLost = valuesOf<Of<"lock.lost", "where">>({ renew: true, settle: true });
const circuitStates = valuesOf<Of<"circuit.changed", "state">>({ closed: true, open: true, "half-open": true, isolated: true });
const settingsFrom = valuesOf<Of<"settings.changed", "from">>({ file: true, "app-configuration": true });
const settingsStates = valuesOf<Of<"settings.changed", "state">>({ applied: true, refused: true, "rolled-back": true });
const secretStates = valuesOf<Of<"secret.changed", "state">>({ replaced: true, refused: true });
const refusals = failureTable.flatMap(({ codes, class: kind }) => (kind === "poison" ? codes : []));

/** The values of a counter's labels, each list in the order of the labels. */
export function knownCounts({ skills, dependencies }: KnownValues): readonly (readonly [MetricName, readonly (readonly string[])[]])[] {
  // What reaches no skill is counted under the empty name.
  const all = ["", ...skills];
  return [
    ["holdfast_run_failures_total", pairs(all, deathClasses)],
    ["holdfast_refused_messages_total", refusals.map((reason) => [reason])],
    ["holdfast_retries_total", skills.map((skill) => [skill])],
    ["holdfast_postponements_total", postponeReasons.map((why) => [why])],
    ["holdfast_revived_total", revivers.map((by) => [by])],
    ["holdfast_runs_resumed_total", skills.map((skill) => [skill])],
    ["holdfast_compensations_total", pairs(skills, compensated)],
    ["holdfast_fallbacks_total", pairs(skills, qualities)],
    ["holdfast_locks_lost_total", whereLost.map((where) => [where])],
    ["holdfast_circuit_changes_total", pairs(dependencies, circuitStates)],
    ["holdfast_settings_changes_total", pairs(settingsFrom, settingsStates)],
    ["holdfast_secret_changes_total", secretStates.map((state) => [state])],
    ["holdfast_runtime_events_total", eventTypes.map((type) => [type])],
  ];
}

function pairs(ones: readonly string[], others: readonly string[]): readonly (readonly string[])[] {
  return ones.flatMap((one) => others.map((other) => [one, other]));
}
