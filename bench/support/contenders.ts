/** Who is measured: the worker and its peers, each started as a process of its own on the same broker, Redis and work. */
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Child } from "#load/dev/child.ts";
import { startChild } from "#load/dev/child.ts";
import type { ConfigInput } from "#runtime/core/config.ts";
import type { DependencyName } from "../peers/handlers.ts";
import { plantedEnvironment } from "./plant.ts";
import { type ContenderKey, type PeerName, peerTitles } from "../peers/names.ts";
import type { PeerOptions } from "../peers/peer.ts";
import { workerConfig } from "./worker-config.ts";

/** Where a contender works. */
export interface Ground extends PeerOptions {
  readonly folder: string;
  /** Where its handlers note what they have done. */
  readonly notes: string;
  /** Notes must survive its process. */
  readonly isNotedAtOnce: boolean;
  readonly threads: number;
  readonly config?: Partial<ConfigInput>;
  readonly env?: Readonly<Record<string, string>>;
  /** Its log is written to a file, in place of the bench's own standard error. */
  readonly logsToFile?: boolean;
}

export interface Contender {
  readonly key: ContenderKey;
  /** As it stands in tables. */
  readonly name: string;
  /** It only receives and completes. */
  readonly isBare: boolean;
  readonly readsJobs: boolean;
  start(ground: Ground): Promise<Child<unknown>>;
}

function environmentOf({ notes, isNotedAtOnce, env }: Ground): Record<string, string> {
  return { HOLDFAST_BENCH_NOTES: notes, ...(isNotedAtOnce ? { HOLDFAST_BENCH_NOTES_AT_ONCE: "1" } : undefined), ...env };
}

let configs = 0;

function holdfast(key: "holdfast" | "holdfast-sqlite", name: string): Contender {
  return {
    key,
    name,
    isBare: false,
    readsJobs: false,
    start(ground) {
      const { connectionString, queue, redisUrl, prefix, folder, threads, dependencies, config } = ground;
      configs += 1;
      const input: ConfigInput = {
        ...workerConfig({ connectionString, queue, folder, plugin: "peers", threads, prefix }),
        store: key === "holdfast" ? { kind: "redis", url: redisUrl, prefix } : { kind: "sqlite", path: join(folder, `${prefix}.sqlite`) },
        dependencies: Object.fromEntries((Object.keys(dependencies) as DependencyName[]).map((one) => [one, { baseUrl: dependencies[one] }])),
        ...config,
      };
      const file = join(folder, `worker-${configs}.config.json`);
      writeFileSync(file, JSON.stringify(input));
      const env = { ...environmentOf(ground), ...plantedEnvironment() };
      const arguments_ = ["start", "--config", file];
      if (ground.logsToFile !== true) return startChild("runtime/cli/main", arguments_, undefined, env);
      const log = openSync(join(folder, `worker-${configs}.log`), "a");
      return startChild("runtime/cli/main", arguments_, undefined, env, process.execPath, log).finally(() => closeSync(log));
    },
  };
}

/** A peer in a process of its own. */
export function startPeer(name: PeerName, options: PeerOptions, env: Readonly<Record<string, string>> = {}): Promise<Child<unknown>> {
  return startChild("bench/peers/main", [name, JSON.stringify(options)], undefined, env);
}

function peer(key: PeerName): Contender {
  return {
    key,
    name: peerTitles[key],
    isBare: key === "bare-sdk" || key === "bare-rhea",
    readsJobs: key === "bullmq" || key === "bullmq-sandboxed",
    start(ground) {
      const { connectionString, queue, redisUrl, prefix, dependencies } = ground;
      const options: PeerOptions = { connectionString, queue, redisUrl, prefix, dependencies };
      return startPeer(key, options, environmentOf(ground));
    },
  };
}

/** In the order of tables. */
export const contenders: readonly Contender[] = [
  holdfast("holdfast", "Holdfast, Redis"),
  holdfast("holdfast-sqlite", "Holdfast, SQLite"),
  ...(Object.keys(peerTitles) as PeerName[]).map(peer),
];

export function contenderOf(key: ContenderKey): Contender {
  return contenders.find((contender) => contender.key === key)!;
}
