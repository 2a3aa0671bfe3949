/** What a pool of workers would do, by what a message costs each part: exact mean value analysis of a closed network of queues. */

export interface Costs {
  /** CPU of a worker, of the store and of the broker, microseconds a message. */
  readonly worker: number;
  readonly store: number;
  readonly broker: number;
}

export interface Size {
  readonly workers: number;
  readonly shards: number;
  /** Units of the broker: each does what the local one does on a core. */
  readonly brokers: number;
}

export type Part = keyof Costs;

export interface Capacity {
  readonly perSecond: number;
  /** The part that is busiest, and how busy that is. */
  readonly bottleneck: Part;
  readonly utilization: number;
}

/** Messages that a worker has under way. */
const inFlight = 1_000;
const batch = 100;

export function capacityOf({ worker, store, broker }: Costs, { workers, shards, brokers }: Size): Capacity {
  // Customers are batches; each visits one worker, one shard and one unit of the broker, all alike.
  const stations = [
    { part: "worker" as const, count: workers, demand: (worker * batch) / workers, waiting: 0 },
    { part: "store" as const, count: shards, demand: (store * batch) / shards, waiting: 0 },
    { part: "broker" as const, count: brokers, demand: (broker * batch) / brokers, waiting: 0 },
  ];
  const customers = (workers * inFlight) / batch;
  let perMicro = 0;
  for (let customer = 1; customer <= customers; customer += 1) {
    const takes = stations.map(({ demand, waiting }) => demand * (1 + waiting));
    perMicro = customer / stations.reduce((sum, { count }, index) => sum + count * takes[index]!, 0);
    stations.forEach((station, index) => (station.waiting = perMicro * takes[index]!));
  }
  const busiest = stations.reduce((most, station) => (station.demand > most.demand ? station : most));
  return { perSecond: perMicro * batch * 1e6, bottleneck: busiest.part, utilization: perMicro * busiest.demand };
}
