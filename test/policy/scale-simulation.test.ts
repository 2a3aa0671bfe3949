// The numbers of the shipped ScaledObject over what workers say of themselves: a pool follows its work, does not swing, and takes no worker away that is needed.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { adminSchema } from "#runtime/core/config/admin.ts";
import { type Autoscaling, Pool, type Scene } from "../support/scale-simulation.ts";

interface Shipped {
  readonly spec: Omit<Autoscaling, "behavior"> & { readonly advanced: { readonly horizontalPodAutoscalerConfig: Pick<Autoscaling, "behavior"> } };
}

const file = resolve(import.meta.dirname, "../../deploy/kustomize/components/keda/scaled-object.yaml");
const { spec } = parse(readFileSync(file, "utf8")) as Shipped;
const autoscaling: Autoscaling = { ...spec, behavior: spec.advanced.horizontalPodAutoscalerConfig.behavior };
const toZero: Autoscaling = { ...autoscaling, minReplicaCount: 0 };
const scene = (overrides: Partial<Scene>): Scene => ({
  autoscaling,
  policy: adminSchema.parse({}).scaling,
  workers: 3,
  slots: 20,
  runSeconds: 2,
  arrivals: () => 0,
  ...overrides,
});
const minutes = (count: number): number => count * 60;
const numbers = (pool: Pool, from: number): number[] => pool.moments.filter(({ second }) => second >= from).map(({ workers }) => workers);

function assertUnharmed(pool: Pool): void {
  assert.equal(pool.killed, 0, "runs that were cut off");
  assert.equal(pool.tooFewLeft, 0, "steps down that left too few for what was under way");
}

for (const seed of [1, 2, 3]) {
  test(`under steady work the number of workers settles, seed ${seed}`, () => {
    const pool = new Pool(scene({ arrivals: () => 80, seed }));
    pool.run(minutes(60));
    assertUnharmed(pool);
    const settled = numbers(pool, minutes(20));
    const running = pool.moments.filter(({ second }) => second >= minutes(20)).reduce((sum, moment) => sum + moment.running, 0) / settled.length;
    const enough = running / (20 * 0.8);
    assert.ok(
      Math.min(...settled) >= enough * 0.95 && Math.max(...settled) <= enough * 1.2,
      `${Math.min(...settled)} to ${Math.max(...settled)} for ${enough}`,
    );
    assert.ok(pool.turns(minutes(20)) <= 1, `${pool.turns(minutes(20))} turns`);
    assert.ok((pool.moments.at(-1)?.queued ?? 0) < 80);
  });

  test(`work that swells and ebbs is followed up once and down once, seed ${seed}`, () => {
    const pool = new Pool(scene({ arrivals: (second) => 100 * Math.max(0, Math.sin((second / minutes(90)) * Math.PI)), seed }));
    pool.run(minutes(100));
    assertUnharmed(pool);
    assert.ok(pool.turns() <= 3, `${pool.turns()} turns`);
    assert.ok(Math.max(...pool.moments.map(({ queued }) => queued)) < 100 * 60, "a minute's work at most waits");
    assert.equal(pool.moments.at(-1)?.workers, autoscaling.minReplicaCount);
  });
}

test("a burst is worked off soon, and what it called for goes once", () => {
  const pool = new Pool(scene({ arrivals: (second) => (second === minutes(5) ? 20_000 : 2) }));
  pool.run(minutes(40));
  assertUnharmed(pool);
  const drained = pool.moments.find(({ second, queued }) => second > minutes(5) && queued < 10)?.second ?? Number.POSITIVE_INFINITY;
  assert.ok(drained < minutes(5 + 6), `drained after ${drained - minutes(5)} s`);
  assert.ok(pool.turns() <= 1, `${pool.turns()} turns`);
  assert.equal(pool.moments.at(-1)?.workers, autoscaling.minReplicaCount);
});

test("bursts in short succession do not have workers come and go", () => {
  const pool = new Pool(scene({ arrivals: (second) => (second % minutes(4) === 0 ? 4_000 : 5) }));
  pool.run(minutes(60));
  assertUnharmed(pool);
  assert.ok(pool.turns(minutes(15)) <= 6, `${pool.turns(minutes(15))} turns`);
});

test("runs that take long are not cut off by a step down", () => {
  const pool = new Pool(scene({ runSeconds: 15, arrivals: (second) => (second < minutes(30) ? 10 : 3) }));
  pool.run(minutes(70));
  assertUnharmed(pool);
  assert.ok((pool.moments.at(-1)?.workers ?? 0) < Math.max(...numbers(pool, 0)), "it has stepped down");
});

test("in front of a dependency that is full no worker is added, however much waits", () => {
  const pool = new Pool(scene({ workers: 4, slots: 10, arrivals: () => 60, dependency: { perSecond: 20, slots: 10 } }));
  pool.run(minutes(30));
  assert.ok((pool.moments.at(-1)?.queued ?? 0) > 50_000, "much waits");
  assert.deepEqual([...new Set(numbers(pool, minutes(2)))], [4]);
});

test("a pool without work goes to zero after its cooldown, and is back when a message comes", () => {
  const late = minutes(30);
  const pool = new Pool(scene({ autoscaling: toZero, arrivals: (second) => (second < minutes(5) || (second >= late && second < late + 60) ? 20 : 0) }));
  pool.run(minutes(60));
  assertUnharmed(pool);
  const first = pool.moments.find(({ workers }) => workers === 0)?.second ?? Number.POSITIVE_INFINITY;
  assert.ok(first >= minutes(5) + autoscaling.cooldownPeriod && first < minutes(20), `at zero after ${first} s`);
  const back = pool.moments.find(({ second, workers }) => second >= late && workers > 0)?.second ?? Number.POSITIVE_INFINITY;
  assert.ok(back <= late + autoscaling.pollingInterval, `back after ${back - late} s`);
  const ends = pool.moments.find(({ second, queued, running }) => second > late + 60 && queued + running === 0)?.second ?? Number.POSITIVE_INFINITY;
  assert.ok(ends < late + minutes(5), `done after ${ends - late} s`);
  assert.equal(pool.moments.at(-1)?.workers, 0);
});
