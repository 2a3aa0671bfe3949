/** Calls of the API that serves this page. A token is kept for the tab alone. */

export interface Health {
  readonly isWell: boolean;
  readonly why: readonly string[];
}

/** A skill's runs, or a dependency's calls. */
interface Slow {
  readonly skill?: string;
  readonly dependency?: string;
  readonly state: string;
}

export interface Worker {
  readonly worker: string;
  readonly phase: "starting" | "running" | "stopping";
  readonly ready: Health;
  readonly live: Health;
  readonly inFlight: number;
  readonly executing: number;
  readonly isPaused: boolean;
  readonly threadsConfigured: number;
  readonly threads: { readonly stuck: number; readonly leaked: number; readonly missing: number };
  readonly sources: readonly { readonly source: string; readonly held: number; readonly trouble?: string }[];
  readonly backlog: readonly { readonly active: number; readonly scheduled: number; readonly deadLettered: number }[];
  readonly intake: readonly {
    readonly source: string;
    readonly skill: string;
    readonly held: number;
    readonly window: number;
    readonly boundBy: "rate" | "memory" | "bulkhead" | "limit" | "order" | "ceiling";
    readonly running: number;
    readonly concurrentMax: number;
    readonly waiting: number;
    readonly stillMs: number;
    readonly isStill: boolean;
    readonly behind: readonly string[];
  }[];
  readonly loadShedding: { readonly isActive: boolean; readonly why?: string };
  readonly latency: { readonly skills: readonly Slow[]; readonly dependencies: readonly Slow[] };
  readonly storeSuspect: readonly { readonly why: string }[];
  readonly retryBudget: { readonly left: number };
}

export interface Point {
  readonly atMs: number;
  readonly completed: number;
  readonly duplicates: number;
  readonly deadLettered: number;
  readonly retried: number;
  readonly postponed: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly lagMs: number;
  readonly held: number;
  readonly executing: number;
}

export interface Bulkhead {
  readonly dependency: string;
  readonly inUse: number;
  readonly waiting: number;
  readonly laneMax: number;
  readonly settings: { readonly concurrentMax: number; readonly queueMax: number };
}

export interface Circuit {
  readonly dependency: string;
  readonly state: "closed" | "open" | "half-open" | "isolated";
  readonly failures: number;
  readonly calls: number;
  readonly opensInMs: number;
}

export interface Limit {
  readonly dependency: string;
  readonly policy: { readonly by?: string; readonly requestsPerMinute?: number; readonly tokensPerMinute?: number };
  readonly waiting: number;
  readonly usedUp: readonly { readonly key: string; readonly waiting: number; readonly forMs: number }[];
  readonly postponed: number;
}

export interface UnderWay {
  readonly eventId: string;
  readonly skill: string;
  readonly stage: string;
  readonly attempt: number;
  readonly enqueuedAtMs: number;
  readonly waitedFor: string;
  readonly steps: readonly { readonly name: string; readonly state: string }[];
}

export interface LetterGroup {
  readonly fingerprint: string;
  readonly count: number;
  readonly last: string;
  readonly eventTypes: readonly string[];
  readonly example: {
    readonly source: string;
    readonly eventId: string;
    readonly reason: string;
    readonly class: string;
    readonly code: string;
    readonly skill: string;
    readonly description: string;
  };
}

export interface Replay {
  readonly id: string;
  readonly fingerprint: string;
  readonly state: string;
  readonly letters: number;
  readonly replayed: number;
  readonly completed: number;
  readonly failed: number;
  readonly why: string;
  readonly trouble: string;
}

export interface Probe {
  readonly id: string;
  readonly source: string;
  readonly sentAt: string;
  readonly state: "under-way" | "completed" | "passed-by" | "failed" | "timed-out";
  readonly why: string;
  readonly criticalMs: number | null;
  readonly stagesMs: Readonly<Partial<Record<"send" | "queue" | "claim" | "run" | "settle", number>>>;
}

export interface Caller {
  readonly who: string;
  readonly role: "viewer" | "operator" | "admin";
  /** Null for all. */
  readonly tenants: readonly string[] | null;
}

/** All that the page offers to change wants an operator. */
export function mayChange({ role }: Caller): boolean {
  return role !== "viewer";
}

export interface FleetWorker {
  readonly name: string;
  readonly version: string;
  readonly since: string;
  readonly state: "not-ready" | "draining" | "paused" | "ready";
  readonly why: readonly string[];
  readonly completedPerSecond: number;
  readonly deadLettersPerMinute: number;
  readonly lagMs: number;
  readonly inFlight: number;
  readonly executing: number;
  readonly threads: number;
  readonly circuitsOpen: readonly string[];
  readonly adminUrl: string | null;
  readonly isThisOne: boolean;
}

/** The workers of the pool. */
export interface Fleet {
  readonly workers: readonly FleetWorker[];
  readonly trouble: string;
}

export interface Explanation {
  readonly source: string;
  readonly eventId: string;
  readonly skill: string;
  readonly state: string;
  readonly story: readonly { readonly at: string; readonly source: string; readonly text: string }[];
  readonly now: string;
  readonly until: string | null;
}

/** What the server says when it refuses. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

const tokenKey = "holdfast-token";

export function keepToken(token: string): void {
  sessionStorage.setItem(tokenKey, token);
}

async function ask(method: string, path: string, body?: object): Promise<unknown> {
  const token = sessionStorage.getItem(tokenKey);
  const headers = new Headers();
  if (token !== null) headers.set("authorization", `Bearer ${token}`);
  if (body !== undefined) headers.set("content-type", "application/json");
  const response = await fetch(`/api/v1${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const answer = (await response.json()) as { readonly detail?: string };
  if (!response.ok) throw new Refusal(response.status, answer.detail ?? `HTTP ${response.status}`);
  return answer;
}

export async function get<Answer>(path: string): Promise<Answer> {
  return (await ask("GET", path)) as Answer;
}

export async function change(method: "POST" | "PUT", path: string, body: object): Promise<void> {
  await ask(method, path, body);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
