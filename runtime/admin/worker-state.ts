/** What a worker's state means, for who looks at it from outside. */
import type { WorkerView } from "../pipeline/worker-view.ts";
import type { IntakeView } from "../pipeline/intake-watch.ts";
import type { LatenciesView } from "../pipeline/latency.ts";
import type { SourceView } from "../pipeline/source-pipelines.ts";
import type { LoadSheddingView } from "../policy/load-shedding.ts";
import type { DoubtView } from "../policy/store-doubt.ts";

/** Why it takes no new messages, though it lives; empty when it does. */
export function waitsFor({
  storeUp,
  threadsReady,
  memory,
  loop,
  credentials,
  rebuiltInVain,
  sources,
}: Pick<WorkerView, "storeUp" | "threadsReady" | "memory" | "loop" | "credentials" | "rebuiltInVain" | "sources">): readonly string[] {
  return [
    ...(storeUp ? [] : ["the store"]),
    ...(threadsReady ? [] : ["skill threads"]),
    ...(memory === "short" ? ["memory"] : []),
    ...(loop === "short" ? ["the event loop"] : []),
    // One receiver that was replaced may have been what was silent.
    ...(rebuiltInVain > 1 ? ["the broker"] : []),
    ...(sources.every(({ trouble }) => trouble !== undefined) ? ["a source that can be read"] : []),
    ...credentials.filter(({ isEnding }) => isEnding).map(({ login }) => `a new token for ${login}`),
  ];
}

/** What it gives back because others are more important; null while it gives back nothing. */
export function reportShedding({ isActive, why, queueAgeMs, shed }: LoadSheddingView): object | null {
  return isActive ? { why, queueAgeMs: Math.round(queueAgeMs), shed } : null;
}

/** What it holds, by source and skill, and what keeps it from taking more; of those that it holds something of. */
export function reportIntake(views: readonly IntakeView[]): readonly object[] {
  return views.filter(({ held }) => held > 0).map((view) => ({ ...view, loopUse: Math.round(view.loopUse * 100) / 100 }));
}

/** How the sessions of each source stand that has some. */
export function reportSessions(sources: readonly SourceView[]): readonly object[] {
  return sources.flatMap(({ source, sessions }) => (sessions === undefined ? [] : [{ source, ...sessions }]));
}

/** Skills whose runs, and dependencies whose calls, take longer than usual. */
export function reportLatency({ skills, dependencies }: LatenciesView): readonly object[] {
  return [...skills, ...dependencies].filter(({ state }) => state === "slow" || state === "very-slow");
}

/** Since when, until when and why events are handled with care because the store may have lost what it knew of them. */
export interface SuspectReport {
  readonly why: string;
  readonly since: string;
  readonly until: string;
  /** Parts of the store that it is about. */
  readonly parts: number;
}

const reasons: Readonly<Record<DoubtView["scope"], string>> = {
  all: "records were lost: events from before then may have been executed",
  redelivered: "the store was restarted or failed over and kept what could be looked for: only redelivered messages from before then are in doubt",
};

export function reportSuspects(views: readonly DoubtView[], nowMs: number): readonly SuspectReport[] {
  return views.map(({ scope, lostAgoMs, forMs, parts }) => ({
    why: reasons[scope],
    since: new Date(nowMs - lostAgoMs).toISOString(),
    until: new Date(nowMs + forMs).toISOString(),
    parts,
  }));
}
