// A skill whose runs take longer than they usually do is found, told, and taken more carefully; a dependency whose calls do is told.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { reportLatency } from "#runtime/admin/worker-state.ts";
import { type LatencyWatchPolicy, defaultLatencyWatchPolicy } from "#runtime/core/latency-watch.ts";
import { dependencyPolicy, type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

interface Scene {
  readonly world: World;
  readonly process: Process;
  /** Sends as many messages a second of this skill, for so long. */
  readonly run: (seconds: number, perSecond: number, skill?: string) => Promise<void>;
}

/** Runs of `task` take as long as `took.ms` says, those of `other` always the same; `took.call` of a run's time is that of its call. */
async function scene(took: { ms: number; call?: number }, latencyWatch: LatencyWatchPolicy = defaultLatencyWatchPolicy): Promise<Scene> {
  const dependencies = [dependencyPolicy("api", { concurrentMax: 100, queueMax: 100 })];
  const world = new World({ skills: [skillPolicy("task", { uses: [0], concurrentMax: 1_000 }), skillPolicy("other")], dependencies });
  const process = await world.start({ latencyWatch, inFlightMax: 1_000, intake: { start: 8, floor: 2, ceiling: 1_000, waitMaxMs: 500 } }, ({ executor }) => {
    executor.script = async (run) => {
      await run.takes(run.order.skill === "task" ? took.ms : 50);
      if (took.call !== undefined) run.calls.push({ dependency: "api", result: "succeeded", latencyMs: took.call });
      return completedAnswer;
    };
  });
  let sent = 0;
  return {
    world,
    process,
    async run(seconds, perSecond, skill = "task") {
      for (let second = 0; second < seconds; second += 1) {
        for (let message = 0; message < perSecond; message += 1) world.send(world.message(`e-${(sent += 1)}`, skill));
        await world.clock.advance(1_000);
      }
    },
  };
}

function drifts({ telemetry }: Process): unknown[] {
  return telemetry.events.flatMap((event) => (event.type === "latency.drifted" ? [[event.skill, event.state]] : []));
}

test("a skill that takes longer than it usually does is told, with what is usual, and again when it is over", async () => {
  const took = { ms: 50 };
  const { process, run } = await scene(took);
  for (let second = 0; second < 70; second += 1) {
    await run(1, 12);
    await run(0, 12, "other");
  }
  assert.deepEqual(drifts(process), []);
  took.ms = 150;
  await run(30, 20);
  const [slow] = process.telemetry.events.filter(({ type }) => type === "latency.drifted");
  assert.ok(slow?.type === "latency.drifted" && slow.usualMs >= 49 && slow.usualMs < 60 && slow.latencyMs >= 2 * slow.usualMs, JSON.stringify(slow));
  took.ms = 800;
  await run(30, 20);
  took.ms = 50;
  await run(60, 20);
  assert.deepEqual(drifts(process), [
    ["task", "slow"],
    ["task", "very-slow"],
    ["task", "slow"],
    ["task", "usual"],
  ]);
  assert.deepEqual(
    process.worker.view().latency.skills.map(({ skill, state }) => [skill, state]),
    [
      ["task", "usual"],
      ["other", "learning"],
    ],
  );
});

test("a dependency whose calls take longer than they usually do is told by its name, also where its skills hardly notice", async () => {
  const took = { ms: 2_000, call: 20 };
  const { process, run } = await scene(took);
  const drifted = (): unknown[] => process.telemetry.events.flatMap((event) => (event.type === "dependency.drifted" ? [[event.dependency, event.state]] : []));
  await run(70, 20);
  assert.deepEqual(drifted(), []);
  Object.assign(took, { ms: 2_100, call: 120 });
  await run(40, 20);
  const view = process.worker.view().latency;
  assert.deepEqual(
    view.dependencies.map(({ dependency, state }) => [dependency, state]),
    [["api", "very-slow"]],
  );
  assert.deepEqual(
    reportLatency(view).map((one) => ("dependency" in one ? one.dependency : one)),
    ["api"],
  );
  Object.assign(took, { ms: 2_000, call: 20 });
  await run(90, 20);
  assert.deepEqual(drifted(), [
    ["api", "slow"],
    ["api", "very-slow"],
    ["api", "slow"],
    ["api", "usual"],
  ]);
  assert.deepEqual(drifts(process), []);
});

test("while a skill is very slow the window of its messages does not grow, unless the watch only reports", async () => {
  const windows = async (policy: LatencyWatchPolicy): Promise<{ readonly before: number; readonly after: number }> => {
    const took = { ms: 50 };
    const { world, process, run } = await scene(took, policy);
    await run(70, 20);
    took.ms = 500;
    await run(30, 20);
    assert.equal(process.worker.view().latency.skills[0]?.state, "very-slow");
    const size = (): number => process.worker.view().intake[0]?.window ?? 0;
    const before = size();
    for (let message = 0; message < 2_000; message += 1) world.send(`burst-${message}`);
    await world.clock.advance(3_000);
    return { before, after: size() };
  };
  const held = await windows(defaultLatencyWatchPolicy);
  const reported = await windows({ ...defaultLatencyWatchPolicy, action: "report" });
  assert.ok(held.after <= held.before && reported.after >= 2 * reported.before, JSON.stringify({ held, reported }));
});

test("is shown, changed and switched off while the worker runs", async () => {
  const took = { ms: 50 };
  const { process, run } = await scene(took);
  const { policies } = process.worker;
  await run(70, 20);
  took.ms = 150;
  policies.changeLatencyWatch({ factor: 10 });
  await run(30, 20);
  assert.deepEqual([drifts(process), policies.view().latency.policy.factor], [[], 10]);
  policies.changeLatencyWatch({ factor: 1.5 });
  await run(2, 20);
  assert.equal(drifts(process).length, 1);
  policies.changeLatencyWatch({ enabled: false });
  assert.deepEqual(drifts(process).at(-1), ["task", "usual"]);
  assert.equal(policies.view().latency.skills[0]?.state, "learning");
  assert.throws(() => policies.changeLatencyWatch({ factor: 1 }), { name: "RangeError", message: /^latencyWatch\.factor: expected .*1\.1, got 1/ });
});
