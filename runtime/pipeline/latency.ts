/**
 * The watchdog of how long things take: each skill's runs against what is usual for them. What is slow is told, and its messages are
 * taken more carefully: more runs at once of what slows down under load only make it slower.
 */
import type { Clock } from "../core/clock.ts";
import type { LatencyWatchPolicy } from "../core/latency-watch.ts";
import type { LatencyState, LatencyView, LatencyWatch } from "../policy/latency-watch.ts";
import type { WindowGrowth } from "../policy/intake-window.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Intake } from "./intake.ts";

const growths: Readonly<Record<LatencyState, WindowGrowth>> = { learning: "free", usual: "free", slow: "careful", "very-slow": "none" };

export interface SkillLatency extends LatencyView {
  readonly skill: string;
}

export interface LatenciesView {
  readonly policy: LatencyWatchPolicy;
  readonly skills: readonly SkillLatency[];
}

export interface LatencyOptions {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly intake: Intake;
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
    const nowMs = this.#options.clock.monotonicMs();
    for (const { skill, latency, windows } of this.#options.intake.skills()) {
      const isNew = latency.look(nowMs, this.#policy);
      for (const window of windows) window.growth = this.#policy.action === "hold-back" ? growths[latency.state] : "free";
      if (isNew) this.#tell(skill.name, latency);
    }
  }

  change(changes: Partial<LatencyWatchPolicy>): void {
    this.#policy = { ...this.#policy, ...changes };
    this.look();
  }

  view(): LatenciesView {
    return { policy: this.#policy, skills: this.#options.intake.skills().map(({ skill, latency }) => ({ skill: skill.name, ...latency.view() })) };
  }

  #tell(skill: string, latency: LatencyWatch): void {
    const { state, recentMs = 0, usualMs = 0 } = latency.view();
    this.#options.telemetry.emit({
      type: "latency.drifted",
      skill,
      state: state === "learning" ? "usual" : state,
      latencyMs: rounded(recentMs),
      usualMs: rounded(usualMs),
    });
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
