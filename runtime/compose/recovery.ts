/** The recovery queue of the pool, and what this worker does of its jobs. */
import type { RedisPlace } from "../adapters/redis/connect.ts";
import { createBullmqRecoveryQueue } from "../adapters/bullmq/recovery-queue.ts";
import { systemClock } from "../adapters/system/clock.ts";
import type { JobsPlace } from "../adapters/sqlite/jobs-wire.ts";
import { createSqliteRecoveryQueue } from "../adapters/sqlite/recovery-queue.ts";
import type { Config } from "../core/config.ts";
import { consumerBeside, consumerName, firstSource, retryEntityOf, type SourceSettings } from "../core/config/sources.ts";
import { compensateKind } from "../core/undo-order.ts";
import type { JobHandler, JobResult, RecoveryQueue } from "../ports/recovery-queue.ts";
import type { RunStore } from "../ports/run-store.ts";
import { compensationsOf } from "../recovery/compensations.ts";
import { backgroundReplayOf, replayKind } from "../recovery/background-replay.ts";
import type { Escalations } from "../recovery/escalations.ts";
import { sweepJobOf, sweepKind, sweepsOf } from "../recovery/sweeps.ts";
import { SideJobs } from "../recovery/side-jobs.ts";
import { composeLetters, surroundingsOf } from "./dead-letters.ts";
import { redisPlace } from "./store.ts";
import { composeSweeps, type SweepParts } from "./sweeps.ts";

/** One for all sources, kept with the first. Undefined where it is switched off, or jobs would end with the process. On SQLite it lies with the store, which has to be started. */
export function composeRecoveryQueue(
  config: Config,
  directory: string,
  store: (RunStore & Partial<JobsPlace>) | undefined,
  heard?: RedisPlace["heard"],
): RecoveryQueue | undefined {
  const { enabled, leaseMs } = config.recovery;
  if (!enabled) return undefined;
  if (config.store.kind === "redis") {
    const { prefix, commandTimeoutMs } = config.store;
    return createBullmqRecoveryQueue({
      ...redisPlace(config.store, directory),
      heard,
      consumer: consumerName(firstSource(config)),
      leaseMs,
      ...(prefix === undefined ? {} : { prefix }),
      ...(commandTimeoutMs === undefined ? {} : { commandTimeoutMs }),
    });
  }
  if (config.store.path === ":memory:" || store?.jobs === undefined) return undefined;
  return createSqliteRecoveryQueue({ place: { jobs: store.jobs.bind(store) }, leaseMs });
}

export interface RecoveryParts extends Omit<SweepParts, "store"> {
  /** By source. */
  readonly stores: readonly RunStore[];
  readonly escalations: Escalations | undefined;
}

/** What runs with the worker, and does the pool's jobs. */
export function composeSideJobs(config: Config, directory: string, { escalations, stores, ...parts }: RecoveryParts): SideJobs {
  const { sweeps } = config.recovery;
  const sweepJob = sweepJobOf(sweeps);
  const partsOf = (index: number): SweepParts => ({ ...parts, store: storeAt(stores, index) });
  const sweepHandlers = config.sources.map((source, index) => {
    const consumer = consumerBeside(source, config);
    return sweepsOf(composeSweeps({ ...config, sources: [source] }, directory, { ...partsOf(index), consumer }));
  });
  return new SideJobs({
    ...parts,
    clock: systemClock,
    reported: new Set(escalations?.handlers.keys()),
    regular: sweepJob && { job: sweepJob, everyMs: sweeps.everyMs },
    handlers: () =>
      new Map<string, JobHandler>([
        [compensateKind, bySource(config, (source, index) => compensations(config, source, partsOf(index)))],
        [replayKind, bySource(config, (source, index) => backgroundReplay(config, source, partsOf(index)))],
        [sweepKind, oneAfterTheOther(sweepHandlers)],
        ...(escalations?.handlers ?? []),
      ]),
  });
}

function compensations({ recovery: { compensateAfterMs } }: Config, source: SourceSettings, { store, ...parts }: SweepParts): JobHandler {
  const retryEntity = retryEntityOf(source);
  return async (job, signal) => compensationsOf({ ...parts, store, retryEntity, secret: await store.secret(), compensateAfterMs })(job, signal);
}

function backgroundReplay(config: Config, source: SourceSettings, parts: SweepParts): JobHandler {
  return backgroundReplayOf({
    surroundings: surroundingsOf(config, parts, source),
    letters: (forwardedTo) => composeLetters({ ...config, sources: [source] }, forwardedTo),
  });
}

/** A job says whose it is; those of the first source need not. */
function bySource(config: Config, handlerOf: (source: SourceSettings, index: number) => JobHandler): JobHandler {
  const first = consumerName(firstSource(config));
  const handlers = new Map(config.sources.map((source, index) => [consumerName(source), handlerOf(source, index)]));
  return (job, signal) => {
    const { consumer = first } = job.data as { readonly consumer?: string };
    const handler = handlers.get(consumer);
    if (handler === undefined)
      throw new Error(`expected the job's source '${consumer}' to be one of ${[...handlers.keys()].join(", ")}; add it to the sources again`);
    return handler(job, signal);
  };
}

/** All of them do the job, and say the same of when it is to be done again. */
function oneAfterTheOther(handlers: readonly JobHandler[]): JobHandler {
  return async (job, signal) => {
    let result: JobResult = { kind: "done" };
    for (const handler of handlers) if (!signal.aborted || handler === handlers[0]) result = await handler(job, signal);
    return result;
  };
}

function storeAt(stores: readonly RunStore[], index: number): RunStore {
  const store = stores[index];
  if (store === undefined) throw new RangeError(`expected a store for each source, got ${stores.length}`);
  return store;
}
