// Skills whose dependencies are limited, in the test kit: limits hold there as in a worker, in no real time.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { defineDependency, defineSkill } from "#runtime/index.ts";
import { stub, testSkill } from "#runtime/testing/index.ts";

const model = defineDependency({
  name: "model",
  limits: [{ requestsPerMinute: 60, tokensPerMinute: 600 }],
  estimatedTokens: 5,
  tokensOf: ({ tokens }) => tokens,
  timeouts: { totalMs: 20_000 },
  request: async (_request: string): Promise<{ tokens: number }> => ({ tokens: 5 }),
});

const asking = (times: number): ReturnType<typeof defineSkill> =>
  defineSkill({
    name: "asker",
    handles: [{ eventType: "Asked" }],
    uses: [model],
    run: async (context) => {
      for (let at = 1; at <= times; at += 1) await context.step(`ask ${at}`.replace(" ", "-"), (step) => step.call(model, String(at)));
    },
  });

test("calls within the limits go out at once, and what a call has used counts", async () => {
  const { outcome, calls, tookMs } = await testSkill(asking(3), { dependencies: [stub(model, { tokens: 10 })] });
  assert.deepEqual([outcome, calls.length], ["completed", 3]);
  assert.ok(tookMs < 1_000, `took ${tookMs} ms`);
});

test("calls past the limit wait for their turn, or are retried when it should come", async () => {
  const startedMs = performance.now();
  const { outcome, calls, tookMs } = await testSkill(asking(4), { dependencies: [stub(model, { tokens: 590 })] });
  assert.deepEqual([outcome, calls.filter(({ carriedOut }) => carriedOut).length], ["completed", 4]);
  assert.ok(tookMs > 60_000, `took ${tookMs} ms of simulated time`);
  assert.ok(performance.now() - startedMs < 20_000);
});

test("every way, too: a worker that was killed finds the limits as it left them", async () => {
  const { cases } = await testSkill.everyWay(asking(2), { dependencies: [stub(model, { tokens: 5 })] });
  assert.ok(cases > 30);
});
