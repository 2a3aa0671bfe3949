/** Looks once a second at what says how many workers the pool should have. */
import type { MetricSample } from "../core/metric-catalogue.ts";
import type { PoliciesView } from "../pipeline/policies.ts";
import type { WorkerView } from "../pipeline/worker-view.ts";
import { bottleneckKinds, ScaleAdvice, type ScaleFacts, type ScalePolicy, type ScaleView, type SkillLoad } from "../policy/scale-advice.ts";
import type { Backlog } from "./backlog.ts";
import { type Operation, read } from "./operations.ts";
import { waitsFor } from "./worker-state.ts";

export interface ScalingOptions {
  readonly policy: ScalePolicy;
  readonly view: () => WorkerView;
  readonly policies: () => PoliciesView;
  /** With the dependencies that each uses, by name. */
  readonly skills: readonly { readonly name: string; readonly uses: readonly string[] }[];
  readonly backlog: Backlog;
  readonly monotonicMs: () => number;
}

export const scalingEveryMs = 1_000;

export class Scaling {
  readonly #options: ScalingOptions;
  readonly #advice: ScaleAdvice;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ScalingOptions) {
    this.#options = options;
    this.#advice = new ScaleAdvice(options.policy);
  }

  start(): void {
    this.look();
    this.#timer = setInterval(() => this.look(), scalingEveryMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  look(): void {
    const { view, policies, skills, backlog, monotonicMs } = this.#options;
    this.#advice.look(scaleFacts(view(), policies(), skills, backlog.depths()), monotonicMs());
  }

  operations(): readonly (readonly [string, Operation])[] {
    return [["getScale", read(() => ({ body: bodyOf(this.#view()) }))]];
  }

  samples(): readonly MetricSample[] {
    const { forRuns, forBacklog, bottleneck, waitingWorkMs, safeConcurrency } = this.#view();
    return [
      { name: "holdfast_scale_workers", labels: { for: "runs" }, value: forRuns },
      { name: "holdfast_scale_workers", labels: { for: "backlog" }, value: forBacklog },
      { name: "holdfast_waiting_work_seconds", labels: {}, value: waitingWorkMs / 1_000 },
      { name: "holdfast_safe_concurrency", labels: {}, value: safeConcurrency },
      ...bottleneckKinds.map((kind): MetricSample => ({ name: "holdfast_bottleneck", labels: { bottleneck: kind }, value: Number(bottleneck.kind === kind) })),
    ];
  }

  #view(): ScaleView {
    if (this.#advice.view() === undefined) this.look();
    const view = this.#advice.view();
    if (view === undefined) throw new TypeError("expected an advice after a look, got none");
    return view;
  }
}

function bodyOf({ forRuns, forBacklog, bottleneck, waiting, waitingWorkMs, safeConcurrency }: ScaleView): object {
  const rounded = (value: number): number => Math.round(value * 1_000) / 1_000;
  return {
    forRuns: rounded(forRuns),
    forBacklog: rounded(forBacklog),
    bottleneck,
    waiting,
    waitingWorkSeconds: rounded(waitingWorkMs / 1_000),
    safeConcurrency: rounded(safeConcurrency),
    waitingOverConcurrencySeconds: rounded(waitingWorkMs / 1_000 / safeConcurrency),
  };
}

/** What of a worker's state matters for that. */
export function scaleFacts(view: WorkerView, policies: PoliciesView, skills: ScalingOptions["skills"], depths: ReturnType<Backlog["depths"]>): ScaleFacts {
  const waits = waitsFor(view);
  return {
    isReady: waits.length === 0 && !view.isPaused,
    isPaused: view.isPaused,
    storeUp: view.storeUp,
    brokerUp: !waits.includes("the broker") && view.sources.some(({ trouble }) => trouble === undefined),
    isShort: view.memory === "short" ? "memory" : view.loop === "short" ? "loop" : undefined,
    sessionsWait: view.sources.some(({ sessions }) => (sessions?.waiting ?? 0) > 0),
    queued: depths.length === 0 ? undefined : depths.reduce((sum, [, { active }]) => sum + active, 0),
    skills: skillLoads(view, skills),
    dependencies: policies.dependencies.map(({ dependency, bulkhead, circuit }) => ({
      dependency,
      inUse: bulkhead.inUse,
      slots: bulkhead.policy.concurrentMax,
      waiting: bulkhead.waiting,
      isShut: circuit.state === "open" || circuit.state === "isolated",
      waitingForLimit: policies.limits.reduce((sum, limit) => (limit.dependency === dependency ? sum + limit.waiting : sum), 0),
    })),
  };
}

/** Its intake has a line for each source that brings a skill's messages. */
function skillLoads({ intake, latency }: WorkerView, skills: ScalingOptions["skills"]): readonly SkillLoad[] {
  return skills.flatMap(({ name, uses }): SkillLoad[] => {
    const places = intake.filter(({ skill }) => skill === name);
    const [first] = places;
    if (first === undefined) return [];
    return [
      {
        skill: name,
        uses,
        held: places.reduce((sum, { held }) => sum + held, 0),
        running: first.running,
        concurrentMax: first.concurrentMax,
        runMs: latency.skills.find(({ skill }) => skill === name)?.recentMs,
      },
    ];
  });
}
