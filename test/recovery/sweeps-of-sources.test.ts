// A sweep of a worker with several sources looks at the queues and records of each.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startBroker } from "#load/broker/broker.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { composeSideJobs } from "#runtime/compose/recovery.ts";
import { encodeVerdict } from "#runtime/core/compensation.ts";
import { parseConfig } from "#runtime/core/config.ts";
import { compensateJobId, compensateKind } from "#runtime/core/undo-order.ts";
import type { JobHandler, RecoveryQueue } from "#runtime/ports/recovery-queue.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { sweepJobOf, sweepKind } from "#runtime/recovery/sweeps.ts";
import { stepOf } from "../contracts/run-store-fixtures.ts";
import { TelemetryLog } from "../support/pipeline-world.ts";

const queues = ["orders", "letters"];
const hourMs = 3_600_000;

/** A recovery queue that hands its handlers to the test; of its jobs there are those of these ids. */
function queueWith(jobIds: readonly string[]): RecoveryQueue & { readonly handlers: Map<string, JobHandler> } {
  const handlers = new Map<string, JobHandler>();
  return {
    handlers,
    limits: undefined,
    start: () => undefined,
    work: (given) => {
      given.forEach((handler, kind) => handlers.set(kind, handler));
      return Promise.resolve();
    },
    stop: () => Promise.resolve(),
    add: () => Promise.resolve("added"),
    hurry: () => Promise.resolve(false),
    remove: () => Promise.resolve(false),
    find: (kind, id) => Promise.resolve(jobIds.includes(`${kind} ${id}`) ? { kind, id, data: {}, state: "waiting", failures: 0, failure: "" } : undefined),
    list: () => Promise.resolve([]),
    counts: () => Promise.resolve({ waiting: 0, active: 0, done: 0, failed: 0 }),
  };
}

/** An hour ago a run of this event waited for its retry, and another one's compensation had begun. No message of either is left. */
async function leaveBehind(store: RunStore, queue: string): Promise<void> {
  const [unfinished, undoing] = [`unfinished-${queue}`, "undoing"];
  for (const eventId of [unfinished, undoing]) await store.claim([{ eventId, token: `w ${eventId}`, payloadHash: "h", pipelineHash: "p" }], 1_000);
  await store.fail([{ eventId: unfinished, epoch: 1, state: "waiting", reason: "HTTP_503", failures: 1, losses: 0 }]);
  const verdict = encodeVerdict({ reason: "FULL", description: "no", failures: 1, losses: 0 });
  await store.checkpoint([stepOf("one"), verdict].map((step) => ({ eventId: undoing, epoch: 1, step })));
}

test("a sweep looks at each source, and knows whose compensations are looked after", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-sweeps-"));
  const broker = await startBroker({ entities: { queues } });
  const path = join(folder, "runs.sqlite");
  const storesAt = (agoMs: number): RunStore[] =>
    queues.map((consumer) => createSqliteRunStore({ consumer, retentionMs: 24 * hourMs, path, clock: { wallMs: () => Date.now() - agoMs } }));
  const [before, stores] = [storesAt(hourMs), storesAt(0)];
  t.after(async () => {
    for (const store of [...before, ...stores]) await store.stop();
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [index, store] of before.entries()) {
    await store.start();
    await leaveBehind(store, queues[index] ?? "");
  }
  for (const store of stores) await store.start();
  const config = parseConfig(
    {
      sources: queues.map((queue) => ({ queue })),
      serviceBus: { connectionString: broker.connectionString },
      store: { kind: "sqlite", path },
      plugins: ["./plugin"],
      recovery: { sweeps: { form: "look" } },
    },
    "the test's",
  );
  // The queue has the job of the second source's run alone: the two runs are of the same event.
  const queue = queueWith([`${compensateKind} ${compensateJobId("undoing", 0, "letters")}`]);
  const telemetry = new TelemetryLog();
  const publisher = { start: () => Promise.resolve(), stop: () => Promise.resolve(), send: () => Promise.reject(new Error("nothing is sent")) };
  const jobs = composeSideJobs(config, folder, { workerId: "w", queue, stores, publisher, telemetry, escalations: undefined });
  jobs.start("secret");
  t.after(() => jobs.stop());
  const job = { kind: sweepKind, id: sweepJobOf(config.recovery.sweeps)?.id ?? "", data: {}, attempt: 1 };
  const result = await queue.handlers.get(sweepKind)?.(job, new AbortController().signal);
  assert.deepEqual(result, { kind: "again", afterMs: config.recovery.sweeps.everyMs });
  const told = telemetry.events.flatMap((event) => {
    if (event.type === "recovery.disagreement") return [`${event.eventId}: ${event.kind}, ${event.result}`];
    if (event.type === "recovery.swept") return [`${event.records} records, found ${event.found}`];
    return event.type === "recovery.job-failed" ? [event.error] : [];
  });
  assert.deepEqual(told.toSorted(), [
    "2 records, found 1",
    "2 records, found 2",
    "undoing: compensation-without-message, found",
    "unfinished-letters: unfinished-without-message, found",
    "unfinished-orders: unfinished-without-message, found",
  ]);
});
