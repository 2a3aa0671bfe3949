// The kit's stand-in for threads: when a skill's own code is at work, and simulated time waits for it.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { defineSkill } from "#runtime/index.ts";
import { retryLedgerBytes } from "#runtime/policy/retry-ledger.ts";
import { deafListener, type StepRequest } from "#runtime/ports/executor.ts";
import { HostExecutor } from "#runtime/testing/world/host-executor.ts";
import { testSkill } from "#runtime/testing/index.ts";
import { ProcessClock, SimClock } from "#runtime/testing/world/sim-clock.ts";
import { usualSurroundings } from "#runtime/testing/world/surroundings.ts";
import { defaultOrder } from "../contracts/executor.ts";
import { within } from "../support/eventually.ts";

test("a skill is at work while a step is on its way to the store that it does not wait for, and not while it waits", async (t) => {
  const world = new SimClock();
  const goesOn = Promise.withResolvers<void>();
  const skill = defineSkill({
    name: "late",
    handles: [{ eventType: "OrderPlaced" }],
    async run(context) {
      await context.step("one", { kind: "idempotent" }, () => 1);
      await context.step("two", { kind: "idempotent" }, () => goesOn.promise);
      await context.step("three", () => 3);
    },
  });
  const executor = new HostExecutor({
    clock: new ProcessClock(world),
    consumer: "orders",
    skills: [skill],
    dependencies: [],
    retries: new ArrayBuffer(retryLedgerBytes),
    random: () => 0,
    surroundings: usualSurroundings,
    log: () => undefined,
  });
  t.after(() => executor.stop());
  const steps: StepRequest[] = [];
  await executor.start({ ...deafListener, steps: (requests) => steps.push(...requests) });
  executor.post([{ ...defaultOrder("late"), runId: 1 }]);
  await world.advance(50);
  assert.deepEqual([steps.map(({ step }) => step.name), executor.isAtWork], [["one"], true]);
  goesOn.resolve();
  await world.advance(1);
  assert.deepEqual([steps.map(({ step }) => step.name), executor.isAtWork], [["one", "two"], false]);
});

test("the time of a test goes on once it is over, so that what a skill leaves behind ends", async () => {
  const left = Promise.withResolvers<void>();
  const skill = defineSkill({
    name: "leaves",
    handles: [{ eventType: "OrderPlaced" }],
    run() {
      const untilMs = Date.now() + 50;
      const timer = setInterval(() => {
        if (Date.now() < untilMs) return;
        clearInterval(timer);
        left.resolve();
      }, 5);
    },
  });
  assert.equal((await testSkill(skill, { event: {} })).outcome, "completed");
  await within("what was left behind to end", left.promise);
});

test("a timer that is cancelled as a freeze ends does not ring", async () => {
  const clock = new SimClock();
  const process = new ProcessClock(clock);
  const rung: string[] = [];
  process.freeze(100);
  process.after(10, () => {
    rung.push("first");
    second.cancel();
  });
  const second = process.after(20, () => rung.push("second"));
  await clock.advance(200);
  assert.deepEqual(rung, ["first"]);
});
