/** What becomes of probes is told to whoever sends them, and to nobody else: the log, the counts and the escalations are about events of others. */
import type { RuntimeEvent } from "../../core/catalogue.ts";
import type { Clock } from "../../core/clock.ts";
import { type ProbeReport, probeSkill } from "../../core/probe.ts";
import type { AboutEvent, AboutMessage, FinalOutcome, SettledRun, Telemetry } from "../../ports/telemetry.ts";

export interface ProbeTelemetryOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly workerId: string;
  /** Hears of everything else. */
  readonly others: Telemetry;
  /** A probe has ended here. */
  ended(report: ProbeReport): void;
}

/** Probes under way of which it is remembered why they were not run, or failed. */
const rememberedMax = 100;

export class ProbeTelemetry implements Telemetry {
  readonly #options: ProbeTelemetryOptions;
  readonly #failures = new Map<string, string>();
  /** Probes that are completed without having reached their skill, and why. */
  readonly #passedBy = new Map<string, string>();

  constructor(options: ProbeTelemetryOptions) {
    this.#options = options;
  }

  settled(outcome: FinalOutcome, skill: string, latencyMs: number, run: SettledRun): void {
    if (skill === probeSkill || (this.#passedBy.size > 0 && this.#passedBy.has(run.eventId))) this.#settled(outcome, latencyMs, run);
    else this.#options.others.settled(outcome, skill, latencyMs, run);
  }

  emit(event: RuntimeEvent, about?: AboutMessage | AboutEvent): void {
    const isOfProbe = about !== undefined && "delivery" in about && about.skillName === probeSkill;
    if (event.type === "probe.passed-by") remember(this.#passedBy, event.eventId, `${event.reason}: ${event.description}`);
    if (!isOfProbe) return this.#options.others.emit(event, about);
    if (event.type === "run.failed") remember(this.#failures, event.eventId, `${event.code}: ${event.description}`);
  }

  /** Whatever is not over goes on with another delivery or a copy, which is settled in its turn. */
  #settled(outcome: FinalOutcome, criticalMs: number, { eventId, consumer = "", cameMs = 0, claimedMs = 0, ranMs = 0 }: SettledRun): void {
    switch (outcome) {
      case "retried":
      case "postponed":
      case "released":
      case "dropped":
        return;
      case "completed":
      case "duplicate":
      case "dead-lettered":
        break;
    }
    const { clock, workerId } = this.#options;
    const nowMs = clock.monotonicMs();
    const between = (fromMs: number, toMs: number): number | undefined => (fromMs > 0 && toMs > 0 ? Math.max(0, toMs - fromMs) : undefined);
    const hereMs = between(cameMs, nowMs);
    const stages = {
      queue: hereMs === undefined ? undefined : Math.max(0, criticalMs - hereMs),
      claim: between(cameMs, claimedMs),
      run: between(claimedMs, ranMs),
      settle: between(ranMs, nowMs),
    };
    const stagesMs = Object.fromEntries(Object.entries(stages).filter(([, ms]) => ms !== undefined)) as ProbeReport["stagesMs"];
    const passedBy = this.#passedBy.get(eventId);
    const isFailed = outcome === "dead-lettered" && passedBy === undefined;
    const failure = isFailed ? (this.#failures.get(eventId) ?? "it was given up before it was run") : "";
    this.#failures.delete(eventId);
    this.#passedBy.delete(eventId);
    this.#options.ended({ eventId, consumer, by: workerId, failure, passedBy, criticalMs, stagesMs });
  }
}

function remember(known: Map<string, string>, eventId: string, why: string): void {
  known.set(eventId, why);
  const [oldest] = known.keys();
  if (known.size > rememberedMax && oldest !== undefined) known.delete(oldest);
}
