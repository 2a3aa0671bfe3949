// A thread goes through made-up runs before it says that it is ready.
import { strict as assert } from "node:assert";
import { resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { rehearse } from "#runtime/adapters/threads/rehearsal.ts";
import { createThreadsExecutor } from "#runtime/adapters/threads/executor.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { defaultDecodeLimits } from "#runtime/core/read-route.ts";
import { RetryLedger, retryLedgerBytes } from "#runtime/policy/retry-ledger.ts";
import type { ExecutorListener } from "#runtime/ports/executor.ts";
import { startAwakeTime } from "../support/awake-time.ts";
import fixture from "../support/thread-plugin.ts";

const folder = resolve(import.meta.dirname, "../support");

function rehearseWith(limits: typeof defaultDecodeLimits, begun: (orders: number) => void, callsHttp = false): Promise<number> {
  return rehearse({
    limits,
    callsHttp,
    retries: new ArrayBuffer(retryLedgerBytes),
    clock: { ...systemClock, wallMs: Date.now },
    random: Math.random,
    begin: async (host, reporter, orders) => {
      for (const order of orders) host.start(order);
      begun(orders.length);
      await Promise.resolve();
      return reporter.take(0);
    },
  });
}

test("a rehearsal's runs complete in every form, and are over in time", async (t) => {
  let begun = 0;
  const awakeMs = startAwakeTime(t);
  const startedMs = awakeMs();
  const completed = await rehearseWith(defaultDecodeLimits, (orders) => (begun += orders));
  assert.ok(begun >= 8, `${begun} begun`);
  assert.equal(completed, begun);
  assert.ok(awakeMs() - startedMs < 2_000);
});

test("a rehearsal of a thread whose skills call over HTTP makes such calls, and each is answered", async () => {
  let begun = 0;
  const before = process.getActiveResourcesInfo().length;
  const completed = await rehearseWith(defaultDecodeLimits, (orders) => (begun += orders), true);
  assert.ok(begun >= 8, `${begun} begun`);
  assert.equal(completed, begun);
  assert.ok(process.getActiveResourcesInfo().length <= before, process.getActiveResourcesInfo().join());
});

test("a rehearsal with limits that refuse its events is over in time, too", async () => {
  let begun = 0;
  const completed = await rehearseWith({ ...defaultDecodeLimits, depthMax: 1 }, (orders) => (begun += orders));
  assert.ok(begun >= 8, `${begun} begun`);
  assert.equal(completed, 0);
});

test("a rehearsal is seen nowhere: no result, step, question, log line, retry or time of a skill comes of it", async (t) => {
  const heard: string[] = [];
  const retries = new SharedArrayBuffer(retryLedgerBytes);
  const circuits = new SharedArrayBuffer(12);
  const skills = fixture.skills.filter(({ isolation }) => isolation === "shared");
  const executor = createThreadsExecutor({
    consumers: ["orders"],
    plugins: [{ name: "fixture", entry: pathToFileURL(resolve(folder, "thread-plugin.ts")).href, folder, skills }],
    dependencies: ["local", "limited"],
    dependencyConfig: new Map(),
    circuits,
    retries,
    limits: defaultDecodeLimits,
    threads: 2,
    logLevel: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
    log: (lines) => heard.push(...lines.map(({ message }) => `log: ${message}`)),
  });
  t.after(() => executor.stop());
  const names: readonly (keyof ExecutorListener)[] = [
    "steps",
    "usage",
    "questions",
    "results",
    "threadLost",
    "threadReplaced",
    "threadStuck",
    "threadLeaked",
    "threadsDown",
  ];
  await executor.start(Object.fromEntries(names.map((name) => [name, () => void heard.push(name)])) as unknown as ExecutorListener);
  await executor.stop();
  assert.deepEqual(heard, []);
  assert.deepEqual([new RetryLedger(retries).taken, new RetryLedger(retries).refused], [0, 0]);
  assert.deepEqual([...new Int32Array(circuits)], [0, 0, 0]);
  for (const { name } of [...skills, { name: "rehearsal" }]) assert.equal(executor.heldMs(name), 0, name);
});
