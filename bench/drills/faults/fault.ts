/** What the drill does to a world. Adding a fault is an entry in a file of `kinds/`, which `faults.ts` lists. */
import type { FaultyRedis } from "./redis.ts";
import type { Scene, SceneOptions } from "./scene.ts";

export interface Fault {
  readonly name: string;
  /** What is done, in a few words. */
  readonly what: string;
  /** Whether it is part of the quick form. */
  readonly isQuick?: true;
  /** Which process's clock is moved; then times of one process say nothing to another. */
  readonly movesClock?: true;
  /** The store loses records. */
  readonly losesRecords?: true;
  readonly targets: Targets;
  /** What it needs of the world; default one Redis with an append-only file. */
  prepare?(): Promise<Prepared>;
  /** Begins and ends it; resolves when it is over, with how often it struck, as far as that is known by the end of the drill. */
  strike(scene: Scene): Promise<() => number>;
}

export interface Prepared {
  readonly redis: FaultyRedis;
  readonly env?: Partial<SceneOptions["env"]>;
  /** What workers are told to use of the machine's memory; default all of it. */
  readonly memoryBytesMax?: number;
}

/** From the end of the fault. */
export interface Targets {
  /** Until a second begins in which four fifths of what ended before ends. */
  readonly rateBackMs: number;
  /** Until everything has ended that was there then. */
  readonly restEndedMs: number;
}

/** A worker or a part of one is lost: seconds until others do its work, and under a minute until each run has resumed. */
export const ofWorker: Targets = { rateBackMs: 10_000, restEndedMs: 60_000 };
/** What all workers share is lost: under a minute. */
export const ofInfrastructure: Targets = { rateBackMs: 60_000, restEndedMs: 60_000 };

/** How often the workers tell of one of these from now on. */
export function heardSince(scene: Scene, ...types: readonly string[]): () => number {
  const before = scene.heard(...types);
  return () => scene.heard(...types) - before;
}
