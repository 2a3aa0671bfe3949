// Sweeps of the pool: what each form looks for, mends and reports, and the job that goes on with itself.
import { strict as assert } from "node:assert";
import { describe, test, type TestContext } from "node:test";
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { SweepForm } from "#runtime/core/sweep.ts";
import { compensateJobId, compensateKind } from "#runtime/core/undo-order.ts";
import type { JobResult, JobView, NewJob, RecoveryQueue } from "#runtime/ports/recovery-queue.ts";
import { SideJobs } from "#runtime/recovery/side-jobs.ts";
import { lookedAfterBy, sweepJobOf, type SweepScene, sweepsOf } from "#runtime/recovery/sweeps.ts";
import { ReconcileWorld } from "../support/reconcile-world.ts";
import { ProcessClock, SimClock } from "#runtime/testing/world/sim-clock.ts";

const everyMs = 60_000;

/** A queue that knows these jobs. */
function queueWith(states: ReadonlyMap<string, JobView["state"]>, add: (job: NewJob) => Promise<"added"> = () => Promise.resolve("added")): RecoveryQueue {
  return {
    limits: undefined,
    start: () => undefined,
    work: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    add,
    hurry: () => Promise.resolve(false),
    remove: () => Promise.resolve(false),
    find(kind, id) {
      const state = states.get(`${kind} ${id}`);
      return Promise.resolve(state && { kind, id, data: {}, state, failures: 0, failure: "" });
    },
    list: () => Promise.resolve([]),
    counts: () => Promise.resolve({ waiting: 0, active: 0, done: 0, failed: 0 }),
  };
}

interface Swept {
  readonly result: JobResult;
  readonly told: readonly string[];
  readonly counts: Partial<Extract<RuntimeEvent, { type: "recovery.swept" }>>;
  /** Calls of the queues and dead letters. */
  readonly peeks: number;
}

async function sweep(world: ReconcileWorld, form: SweepForm | "off", states: ReadonlyMap<string, JobView["state"]> = new Map(), id?: string): Promise<Swept> {
  const emitted: RuntimeEvent[] = [];
  let peeks = 0;
  const handler = sweepsOf({
    form,
    everyMs,
    telemetry: { emit: (event) => void emitted.push(event) },
    async open(signal): Promise<SweepScene> {
      const process = new ProcessClock(world.clock);
      const ports = world.connect(process);
      const peek: typeof ports.queue.peek = (...args) => {
        peeks += 1;
        return ports.queue.peek(...args);
      };
      return { ...world.scene(process, { ...ports, queue: { ...ports.queue, peek } }, signal), ...lookedAfterBy(queueWith(states)) };
    },
  });
  const job = { kind: "sweep", id: id ?? sweepJobOf({ form, everyMs })?.id ?? "", data: {}, attempt: 1 };
  const result = await world.clock.finish("the sweep to end", handler(job, new AbortController().signal));
  const told = emitted.flatMap((event) => (event.type === "recovery.disagreement" ? [`${event.kind} ${event.eventId} ${event.result}`] : []));
  const counts = emitted.find((event) => event.type === "recovery.swept") ?? {};
  return { result, told: told.toSorted(), counts, peeks };
}

async function disagreeing(t: TestContext): Promise<ReconcileWorld> {
  const world = await ReconcileWorld.open(t);
  await world.disagree();
  return world;
}

const jobOf = (eventId: string): string => `${compensateKind} ${compensateJobId(eventId, 0)}`;

describe("a sweep", () => {
  test("has compensations go on that were left behind, and leaves all else as it is", async (t) => {
    const world = await disagreeing(t);
    const { result, told, counts } = await sweep(world, "compensations");
    assert.deepEqual(told, ["compensation-dead-letter undoing-letter mended", "compensation-without-message undoing mended"]);
    assert.deepEqual([counts.form, counts.found, counts.mended, counts.failed, counts.isWhole], ["compensations", 2, 2, 0, true]);
    assert.deepEqual(result, { kind: "again", afterMs: everyMs });
    const { undoing, "undoing-letter": letter, unfinished } = await world.standing();
    assert.deepEqual(
      [undoing?.[0]?.split(";")[0], letter?.slice(1), unfinished?.[0]?.split(";")[0]],
      ["dead CompensationFailed", ["m-undoing-letter~replay active "], "waiting HTTP_503"],
    );
  });

  test("leaves compensations alone that the recovery queue looks after, and looks at no messages for them", async (t) => {
    const world = await disagreeing(t);
    const before = await world.standing();
    const looked = await sweep(
      world,
      "compensations",
      new Map([
        [jobOf("undoing"), "waiting"],
        [jobOf("undoing-letter"), "active"],
      ]),
    );
    assert.deepEqual([looked.told, looked.peeks, looked.counts.found], [[], 0, 0]);
    assert.deepEqual(await world.standing(), before);
    const failed = await sweep(
      world,
      "compensations",
      new Map([
        [jobOf("undoing"), "failed"],
        [jobOf("undoing-letter"), "active"],
      ]),
    );
    assert.deepEqual(failed.told, ["compensation-without-message undoing mended"]);
  });

  test("only reports what disagrees, or mends it, by its form", async (t) => {
    const world = await disagreeing(t);
    const before = await world.standing();
    const looked = await sweep(world, "look");
    assert.deepEqual([looked.told.length, looked.counts.found, looked.counts.mended], [9, 9, 0]);
    assert.deepEqual(await world.standing(), before);
    const mended = await sweep(world, "mend");
    assert.deepEqual([mended.counts.found, mended.counts.mended, mended.counts.failed], [9, 9, 0], mended.told.join("\n"));
    await world.clock.advance(120_000);
    assert.equal((await sweep(world, "look")).counts.found, 0);
  });

  test("ends for good where it is switched off, or another interval was chosen since", async (t) => {
    const world = await disagreeing(t);
    assert.deepEqual((await sweep(world, "off")).result, { kind: "done" });
    const other = await sweep(world, "mend", new Map(), "reconcile every 1");
    assert.deepEqual([other.result, other.counts], [{ kind: "done" }, {}]);
  });

  test("that could not look goes on all the same, and says why", async () => {
    const emitted: RuntimeEvent[] = [];
    const handler = sweepsOf({
      form: "look",
      everyMs,
      telemetry: { emit: (event) => void emitted.push(event) },
      open: () => Promise.reject(new StoreUnavailableError("away")),
    });
    const job = { kind: "sweep", id: sweepJobOf({ form: "look", everyMs })?.id ?? "", data: {}, attempt: 1 };
    assert.deepEqual(await handler(job, new AbortController().signal), { kind: "again", afterMs: everyMs });
    assert.deepEqual(emitted, [{ type: "recovery.job-failed", kind: "sweep", id: job.id, error: "away", isFinal: false }]);
    assert.deepEqual(await handler(job, AbortSignal.abort()), { kind: "again", afterMs: 0 });
    assert.equal(emitted.length, 1, "expected a stop not to be a failure");
  });

  test("is added by a worker again and again, sooner where the queue was away, until it stops", async () => {
    const clock = new SimClock();
    const added: number[] = [];
    let isAway = true;
    const queue = queueWith(new Map(), () => {
      added.push(clock.monotonicMs());
      return isAway ? Promise.reject(new StoreUnavailableError("away")) : Promise.resolve("added");
    });
    const job = sweepJobOf({ form: "look", everyMs });
    assert.ok(job !== undefined);
    const jobs = new SideJobs({
      queue,
      telemetry: { emit: () => undefined },
      handlers: () => new Map(),
      reported: new Set(),
      clock,
      regular: { job, everyMs },
    });
    jobs.start("secret");
    await clock.advance(15_000);
    isAway = false;
    await clock.advance(100_000);
    await jobs.stop();
    await clock.advance(100_000);
    assert.deepEqual(added, [0, 10_000, 20_000, 80_000]);
  });
});
