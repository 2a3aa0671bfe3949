/** Operations on the worker at hand: what it is at, and how it is changed while it runs. */
import { createHash } from "node:crypto";
import type { LimitScope } from "../core/limits.ts";
import type { Tenants } from "../core/tenants.ts";
import type { Policies, PoliciesView } from "../pipeline/policies.ts";
import type { UnderWay } from "../pipeline/under-way.ts";
import type { WorkerView } from "../pipeline/worker-view.ts";
import type { Audit } from "./audit.ts";
import type { Backlog } from "./backlog.ts";
import type { History } from "./history.ts";
import { type Call, type Changed, change, type Operation, read } from "./operations.ts";
import { Problem } from "./problem.ts";
import { type Health, type Life, liveness, readiness } from "./probes.ts";
import { reportSuspects } from "./worker-state.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";

/** What of a worker can be seen and steered. */
export interface Steered {
  readonly policies: Policies;
  view(): WorkerView;
  /** The first of what is here, in the order of arrival. */
  underWay(max: number, tenants?: Tenants): readonly UnderWay[];
  pause(): void;
  resume(): void;
}

export interface SteeringOptions {
  readonly workerId: string;
  readonly worker: Steered;
  readonly skills: readonly ShownSkill[];
  readonly threads: number;
  readonly audit: Audit;
  readonly history: History;
  readonly backlog: Backlog;
  readonly logLevel: { get(): LogLevel; set(level: LogLevel): void };
  readonly life: () => Life;
  /** Has the worker stop, in order; answers at once. */
  readonly drain: (reason: string) => void;
  /** Wall clock. */
  readonly nowMs: () => number;
}

interface ShownSkill {
  readonly name: string;
  readonly handles: readonly unknown[];
  readonly uses: readonly string[];
  readonly plugin?: { readonly name: string; readonly version: string; readonly folder: string; readonly listedAs: string };
}

/** Where it lies on the worker's machine is about the worker. */
function withoutPlaces({ plugin, ...skill }: ShownSkill): object {
  return plugin === undefined ? skill : { ...skill, plugin: { name: plugin.name, version: plugin.version } };
}

const underWayMax = 100;

export function steering(options: SteeringOptions): readonly (readonly [string, Operation])[] {
  return [
    ...looks(options),
    ...settings(options),
    ["setCircuit", change((call) => setCircuit(options, call))],
    ["pause", change(() => pauseOrResume(options, true))],
    ["resume", change(() => pauseOrResume(options, false))],
    ["drain", change((call) => drain(options, call))],
  ];
}

function looks(options: SteeringOptions): readonly (readonly [string, Operation])[] {
  const { worker, history, skills, audit } = options;
  const policies = (): PoliciesView => worker.policies.view();
  return [
    ["getWorker", read(() => ({ body: workerBody(options) }))],
    ["getCaller", read(({ caller: { who, role, tenants } }) => ({ body: { who, role, tenants: tenants === undefined ? null : [...tenants] } }))],
    ["getHistory", read(({ query }) => ({ body: history.since(Number(query["after"] ?? 0)) }))],
    ["listSkills", read(({ caller }) => ({ body: caller.tenants === undefined ? skills : skills.map(withoutPlaces) }))],
    ["listUnderWay", read(({ query, caller }) => ({ body: worker.underWay(Number(query["limit"] ?? underWayMax), caller.tenants) }))],
    ["listBulkheads", read(() => ({ body: policies().dependencies.map(bulkheadBody) }))],
    ["listCircuits", read(() => ({ body: policies().dependencies.map(circuitBody) }))],
    ["listLimits", read(() => ({ body: policies().limits }))],
    ["listAudit", read(() => ({ body: audit.list() }))],
  ];
}

function workerBody({ workerId, worker, threads, backlog, life, nowMs }: SteeringOptions): object {
  const view = worker.view();
  const now = life();
  const health = ({ isWell, why }: Health): object => ({ isWell, why });
  const { gates: _gates, storeSuspect, ...rest } = view;
  return {
    ...rest,
    worker: workerId,
    at: new Date(nowMs()).toISOString(),
    phase: now.phase,
    live: health(liveness(now)),
    ready: health(readiness(now, view)),
    threadsConfigured: threads,
    backlog: backlog.depths().map(([source, depth]) => ({ source, ...depth })),
    storeSuspect: reportSuspects(storeSuspect, nowMs()),
  };
}

type DependencyView = PoliciesView["dependencies"][number];

function bulkheadBody({ dependency, bulkhead, adaptive }: DependencyView): object {
  const { policy, ...state } = bulkhead;
  return { dependency, ...state, settings: policy, ...(adaptive === undefined ? {} : { adaptive }) };
}

function circuitBody({ dependency, circuit }: DependencyView): object {
  return { dependency, ...circuit };
}

/** Names a state of settings. */
export function etagOf(value: unknown): string {
  return `"${createHash("sha256").update(JSON.stringify(value)).digest("base64url").slice(0, 22)}"`;
}

/** A setting: read with its ETag, changed under that alone, so that nobody undoes what he has not seen. */
interface Setting {
  readonly target: (call: Call) => string;
  value(call: Call): unknown;
  /** May throw `RangeError`, and changes nothing then. */
  apply(call: Call, changes: Readonly<Record<string, unknown>>): void;
}

function settings({ worker: { policies }, logLevel }: SteeringOptions): readonly (readonly [string, Operation])[] {
  const view = (): PoliciesView => policies.view();
  const dependency = ({ params }: Call): string => params["dependency"] ?? "";
  const whole = (): string => "";
  return [
    ...setting("Bulkhead", {
      target: dependency,
      value: (call) => dependencyOf(view(), dependency(call)).bulkhead.policy,
      apply: (call, changes) => policies.changeBulkhead(dependency(call), changes),
    }),
    ...setting("Limit", {
      target: (call) => `${dependency(call)} by ${call.params["by"] ?? ""}`,
      value: (call) => limitOf(view(), call).policy,
      apply: (call, changes) => policies.changeLimit(dependency(call), scopeOf(call), changes),
    }),
    ...setting("RetryBudget", { target: whole, value: () => view().retryBudget.policy, apply: (_call, changes) => policies.changeRetryBudget(changes) }),
    ...setting("LoadShedding", { target: whole, value: () => view().loadShedding.policy, apply: (_call, changes) => policies.changeLoadShedding(changes) }),
    ...setting("LatencyWatch", { target: whole, value: () => view().latency.policy, apply: (_call, changes) => policies.changeLatencyWatch(changes) }),
    ...setting("LogLevel", { target: whole, value: () => ({ level: logLevel.get() }), apply: (_call, changes) => logLevel.set(changes["level"] as LogLevel) }),
  ];
}

function setting(name: string, one: Setting): readonly (readonly [string, Operation])[] {
  const shown = (call: Call): { readonly body: unknown; readonly etag: string } => {
    const value = one.value(call);
    return { body: value, etag: etagOf(value) };
  };
  const applied = (call: Call): Changed => {
    const before = shown(call);
    if (call.ifMatch === undefined) throw new Problem("needs-if-match", "expected If-Match with the ETag that a read of this setting gave");
    if (call.ifMatch !== before.etag)
      throw new Problem("changed-meanwhile", `expected If-Match to name the state as it is, which is ${before.etag}; read it again`);
    const { reason: _reason, ...changes } = call.body;
    refusing(() => one.apply(call, changes));
    const after = shown(call);
    return { ...after, target: one.target(call), before: before.body, after: after.body };
  };
  return [
    [`get${name}`, read(shown)],
    [`change${name}`, change(applied)],
  ];
}

/** What the configuration would refuse. */
function refusing(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (error instanceof RangeError) throw new Problem("bad-request", error.message);
    throw error;
  }
}

function dependencyOf({ dependencies }: PoliciesView, name: string): DependencyView {
  const found = dependencies.find(({ dependency }) => dependency === name);
  if (found === undefined)
    throw new Problem("not-found", `expected one of ${dependencies.map(({ dependency }) => dependency).join(", ") || "no dependencies"}, found '${name}'`);
  return found;
}

function scopeOf({ params }: Call): LimitScope | undefined {
  return params["by"] === "all" ? undefined : (params["by"] as LimitScope);
}

function limitOf(view: PoliciesView, call: Call): PoliciesView["limits"][number] {
  const name = call.params["dependency"] ?? "";
  const found = view.limits.find(({ dependency, policy }) => dependency === name && policy.by === scopeOf(call));
  if (found === undefined) throw new Problem("not-found", `expected a limit of '${name}' by '${call.params["by"] ?? ""}', found none`);
  return found;
}

function setCircuit({ worker: { policies } }: SteeringOptions, { params, body }: Call): Changed {
  const target = params["dependency"] ?? "";
  const now = (): object => circuitBody(dependencyOf(policies.view(), target));
  const before = now();
  switch (body["state"] as "closed" | "open" | "isolated") {
    case "closed":
      policies.closeCircuit(target);
      break;
    case "open":
      policies.openCircuit(target);
      break;
    case "isolated":
      policies.isolateCircuit(target);
      break;
  }
  const after = now();
  return { body: after, target, before, after };
}

function pauseOrResume({ worker, life }: SteeringOptions, pauses: boolean): Changed {
  if (life().phase !== "running") throw new Problem("conflict", `expected a worker that runs, found one that is ${life().phase}`);
  const before = { isPaused: worker.view().isPaused };
  if (pauses) worker.pause();
  else worker.resume();
  const after = { isPaused: pauses };
  return { body: after, target: "", before, after };
}

/** Whoever has the wrong worker before him ends none. */
function drain({ workerId, worker, life, drain: stop }: SteeringOptions, { body }: Call): Changed {
  if (body["worker"] !== workerId) throw new Problem("conflict", `expected worker to name this one, '${workerId}', found '${String(body["worker"])}'`);
  const before = { phase: life().phase, inFlight: worker.view().inFlight };
  stop(String(body["reason"]));
  const after = { phase: life().phase };
  return { status: 202, body: after, target: workerId, before, after };
}
