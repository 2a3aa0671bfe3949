/** A worker's metrics as Prometheus reads them. */
import { systemClock } from "../adapters/system/clock.ts";
import type { Metrics } from "../adapters/telemetry/metrics/metrics.ts";
import { Backlog } from "../admin/backlog.ts";
import { samplesOf } from "../admin/samples.ts";
import type { Config } from "../core/config.ts";
import type { MetricSample } from "../core/metric-catalogue.ts";
import { readDepth } from "./broker.ts";
import type { ComposedWorker } from "./worker.ts";

/** Asks the broker when somebody asks it. */
export function composeBacklog(config: Config): Backlog {
  const sources = new Map(config.sources.map((source) => [source.name, source]));
  return new Backlog({
    sources: [...sources.keys()],
    read: (name) => {
      const source = sources.get(name);
      if (source === undefined) throw new RangeError(`expected a source, got '${name}'`);
      return readDepth(config, source);
    },
    monotonicMs: () => systemClock.monotonicMs(),
  });
}

/** `more`: samples that the worker itself does not have. */
export function metricsText(
  { worker, threads, metrics }: Pick<ComposedWorker, "worker" | "threads"> & { readonly metrics: Metrics },
  backlog: Backlog,
  more: readonly MetricSample[] = [],
): Promise<string> {
  return metrics.text([...samplesOf(worker.view(), worker.policies.view(), { threads, nowMs: Date.now(), backlog }), ...more]);
}
