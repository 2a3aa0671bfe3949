import { strict as assert } from "node:assert";
import { test } from "node:test";
import { TransportError } from "#runtime/core/errors.ts";
import { Silences, type WatchedPipeline } from "#runtime/pipeline/silences.ts";

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
    health: { trouble: undefined, served: () => {}, disturbed: () => {} },
    receiving: { silentSinceMs: 1, received: 7, lastReceivedMs, rebuild: async (what) => resolve(what) },
  };
  const clock = { wallMs: () => nowMs, monotonicMs: () => nowMs, after: () => ({ cancel: () => {} }), soon: () => {} };
  new Silences({ clock, telemetry: { emit: () => {}, settled: () => {} }, pipelines: [pipeline], silenceMaxMs: 30_000 }).look(nowMs);
  return promise;
}

test("a silent source that cannot be looked at has its connection replaced", async () => {
  assert.equal(await replaced(1), "connection");
});

test("a connection that brings messages of a source's sessions is kept when what is read beside them is silent", async () => {
  assert.equal(await replaced(59_000), "receiver");
});
