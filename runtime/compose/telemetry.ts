/** Where a worker reports what happens: its log, counts, and the summary of a minute. */
import { hostname } from "node:os";
import type { Logger } from "pino";
import { systemClock } from "../adapters/system/clock.ts";
import { EventLog, createLogger, teeTelemetry } from "../adapters/telemetry/log.ts";
import { PlatformEvents } from "../adapters/telemetry/platform-events.ts";
import { Statistics } from "../adapters/telemetry/statistics.ts";
import { Summaries } from "../adapters/telemetry/summary.ts";
import type { Config } from "../core/config.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { Reporter, Telemetry } from "../ports/telemetry.ts";
import { consumerName } from "./store.ts";

export interface ComposedTelemetry {
  readonly telemetry: Telemetry;
  /** What is to run with the worker. */
  readonly reporters: readonly Reporter[];
  readonly statistics: Statistics;
  /** Since the last one was taken. */
  readonly summaries: Summaries;
  readonly logger: Logger;
}

export function composeTelemetry(config: Config, workerId: string, publisher: Publisher): ComposedTelemetry {
  const format = config.logFormat ?? (process.stderr.isTTY ? "pretty" : "json");
  const logger = createLogger({ level: config.logLevel, format, worker: workerId, host: hostname() });
  const statistics = new Statistics();
  const summaries = new Summaries();
  const here = teeTelemetry([statistics, summaries, new EventLog(logger, systemClock)]);
  const reports = { statistics, summaries, logger };
  const platform = composePlatformEvents(config, workerId, publisher, here);
  return platform === undefined
    ? { telemetry: here, reporters: [], ...reports }
    : { telemetry: teeTelemetry([here, platform]), reporters: [platform], ...reports };
}

function composePlatformEvents({ platformEvents, consumer }: Config, workerId: string, publisher: Publisher, telemetry: Telemetry): PlatformEvents | undefined {
  if (platformEvents === undefined) return undefined;
  const { include, ...options } = platformEvents;
  return new PlatformEvents({
    ...options,
    ...(include === undefined ? {} : { include: new Set(include) }),
    clock: systemClock,
    publisher,
    consumer: consumerName(consumer),
    workerId,
    lost: (event) => telemetry.emit(event),
  });
}
