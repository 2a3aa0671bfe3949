// Rate limits and token quotas of dependencies, by the whole pipeline on the test's clock.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { LimitPolicy } from "#runtime/core/limits.ts";
import type { DependencyPolicy } from "#runtime/core/skill.ts";
import type { SharedLimits } from "#runtime/ports/shared-limits.ts";
import { dependencyPolicy, type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

const skills = [skillPolicy("calls", { uses: [0] }), skillPolicy("free"), skillPolicy("other", { uses: [0] })];

function limited(limits: readonly LimitPolicy[], rest: Partial<DependencyPolicy> = {}): World {
  const api = dependencyPolicy("api", { concurrentMax: 100, queueMax: 100, waitMaxMs: 5_000 });
  return new World({ skills, dependencies: [{ ...api, limits, ...rest }] });
}

/** When each event's execution began. */
function startsOf(world: World, { executor }: Process, takesMs = 5): Map<string, number> {
  const starts = new Map<string, number>();
  executor.script = async (run) => {
    starts.set(run.eventId, world.clock.monotonicMs());
    await run.takes(takesMs);
    run.called("api", "succeeded", { requests: 1, tokens: 0 });
    return completedAnswer;
  };
  return starts;
}

function sendMany(world: World, count: number, tenantOf: (index: number) => string | undefined = () => undefined, type = "calls"): void {
  for (let index = 0; index < count; index += 1) {
    const tenantId = tenantOf(index);
    world.send(world.message(`${type}-${tenantId ?? "x"}-${index}`, type, {}, tenantId === undefined ? {} : { tenantId }));
  }
}

/** The most that began within any minute. */
function mostWithin(times: readonly number[], windowMs: number): number {
  const sorted = times.toSorted((one, other) => one - other);
  return Math.max(0, ...sorted.map((fromMs) => sorted.filter((atMs) => atMs >= fromMs && atMs < fromMs + windowMs).length));
}

const attempts = (process: Process): number[] => [...new Set(process.executor.posted.map(({ attempt }) => attempt))];

describe("limits", () => {
  test("let through what they hold at once, then as many as their rate, without counting a try", async () => {
    const world = limited([{ requestsPerMinute: 60, burstMs: 5_000 }]);
    const process = await world.start();
    const starts = startsOf(world, process);
    sendMany(world, 8);
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 60_000);
    const times = [...starts.values()];
    assert.deepEqual(times.filter((atMs) => atMs < 500).length, 5);
    assert.ok((times.at(-1) ?? 0) >= 3_000 && (times.at(-1) ?? 0) < 4_500, times.join());
    assert.deepEqual(attempts(process), [1]);
    assert.deepEqual(new Set(process.telemetry.outcomes), new Set(["completed"]));
  });

  test("postpone what would wait for too long until there is something, again without a try, and keep the rate", async () => {
    const world = limited([{ requestsPerMinute: 60, burstMs: 1_000 }]);
    const process = await world.start();
    const starts = startsOf(world, process);
    sendMany(world, 150);
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 600_000, 500);
    const times = [...starts.values()];
    assert.equal(times.length, 150);
    assert.ok(mostWithin(times, 60_000) <= 62, `${mostWithin(times, 60_000)}`);
    // Nothing of the rate is left unused for long either.
    assert.ok((times.at(-1) ?? 0) < 230_000, `${times.at(-1)}`);
    assert.deepEqual(attempts(process), [1]);
    const whys = new Set(process.telemetry.events.flatMap((event) => (event.type === "run.postponed" ? [event.why] : [])));
    assert.deepEqual(whys, new Set(["rate-limited"]));
  });

  test("of one tenant hold up no other", async () => {
    const world = limited([{ by: "tenant", requestsPerMinute: 60, burstMs: 1_000 }]);
    const process = await world.start();
    const starts = startsOf(world, process);
    sendMany(world, 100, () => "greedy");
    sendMany(world, 10, (index) => `modest-${index}`);
    sendMany(world, 10, () => undefined, "free");
    await world.clock.advance(1_000);
    const done = [...starts.keys()].filter((event) => !event.includes("greedy"));
    assert.equal(done.length, 20);
    assert.ok(starts.size <= 23, `${starts.size}`);
  });

  test("hold no slot of a skill for a run that waits for them, come from a lane or not", async () => {
    const api = dependencyPolicy("api", { concurrentMax: 1, queueMax: 100, waitMaxMs: 5_000 });
    const world = new World({
      skills: [skillPolicy("calls", { uses: [0], concurrentMax: 1 }), skillPolicy("other", { uses: [0] })],
      dependencies: [{ ...api, limits: [{ by: "tenant", requestsPerMinute: 60, burstMs: 1_000 }] }],
    });
    const process = await world.start();
    const starts = startsOf(world, process, 50);
    sendMany(world, 1, () => "greedy", "other");
    await world.clock.advance(10);
    // The first waits for the dependency with the only slot of its skill, the others for that slot.
    sendMany(world, 3, () => "greedy");
    sendMany(world, 1, () => "modest");
    await world.clock.advance(45);
    assert.deepEqual([...starts.keys()], ["other-greedy-0", "calls-modest-0"]);
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 60_000);
    assert.deepEqual(attempts(process), [1]);
  });

  test("count by the tenant that the body names, where the message's properties do not", async () => {
    const world = limited([{ by: "tenant", requestsPerMinute: 60, burstMs: 1_000 }]);
    const process = await world.start();
    const starts = startsOf(world, process);
    for (const [index, tenantId] of ["a", "a", "b", "b", "c"].entries()) {
      const { headers: _headers, ...message } = world.message(`e${index}`, "calls");
      world.send({
        ...message,
        body: Buffer.from(JSON.stringify({ eventId: `e${index}`, eventType: "calls", version: "1.0", payload: {}, tenantId })),
        headers: {},
      });
    }
    await world.clock.advance(500);
    assert.deepEqual([...starts.keys()].toSorted(), ["e0", "e2", "e4"]);
  });

  test("count by skill, each its own", async () => {
    const world = limited([{ by: "skill", requestsPerMinute: 60, burstMs: 2_000 }]);
    const process = await world.start();
    const starts = startsOf(world, process);
    sendMany(world, 5, () => undefined, "calls");
    sendMany(world, 5, () => undefined, "other");
    await world.clock.advance(400);
    assert.equal(starts.size, 4);
  });

  test("are shared by the workers of a pool", async () => {
    const world = limited([{ requestsPerMinute: 60, burstMs: 4_000 }]);
    const processes = [await world.start({ inFlightMax: 20 }), await world.start({ inFlightMax: 20 }), await world.start({ inFlightMax: 20 })];
    const starts = processes.map((process) => startsOf(world, process));
    sendMany(world, 120);
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 600_000, 500);
    const times = starts.flatMap((some) => [...some.values()]);
    assert.equal(times.length, 120);
    assert.ok(mostWithin(times, 60_000) <= 66, `${mostWithin(times, 60_000)}`);
  });

  test("a run asks nobody while its worker has units, and a busy worker draws many at once", async () => {
    const world = limited([{ requestsPerMinute: 60_000 }]);
    let draws = 0;
    const counting: SharedLimits = {
      start: () => world.limits.start(),
      stop: () => world.limits.stop(),
      draw: (some) => {
        draws += some.length;
        return world.limits.draw(some);
      },
    };
    const process = await world.start({ sharedLimits: counting });
    const starts = startsOf(world, process, 1);
    for (let second = 0; second < 200; second += 1) {
      for (let index = 0; index < 10; index += 1) world.send(world.message(`e${second}-${index}`, "calls"));
      await world.clock.advance(20);
    }
    assert.equal(starts.size, 2_000);
    assert.ok(draws < 60, `expected few draws for 2 000 runs, found ${draws}`);
  });

  test("take tokens by what runs of a skill have used, and count what they used in the end", async () => {
    const world = limited([{ tokensPerMinute: 60_000, burstMs: 1_000 }], { estimatedTokens: 100 });
    const process = await world.start();
    const starts: number[] = [];
    process.executor.script = async (run) => {
      starts.push(world.clock.monotonicMs());
      await run.takes(5);
      run.called("api", "succeeded", { requests: 1, tokens: 1_000 });
      return completedAnswer;
    };
    for (let index = 0; index < 60; index += 1) {
      world.send(world.message(`e${index}`, "calls"));
      await world.clock.advance(50);
    }
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 600_000, 500);
    // One a second, and what began while nobody knew better.
    assert.ok((starts.at(-1) ?? 0) >= 45_000, `${starts.at(-1)}`);
    assert.ok((starts.at(-1) ?? 0) <= 110_000, `${starts.at(-1)}`);
  });

  test("give back what a run did not use, and what one that made no call took", async () => {
    const world = limited([{ tokensPerMinute: 6_000, burstMs: 10_000 }], { estimatedTokens: 900 });
    const process = await world.start();
    process.executor.script = () => completedAnswer;
    for (let index = 0; index < 10; index += 1) {
      world.send(world.message(`e${index}`, "calls"));
      await world.clock.advance(10);
    }
    assert.deepEqual(process.telemetry.outcomes, Array(10).fill("completed"));
  });

  test("charge a run whose thread was lost with all that it took", async () => {
    const world = limited([{ requestsPerMinute: 6, burstMs: 10_000 }]);
    const process = await world.start();
    process.executor.script = () => new Promise(() => undefined);
    world.send(world.message("one", "calls"));
    await world.clock.advance(100);
    process.executor.loseThread("it was killed");
    await world.clock.advance(2_000);
    assert.equal(process.executor.posted.length, 1, "expected the next execution to wait for the limit");
  });

  test("let a run in progress have more before those that have not begun, or tell it how long there is nothing", async () => {
    const world = limited([{ requestsPerMinute: 60, burstMs: 2_000 }]);
    const { executor } = await world.start();
    const asked: [number, number][] = [];
    executor.script = async (run) => {
      if (run.eventId !== "calls-x-0") return completedAnswer;
      await run.takes(10);
      for (const waitMaxMs of [3_000, 3_000, 10]) {
        const afterMs = await run.asks(0, { requests: 1, tokens: 0 }, waitMaxMs);
        asked.push([world.clock.monotonicMs(), afterMs]);
      }
      run.called("api", "succeeded", { requests: 3, tokens: 0 });
      return completedAnswer;
    };
    sendMany(world, 4);
    await world.clock.advance(4_500);
    const [first, second, third] = asked;
    assert.ok(first !== undefined && second !== undefined && third !== undefined, `expected three answers, got ${asked.length}`);
    assert.deepEqual([first[1], second[1], third[1] > 0], [0, 0, true]);
    assert.ok(second[0] <= 3_500, `${second[0]}`);
    assert.ok(third[0] - second[0] < 100, "expected an answer at once");
  });

  test("postpone a run that its call's limit ended, as never tried", async () => {
    const world = limited([{ requestsPerMinute: 60 }]);
    const process = await world.start();
    process.executor.script = (run) =>
      run.order.attempt === 1 && world.clock.monotonicMs() < 500 ? failedAnswer("RATE_LIMITED", { retryAfterMs: 20_000 }, true) : completedAnswer;
    world.send(world.message("one", "calls"));
    await world.clock.advance(19_000);
    assert.deepEqual(process.telemetry.outcomes, ["postponed"]);
    assert.equal((await world.record("one")).failures, 0);
    await world.clock.until("it to be completed", () => world.statesOf("one").includes("completed"), 30_000);
    assert.deepEqual(attempts(process), [1]);
  });

  test("that cannot be drawn on postpone what needs them, say so once, and nothing else waits for them", async () => {
    const world = limited([{ requestsPerMinute: 60 }]);
    let isDown = true;
    const flaky: SharedLimits = {
      start: () => world.limits.start(),
      stop: () => world.limits.stop(),
      draw: (draws) => (isDown ? Promise.reject(new StoreUnavailableError("no Redis")) : world.limits.draw(draws)),
    };
    const process = await world.start({ sharedLimits: flaky });
    const starts = startsOf(world, process);
    sendMany(world, 3);
    sendMany(world, 3, () => undefined, "free");
    await world.clock.advance(3_000);
    assert.deepEqual(
      [...starts.keys()].every((event) => event.startsWith("free")),
      true,
    );
    assert.equal(process.telemetry.events.filter(({ type }) => type === "limits.unavailable").length, 1);
    isDown = false;
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 60_000);
    assert.deepEqual(attempts(process), [1]);
    const told = process.telemetry.events.flatMap((event) => (event.type === "limits.recovered" ? [event.downMs >= 2_000] : []));
    assert.deepEqual(told, [true]);
  });

  test("are shown with what they keep waiting, and are changed while they do", async () => {
    const world = limited([
      { requestsPerMinute: 6, burstMs: 0 },
      { by: "tenant", requestsPerMinute: 600 },
    ]);
    const process = await world.start();
    const starts = startsOf(world, process);
    sendMany(world, 4, () => "acme");
    await world.clock.advance(200);
    const [whole, byTenant] = process.worker.policies.view().limits;
    assert.deepEqual([whole?.dependency, whole?.policy.requestsPerMinute, byTenant?.policy.by], ["api", 6, "tenant"]);
    assert.equal(starts.size, 1);
    assert.ok((whole?.postponed ?? 0) > 0);
    process.worker.policies.changeLimit("api", undefined, { requestsPerMinute: 6_000 });
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 120_000);
    assert.equal(starts.size, 4);
    assert.throws(
      () => process.worker.policies.changeLimit("api", undefined, { requestsPerMinute: 0 }),
      /dependencies\.api\.limits\.requestsPerMinute: .*nothing was changed/,
    );
    assert.throws(
      () => process.worker.policies.changeLimit("api", "project", { requestsPerMinute: 1 }),
      /expected 'api' to have a limit by 'project', found none/,
    );
  });

  test("that all messages share keep a worker from receiving what it could only postpone", async () => {
    const world = new World({
      skills: [skillPolicy("calls", { uses: [0] })],
      dependencies: [
        { ...dependencyPolicy("api", { concurrentMax: 100, queueMax: 100, waitMaxMs: 1_000 }), limits: [{ requestsPerMinute: 60, burstMs: 1_000 }] },
      ],
    });
    const process = await world.start();
    startsOf(world, process);
    sendMany(world, 1_000);
    await world.clock.advance(5_000);
    const postponed = process.telemetry.outcomes.filter((outcome) => outcome === "postponed").length;
    assert.ok(postponed <= 250, `expected few messages to be received without success, found ${postponed}`);
  });

  test("leave a stop nothing to wait for: what waits for them goes back unbegun", async () => {
    const world = limited([{ requestsPerMinute: 60, burstMs: 1_000 }]);
    const process = await world.start();
    startsOf(world, process);
    sendMany(world, 5);
    await world.clock.advance(100);
    await world.clock.finish("the worker to stop", process.worker.stop(5_000));
    assert.equal(world.broker.open.length, 4);
    assert.ok(world.broker.stored.every(({ state }) => state === "completed" || state === "active"));
  });

  test("let a run in progress go on whose units others have used beyond what they took", async () => {
    const world = limited([{ tokensPerMinute: 6_000, burstMs: 50 }]);
    const process = await world.start();
    process.executor.script = async (run) => {
      await run.takes(10);
      assert.equal(await run.asks(0, { requests: 0, tokens: 4 }, 30_000), 0);
      await run.takes(5);
      run.called("api", "succeeded", { requests: 1, tokens: 25 });
      return completedAnswer;
    };
    sendMany(world, 4);
    await world.clock.advance(3_000);
    assert.deepEqual(process.telemetry.outcomes, Array(4).fill("completed"));
  });

  test("answer a run in progress also while the worker stops", async () => {
    const world = limited([{ requestsPerMinute: 60, burstMs: 1_000 }]);
    const { executor, telemetry, worker } = await world.start();
    executor.script = async (run) => {
      await run.takes(10);
      assert.equal(await run.asks(0, { requests: 1, tokens: 0 }, 30_000), 0);
      return completedAnswer;
    };
    sendMany(world, 1);
    await world.clock.advance(100);
    await world.clock.finish("the worker to stop", worker.stop(5_000), 1_500);
    assert.deepEqual(telemetry.outcomes, ["completed"]);
  });

  test("answer a run in progress also while the store is down, and let those that wait begin once it is back", async () => {
    const world = limited([{ requestsPerMinute: 60, burstMs: 1_000 }]);
    const { executor, store, telemetry } = await world.start();
    let answeredMs = 0;
    executor.script = async (run) => {
      if (run.eventId !== "calls-x-0") return completedAnswer;
      await run.takes(200);
      assert.equal(await run.asks(0, { requests: 1, tokens: 0 }, 30_000), 0);
      answeredMs = world.clock.monotonicMs();
      await run.takes(5_000);
      return completedAnswer;
    };
    sendMany(world, 2);
    await world.clock.advance(100);
    store.isDown = true;
    sendMany(world, 1, () => undefined, "free");
    await world.clock.advance(4_000);
    assert.ok(answeredMs > 0 && answeredMs < 2_500, `expected an answer when its unit was there, found ${answeredMs} ms`);
    assert.equal(executor.posted.length, 1);
    store.isDown = false;
    await world.clock.advance(3_000);
    assert.deepEqual(telemetry.outcomes.toSorted(), Array(3).fill("completed"));
  });
});
