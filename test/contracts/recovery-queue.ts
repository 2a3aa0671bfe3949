// What every recovery queue does. An adapter's test calls it with a place that several workers share.
import { strict as assert } from "node:assert";
import { describe, type TestContext, test } from "node:test";
import { ConfigurationError } from "#runtime/core/errors.ts";
import type { JobHandler, JobResult, NewJob, RecoveryJob, RecoveryQueue, RecoveryQueueListener } from "#runtime/ports/recovery-queue.ts";
import { eventually, within } from "../support/eventually.ts";

export interface QueueTimes {
  readonly leaseMs?: number;
  readonly concurrencyMax?: number;
}

export interface RecoveryQueueHarness {
  /** One worker's queue, not started; all of a harness share their jobs. */
  open(times?: QueueTimes): Promise<RecoveryQueue>;
}

const done: JobResult = { kind: "done" };
const soon = { attemptsMax: 3, baseDelayMs: 1, delayMaxMs: 2 };

export function deaf(): RecoveryQueueListener {
  return { failed: () => undefined, disturbed: () => undefined, recovered: () => undefined };
}

/** A handler that notes what it is given. */
function noting(answer: (job: RecoveryJob, signal: AbortSignal) => Promise<JobResult> | JobResult = () => done): {
  readonly handler: JobHandler;
  readonly jobs: RecoveryJob[];
} {
  const jobs: RecoveryJob[] = [];
  return {
    jobs,
    handler: async (job, signal) => {
      jobs.push(job);
      return answer(job, signal);
    },
  };
}

function aJob(more: Partial<NewJob> = {}): NewJob {
  return { kind: "probe", id: "a", data: { number: 1 }, retry: soon, ...more };
}

export function recoveryQueueContract(name: string, makeHarness: (t: TestContext) => Promise<RecoveryQueueHarness>): void {
  /** A worker's queue that ends with the test. */
  const worker = async (
    t: TestContext,
    harness: RecoveryQueueHarness,
    handlers: Readonly<Record<string, JobHandler>>,
    more: QueueTimes & { readonly listener?: RecoveryQueueListener } = {},
  ): Promise<RecoveryQueue> => {
    const queue = await harness.open(more);
    t.after(() => queue.stop(0));
    queue.start(more.listener ?? deaf());
    if (Object.keys(handlers).length > 0) void queue.work(new Map(Object.entries(handlers)));
    return queue;
  };

  describe(`recovery queue: ${name}`, () => {
    test("does a job by one worker of the pool, with what it was given, and keeps that it is done", async (t) => {
      const harness = await makeHarness(t);
      const { handler, jobs } = noting();
      const [first] = [await worker(t, harness, { probe: handler }), await worker(t, harness, { probe: handler })];
      const ids = Array.from({ length: 20 }, (_, index) => `job:${index}/{ä}`);
      for (const id of ids) assert.equal(await first.add(aJob({ id, data: { id, list: [1, null, "ü"] } })), "added");
      await eventually("all to be done", async () => (await first.counts()).done === ids.length);
      assert.deepEqual(jobs.map(({ id }) => id).sort(), ids.sort());
      for (const { id, kind, data, attempt } of jobs)
        assert.deepEqual({ kind, data, attempt }, { kind: "probe", data: { id, list: [1, null, "ü"] }, attempt: 1 });
      const id = ids[0] ?? "";
      assert.deepEqual(await first.find("probe", id), { kind: "probe", id, data: { id, list: [1, null, "ü"] }, state: "done", failures: 0, failure: "" });
    });

    test("knows a job that is made once more while it waits, is at work and is done, and starts over only where that is said", async (t) => {
      const harness = await makeHarness(t);
      const { promise: mayEnd, resolve: end } = Promise.withResolvers<JobResult>();
      const { handler, jobs } = noting(() => mayEnd);
      const queue = await worker(t, harness, {});
      assert.equal(await queue.add(aJob({ id: "0" })), "added");
      assert.equal(await queue.add(aJob({ id: "0", data: "other" })), "known");
      void queue.work(new Map([["probe", handler]]));
      await eventually("it to be at work", () => jobs.length === 1);
      assert.equal(await queue.add(aJob({ id: "0", replacesEnded: true })), "known");
      end(done);
      await eventually("it to be done", async () => (await queue.find("probe", "0"))?.state === "done");
      assert.equal(await queue.add(aJob({ id: "0" })), "known");
      assert.equal(await queue.add(aJob({ id: "0", data: "again", replacesEnded: true })), "added");
      await eventually("it to be done once more", () => jobs.length === 2);
      assert.deepEqual(
        jobs.map(({ data }) => data),
        [{ number: 1 }, "again"],
      );
    });

    test("forgets a job that need not be kept, so that its id is free", async (t) => {
      const { handler, jobs } = noting();
      const queue = await worker(t, await makeHarness(t), { probe: handler });
      for (let number = 1; number <= 3; number += 1) {
        assert.equal(await queue.add(aJob({ keepDoneMs: 0 })), "added");
        await eventually("it to be forgotten", async () => jobs.length === number && (await queue.find("probe", "a")) === undefined);
      }
    });

    test("does a job at its time, or when it is hurried", async (t) => {
      const { handler, jobs } = noting();
      const queue = await worker(t, await makeHarness(t), { probe: handler });
      const addedMs = performance.now();
      let doneMs = 0;
      await queue.add(aJob({ id: "later", delayMs: 400 }));
      await queue.add(aJob({ id: "much later", delayMs: 3_600_000 }));
      assert.equal((await queue.find("probe", "later"))?.state, "waiting");
      await eventually("the first to be done", () => {
        doneMs = performance.now();
        return jobs.length > 0;
      });
      assert.ok(doneMs - addedMs >= 399, `expected 400 ms or more, found ${doneMs - addedMs}`);
      assert.equal(await queue.hurry("probe", "much later"), true);
      await eventually("the second to be done", () => jobs.length === 2);
      assert.equal(await queue.hurry("probe", "unknown"), false);
      await eventually("both to be kept as done", async () => (await queue.counts()).done === 2);
      assert.equal(await queue.hurry("probe", "much later"), false);
    });

    test("tries a job that fails again, keeps it as failed after the last try, and starts over when it is hurried", async (t) => {
      const told: unknown[] = [];
      let fails = true;
      const { handler, jobs } = noting(() => {
        if (fails) throw new Error("no mail server");
        return done;
      });
      const listener = { ...deaf(), failed: (job: { kind: string; id: string }, error: string, isFinal: boolean) => told.push([job.id, error, isFinal]) };
      const queue = await worker(t, await makeHarness(t), { probe: handler }, { listener });
      await queue.add(aJob());
      const failed = await eventually("it to be given up", async () => {
        const view = await queue.find("probe", "a");
        return view?.state === "failed" ? view : undefined;
      });
      assert.deepEqual(failed, { kind: "probe", id: "a", data: { number: 1 }, state: "failed", failures: 3, failure: "no mail server" });
      assert.deepEqual(
        jobs.map(({ attempt }) => attempt),
        [1, 2, 3],
      );
      await eventually("all tries to be told", () => told.length === 3);
      assert.deepEqual(told, [
        ["a", "no mail server", false],
        ["a", "no mail server", false],
        ["a", "no mail server", true],
      ]);
      assert.equal(await queue.add(aJob()), "known");
      fails = false;
      assert.equal(await queue.hurry("probe", "a"), true);
      await eventually("it to be done", async () => (await queue.find("probe", "a"))?.state === "done");
      assert.equal(jobs.at(-1)?.attempt, 1);
    });

    test("goes on with a job that asks for it, with other data, and counts its tries from the start", async (t) => {
      const attempts: unknown[] = [];
      const { handler } = noting(({ data, attempt }) => {
        attempts.push([data, attempt]);
        if (attempts.length === 1) throw new Error("once");
        return attempts.length < 4 ? { kind: "again", afterMs: 5, data: { step: attempts.length } } : done;
      });
      const queue = await worker(t, await makeHarness(t), { probe: handler });
      await queue.add(aJob({ data: { step: 0 } }));
      await eventually("it to be done", async () => (await queue.find("probe", "a"))?.state === "done");
      assert.deepEqual(attempts, [
        [{ step: 0 }, 1],
        [{ step: 0 }, 2],
        [{ step: 2 }, 1],
        [{ step: 3 }, 1],
      ]);
    });

    test("has another worker do what a worker that died was at", async (t) => {
      const harness = await makeHarness(t);
      const hanging = noting(() => new Promise<JobResult>(() => undefined));
      const dying = await worker(t, harness, { probe: hanging.handler }, { leaseMs: 300 });
      await dying.add(aJob());
      await eventually("it to be at work", () => hanging.jobs.length === 1);
      const { handler, jobs } = noting();
      const other = await worker(t, harness, { probe: handler }, { leaseMs: 300 });
      assert.equal((await other.find("probe", "a"))?.state, "active");
      await within("the stop of a worker whose handler hangs", dying.stop(0), 2_000);
      await eventually("the other to do it", () => jobs.length === 1);
      await eventually("it to be done", async () => (await other.find("probe", "a"))?.state === "done");
    });

    test("keeps a job that takes longer than a lease with the worker that is at it", async (t) => {
      const harness = await makeHarness(t);
      const { promise: mayEnd, resolve: end } = Promise.withResolvers<JobResult>();
      const { handler, jobs } = noting(() => mayEnd);
      const queues = [await worker(t, harness, { probe: handler }, { leaseMs: 1_000 }), await worker(t, harness, { probe: handler }, { leaseMs: 1_000 })];
      await queues[0]?.add(aJob());
      await eventually("it to be at work", () => jobs.length === 1);
      const untilMs = performance.now() + 2_500;
      await eventually("some leases to be over", () => performance.now() >= untilMs);
      end(done);
      await eventually("it to be done", async () => (await queues[1]?.find("probe", "a"))?.state === "done");
      assert.equal(jobs.length, 1);
    });

    test("asks handlers to end when it stops, waits for them, and has others go on", async (t) => {
      const harness = await makeHarness(t);
      const heeding = noting(
        (_, signal) =>
          new Promise<JobResult>((resolve) => {
            signal.addEventListener("abort", () => resolve({ kind: "again", afterMs: 0, data: "half" }));
          }),
      );
      const stopping = await worker(t, harness, { probe: heeding.handler });
      await stopping.add(aJob());
      await eventually("it to be at work", () => heeding.jobs.length === 1);
      await within("an orderly stop", stopping.stop(5_000), 4_000);
      await assert.rejects(stopping.add(aJob({ id: "late" })), /stopped/);
      const { handler, jobs } = noting();
      await worker(t, harness, { probe: handler });
      await eventually("the other to go on", () => jobs.length === 1);
      assert.equal(jobs[0]?.data, "half");
    });

    test("leaves jobs of a kind that a worker does not know to one that does", async (t) => {
      const harness = await makeHarness(t);
      const old = noting();
      const first = await worker(t, harness, { probe: old.handler });
      await first.add(aJob({ kind: "new-kind" }));
      await first.add(aJob());
      await eventually("the known one to be done", () => old.jobs.length === 1);
      const { handler, jobs } = noting();
      await worker(t, harness, { "new-kind": handler });
      await eventually("the other kind to be done", () => jobs.length === 1, 20_000);
      assert.equal(old.jobs.length, 1);
    });

    test("is at no more jobs at a time than it may be", async (t) => {
      let atOnce = 0;
      let most = 0;
      const { handler, jobs } = noting(async () => {
        atOnce += 1;
        most = Math.max(most, atOnce);
        const untilMs = performance.now() + 20;
        await eventually("a moment", () => performance.now() >= untilMs);
        atOnce -= 1;
        return done;
      });
      const queue = await worker(t, await makeHarness(t), { probe: handler }, { concurrencyMax: 2 });
      for (let number = 0; number < 10; number += 1) await queue.add(aJob({ id: `${number}` }));
      await eventually("all to be done", async () => (await queue.counts()).done === 10);
      assert.equal(jobs.length, 10);
      assert.equal(most, 2);
    });

    test("sweeps once for the whole pool, at each time", async (t) => {
      const harness = await makeHarness(t);
      const times: number[] = [];
      const { handler } = noting(() => {
        times.push(performance.now());
        return { kind: "again", afterMs: 100 };
      });
      for (let number = 0; number < 3; number += 1) {
        const queue = await worker(t, harness, { sweep: handler });
        assert.equal(await queue.add(aJob({ kind: "sweep", id: "all" })), number === 0 ? "added" : "known");
      }
      await eventually("some sweeps", () => times.length >= 6);
      const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
      assert.ok(Math.min(...gaps) >= 95, `expected a pause of 100 ms between two sweeps, found ${gaps.join(", ")}`);
    });

    test("lists, counts and forgets jobs", async (t) => {
      const harness = await makeHarness(t);
      const queue = await worker(t, harness, {});
      for (const [kind, id, delayMs] of [
        ["one", "later", 60_000],
        ["one", "now", 0],
        ["two", "now", 0],
      ] as const)
        await queue.add(aJob({ kind, id, delayMs }));
      assert.deepEqual(await queue.counts(), { waiting: 3, active: 0, done: 0, failed: 0 });
      assert.deepEqual((await queue.list("one")).map(({ id, state }) => `${id} ${state}`).sort(), ["later waiting", "now waiting"]);
      assert.equal(await queue.remove("one", "later"), true);
      assert.equal(await queue.remove("one", "later"), false);
      assert.equal(await queue.find("one", "later"), undefined);
      // What is at work stays.
      const hanging = noting(() => new Promise<JobResult>(() => undefined));
      await worker(t, harness, { one: hanging.handler });
      await eventually("it to be at work", () => hanging.jobs.length === 1);
      assert.equal(await queue.remove("one", "now"), false);
      assert.deepEqual(await queue.counts(), { waiting: 1, active: 1, done: 0, failed: 0 });
    });

    test("refuses what is no kind and no id", async (t) => {
      const queue = await worker(t, await makeHarness(t), {});
      for (const wrong of [{ kind: "A b" }, { kind: "" }, { id: "" }, { id: "x".repeat(513) }])
        await assert.rejects(queue.add(aJob(wrong)), ConfigurationError);
    });
  });
}
