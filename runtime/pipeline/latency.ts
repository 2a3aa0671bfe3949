/**
 * The watchdog of how long things take: each skill's runs, and each dependency's calls, against what is usual for them. What is slow is
 * told. A slow skill's messages are taken more carefully: more runs at once of what slows down under load only make it slower. Of a
 * slow dependency it is only told: runs that it slows down make their skills slow, which are held back for that; and how many use it at
 * once is the say of its adaptive limit, and whether at all that of its circuit, which both go by the same calls.
 */
import type { Clock } from "../core/clock.ts";
import type { LatencyWatchPolicy } from "../core/latency-watch.ts";
import type { LatencyState, LatencyView, LatencyWatch } from "../policy/latency-watch.ts";
import type { WindowGrowth } from "../policy/intake-window.ts";
import type { Admission } from "../policy/admission.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Intake } from "./intake.ts";
import type { Work } from "./work.ts";

const growths: Readonly<Record<LatencyState, WindowGrowth>> = { learning: "free", usual: "free", slow: "careful", "very-slow": "none" };

export interface SkillLatency extends LatencyView {
  readonly skill: string;
}

export interface DependencyLatency extends LatencyView {
  readonly dependency: string;
}

export interface LatenciesView {
  readonly policy: LatencyWatchPolicy;
  readonly skills: readonly SkillLatency[];
  readonly dependencies: readonly DependencyLatency[];
}

export interface LatencyOptions {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly intake: Intake;
  readonly admission: Pick<Admission<Work>, "latencies">;
  readonly policy: LatencyWatchPolicy;
}

export class Latency {
  readonly #options: LatencyOptions;
  #policy: LatencyWatchPolicy;

  constructor(options: LatencyOptions) {
    this.#options = options;
    this.#policy = options.policy;
  }

  /** Once a second. */
  look(): void {
    const { clock, intake, admission, telemetry } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const { skill, latency, windows } of intake.skills()) {
      const isNew = latency.look(nowMs, this.#policy);
      for (const window of windows) window.growth = this.#policy.action === "hold-back" ? growths[latency.state] : "free";
      if (isNew) telemetry.emit({ type: "latency.drifted", skill: skill.name, ...driftOf(latency) });
    }
    for (const { dependency, latency } of admission.latencies()) {
      if (latency.look(nowMs, this.#policy)) telemetry.emit({ type: "dependency.drifted", dependency, ...driftOf(latency) });
    }
  }

  change(changes: Partial<LatencyWatchPolicy>): void {
    this.#policy = { ...this.#policy, ...changes };
    this.look();
  }

  view(): LatenciesView {
    const { intake, admission } = this.#options;
    return {
      policy: this.#policy,
      skills: intake.skills().map(({ skill, latency }) => ({ skill: skill.name, ...latency.view() })),
      dependencies: admission.latencies().map(({ dependency, latency }) => ({ dependency, ...latency.view() })),
    };
  }
}

function driftOf(latency: LatencyWatch): { readonly state: Exclude<LatencyState, "learning">; readonly latencyMs: number; readonly usualMs: number } {
  const { state, recentMs = 0, usualMs = 0 } = latency.view();
  return { state: state === "learning" ? "usual" : state, latencyMs: rounded(recentMs), usualMs: rounded(usualMs) };
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
