// The recovery queue of a worker: what is reported of its jobs.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";
import type { RecoveryQueue, RecoveryQueueListener } from "#runtime/ports/recovery-queue.ts";
import { escalationKind, reassignmentKind } from "#runtime/recovery/escalations.ts";
import { SideJobs } from "#runtime/recovery/side-jobs.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";

test("a failed try is reported once: by its handler where that does so, else here; what the queue gives up by itself always here", () => {
  const emitted: RuntimeEvent[] = [];
  let listener: RecoveryQueueListener | undefined;
  const queue = { start: (given: RecoveryQueueListener) => void (listener = given), work: () => undefined } as unknown as RecoveryQueue;
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
