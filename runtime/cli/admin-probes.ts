/** Probes of a worker: where they are sent, and what is done with what comes of them. */
import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { systemClock } from "../adapters/system/clock.ts";
import type { Metrics } from "../adapters/telemetry/metrics/metrics.ts";
import { type ProbeTarget, type ProbeView, Probes, describeStages } from "../admin/probing.ts";
import type { Life } from "../admin/probes.ts";
import type { ComposedWorker } from "../compose/worker.ts";
import type { AdminSettings, ProbesSettings } from "../core/config/admin.ts";
import { retryEntityOf, type SourceSettings } from "../core/config/sources.ts";
import { messageOf } from "../core/errors.ts";
import type { CircuitState } from "../policy/circuit.ts";
import type { AdminEvents } from "./admin-events.ts";

export interface ProbesParts extends Pick<ComposedWorker, "worker" | "workerId" | "publisher" | "probes"> {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly life: () => Life;
}

export function openProbes(sources: readonly SourceSettings[], { probes: policy }: AdminSettings, parts: ProbesParts, doors: AdminEvents): Probes {
  const { worker, workerId, publisher, probes: reports, metrics, logger, life } = parts;
  return new Probes({
    workerId,
    targets: sources.map((source) => targetOf(source, policy)),
    policy,
    clock: systemClock,
    reports,
    randomId: (digits) => randomBytes(digits / 2).toString("hex"),
    secret: (source) => doors.secret(source),
    send: (entity, message) => publisher.send(entity, [message]),
    mayProbe: () => life().phase === "running" && !worker.view().isPaused,
    look: (source, eventId) => whereabouts(doors, { source, eventId, shut: circuitsShut(worker.policies.view().dependencies) }),
    forget: (source, eventId) => doors.forget(source, eventId).catch(() => undefined),
    measured: (source, stagesMs, criticalMs) => metrics.probed(source, { ...stagesMs, total: criticalMs }),
    tell: (probe) => logger[levelOf(probe)]({ type: "probe", ...probe }, textOf(probe)),
  });
}

/** Sent to a topic it would reach every subscriber. */
export function targetOf(source: SourceSettings, { throughTopics }: Pick<ProbesSettings, "throughTopics">): ProbeTarget {
  const isThroughTopic = "topic" in source && throughTopics;
  return {
    source: source.name,
    entity: isThroughTopic ? source.topic : retryEntityOf(source),
    // A subscription's retry queue has none.
    asksForSession: source.sessions !== undefined && ("queue" in source || isThroughTopic),
  };
}

interface ShutCircuit {
  readonly dependency: string;
  readonly state: Exclude<CircuitState, "closed">;
}

interface Sought {
  readonly source: string;
  readonly eventId: string;
  /** Circuits that are not closed here. */
  readonly shut: readonly ShutCircuit[];
}

/** Where a probe is that has not come back, as far as its record tells. */
export async function whereabouts(doors: Pick<AdminEvents, "run">, { source, eventId, shut }: Sought): Promise<string> {
  try {
    const run = await doors.run(source, eventId, undefined);
    if (run !== undefined) return `a worker has begun it, and its record says '${String((run as { readonly state?: unknown }).state)}'`;
    const circuits = shut.map(({ dependency, state }) => `the circuit of ${dependency} is ${state} here`);
    const stalled = circuits.length === 0 ? "" : `; ${circuits.join(", ")}, and a worker whose skills all wait for one takes nothing`;
    return `no worker has begun it; it waits in the queue, or cannot be received${stalled}`;
  } catch (error) {
    return `and the store cannot be asked where it is: ${messageOf(error, 200)}`;
  }
}

function circuitsShut(dependencies: readonly { readonly dependency: string; readonly circuit: { readonly state: CircuitState } }[]): readonly ShutCircuit[] {
  return dependencies.flatMap(({ dependency, circuit: { state } }) => (state === "closed" ? [] : [{ dependency, state }]));
}

function levelOf({ state, who }: ProbeView): "debug" | "info" | "warn" {
  if (state === "passed-by") return "info";
  if (state !== "completed") return "warn";
  return who === "schedule" ? "debug" : "info";
}

function textOf({ source, state, criticalMs, stagesMs, why }: ProbeView): string {
  const took = criticalMs === null ? "" : ` after ${Math.round(criticalMs)} ms`;
  return `probe of ${source}: ${state}${took} (${describeStages(stagesMs) || "not sent"})${why === "" ? "" : `; ${why}`}`;
}
