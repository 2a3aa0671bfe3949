// The recovery queue of a worker: what is reported of its jobs, and when it has loaded.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";
import type { RecoveryQueue, RecoveryQueueListener } from "#runtime/ports/recovery-queue.ts";
import { escalationKind, reassignmentKind } from "#runtime/recovery/escalations.ts";
import { SideJobs } from "#runtime/recovery/side-jobs.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";

test("a failed try is reported once: by its handler where that does so, else here; what the queue gives up by itself always here", () => {
  const emitted: RuntimeEvent[] = [];
  let listener: RecoveryQueueListener | undefined;
  const queue = { start: (given: RecoveryQueueListener) => void (listener = given), work: () => Promise.resolve() } as unknown as RecoveryQueue;
  const sideJobs = new SideJobs({
    queue,
    telemetry: { emit: (event) => void emitted.push(event) },
    handlers: () => new Map(),
    reported: new Set([escalationKind, reassignmentKind]),
    clock: runtimeClock(new ManualClock(0)),
    regular: undefined,
  });
  sideJobs.start("secret");
  listener?.failed({ kind: escalationKind, id: "a" }, "no answer", false);
  listener?.failed({ kind: reassignmentKind, id: "b" }, "no answer", false);
  listener?.failed({ kind: "sweep", id: "c" }, "no answer", false);
  listener?.failed({ kind: escalationKind, id: "d" }, "its workers ended", true);
  assert.deepEqual(
    emitted.map((event) => (event.type === "recovery.job-failed" ? `${event.kind} ${event.id} ${event.isFinal}` : event.type)),
    ["sweep c false", "escalation d true"],
  );
});

test("it has loaded once the queue takes jobs, not before", async () => {
  const { promise, resolve: takeJobs } = Promise.withResolvers<void>();
  const sideJobs = new SideJobs({
    queue: { start: () => undefined, work: () => promise } as unknown as RecoveryQueue,
    telemetry: { emit: () => undefined },
    handlers: () => new Map(),
    reported: new Set(),
    clock: runtimeClock(new ManualClock(0)),
    regular: undefined,
  });
  let isLoaded = false;
  const loaded = sideJobs.loaded.then(() => (isLoaded = true));
  sideJobs.start("secret");
  await setImmediate();
  assert.equal(isLoaded, false);
  takeJobs();
  await loaded;
});
