/** Where a worker reports what happens: its log, counts, and the summary of a minute. */
import { hostname } from "node:os";
import type { Logger } from "pino";
import { systemClock } from "../adapters/system/clock.ts";
import type { ThreadsExecutorOptions } from "../adapters/threads/thread-options.ts";
import { beforeEnd } from "../adapters/threads/end-process.ts";
import { ownVersion } from "../adapters/system/version.ts";
import { EventLog, createLogger, teeTelemetry, writeSkillLog } from "../adapters/telemetry/log.ts";
import type { Metrics } from "../adapters/telemetry/metrics/metrics.ts";
import type { SkillRegistry } from "../skills/host/registry.ts";
import type { LogExport, LogExportOptions } from "../adapters/telemetry/logs/exporter.ts";
import { exportQueueOf, exportsLogs, exportsTraces, protocolOf, samplerOf } from "../adapters/telemetry/otlp/environment.ts";
import type { TraceExport, TraceExportOptions } from "../adapters/telemetry/traces/exporter.ts";
import { PlatformEvents } from "../adapters/telemetry/platform-events.ts";
import { ProbeTelemetry } from "../adapters/telemetry/probes.ts";
import { Statistics } from "../adapters/telemetry/statistics.ts";
import { Summaries } from "../adapters/telemetry/summary.ts";
import { ProbeReports } from "../admin/probe-reports.ts";
import type { Config } from "../core/config.ts";
import { consumerName, firstSource } from "../core/config/sources.ts";
import type { SamplingPolicy } from "../core/spans.ts";
import type { CredentialNews } from "../core/credential-news.ts";
import type { PoolBoard } from "../ports/pool-board.ts";
import { leastLevel } from "../skills/host/run-log.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { RecoveryQueue } from "../ports/recovery-queue.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Escalations } from "../recovery/escalations.ts";
import { composeEscalations } from "./escalation.ts";

export interface ComposedTelemetry {
  readonly telemetry: Telemetry;
  /** Undefined where none are configured. */
  readonly escalations: Escalations | undefined;
  readonly platform: PlatformEvents | undefined;
  readonly statistics: Statistics;
  /** Since the last one was taken. */
  readonly summaries: Summaries;
  readonly logger: Logger;
  /** How probes end that are sent from here. */
  readonly probes: ProbeReports;
  /** Gets the lines of the log, too, where it is exported; stopped behind the last of them, by what runs the worker. */
  readonly exported: LogExport | undefined;
}

/** Parts of the worker that reports go through. */
export interface ReportingParts {
  readonly workerId: string;
  readonly publisher: Publisher;
  readonly queue: RecoveryQueue | undefined;
  readonly board: PoolBoard;
  /** Hears what becomes of the tokens of logins. */
  readonly heard: (news: CredentialNews) => void;
  readonly metrics: Metrics | undefined;
  /** Hears everything, too. */
  readonly telemetry?: Telemetry | undefined;
  /** Gets the lines of the log, too. */
  readonly exported?: LogExport | undefined;
  /** Gets the lines of the log, in place of standard error. */
  readonly log?: ((line: string) => void) | undefined;
  /** The process, and so its end, is somebody else's. */
  readonly isEmbedded?: boolean | undefined;
}

/** Undefined where nobody can ask for them; their library is not loaded then. */
export async function composeMetrics(
  isWanted: boolean,
  { skills, dependencies }: Pick<SkillRegistry, "skills" | "dependencies">,
): Promise<Metrics | undefined> {
  if (!isWanted) return undefined;
  const loaded = await import("../adapters/telemetry/metrics/metrics.ts");
  const metrics = new loaded.Metrics();
  metrics.expect({ skills: skills.map(({ name }) => name), dependencies: dependencies.map(({ name }) => name) });
  return metrics;
}

export interface ComposedTraces {
  readonly policy: SamplingPolicy;
  /** Called once there is somebody to tell of what could not be exported. */
  start(workerId: string, lost: TraceExportOptions["lost"]): TraceExport;
}

const ratioDefault = 0.01;

/** Undefined where nothing says that traces are exported; nothing is loaded for them then. */
export async function composeTraces({ traces }: Config, environment: NodeJS.ProcessEnv): Promise<ComposedTraces | undefined> {
  if (!exportsTraces(environment)) return undefined;
  const sampler = samplerOf(environment);
  const queue = exportQueueOf(environment, "TRACES");
  const { TraceExport, loadExporter, originOf } = await import("../adapters/telemetry/traces/exporter.ts");
  const open = await loadExporter(protocolOf(environment, "TRACES"));
  const { ratio = sampler.ratio ?? ratioDefault, followParent = sampler.followParent ?? true, slowMs } = traces;
  return {
    policy: { ratio, followParent, slowMs },
    start: (workerId, lost) => {
      const exporter = open(originOf(describeWorker(workerId), ownVersion()));
      return new TraceExport({ ...queue, clock: systemClock, exporter, lost });
    },
  };
}

/** For whoever gets what it exports. */
function describeWorker(workerId: string): Readonly<Record<string, string>> {
  return { "service.name": "holdfast", "service.version": ownVersion(), "service.instance.id": workerId, "host.name": hostname() };
}

/** Undefined where nothing says that the log is exported; nothing is loaded for it then. */
export async function composeLogExport(environment: NodeJS.ProcessEnv, workerId: string, lost: LogExportOptions["lost"]): Promise<LogExport | undefined> {
  if (!exportsLogs(environment)) return undefined;
  const queue = exportQueueOf(environment, "LOGS");
  const [{ LogExport, openLogExporter }, { resourceOf }] = await Promise.all([
    import("../adapters/telemetry/logs/exporter.ts"),
    import("../adapters/telemetry/traces/exporter.ts"),
  ]);
  const exporter = await openLogExporter(protocolOf(environment, "LOGS"));
  return new LogExport({ ...queue, clock: systemClock, exporter, resource: resourceOf(describeWorker(workerId)), version: ownVersion(), lost });
}

/** What takes the lines of skills, and the number of the least level that they have, as it is from now on, for their threads to read. */
export function skillLines(logger: Logger): Required<Pick<ThreadsExecutorOptions, "log" | "logLevel">> {
  const logLevel = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const least = new Int32Array(logLevel);
  const tell = (level: string): unknown => Atomics.store(least, 0, leastLevel(level));
  tell(logger.level);
  logger.on("level-change", tell);
  return { log: (lines) => writeSkillLog(logger, lines), logLevel };
}

export function composeTelemetry(config: Config, directory: string, parts: ReportingParts): ComposedTelemetry {
  const { workerId, publisher, queue, board, heard, metrics, telemetry, log, exported } = parts;
  const format = config.logFormat ?? (log === undefined && process.stderr.isTTY ? "pretty" : "json");
  const logger = createLogger({
    level: config.logLevel,
    format,
    worker: workerId,
    host: hostname(),
    write: log,
    also: exported && ((line) => exported.take([line])),
  });
  if (parts.isEmbedded !== true) {
    beforeEnd(() => new Promise<void>((resolve) => logger.flush(() => resolve())));
    if (exported !== undefined) beforeEnd(() => exported.stop());
  }
  const statistics = new Statistics();
  const summaries = new Summaries();
  const here = teeTelemetry([statistics, summaries, new EventLog(logger, systemClock), ...[metrics, telemetry].filter((one) => one !== undefined)]);
  const platform = composePlatformEvents(config, workerId, publisher, here);
  const reported = platform === undefined ? here : teeTelemetry([here, platform]);
  const escalations = composeEscalations(config, directory, { queue, publisher, workerId, telemetry: reported, heard });
  const others = escalations === undefined ? reported : teeTelemetry([reported, escalations]);
  const probes = new ProbeReports(board);
  return {
    telemetry: new ProbeTelemetry({ clock: systemClock, workerId, others, ended: (report) => probes.ended(report) }),
    probes,
    escalations,
    platform,
    statistics,
    summaries,
    logger,
    exported,
  };
}

function composePlatformEvents(config: Config, workerId: string, publisher: Publisher, telemetry: Telemetry): PlatformEvents | undefined {
  const { platformEvents } = config;
  if (platformEvents === undefined) return undefined;
  const { include, ...options } = platformEvents;
  return new PlatformEvents({
    ...options,
    ...(include === undefined ? {} : { include: new Set(include) }),
    clock: systemClock,
    publisher,
    consumer: consumerName(firstSource(config)),
    workerId,
    lost: (event) => telemetry.emit(event),
  });
}
