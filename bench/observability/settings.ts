/** What is switched on in a worker, and who makes use of it. */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import type { ConfigInput } from "#runtime/core/config.ts";
import type { Ground } from "../support/contenders.ts";
import type { Collector } from "./collector.ts";

export interface Setting {
  readonly title: string;
  readonly isScraped?: boolean;
  readonly isTraced?: boolean;
  readonly logLevel?: ConfigInput["logLevel"];
}

export const off: Setting = { title: "everything off" };
export const all: Setting = { title: "all three", isScraped: true, isTraced: true, logLevel: "info" };
export const settings: readonly Setting[] = [
  off,
  { title: "metrics, scraped", isScraped: true },
  { title: "traces at 1 %", isTraced: true },
  { title: "logs at info", logLevel: "info" },
  all,
];

/** How a worker is started with a setting. */
export interface Prepared {
  readonly ground: Pick<Ground, "config" | "env" | "logsToFile">;
  /** Reads the metrics once, as Prometheus does; whether there were any. */
  readonly scrape: () => Promise<boolean>;
}

export async function prepare({ isScraped = false, isTraced = false, logLevel = "error" }: Setting, collector: Collector): Promise<Prepared> {
  const port = isScraped ? await freePort() : undefined;
  const config = { logLevel, ...(port === undefined ? undefined : { admin: { port } }) };
  const env = isTraced ? { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.01" } : {};
  return {
    ground: { config, env, logsToFile: true },
    scrape: async () => {
      if (port === undefined) return false;
      const answer = await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => undefined);
      const text = await answer?.text().catch(() => "");
      return answer?.status === 200 && text !== "";
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((closed) => server.close(() => closed()));
  return port;
}
