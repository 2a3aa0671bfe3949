/** Hands over what was counted at the time of a scrape, in the format of Prometheus. Between scrapes prom-client has nothing to do. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { type MetricName, type MetricSample, durationBucketsSeconds, metricCatalogue, metricNames } from "../../../core/metric-catalogue.ts";
import type { Durations } from "./durations.ts";

export interface DurationSeries {
  readonly name: MetricName;
  readonly labels: Readonly<Record<string, string>>;
  readonly durations: Durations;
}

/** What there is at a scrape. */
export interface Reading {
  readonly samples: readonly MetricSample[];
  readonly durations: readonly DurationSeries[];
}

interface HandedValue {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName: string;
}

/** Its values were counted elsewhere. */
class HandedHistogram extends Histogram {
  readonly #name: MetricName;
  readonly #read: () => readonly DurationSeries[];

  constructor(name: MetricName, read: () => readonly DurationSeries[]) {
    const { help, labels } = metricCatalogue[name];
    super({ name, help, labelNames: [...labels], registers: [] });
    this.#name = name;
    this.#read = read;
  }

  override get(): ReturnType<Histogram["get"]> {
    const name = this.#name;
    return Promise.resolve({ name, help: metricCatalogue[name].help, type: "histogram", aggregator: "sum", values: this.#read().flatMap(handed) } as never);
  }

  /** What the registry asks for when it writes text. */
  getForPromString(): ReturnType<Histogram["get"]> {
    return this.get();
  }
}

function handed({ name, labels, durations }: DurationSeries): HandedValue[] {
  const cumulative = durations.cumulative();
  const total = cumulative.at(-1) ?? 0;
  return [
    ...cumulative.map((value, index) => ({ labels: { ...labels, le: durationBucketsSeconds[index] ?? "+Inf" }, value, metricName: `${name}_bucket` })),
    { labels, value: durations.sumSeconds, metricName: `${name}_sum` },
    { labels, value: total, metricName: `${name}_count` },
  ];
}

export class Exposition {
  readonly #registry = new Registry();
  #samples = new Map<MetricName, MetricSample[]>();
  #durations = new Map<MetricName, DurationSeries[]>();

  constructor() {
    for (const name of metricNames) this.#register(name);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text({ samples, durations }: Reading): Promise<string> {
    this.#samples = Map.groupBy(samples, ({ name }) => name);
    this.#durations = Map.groupBy(durations, ({ name }) => name);
    return this.#registry.metrics();
  }

  #register(name: MetricName): void {
    const { type, help, labels } = metricCatalogue[name];
    const configuration = { name, help, labelNames: [...labels], registers: [] };
    const samples = (): readonly MetricSample[] => this.#samples.get(name) ?? [];
    switch (type) {
      case "histogram":
        this.#registry.registerMetric(new HandedHistogram(name, () => this.#durations.get(name) ?? []));
        return;
      case "gauge": {
        const gauge: Gauge = new Gauge({
          ...configuration,
          collect: () => {
            gauge.reset();
            for (const { labels: values, value } of samples()) gauge.set(values, value);
          },
        });
        this.#registry.registerMetric(gauge);
        return;
      }
      case "counter": {
        const counter: Counter = new Counter({
          ...configuration,
          collect: () => {
            counter.reset();
            for (const { labels: values, value } of samples()) counter.inc(values, value);
          },
        });
        this.#registry.registerMetric(counter);
        return;
      }
    }
  }
}
