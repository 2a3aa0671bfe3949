/** What a pool of a size does: as much as its workers can take, or as much as arrives. */
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { type Costs, Pool, type Size } from "./pool.ts";
import { drawsAroundOne, type Station } from "./timeline.ts";

export type Part = "main thread" | "skill thread" | "shard" | "broker" | "cores" | "window";

export interface Simulated {
  readonly perSecond: number;
  /** What is busiest, and how busy that is; "window" where nothing is, for the workers wait for answers. */
  readonly bottleneck: Part;
  readonly utilization: number;
  readonly utilizations: Readonly<Record<Exclude<Part, "window">, number>>;
  /** From a batch's arrival until it is settled. */
  readonly p99Ms: number;
  /** Share of the claims of duplicates that found their event at work. */
  readonly held: number;
}

export interface SimulationOptions {
  readonly seed: number;
  /** Messages that arrive, from many senders; undefined: each worker has its window full at all times. */
  readonly perSecond?: number;
  /** Messages that a worker has under way, unless they arrive. */
  readonly inFlight?: number;
  /** How much times vary: the exponential parts that each consists of; 0: not at all. */
  readonly parts?: number;
  /** Batches that are counted at least. */
  readonly batches?: number;
}

const inFlightDefault = 1_000;
const partsDefault = 4;
const batchesDefault = 800;
/** Below it nothing is a bottleneck. */
const busyFrom = 0.75;
const million = 1e6;

export function simulate(
  costs: Costs,
  size: Size,
  { seed, perSecond, inFlight = inFlightDefault, parts = partsDefault, batches = batchesDefault }: SimulationOptions,
): Simulated {
  const random = seededRandom(seed);
  const pool = new Pool(costs, size, random, drawsAroundOne(parts, random));
  const perWorker = Math.max(1, Math.round(inFlight / costs.batch));
  if (perSecond === undefined) {
    pool.onEnd = (worker) => pool.begin(worker);
    for (let batch = 0; batch < perWorker * size.workers; batch += 1) pool.begin(batch % size.workers);
  } else arrive(pool, size.workers, (costs.batch * million) / perSecond, random);
  // All begin at once and go round in waves: whole ones are counted, after the first ones.
  const wave = perSecond === undefined ? perWorker * size.workers : 1;
  const warm = Math.ceil(batches / 2 / wave) * wave;
  until(pool, warm);
  const before = markOf(pool);
  until(pool, warm + Math.ceil(batches / wave) * wave);
  return resultOf(pool, before, warm);
}

function arrive(pool: Pool, workers: number, everyMicros: number, random: () => number): void {
  let worker = 0;
  const next = (): void => {
    pool.begin(worker);
    worker = (worker + 1) % workers;
    pool.timeline.after(-Math.log(1 - random()) * everyMicros, next);
  };
  next();
}

function until(pool: Pool, batches: number): void {
  while (pool.tookMicros.length < batches && pool.timeline.step());
}

interface MarkOfPool {
  readonly atMicros: number;
  readonly settled: number;
  readonly busy: readonly (readonly number[])[];
}

function markOf({ timeline, settled, mains, threads, shards, broker, cores }: Pool): MarkOfPool {
  const busyOf = (stations: readonly Station[]): readonly number[] => stations.map(({ busyMicros }) => busyMicros);
  return {
    atMicros: timeline.nowMicros,
    settled,
    busy: [busyOf(mains), busyOf(threads), busyOf(shards), [broker.busyMicros / broker.servers], [cores === undefined ? 0 : cores.busyMicros / cores.count]],
  };
}

function resultOf(pool: Pool, before: MarkOfPool, warm: number): Simulated {
  const after = markOf(pool);
  const micros = after.atMicros - before.atMicros;
  const shares = after.busy.map((list, kind) => list.map((busy, index) => Math.min(1, (busy - before.busy[kind]![index]!) / micros)));
  const mean = (list: readonly number[]): number => list.reduce((sum, one) => sum + one, 0) / list.length;
  const [mains = [], threads = [], shards = [], [broker = 0] = [], [cores = 0] = []] = shares;
  // All workers are alike, shards are not.
  const utilizations = { "main thread": mean(mains), "skill thread": mean(threads), shard: Math.max(...shards), broker, cores };
  const [part, utilization] = (Object.entries(utilizations) as [Part, number][]).reduce((most, one) => (one[1] > most[1] ? one : most));
  const took = pool.tookMicros.slice(warm).toSorted((a, b) => a - b);
  return {
    perSecond: ((after.settled - before.settled) * million) / micros,
    bottleneck: utilization < busyFrom ? "window" : part,
    utilization,
    utilizations,
    p99Ms: took[Math.ceil(took.length * 0.99) - 1]! / 1_000,
    held: pool.claimedAgain === 0 ? 0 : pool.held / pool.claimedAgain,
  };
}
