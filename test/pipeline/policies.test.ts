// Policies of a running worker are read and changed in one place, and what waits goes on by it.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { RetryLedger } from "#runtime/policy/retry-ledger.ts";
import { dependencyPolicy, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

function worldOf(concurrentMax: number): World {
  return new World({ skills: [skillPolicy("calls", { uses: [0] })], dependencies: [dependencyPolicy("api", { concurrentMax, queueMax: 10 })] });
}

test("shows circuits, bulkheads and the retry budget with what they have counted", async () => {
  const world = worldOf(4);
  const { executor, worker } = await world.start();
  executor.script = (run) => {
    run.called("api", "failed");
    return run.order.attempt === 1 ? failedAnswer("EDOWN") : completedAnswer;
  };
  world.send(world.message("one", "calls"));
  await world.clock.until("it to be completed", () => world.broker.open.length === 0, 5_000);
  const { dependencies, retryBudget } = worker.policies.view();
  assert.deepEqual(
    dependencies.map(({ dependency, bulkhead, circuit }) => [dependency, bulkhead.inUse, bulkhead.policy.concurrentMax, circuit.state, circuit.failures]),
    [["api", 0, 4, "closed", 2]],
  );
  assert.deepEqual([retryBudget.granted, retryBudget.refused], [1, 0]);
});

test("an isolated circuit stops calls until it is closed by hand, and threads hear both at once", async () => {
  const world = worldOf(4);
  const { executor, circuits, worker } = await world.start();
  executor.script = () => completedAnswer;
  worker.policies.isolateCircuit("api");
  assert.deepEqual(circuits, ["0:isolated"]);
  world.send(world.message("one", "calls"));
  await world.clock.advance(60_000);
  assert.equal(executor.posted.length, 0);
  worker.policies.closeCircuit("api");
  assert.deepEqual(circuits, ["0:isolated", "0:closed"]);
  await world.clock.until("it to be completed", () => world.statesOf("one").includes("completed"), 120_000);
});

test("a circuit opened by hand lets a probe through after its reset time", async () => {
  const world = worldOf(4);
  const { executor, circuits, worker } = await world.start();
  executor.script = (run) => {
    run.called("api", "succeeded");
    return completedAnswer;
  };
  worker.policies.openCircuit("api");
  world.send(world.message("one", "calls"));
  await world.clock.advance(120_000);
  assert.deepEqual(circuits, ["0:open", "0:half-open", "0:closed"]);
});

test("a bulkhead that is widened lets those begin that wait, and a narrow one no more", async () => {
  const world = worldOf(1);
  const { executor, worker } = await world.start();
  executor.script = async (run) => {
    await run.takes(1_000);
    return completedAnswer;
  };
  for (let event = 0; event < 6; event += 1) world.send(world.message(`e${event}`, "calls"));
  await world.clock.advance(100);
  assert.equal(worker.view().executing, 1);
  worker.policies.changeBulkhead("api", { concurrentMax: 4 });
  assert.equal(worker.view().executing, 4);
  worker.policies.changeBulkhead("api", { concurrentMax: 1 });
  await world.clock.advance(1_100);
  assert.equal(worker.view().executing, 1);
  await world.clock.until("all to be completed", () => world.broker.open.length === 0, 10_000);
});

test("without a budget nothing is retried in place, but through the queue", async () => {
  const world = worldOf(4);
  const { executor, worker, telemetry } = await world.start();
  executor.script = () => failedAnswer("EDOWN");
  worker.policies.changeRetryBudget({ ratio: 0, perSecondMin: 0 });
  world.send(world.message("one", "calls"));
  await world.clock.advance(1_000);
  assert.deepEqual([executor.posted.length, telemetry.outcomes], [1, ["retried"]]);
  assert.equal(worker.policies.view().retryBudget.refused, 1);
});

test("threads may retry calls again when what they have taken lies past the budget's window, also while no message comes", async () => {
  const retryLedger = new RetryLedger();
  const world = worldOf(4);
  const { worker } = await world.start({ retryLedger });
  worker.policies.changeRetryBudget({ ratio: 0, perSecondMin: 0.2 });
  assert.deepEqual([retryLedger.take(), retryLedger.take(), retryLedger.take()], [true, true, false]);
  await world.clock.advance(1_000);
  assert.deepEqual(worker.view().retryBudget.ofCalls, { granted: 2, refused: 1 });
  await world.clock.advance(12_000);
  assert.deepEqual([retryLedger.take(), retryLedger.take(), retryLedger.take()], [true, true, false]);
});

test("a dependency that is not there is refused by name", async () => {
  const { worker } = await worldOf(1).start();
  assert.throws(() => worker.policies.closeCircuit("nobody"), /expected a dependency of this worker \(api\), got 'nobody'/);
});

test("changes that the configuration would refuse are refused with the key, what was expected and what was found, and nothing is changed", async () => {
  const { worker } = await worldOf(4).start();
  const { policies } = worker;
  const before = policies.view();
  const refusedBulkhead = (changes: Record<string, unknown>, message: RegExp): void =>
    assert.throws(() => policies.changeBulkhead("api", changes), { name: "RangeError", message });
  refusedBulkhead(
    { concurrentMax: 0 },
    /^dependencies\.api\.bulkhead\.concurrentMax: expected .*1, got 0; nothing was changed, give values within the limits$/,
  );
  refusedBulkhead({ concurrentMax: 10_001 }, /expected .*10000, got 10001/);
  refusedBulkhead({ concurrentMax: 1.5 }, /bulkhead\.concurrentMax: expected int, got 1\.5/);
  refusedBulkhead({ concurrentMax: 2, queueMax: -1 }, /bulkhead\.queueMax: expected .*0, got -1/);
  refusedBulkhead({ waitMaxMs: 150_001 }, /bulkhead\.waitMaxMs: expected .*150000 \(milliseconds, as a whole number\), got 150001/);
  refusedBulkhead({ waitMaxMS: 5 }, /bulkhead\.waitMaxMS: unknown key; did you mean 'waitMaxMs'\?/);
  const refusedBudget = (changes: Record<string, unknown>, message: RegExp): void =>
    assert.throws(() => policies.changeRetryBudget(changes), { name: "RangeError", message });
  refusedBudget({ ratio: -0.1 }, /^retryBudget\.ratio: expected .*0, got -0\.1/);
  refusedBudget({ perSecondMin: Number.NaN }, /^retryBudget\.perSecondMin: expected number/);
  refusedBudget({ windowMs: 999 }, /^retryBudget\.windowMs: expected .*1000 .*, got 999/);
  assert.throws(() => policies.changeRetryBudget(5 as never), { message: /^retryBudget: expected object, got 5;/ });
  assert.deepEqual(policies.view(), before);
});

test("a change that leaves a key undefined leaves it as it is", async () => {
  const { worker } = await worldOf(4).start();
  worker.policies.changeBulkhead("api", { concurrentMax: 7, ...({ queueMax: undefined } as object) });
  worker.policies.changeRetryBudget({ perSecondMin: 0.5, ...({ ratio: undefined } as object) });
  const { dependencies, retryBudget } = worker.policies.view();
  assert.deepEqual(dependencies[0]?.bulkhead.policy, { concurrentMax: 7, queueMax: 10, waitMaxMs: 30_000, whenFull: "postpone" });
  assert.deepEqual(retryBudget.policy, { ratio: 0.2, perSecondMin: 0.5, windowMs: 10_000 });
});
