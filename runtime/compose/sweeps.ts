/** What a sweep looks at, opened for each of them: queues, dead letters and records. */
import { systemClock } from "../adapters/system/clock.ts";
import type { Config } from "../core/config.ts";
import { firstSource, retryEntityOf } from "../core/config/sources.ts";
import { createPayloadHash } from "../core/payload-hash.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { RecoveryQueue } from "../ports/recovery-queue.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import { lookedAfterBy, type SweepScene, type SweepsOptions } from "../recovery/sweeps.ts";
import { composeLetters, composeQueues } from "./dead-letters.ts";
import { limitsOf } from "./executor.ts";
import { composeRunRecords } from "./store.ts";

export interface SweepParts {
  readonly workerId: string;
  readonly queue: RecoveryQueue;
  readonly store: RunStore;
  /** Of any but the first source. */
  readonly consumer?: string | undefined;
  readonly publisher: Publisher;
  readonly telemetry: Telemetry;
}

export function composeSweeps(config: Config, directory: string, { workerId, queue, store, publisher, telemetry, consumer }: SweepParts): SweepsOptions {
  const { sweeps } = config.recovery;
  const { quietMs, peekMax, forwardedTo } = sweeps;
  const hashPayload = createPayloadHash(limitsOf(config));
  return {
    ...sweeps,
    telemetry,
    async open(signal): Promise<SweepScene> {
      const records = composeRunRecords(config, directory);
      if (records === undefined) throw new Error("expected records that are not in memory alone");
      const [queues, letters] = await Promise.all([composeQueues(config), composeLetters(config, forwardedTo)]);
      const boxes = [...queues, ...letters.boxes];
      const stop = async (): Promise<void> => {
        for (const box of boxes) await box.stop();
        await records.stop();
      };
      try {
        await records.start();
        for (const box of boxes) await box.start();
      } catch (error) {
        await stop();
        throw error;
      }
      const looking = { queues, letters, records, store, hashPayload, quietMs, peekMax, signal };
      return {
        ...looking,
        ...lookedAfterBy(queue, consumer),
        clock: systemClock,
        publisher,
        retryEntity: retryEntityOf(firstSource(config)),
        who: `a sweep of worker ${workerId}`,
        stop,
      };
    },
  };
}
