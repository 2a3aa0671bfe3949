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
