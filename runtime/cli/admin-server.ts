/** The admin server of a worker, put together. */
import { hostname } from "node:os";
import type { Logger } from "pino";
import { systemClock } from "../adapters/system/clock.ts";
import { auditLog } from "../adapters/telemetry/log.ts";
import type { Metrics } from "../adapters/telemetry/metrics/metrics.ts";
import { Audit } from "../admin/audit.ts";
import { events } from "../admin/events.ts";
import { History } from "../admin/history.ts";
import { type Life, liveness, readiness, startup } from "../admin/probes.ts";
import { Scaling } from "../admin/scaling.ts";
import { AdminServer } from "../admin/server.ts";
import { type LogLevel, steering } from "../admin/steering.ts";
import { composeBacklog, metricsText } from "../compose/metrics-text.ts";
import type { ComposedWorker } from "../compose/worker.ts";
import type { Config } from "../core/config.ts";
import { type AdminSettings, isLoopback } from "../core/config/admin.ts";
import type { MetricSample } from "../core/metric-catalogue.ts";
import type { WorkerView } from "../pipeline/worker-view.ts";
import { AdminEvents } from "./admin-events.ts";
import { openProbes } from "./admin-probes.ts";

export interface AdminParts extends Pick<ComposedWorker, "worker" | "workerId" | "metrics" | "skills" | "threads" | "publisher" | "probes" | "fleet"> {
  readonly logger: Logger;
  readonly life: () => Life;
  /** Has the worker stop; answers at once. */
  readonly drain: (reason: string) => void;
}

export interface OpenAdmin {
  /** Where it listens. */
  readonly url: string;
  /** The page's curves begin now. */
  beginHistory(): void;
  stop(): Promise<void>;
}

type Parts = AdminParts & { readonly metrics: Metrics };

export async function openServer(config: Config & { readonly admin: AdminSettings }, directory: string, parts: Parts): Promise<OpenAdmin> {
  const { worker, metrics, logger, life } = parts;
  const nowMs = (): number => Date.now();
  const monotonicMs = (): number => systemClock.monotonicMs();
  const view = (): WorkerView => worker.view();
  const audit = new Audit(auditLog(logger));
  const history = new History({ view, totals: () => metrics.totals(), nowMs });
  const backlog = composeBacklog(config);
  const scaling = new Scaling({
    policy: config.admin.scaling,
    view,
    policies: () => worker.policies.view(),
    skills: parts.skills.map(({ name, uses }) => ({ name, uses })),
    backlog,
    monotonicMs,
  });
  const doors = new AdminEvents(config, directory);
  const probes = openProbes(config.sources, config.admin, parts, doors);
  const logLevel = { get: () => logger.level as LogLevel, set: (level: LogLevel) => void (logger.level = level) };
  const server = new AdminServer({
    settings: config.admin,
    operations: new Map([
      ...steering({ ...parts, audit, history, backlog, logLevel, nowMs }),
      ...scaling.operations(),
      ...probes.operations(),
      ...parts.fleet.operations(),
      ...events(doors),
    ]),
    audit,
    metrics: {
      contentType: metrics.contentType,
      text: () => metricsText(parts, backlog, [...scaling.samples(), ...probes.samples(), ...changesOf(audit)]),
    },
    answered: (operation, durationMs) => metrics.answered(operation, durationMs),
    live: () => liveness(life()),
    ready: () => readiness(life(), view()),
    startup: () => startup(life()),
    failed: (error, operation) => logger.error({ err: error, operation }, "an admin call failed"),
    monotonicMs,
    nowMs,
  });
  const url = await server.start();
  if (!isLoopback(config.admin.host)) parts.fleet.servesAt(reachedAt(url));
  history.start();
  scaling.start();
  probes.start();
  logger.info({ type: "admin", url }, `admin server on ${url}`);
  return {
    url,
    beginHistory: () => history.begin(),
    stop: async () => {
      history.stop();
      scaling.stop();
      await probes.stop();
      await server.stop();
      await doors.stop();
    },
  };
}

/** By the name of the machine, where it listens on all of its addresses. */
function reachedAt(url: string): string {
  const place = new URL(url);
  if (place.hostname === "0.0.0.0" || place.hostname === "[::]") place.hostname = hostname();
  return place.origin;
}

function changesOf(audit: Audit): readonly MetricSample[] {
  return audit.counts().map(({ operation, result, count }) => ({ name: "holdfast_admin_changes_total", labels: { operation, result }, value: count }));
}
