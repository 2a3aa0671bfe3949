/** How far a run is, by its record. */
import { counted } from "../core/counted.ts";
import { compensationsOf, isOwnRecord, type Compensation, verdictAtMs, verdictOf, type Verdict } from "../core/compensation.ts";
import { lastDeath } from "../core/history.ts";
import type { RunKind, RunView, StepRecord } from "../core/run.ts";

export interface RunProgress {
  /** Steps of the skill in the order of their records. */
  readonly steps: readonly StepRecord[];
  readonly done: number;
  /** How many there are in all; undefined where the skill has them in its code and has not ended. */
  readonly of: number | undefined;
  /** Steps of the chain that are not recorded yet. */
  readonly ahead: readonly string[];
  /** Why it has failed for good, once it is compensated. */
  readonly verdict: Verdict | undefined;
  /** When that was; 0 while it has not. */
  readonly failedAtMs: number;
  readonly compensations: ReadonlyMap<string, Compensation>;
}

export function progressOf(view: Pick<RunView, "state" | "steps">, kind: RunKind | undefined): RunProgress {
  const steps = view.steps.filter((step) => !isOwnRecord(step));
  const recorded = new Set(steps.map(({ name }) => name));
  const chain = kind?.steps ?? [];
  const ahead = view.state === "done" ? [] : chain.filter((name) => !recorded.has(name));
  const isKnown = chain.length > 0 || view.state === "done";
  const done = steps.filter(({ state }) => state === "completed").length;
  return {
    steps,
    done,
    of: isKnown ? steps.length + ahead.length : undefined,
    ahead,
    verdict: verdictOf(view.steps),
    failedAtMs: verdictAtMs(view.steps) ?? 0,
    compensations: compensationsOf(view.steps),
  };
}

/** In words. */
export function progressText({ done, of }: Pick<RunProgress, "done" | "of">): string {
  if (of !== undefined) return `${done} of ${counted(of, "step")} done`;
  return `${counted(done, "step")} done; how many there are is known at the end`;
}

/** The skill of a run: by its kind, or where that is not known any more by what its record says of its last death; empty where nothing tells. */
export function skillOf({ history }: Pick<RunView, "history">, kind: RunKind | undefined): string {
  return kind?.skill ?? lastDeath(history)?.skill ?? "";
}

/** Who has claimed it: a worker. Its run there has a number of its own behind it. */
export function holderOf(token: string): string {
  return token.replace(/:\d+$/, "");
}
