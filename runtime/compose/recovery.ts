/** The recovery queue of the pool, and what this worker does of its jobs. */
import { createBullmqRecoveryQueue } from "../adapters/bullmq/recovery-queue.ts";
import { systemClock } from "../adapters/system/clock.ts";
import type { JobsPlace } from "../adapters/sqlite/jobs-wire.ts";
import { createSqliteRecoveryQueue } from "../adapters/sqlite/recovery-queue.ts";
import type { Config } from "../core/config.ts";
import { consumerName, retryEntityOf, soleSource } from "../core/config/sources.ts";
import { compensateKind } from "../core/undo-order.ts";
import type { JobHandler, RecoveryQueue } from "../ports/recovery-queue.ts";
import type { RunStore } from "../ports/run-store.ts";
import { compensationsOf } from "../recovery/compensations.ts";
import { backgroundReplayOf, replayKind } from "../recovery/background-replay.ts";
import type { Escalations } from "../recovery/escalations.ts";
import { sweepJobOf, sweepKind, sweepsOf } from "../recovery/sweeps.ts";
import { SideJobs } from "../recovery/side-jobs.ts";
import { composeLetters, surroundingsOf } from "./dead-letters.ts";
import { redisPlace } from "./store.ts";
import { composeSweeps, type SweepParts } from "./sweeps.ts";

/** Undefined where it is switched off, or jobs would end with the process. On SQLite it lies with the store, which has to be started. */
export function composeRecoveryQueue(config: Config, directory: string, store: RunStore & Partial<JobsPlace>): RecoveryQueue | undefined {
  const { enabled, leaseMs } = config.recovery;
  if (!enabled) return undefined;
  if (config.store.kind === "redis") {
    const { prefix, commandTimeoutMs } = config.store;
    return createBullmqRecoveryQueue({
      ...redisPlace(config.store, directory),
      consumer: consumerName(soleSource(config)),
      leaseMs,
      ...(prefix === undefined ? {} : { prefix }),
      ...(commandTimeoutMs === undefined ? {} : { commandTimeoutMs }),
    });
  }
  if (config.store.path === ":memory:" || store.jobs === undefined) return undefined;
  return createSqliteRecoveryQueue({ place: { jobs: store.jobs.bind(store) }, leaseMs });
}

export interface RecoveryParts extends SweepParts {
  readonly escalations: Escalations | undefined;
}

/** What runs with the worker, and does the pool's jobs. */
export function composeSideJobs(config: Config, directory: string, { escalations, ...parts }: RecoveryParts): SideJobs {
  const { compensateAfterMs, sweeps } = config.recovery;
  const sweepJob = sweepJobOf(sweeps);
  const retryEntity = retryEntityOf(soleSource(config));
  return new SideJobs({
    ...parts,
    clock: systemClock,
    regular: sweepJob && { job: sweepJob, everyMs: sweeps.everyMs },
    handlers: (secret) =>
      new Map<string, JobHandler>([
        [compensateKind, compensationsOf({ ...parts, retryEntity, secret, compensateAfterMs })],
        [replayKind, backgroundReplayOf({ surroundings: surroundingsOf(config, parts), letters: (forwardedTo) => composeLetters(config, forwardedTo) })],
        [sweepKind, sweepsOf(composeSweeps(config, directory, parts))],
        ...(escalations?.handlers ?? []),
      ]),
  });
}
