/** What the simulation is told of a message's cost, from what turns have measured. */
import { availableParallelism } from "node:os";
import { median } from "../support/figures.ts";
import type { Measured } from "../support/reading.ts";
import type { Costs } from "./pool.ts";

export interface Point {
  readonly workers: number;
  readonly turns: readonly Measured[];
}

export interface Fitted {
  /** Where each part has processors of its own. */
  readonly apart: (workers: number) => Costs;
  /** In a turn on this machine, whose workers share it with store, broker and whatever else runs. */
  readonly together: (turn: Measured) => Costs;
  /** On this machine, as `together`, with what the lines of growth say of so many workers in place of what a turn has measured. */
  readonly grown: (point: Point) => Costs;
  readonly cores: number;
  /** By how much a message costs more with twice the workers, as far as that was measured. */
  readonly growth: Readonly<Record<"worker" | "store" | "broker", number>>;
}

const batchMax = 500;
/** Less would be nothing to work with. */
const coresLeftMin = 0.5;

/** `shards`: a worker's turns on one Redis, and on several that its records are spread over, in turns. */
export function fit(points: readonly Point[], shards: { readonly one: readonly Measured[]; readonly spread: readonly Measured[] }): Fitted {
  const [one] = points;
  if (one === undefined) throw new RangeError("expected a point of one worker at least");
  const first = middle(one.turns);
  const [whole, spread] = [middle(shards.one), middle(shards.spread)];
  const furtherCalls = spread.scriptCalls - whole.scriptCalls;
  // Of a difference that is noise nothing is made.
  const ofCall = (more: number, atMost: number): number => (furtherCalls > 0 ? clamp(more / furtherCalls, 0, atMost) : 0);
  const storeCall = ofCall(spread.redisMicros - whole.redisMicros, first.redisMicros / first.scriptCalls);
  const furtherCall = ofCall(spread.clientMicros - whole.clientMicros, first.clientMicros / first.scriptCalls);
  const mainShare = Number.isFinite(first.mainMicros) ? clamp(first.mainMicros / first.clientMicros, 0, 1) : 1;
  const lines = {
    worker: growthOf(points, ({ clientMicros }) => clientMicros),
    store: growthOf(points, ({ redisMicros }) => redisMicros),
    broker: growthOf(points, ({ brokerMicros }) => brokerMicros),
  };
  const costs = (worker: number, store: number, broker: number, slower: number): Costs => ({
    batch: Math.round(clamp(2 / first.scriptCalls, 1, batchMax)),
    main: worker * mainShare * slower,
    threads: worker * (1 - mainShare) * slower,
    store: Math.max(0, store - storeCall * first.scriptCalls) * slower,
    storeCall: storeCall * slower,
    furtherCall: furtherCall * slower,
    broker: broker * slower,
  });
  const cores = availableParallelism();
  const together = ({ clientMicros, redisMicros, brokerMicros, otherCores }: Measured): Costs => {
    const slower = cores / Math.max(coresLeftMin, cores - (Number.isFinite(otherCores) ? otherCores : 0));
    return costs(clientMicros, redisMicros, brokerMicros, slower);
  };
  return {
    cores,
    growth: { worker: lines.worker.growth, store: lines.store.growth, broker: lines.broker.growth },
    apart: (workers) =>
      costs(lines.worker.at(1), Math.max(lines.store.at(1), lines.store.at(workers)), Math.max(lines.broker.at(1), lines.broker.at(workers)), 1),
    together,
    grown: ({ workers, turns }) =>
      together({ ...middle(turns), clientMicros: lines.worker.at(workers), redisMicros: lines.store.at(workers), brokerMicros: lines.broker.at(workers) }),
  };
}

/** The median of each. */
function middle(turns: readonly Measured[]): Measured {
  const of = (figure: (turn: Measured) => number): number => median(turns.map(figure));
  return {
    perSecond: of(({ perSecond }) => perSecond),
    clientMicros: of(({ clientMicros }) => clientMicros),
    mainMicros: of(({ mainMicros }) => mainMicros),
    redisMicros: of(({ redisMicros }) => redisMicros),
    brokerMicros: of(({ brokerMicros }) => brokerMicros),
    scriptCalls: of(({ scriptCalls }) => scriptCalls),
    otherCores: of(({ otherCores }) => otherCores),
  };
}

/** A line through the costs by doublings of workers (least squares). Beyond the counts that were measured it does not go on. */
function growthOf(points: readonly Point[], of: (turn: Measured) => number): { readonly growth: number; readonly at: (workers: number) => number } {
  const found = points.map(({ workers, turns }) => [Math.log2(workers), median(turns.map(of))] as const);
  const centerX = found.reduce((sum, [x]) => sum + x, 0) / found.length;
  const centerY = found.reduce((sum, [, y]) => sum + y, 0) / found.length;
  const spread = found.reduce((sum, [x]) => sum + (x - centerX) ** 2, 0);
  const slope = spread === 0 ? 0 : found.reduce((sum, [x, y]) => sum + (x - centerX) * (y - centerY), 0) / spread;
  const most = Math.max(...found.map(([x]) => x));
  const at = (workers: number): number => Math.max(0, centerY + slope * (Math.min(most, Math.log2(workers)) - centerX));
  return { growth: slope / at(1), at };
}

function clamp(value: number, atLeast: number, atMost: number): number {
  return Math.min(atMost, Math.max(atLeast, value));
}
