/** Where a worker reports what happens: its log, counts, and the summary of a minute. */
import { hostname } from "node:os";
import type { Logger } from "pino";
import { systemClock } from "../adapters/system/clock.ts";
import { EventLog, createLogger, teeTelemetry } from "../adapters/telemetry/log.ts";
import { Statistics } from "../adapters/telemetry/statistics.ts";
import { Summaries } from "../adapters/telemetry/summary.ts";
import type { Config } from "../core/config.ts";
import type { Telemetry } from "../ports/telemetry.ts";

export interface ComposedTelemetry {
  readonly telemetry: Telemetry;
  readonly statistics: Statistics;
  /** Since the last one was taken. */
  readonly summaries: Summaries;
  readonly logger: Logger;
}

export function composeTelemetry(config: Config, workerId: string): ComposedTelemetry {
  const format = config.logFormat ?? (process.stderr.isTTY ? "pretty" : "json");
  const logger = createLogger({ level: config.logLevel, format, worker: workerId, host: hostname() });
  const statistics = new Statistics();
  const summaries = new Summaries();
  return { telemetry: teeTelemetry([statistics, summaries, new EventLog(logger, systemClock)]), statistics, summaries, logger };
}
