/** The worker of a bench: one queue, one plugin, and runs kept in Redis where REDIS_URL is set, otherwise in SQLite. */
import { randomUUID } from "node:crypto";
import { dirname, join, resolve } from "node:path";
import type { ConfigInput } from "#runtime/core/config.ts";

export interface WorkerPlace {
  readonly connectionString: string;
  readonly queue: string;
  /** Where SQLite's file lies. */
  readonly folder: string;
  /** One of bench/plugins, or the path of another. */
  readonly plugin: string;
  readonly threads: number;
  /** Of all keys in Redis; workers of one pool share it. */
  readonly prefix?: string;
}

export function workerConfig({ connectionString, queue, folder, plugin, threads, prefix = newPrefix() }: WorkerPlace): ConfigInput {
  const place = resolve(import.meta.dirname, "../plugins", plugin);
  return {
    sources: [{ queue }],
    serviceBus: { connectionString },
    store: storeOf(process.env["REDIS_URL"], folder, prefix),
    plugins: [place],
    pluginRoots: [dirname(place)],
    retentionMs: 604_800_000,
    threads,
    logLevel: "error",
  };
}

export function newPrefix(): string {
  return `holdfast-bench-${randomUUID().slice(0, 8)}`;
}

/** As tables name it. */
export function storeName(): string {
  return process.env["REDIS_URL"] === undefined ? "SQLite" : "Redis";
}

function storeOf(redis: string | undefined, folder: string, prefix: string): ConfigInput["store"] {
  return redis === undefined ? { kind: "sqlite", path: join(folder, "runs.sqlite") } : { kind: "redis", url: redis, prefix };
}
