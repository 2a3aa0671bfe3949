import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type StreamOptions, Stream, makeAhead } from "#load/dev/stream.ts";
import type { World } from "#load/dev/world.ts";
import { eventually } from "../support/eventually.ts";

const options: StreamOptions = { events: 5_000, duplicates: 0.05, poison: 0.01, seed: 1, rate: 100 };

interface Bench {
  readonly stream: Stream;
  accepted: number;
}

async function makeBench(signal: AbortSignal): Promise<Bench> {
  const publisher: Pick<World["publisher"], "send"> = {
    async send(_entity, messages) {
      bench.accepted += messages.length;
    },
  };
  const bench: Bench = { accepted: 0, stream: new Stream(options, await makeAhead(options, signal), { publisher, queue: "input" } as World) };
  return bench;
}

test("a trial sends as fast as the worker takes, little before it has begun to, and counts events and messages apart", async () => {
  const { signal } = new AbortController();
  const bench = await makeBench(signal);
  const sending = bench.stream.send(signal);
  let taken = 0;
  let isDone = false;
  void sending.then(() => (isDone = true));
  await eventually("it to have sent everything", () => {
    const waitingMax = Math.min(2_000, 256 + taken);
    assert.ok(bench.accepted - taken <= waitingMax, `expected at most ${waitingMax} to wait, ${bench.accepted - taken} do`);
    taken = Math.min(bench.accepted, taken + 500);
    bench.stream.look({ accepted: bench.accepted, ready: bench.accepted - taken, completed: taken, deadLettered: 0 });
    return isDone;
  });
  assert.equal(bench.stream.sent.events, 5_000);
  assert.equal(bench.stream.sent.messages, bench.accepted);
  assert.ok(bench.accepted > 5_200);
});

test("a trial that is interrupted while it waits for the worker ends its sending", async () => {
  const controller = new AbortController();
  const bench = await makeBench(controller.signal);
  const sending = bench.stream.send(controller.signal);
  await eventually("it to wait", () => bench.accepted === 256);
  controller.abort();
  await sending;
  assert.equal(bench.accepted, 256);
});
