import { strict as assert } from "node:assert";
import { test } from "node:test";
import { TransportError } from "#runtime/core/errors.ts";
import { Silences, type WatchedPipeline } from "#runtime/pipeline/silences.ts";
import { SourceHealth } from "#runtime/pipeline/source-health.ts";
import type { Source } from "#runtime/pipeline/source.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

/** What is replaced of a source that has been silent for a minute and cannot be looked at, when messages of it came in another way until `lastReceivedMs`. */
async function replaced(lastReceivedMs: number): Promise<string> {
  const nowMs = 60_000;
  const { promise, resolve } = Promise.withResolvers<string>();
  const pipeline: WatchedPipeline = {
    source: {
      name: "input",
      transport: {
        hasBacklog: async () => {
          throw new TransportError("expected to look into input, found that it cannot be");
        },
      },
    },
    health: { trouble: undefined, served: () => {}, disturbed: () => true },
    receiving: { silentSinceMs: 1, received: 7, lastReceivedMs, rebuild: async (what) => resolve(what) },
  };
  const clock = { wallMs: () => nowMs, monotonicMs: () => nowMs, after: () => ({ cancel: () => {} }), soon: () => {} };
  new Silences({ clock, telemetry: { emit: () => {}, settled: () => {} }, pipelines: [pipeline], silenceMaxMs: 30_000 }).look(nowMs);
  return promise;
}

test("a silent source that is not there has nothing replaced: its receiver is tried again by itself", async () => {
  let looks = 0;
  const replaced: string[] = [];
  const told: string[] = [];
  const clock = new SimClock();
  const telemetry = { emit: ({ type }: { readonly type: string }) => void told.push(type), settled: () => {} };
  const transport = {
    hasBacklog: async (): Promise<boolean> => {
      looks += 1;
      throw new TransportError("expected input, found no entity of that name", { entityTrouble: "missing" });
    },
  };
  const source = { name: "input", transport };
  const pipeline: WatchedPipeline = {
    source,
    health: new SourceHealth({ source: source as unknown as Source, clock, telemetry }),
    receiving: { silentSinceMs: 0, received: 7, lastReceivedMs: 0, rebuild: async (what) => void replaced.push(what) },
  };
  const silences = new Silences({ clock, telemetry, pipelines: [pipeline], silenceMaxMs: 30_000 });
  for (let look = 0; look < 3; look += 1) {
    await clock.advance(30_000);
    silences.look(clock.monotonicMs());
    await clock.settle();
  }
  assert.deepEqual([looks, replaced, told], [3, [], ["source.down"]]);
});

test("a silent source that cannot be looked at has its connection replaced", async () => {
  assert.equal(await replaced(1), "connection");
});

test("a connection that brings messages of a source's sessions is kept when what is read beside them is silent", async () => {
  assert.equal(await replaced(59_000), "receiver");
});

const silenceMaxMs = 30_000;

/** Sources that are silent from the start, and what was done about each. */
class Bench {
  readonly silences: Silences;
  readonly done: string[] = [];
  readonly sources: Silent[];
  nowMs = 0;

  constructor(count = 1) {
    this.sources = Array.from({ length: count }, (_, index) => new Silent(`s${index}`, this.done));
    const telemetry = { emit: (event: object) => void this.done.push(Object.values(event).join(": ")), settled: () => {} };
    const clock = { wallMs: () => this.nowMs, monotonicMs: () => this.nowMs, after: () => ({ cancel: () => {} }), soon: () => {} };
    this.silences = new Silences({ clock, telemetry, pipelines: this.sources, silenceMaxMs });
  }

  get only(): Silent {
    const [source] = this.sources;
    assert.ok(source !== undefined);
    return source;
  }

  /** What was done since it was looked last. */
  async look(nowMs: number): Promise<string[]> {
    this.nowMs = nowMs;
    this.silences.look(nowMs);
    await new Promise(setImmediate);
    return this.done.splice(0);
  }
}

class Silent implements WatchedPipeline {
  readonly source;
  readonly health;
  readonly receiving;
  hasBacklog: () => Promise<boolean> = async () => true;

  constructor(name: string, done: string[]) {
    this.source = {
      name,
      transport: {
        hasBacklog: (): Promise<boolean> => {
          done.push(`${name} is looked at`);
          return this.hasBacklog();
        },
      },
    };
    this.health = { trouble: undefined as WatchedPipeline["health"]["trouble"], served: (): void => void done.push("served"), disturbed: (): boolean => true };
    this.receiving = { silentSinceMs: 0 as number | undefined, received: 7, lastReceivedMs: 0, rebuild: async (): Promise<void> => {} };
  }
}

const looked = "s0 is looked at";
const holds = (what: string): string => `${what}.rebuilt: s0: the queue holds messages, and none came`;

test("a source that stays silent has its receiver replaced, then its connection, each after the time of silence, until a message comes", async () => {
  const bench = new Bench();
  const { only, silences } = bench;
  assert.deepEqual([await bench.look(silenceMaxMs - 1), await bench.look(silenceMaxMs)], [[], [looked, holds("receiver")]]);
  assert.equal(silences.rebuiltInVain, 1);
  assert.deepEqual([await bench.look(2 * silenceMaxMs - 1), await bench.look(2 * silenceMaxMs)], [[], [looked, holds("connection")]]);
  assert.equal(silences.rebuiltInVain, 2);
  only.receiving.received += 1;
  only.receiving.silentSinceMs = 2 * silenceMaxMs + 5;
  assert.equal(silences.rebuiltInVain, 0);
  assert.deepEqual(await bench.look(3 * silenceMaxMs), [], "expected the silence to count from the message on");
  assert.deepEqual(await bench.look(4 * silenceMaxMs), [looked, holds("receiver")]);
});

test("a source that does not listen, or whose queue is empty, has nothing replaced; an empty one explains what was replaced before", async () => {
  const bench = new Bench(2);
  const [first, second] = bench.sources;
  assert.ok(first !== undefined && second !== undefined);
  second.receiving.silentSinceMs = undefined;
  assert.deepEqual(await bench.look(silenceMaxMs), [looked, holds("receiver")]);
  assert.equal(bench.silences.rebuiltInVain, 0, "expected the other to count, for which nothing was replaced");
  first.hasBacklog = async () => false;
  assert.deepEqual(await bench.look(2 * silenceMaxMs), [looked]);
  first.hasBacklog = async () => true;
  assert.deepEqual(await bench.look(3 * silenceMaxMs), [looked, holds("receiver")]);
});

test("a queue that can be looked at again serves again, once, and what is wrong with it is left to its receiver", async () => {
  const bench = new Bench();
  bench.only.hasBacklog = () => Promise.reject(new TransportError("expected an answer, found the broker busy", { retryAfterMs: 1_000 }));
  assert.deepEqual(await bench.look(silenceMaxMs), [looked], "expected nothing to be replaced while the broker asks for patience");
  bench.only.hasBacklog = async () => true;
  bench.only.health.trouble = "disabled";
  assert.deepEqual([await bench.look(2 * silenceMaxMs), await bench.look(3 * silenceMaxMs)], [[looked, "served"], [looked]]);
});

test("a right that is missing may be had with another connection, unlike an entity", async () => {
  for (const [trouble, replacedThen] of [
    ["forbidden", ["connection.rebuilt: s0: no message came, and the queue could not be looked at"]],
    ["missing", []],
  ] as const) {
    const bench = new Bench();
    bench.only.health.disturbed = () => false;
    bench.only.health.trouble = trouble;
    bench.only.hasBacklog = () => Promise.reject(new Error("expected an answer, found none"));
    assert.deepEqual(await bench.look(silenceMaxMs), [looked, ...replacedThen]);
  }
});

test("what came to an end while it was looked at has nothing replaced, and is not looked at twice at once", async () => {
  for (const end of [(bench: Bench) => bench.silences.stop(), (bench: Bench) => (bench.only.receiving.silentSinceMs = silenceMaxMs)]) {
    const bench = new Bench();
    const answer = Promise.withResolvers<boolean>();
    bench.only.hasBacklog = () => answer.promise;
    assert.deepEqual([await bench.look(silenceMaxMs), await bench.look(2 * silenceMaxMs)], [[looked], []]);
    end(bench);
    answer.resolve(true);
    await answer.promise;
    await new Promise(setImmediate);
    assert.deepEqual(bench.done, []);
  }
});

test("a connection is sound while another source gets messages by it, within the time of silence", async () => {
  for (const [agoMs, what] of [
    [silenceMaxMs, "connection"],
    [silenceMaxMs - 1, "receiver"],
  ] as const) {
    const bench = new Bench(2);
    const [, other] = bench.sources;
    assert.ok(other !== undefined);
    other.receiving.silentSinceMs = undefined;
    await bench.look(silenceMaxMs);
    other.receiving.lastReceivedMs = 2 * silenceMaxMs - agoMs;
    assert.deepEqual(await bench.look(2 * silenceMaxMs), [looked, holds(what)]);
  }
});

test("of many silent sources one is looked at in each fourth of the time of silence, the one first that was not for longest; up to four are not held up", async () => {
  const lookedAt = async (count: number, atMs: readonly number[]): Promise<string[]> => {
    const bench = new Bench(count);
    for (const source of bench.sources) source.hasBacklog = async () => false;
    const all: string[] = [];
    for (const nowMs of atMs) all.push((await bench.look(nowMs)).map((one) => one.slice(0, 2)).join());
    return all;
  };
  assert.deepEqual(await lookedAt(4, [30_000, 30_001, 30_002, 30_003, 30_004]), ["s0", "s1", "s2", "s3", ""]);
  assert.deepEqual(await lookedAt(5, [30_000, 37_499, 37_500, 45_000, 52_500, 60_000, 67_500, 75_000]), ["s0", "", "s1", "s2", "s3", "s4", "s0", "s1"]);
});
