/** What the executor of threads is made with, and what each thread is told of it. */
import type { Config } from "../../core/config.ts";
import type { ContractsSettings } from "../../core/config/contracts.ts";
import type { DecodeLimits } from "../../core/read-route.ts";
import type { SamplingPolicy } from "../../core/spans.ts";
import type { LoadedPlugin } from "../../skills/host/plugins.ts";
import type { SkillLogLine } from "../../skills/host/run-log.ts";
import type { GivenSettings } from "../../skills/host/settings.ts";
import type { SlowStart } from "../../skills/host/start-times.ts";
import type { SharedFlags } from "../../skills/host/flags.ts";
import type { PoolOptions } from "./thread-pool.ts";
import type { ThreadSettings } from "./wire.ts";

export interface ThreadsExecutorOptions {
  /** What is read, by the numbers of orders: part of every idempotency key. */
  readonly consumers: readonly string[];
  /** Names the emitter of events; default the skill's name. */
  readonly agent?: string | undefined;
  readonly plugins: readonly Pick<LoadedPlugin, "name" | "entry" | "folder" | "skills" | "isBuiltIn">[];
  /** What a plugin is told at this moment; undefined for one without settings. Default: none has any. */
  readonly settings?: ((plugin: string) => GivenSettings | undefined) | undefined;
  /** Names of all dependencies in the order that gives them their numbers. */
  readonly dependencies: readonly string[];
  /** What the configuration says of dependencies. */
  readonly dependencyConfig: Config["dependencies"];
  /** An Int32 for each dependency: 0 closed, 1 open, 2 half-open. */
  readonly circuits: SharedArrayBuffer;
  /** Feature flags, which change; default none. */
  readonly flags?: SharedFlags | undefined;
  /** Retries of calls, counted with those of the whole worker; see `RetryLedger`. */
  readonly retries: SharedArrayBuffer;
  readonly limits: DecodeLimits;
  /** Threads that skills share; default one a core. */
  readonly threads?: number | undefined;
  /** Threads of each skill that is isolated as `dedicated`; default 1. */
  readonly dedicatedThreads?: number | undefined;
  /** Heap of one thread; default Node's own. */
  readonly heapBytesMax?: number | undefined;
  /** Default 30 000. */
  readonly startTimeoutMs?: number | undefined;
  /** How long past a run's time its thread may be held before it is ended; default 2 000. */
  readonly graceMs?: number | undefined;
  /** How long a thread may be held by code of no run; default 10 000. */
  readonly stuckAfterMs?: number | undefined;
  /** How long a thread may take to end before it is given up; default 5 000. */
  readonly endWithinMs?: number | undefined;
  /** How soon threads that could not be started are tried again; each time twice as late. Default 200. */
  readonly rebuildDelayMs?: number | undefined;
  /** Hears what skills log, from the level up whose number lies in `logLevel`; see `leastLevel`. */
  readonly log?: ((lines: readonly SkillLogLine[]) => void) | undefined;
  readonly logLevel?: SharedArrayBuffer | undefined;
  /** Which runs are told of as spans; undefined when nothing is traced. */
  readonly traces?: SamplingPolicy | undefined;
  /** Where the contracts of events lie, as an absolute path; undefined where there are none. */
  readonly contracts?: ContractsSettings | undefined;
  /** Default true: a thread goes through runs of its own before it takes any, so that what all go through is compiled. */
  readonly rehearses?: boolean | undefined;
  /** Hears what was slow when a thread started; of each part once, for the threads do the same. */
  readonly slow?: ((part: SlowStart) => void) | undefined;
}

/** How much a pool's threads may take. */
export function poolLimits({
  heapBytesMax,
  startTimeoutMs = 30_000,
  endWithinMs = 5_000,
  rebuildDelayMs = 200,
}: ThreadsExecutorOptions): Pick<PoolOptions, "heapBytesMax" | "startTimeoutMs" | "endWithinMs" | "rebuildDelayMs"> {
  return { heapBytesMax, startTimeoutMs, endWithinMs, rebuildDelayMs };
}

/** A thread that is made gets its copy of it, and with it the settings as they are then. */
export function threadPlugin(
  { name, entry, folder }: Pick<LoadedPlugin, "name" | "entry" | "folder">,
  skills: readonly string[],
  settingsOf: ThreadsExecutorOptions["settings"],
): ThreadSettings["plugins"][number] {
  return {
    name,
    entry,
    folder,
    skills,
    get settings() {
      return settingsOf?.(name);
    },
  };
}

/** Says which resources of a thread were left open. */
export function unclosedText(resources: readonly string[], withinMs: number): string {
  const named = resources.map((name) => `'${name}'`).join(", ");
  return `expected a thread to close its resources within the ${withinMs} ms that all of them have (stuckThreads.endWithinMs), found open: ${named}; what they hold ends with the thread`;
}
