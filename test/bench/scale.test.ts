// The simulation of pools, against what queueing theory says of small ones, and the costs that it is fitted with.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { fit } from "../../bench/scale/fit.ts";
import { type Costs, shardsOfTags, type Size } from "../../bench/scale/pool.ts";
import { simulate } from "../../bench/scale/simulation.ts";
import { drawsAroundOne, Station, Timeline } from "../../bench/scale/timeline.ts";

const costs: Costs = { batch: 100, main: 20, threads: 15, store: 9, storeCall: 0, furtherCall: 0, broker: 4 };
const size: Size = { workers: 1, shards: 1, units: 1, hashTags: 1, awayMicros: 0, duplicates: 0 };

function assertNear(found: number, expected: number, share: number, what: string): void {
  assert.ok(Math.abs(found / expected - 1) <= share, `${what}: expected ${expected} within ${share * 100} %, found ${found}`);
}

/** Mean time from arrival to end of jobs of mean 1 that arrive at random, at a station by itself. */
function meanTime(servers: number, perTime: number, parts: number): number {
  const timeline = new Timeline();
  const station = new Station(timeline, servers);
  const random = seededRandom(7);
  const draw = drawsAroundOne(parts, random);
  const took: number[] = [];
  const arrive = (): void => {
    const atMicros = timeline.nowMicros;
    station.visit(draw(), () => void took.push(timeline.nowMicros - atMicros));
    timeline.after(-Math.log(1 - random()) / perTime, arrive);
  };
  arrive();
  while (took.length < 200_000) timeline.step();
  return took.reduce((sum, time) => sum + time, 0) / took.length;
}

/** Of M/M/c, by Erlang's formula. */
function erlangTime(servers: number, load: number): number {
  let term = 1;
  let sum = 1;
  for (let busy = 1; busy < servers; busy += 1) {
    term *= load / busy;
    sum += term;
  }
  const all = ((term * load) / servers) * (servers / (servers - load));
  return 1 + all / (sum + all) / (servers - load);
}

/** Batches a second of a closed network of single servers whose times are exponential: exact mean value analysis. */
function closedRate(demands: readonly number[], customers: number): number {
  const waiting = demands.map(() => 0);
  let rate = 0;
  for (let customer = 1; customer <= customers; customer += 1) {
    const takes = demands.map((demand, index) => demand * (1 + waiting[index]!));
    rate = customer / takes.reduce((sum, one) => sum + one, 0);
    takes.forEach((take, index) => (waiting[index] = rate * take));
  }
  return rate;
}

describe("a station in virtual time", () => {
  for (const [servers, load] of [
    [1, 0.7],
    [4, 3.2],
    [16, 12],
  ] as const)
    test(`with ${servers} servers and a load of ${load} is as late as Erlang's formula says`, () => {
      assertNear(meanTime(servers, load, 1), erlangTime(servers, load), 0.03, "mean time");
    });

  test("whose jobs take equally long is as late as Pollaczek and Khinchine say", () => {
    assertNear(meanTime(1, 0.8, 0), 1 + 0.8 / (2 * (1 - 0.8)), 0.03, "mean time");
  });
});

describe("the simulation of a pool", () => {
  test("of one worker, shard and broker does what mean value analysis says, whatever its window", () => {
    const demands = [costs.main, costs.threads, costs.store, costs.broker].map((micros) => (micros * costs.batch) / 1e6);
    for (const customers of [1, 3, 10]) {
      const { perSecond } = simulate(costs, size, { seed: 3, inFlight: customers * costs.batch, parts: 1, batches: 15_000 });
      assertNear(perSecond, closedRate(demands, customers) * costs.batch, 0.03, `${customers} batches under way`);
    }
  });

  test("names what bounds it, which does all that it can", () => {
    const bounds = (changes: Partial<Size>, more: Partial<Costs> = {}) => simulate({ ...costs, ...more }, { ...size, units: 4, ...changes }, { seed: 1 });
    const one = bounds({});
    assert.equal(one.bottleneck, "main thread");
    assertNear(one.perSecond, 1e6 / costs.main, 0.03, "one worker");
    const many = bounds({ workers: 40 });
    assert.equal(many.bottleneck, "shard");
    assertNear(many.perSecond, 1e6 / costs.store, 0.03, "one shard");
    assert.equal(bounds({ workers: 40, shards: 16, hashTags: 16, units: 1 }).bottleneck, "broker");
    assert.equal(bounds({}, { threads: 50 }).bottleneck, "skill thread");
    const together = bounds({ workers: 4, units: 1, cores: 2 });
    assert.equal(together.bottleneck, "cores");
    assertNear(together.perSecond, 2e6 / (20 + 15 + 9 + 4), 0.03, "two cores");
    assert.equal(bounds({ awayMicros: 50_000 }).bottleneck, "window");
  });

  test("has shards that are uneven where hash tags are, and is bound by the busiest", () => {
    assert.deepEqual(shardsOfTags(12, 4), [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    const pool = { ...size, workers: 60, units: 16, hashTags: 12 };
    // Twelve tags over eight shards: two on some, one on the others.
    const eight = simulate(costs, { ...pool, shards: 8 }, { seed: 1 });
    assertNear(eight.perSecond, (6 * 1e6) / costs.store, 0.06, "as six even ones");
    assert.ok(eight.utilization > 0.95 && eight.bottleneck === "shard");
  });

  test("counts a further script call for each hash tag, of the shard and of the worker", () => {
    const calls = { ...costs, storeCall: 10, furtherCall: 5 };
    const { perSecond } = simulate(calls, { ...size, units: 4, shards: 4, hashTags: 12 }, { seed: 1 });
    assertNear(perSecond, 1e6 / (costs.main + (2 * 11 * 5) / costs.batch), 0.03, "twelve tags");
  });

  test("puts back duplicates whose event is at work, and settles each in the end", () => {
    const { held, perSecond } = simulate(costs, { ...size, workers: 4, shards: 4, hashTags: 12, units: 4, duplicates: 0.1 }, { seed: 1 });
    assert.ok(held > 0.05 && held < 0.95, `found ${held}`);
    // A duplicate needs no skill thread, but the rest: about as many messages pass.
    assertNear(perSecond, (4 * 1e6) / costs.main, 0.1, "four workers");
  });

  test("is late by little where little arrives, later near its limit, and the same for the same seed", () => {
    const late = (perSecond: number, seed = 1) => simulate(costs, { ...size, units: 4 }, { seed, perSecond, batches: 4_000 }).p99Ms;
    assert.ok(late(5_000) < late(40_000) && late(40_000) < late(49_000));
    assert.equal(late(40_000), late(40_000));
    assert.notEqual(late(40_000), late(40_000, 2));
  });
});

describe("the costs of a simulation", () => {
  const turn = { perSecond: 30_000, clientMicros: 30, mainMicros: 18, redisMicros: 10, brokerMicros: 6, scriptCalls: 0.02, otherCores: 0 };
  const spread = { ...turn, clientMicros: 32, redisMicros: 14, scriptCalls: 0.22 };
  const points = [1, 2, 4].map((workers) => ({
    workers,
    turns: [{ ...turn, clientMicros: 30 + 6 * Math.log2(workers), redisMicros: 10 + Math.log2(workers), otherCores: workers === 4 ? 1 : 0 }],
  }));
  const fitted = fit(points, { one: [turn], spread: [spread] });

  test("are those of the turns, and grow with workers as they did, as far as they did", () => {
    const apart = fitted.apart(1);
    assert.equal(apart.batch, 100);
    assertNear(apart.main, 18, 1e-9, "main thread");
    assertNear(apart.threads, 12, 1e-9, "skill thread");
    assertNear(apart.storeCall, 20, 1e-9, "a call of the store");
    assertNear(apart.store, 10 - 0.02 * 20, 1e-9, "a message of the store");
    assertNear(apart.furtherCall, 10, 1e-9, "a further call of the worker");
    assertNear(fitted.growth.worker, 0.2, 1e-9, "growth");
    assertNear(fitted.apart(200).store, 12 - 0.02 * 20, 1e-9, "two hundred workers as four");
    assertNear(fitted.apart(200).main, 18, 1e-9, "a worker with cores of its own");
  });

  test("on a shared machine are those of the turn, slower by what others take", () => {
    assertNear(fitted.together(points[1]!.turns[0]!).main, 36 * 0.6, 1e-9, "two workers");
    assertNear(fitted.together(points[2]!.turns[0]!).main, (42 * 0.6 * fitted.cores) / Math.max(0.5, fitted.cores - 1), 1e-9, "four, and others");
  });

  test("are those of the line through all sizes where growth is asked for", () => {
    const bent = points.map((point) =>
      point.workers === 2 ? { workers: 2, turns: point.turns.map((one) => ({ ...one, clientMicros: 45, otherCores: 1 })) } : point,
    );
    // 30, 45 and 42 by doublings: through 39, six more with each.
    const { grown, cores } = fit(bent, { one: [turn], spread: [spread] });
    assertNear(grown(bent[1]!).main, (39 * 0.6 * cores) / Math.max(0.5, cores - 1), 1e-9, "two workers, and others");
    assertNear(grown(bent[2]!).threads, (45 * 0.4 * cores) / Math.max(0.5, cores - 1), 1e-9, "four, and others");
    assertNear(grown(bent[0]!).main, 33 * 0.6, 1e-9, "one");
  });

  test("are none where a difference is noise", () => {
    const { storeCall, furtherCall } = fit(points, { one: [turn], spread: [{ ...spread, clientMicros: 29, redisMicros: 9 }] }).apart(1);
    assert.deepEqual([storeCall, furtherCall], [0, 0]);
  });
});
