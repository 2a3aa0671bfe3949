// The admin server of a worker of the test's world: real HTTP, on a free port of loopback.
import { randomBytes } from "node:crypto";
import { createSqliteBoard } from "#runtime/adapters/sqlite/board.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { ProbeTelemetry } from "#runtime/adapters/telemetry/probes.ts";
import { Fleet } from "#runtime/admin/fleet.ts";
import { ProbeReports } from "#runtime/admin/probe-reports.ts";
import { Probes } from "#runtime/admin/probing.ts";
import { AdminServer } from "#runtime/admin/server.ts";
import { Audit, type AuditEntry } from "#runtime/admin/audit.ts";
import { Backlog } from "#runtime/admin/backlog.ts";
import { type EventDoors, events, type ReplayOrdered, type ReplayView, type RunChanged, type RunOrdered } from "#runtime/admin/events.ts";
import { History } from "#runtime/admin/history.ts";
import { type Life, liveness, readiness, startup } from "#runtime/admin/probes.ts";
import { samplesOf } from "#runtime/admin/samples.ts";
import { Scaling } from "#runtime/admin/scaling.ts";
import { type LogLevel, steering } from "#runtime/admin/steering.ts";
import { Metrics } from "#runtime/adapters/telemetry/metrics/metrics.ts";
import { type AdminConfig, adminSchema } from "#runtime/core/config/admin.ts";
import type { WorkerView } from "#runtime/pipeline/worker-view.ts";
import { queueName } from "#runtime/testing/world/model-broker.ts";
import { dependencyPolicy, type Process, skillPolicy, World } from "./pipeline-world.ts";

export const workerName = "worker-1";

/** Doors that open on what the test has put behind them. */
export class ScriptedEvents implements EventDoors {
  readonly ordered: ReplayOrdered[] = [];
  readonly runsChanged: RunOrdered[] = [];
  readonly known: ReplayView[] = [];

  runs(): Promise<object> {
    return Promise.resolve({ total: 1, states: { done: 1 }, runs: [{ eventId: "e1", state: "done", skill: "calls", eventType: "calls" }] });
  }

  run(_source: string | undefined, eventId: string): Promise<object | undefined> {
    return Promise.resolve(eventId === "order/4711" ? { eventId, state: "done", steps: [], history: [] } : undefined);
  }

  explain(_source: string | undefined, eventId: string): Promise<object | undefined> {
    const told = {
      source: "input",
      eventId,
      skill: "calls",
      eventType: "calls",
      state: "done",
      story: [{ at: "2026-03-01T12:00:00.000Z", source: "record", text: "done" }],
      now: "nothing",
      until: null,
    };
    return Promise.resolve(eventId === "order/4711" ? { ...told, isStuck: false, notLookedThrough: [] } : undefined);
  }

  changeRun(_source: string | undefined, order: RunOrdered): Promise<RunChanged> {
    this.runsChanged.push(order);
    return Promise.resolve({ eventId: order.eventId, was: "dead", did: "been replayed", dryRun: order.dryRun });
  }

  deadLetters(): Promise<readonly object[]> {
    const group = {
      fingerprint: "3fa2c1d4",
      count: 2,
      first: "2026-03-01T12:00:00.000Z",
      last: "2026-03-01T12:00:00.000Z",
      eventTypes: ["calls"],
      example: { source: queueName },
    };
    return Promise.resolve([group]);
  }

  replay(_source: string | undefined, order: ReplayOrdered): Promise<ReplayView> {
    this.ordered.push(order);
    const report = { fingerprint: order.group, state: "replaying", letters: order.expected, replayed: 0, completed: 0, failed: 0, why: "" } as const;
    const view: ReplayView = { id: `r${this.ordered.length}`, orderedAt: "2026-03-01T12:00:00.000Z", ...report, trouble: "" };
    this.known.push(view);
    return Promise.resolve(view);
  }

  replays(): readonly ReplayView[] {
    return this.known;
  }
}

export interface AdminWorld {
  readonly world: World;
  readonly process: Process;
  readonly url: string;
  readonly audit: AuditEntry[];
  readonly doors: ScriptedEvents;
  readonly drained: string[];
  readonly failures: unknown[];
  readonly history: History;
  life: Life;
  logLevel: LogLevel;
  /** Goes over what the worker says of itself. */
  seen: Partial<WorkerView>;
  /** Answers with the body as JSON, where it is. */
  call(method: string, path: string, options?: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }): Promise<Reply>;
  stop(): Promise<void>;
}

export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly headers: Headers;
  readonly text: string;
  /** Undefined where it is no JSON. */
  readonly json: unknown;
}

export async function startAdmin(config: AdminConfig = {}): Promise<AdminWorld> {
  const world = new World({
    skills: [skillPolicy("calls", { uses: [0] })],
    dependencies: [{ ...dependencyPolicy("api", { concurrentMax: 4, queueMax: 10 }), limits: [{ requestsPerMinute: 600 }] }],
  });
  const metrics = new Metrics();
  const boardStore = createSqliteRunStore({ consumer: queueName, retentionMs: 60_000, path: ":memory:", clock: world.clock });
  await boardStore.start();
  const board = createSqliteBoard(boardStore);
  const reports = new ProbeReports(board);
  const telemetry = new ProbeTelemetry({ clock: world.clock, workerId: workerName, others: metrics, ended: (report) => reports.ended(report) });
  const process = await world.start({ meter: metrics, furtherTelemetry: telemetry });
  const audited: AuditEntry[] = [];
  const audit = new Audit((entry) => audited.push(entry));
  const { worker, clock } = process;
  const nowMs = (): number => world.clock.wallMs();
  const history = new History({ view: () => worker.view(), totals: () => metrics.totals(), nowMs });
  const depth = { active: 7, scheduled: 2, deadLettered: 1 };
  const backlog = new Backlog({ sources: [queueName], read: () => Promise.resolve(depth), monotonicMs: () => clock.monotonicMs() });
  const doors = new ScriptedEvents();
  const seen = (): WorkerView => ({ ...worker.view(), ...admin.seen });
  const settings = adminSchema.parse({ port: 0, ...config });
  const scaling = new Scaling({
    policy: settings.scaling,
    view: seen,
    policies: () => worker.policies.view(),
    skills: [{ name: "calls", uses: ["api"] }],
    backlog,
    monotonicMs: () => clock.monotonicMs(),
  });
  const fleet = new Fleet({
    board,
    clock,
    workerId: workerName,
    host: "host",
    version: "1.0.0",
    threads: 1,
    view: seen,
    counts: () => metrics.totals(),
  });
  const probes = new Probes({
    secret: () => Promise.resolve("secret"),
    workerId: workerName,
    targets: [{ source: queueName, entity: queueName, asksForSession: false }],
    policy: settings.probes,
    clock,
    reports,
    randomId: (digits) => randomBytes(digits / 2).toString("hex"),
    send: (entity, message) => process.connection.send(entity, [message]),
    mayProbe: () => admin.life.phase === "running",
    look: () => Promise.resolve("it waits in the queue"),
    forget: () => Promise.resolve(),
    measured: (source, stagesMs) => metrics.probed(source, stagesMs),
    tell: () => undefined,
  });
  const server = new AdminServer({
    settings,
    operations: new Map([
      ...steering({
        workerId: workerName,
        worker,
        skills: [{ name: "calls", handles: [], uses: ["api"], plugin: { name: "p", version: "1.0.0", folder: "/srv/p", listedAs: "./p" } }],
        threads: 1,
        audit,
        history,
        backlog,
        logLevel: { get: () => admin.logLevel, set: (level) => (admin.logLevel = level) },
        life: () => admin.life,
        drain: (reason) => {
          admin.drained.push(reason);
          admin.life = { phase: "stopping", wornOut: undefined };
        },
        nowMs,
      }),
      ...scaling.operations(),
      ...probes.operations(),
      ...fleet.operations(),
      ...events(doors),
    ]),
    audit,
    metrics: {
      contentType: metrics.contentType,
      text: () =>
        metrics.text([...samplesOf(seen(), worker.policies.view(), { threads: 1, nowMs: nowMs(), backlog }), ...scaling.samples(), ...probes.samples()]),
    },
    answered: (operation, durationMs) => metrics.answered(operation, durationMs),
    live: () => liveness(admin.life),
    ready: () => readiness(admin.life, seen()),
    startup: () => startup(admin.life),
    failed: (error) => admin.failures.push(error),
    monotonicMs: () => clock.monotonicMs(),
    nowMs,
  });
  const url = await server.start();
  const admin: AdminWorld = {
    world,
    process,
    url,
    audit: audited,
    doors,
    drained: [],
    failures: [],
    history,
    life: { phase: "running", wornOut: undefined },
    logLevel: "info",
    seen: {},
    call: (method, path, options) => call(url, method, path, options),
    async stop() {
      await server.stop();
      await probes.stop();
      await boardStore.stop();
    },
  };
  return admin;
}

async function call(url: string, method: string, path: string, { body, headers = {} }: Parameters<AdminWorld["call"]>[2] = {}): Promise<Reply> {
  const sent = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
  const response = await fetch(`${url}${path}`, {
    method,
    ...sent,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
  });
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  return { status: response.status, type, headers: response.headers, text, json: type.includes("json") ? (JSON.parse(text) as unknown) : undefined };
}
