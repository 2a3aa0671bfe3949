/**
 * When failures are escalated: at the `count`th that a rule counts within its window, and again only `repeatAfterMs` later. A failure
 * of a critical project is escalated at once. What is of one rule and agrees in the parts that the rule counts apart has one count.
 * Time is handed in, and never goes back: of two times the later counts.
 */
import { type EscalationPart, type EscalationRule, escalationParts, type Occurrence } from "../core/escalation.ts";

/** Counts of one rule; beyond them the one that was touched longest ago is forgotten, so that nobody can fill the memory with names. */
export const countsMax = 500;
const hourMs = 3_600_000;

export interface EscalationPolicyOptions {
  readonly rules: readonly EscalationRule[];
  readonly criticalProjects: ReadonlySet<string>;
  /** Escalations an hour, of all rules together. */
  readonly perHourMax: number;
}

/** A failure as a rule counts it. */
export interface Counted {
  readonly rule: EscalationRule;
  /** What is counted apart, such as `project=shop,code=HTTP_503`. */
  readonly counted: string;
  readonly critical: boolean;
  /** At how many within the window it escalates. */
  readonly needed: number;
}

/** A rule's threshold is reached by a failure. */
export interface Reached extends Pick<Counted, "rule" | "counted" | "critical"> {
  /** Within the window, this failure included. */
  readonly count: number;
  /** Since the last escalation of the same count, this failure included. */
  readonly sinceLast: number;
  /** `now`: it is escalated; `repeated`: the same was a short time ago; `held-back`: there were too many of others. */
  readonly due: "now" | "repeated" | "held-back";
}

interface Count {
  /** When the last ones happened, as many as the threshold; a ring. */
  readonly times: Float64Array;
  at: number;
  sinceLast: number;
  escalatedMs: number;
}

export class EscalationPolicy {
  readonly #options: EscalationPolicyOptions;
  readonly #counts: ReadonlyMap<EscalationRule, Map<string, Count>>;
  #left: number;
  #leftAtMs = Number.NEGATIVE_INFINITY;
  #latestMs = Number.NEGATIVE_INFINITY;

  constructor(options: EscalationPolicyOptions) {
    this.#options = options;
    this.#counts = new Map(options.rules.map((rule) => [rule, new Map<string, Count>()]));
    this.#left = options.perHourMax;
  }

  /** Whether any rule looks at failures like this one, as far as is known without its project and tenant. */
  mayConcern(occurrence: Omit<Occurrence, "tenant" | "project">): boolean {
    return this.#options.rules.some((rule) => matches(rule, occurrence));
  }

  get perHourMax(): number {
    return this.#options.perHourMax;
  }

  /** The rules that count this failure, and how each counts it. */
  concerned(occurrence: Occurrence): readonly Counted[] {
    const critical = this.#options.criticalProjects.has(occurrence.project);
    return this.#options.rules
      .filter((rule) => (rule.critical === undefined || rule.critical === critical) && matches(rule, occurrence))
      .map((rule) => ({ rule, counted: countedBy(rule, occurrence, critical), critical, needed: critical ? 1 : rule.threshold.count }));
  }

  /** Counts a failure here; undefined while the threshold is not reached. */
  count({ rule, counted, critical, needed }: Counted, nowHereMs: number): Reached | undefined {
    this.#latestMs = Math.max(this.#latestMs, nowHereMs);
    const nowMs = this.#latestMs;
    const counts = this.#counts.get(rule) as Map<string, Count>;
    const known = counts.get(counted) ?? newCount(rule);
    counts.delete(counted);
    if (counts.size >= countsMax) counts.delete(counts.keys().next().value ?? "");
    counts.set(counted, known);
    known.times[known.at] = nowMs;
    known.at = (known.at + 1) % known.times.length;
    known.sinceLast += 1;
    const count = known.times.reduce((sum, atMs) => (atMs > nowMs - rule.threshold.windowMs ? sum + 1 : sum), 0);
    if (count < needed) return undefined;
    const { sinceLast } = known;
    const due = nowMs < known.escalatedMs + rule.repeatAfterMs ? "repeated" : this.#spend(nowMs) ? "now" : "held-back";
    if (due === "now") {
      known.escalatedMs = nowMs;
      known.sinceLast = 0;
    }
    return { rule, counted, critical, count, sinceLast, due };
  }

  #spend(nowMs: number): boolean {
    const { perHourMax } = this.#options;
    const passedMs = Math.min(hourMs, nowMs - this.#leftAtMs);
    this.#left = Math.min(perHourMax, this.#left + (passedMs / hourMs) * perHourMax);
    this.#leftAtMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

function newCount({ threshold }: EscalationRule): Count {
  return { times: new Float64Array(threshold.count).fill(Number.NEGATIVE_INFINITY), at: 0, sinceLast: 0, escalatedMs: Number.NEGATIVE_INFINITY };
}

/** A part that is not known yet does not speak against it. */
function matches({ on, when }: EscalationRule, occurrence: Omit<Occurrence, "tenant" | "project"> & Partial<Occurrence>): boolean {
  if (on !== occurrence.on) return false;
  return escalationParts.every((part) => {
    const wanted = when[part];
    const value = occurrence[part];
    return wanted === undefined || value === undefined || wanted.some((one) => (one.endsWith("*") ? value.startsWith(one.slice(0, -1)) : one === value));
  });
}

/** A critical project is always counted apart: another's trouble must not keep its own quiet. */
function countedBy({ by }: EscalationRule, occurrence: Occurrence, critical: boolean): string {
  const parts: readonly EscalationPart[] = critical && !by.includes("project") ? ["project", ...by] : by;
  return parts.map((part) => `${part}=${occurrence[part]}`).join(",");
}
