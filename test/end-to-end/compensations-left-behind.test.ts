// Critical runs whose message is over before they are compensated, and workers that are killed meanwhile.
import { storesTried } from "../support/long.ts";
import { strict as assert } from "node:assert";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { createThreadedSqliteRunStore } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";
import { runtimeModule, startWorkerBench, type WorkerBench } from "../support/worker-bench.ts";

/** The first compensation fails while there is no file `mended`; it hangs while there is a file `hang`. */
const module = (folder: string): string => `import { appendFileSync, existsSync } from "node:fs";
import { definePlugin, defineSkill, PermanentError, TransientError } from ${JSON.stringify(runtimeModule)};
const folder = ${JSON.stringify(folder)};
const tell = (line) => appendFileSync(folder + "/ledger", line + "\\n");
const undo = (step) => (context) => {
  tell("undo " + step + " " + context.idempotencyKey);
  if (existsSync(folder + "/hang")) return new Promise(() => undefined);
  if (!existsSync(folder + "/mended")) throw new TransientError("the hotel is closed");
};
const trip = defineSkill({
  name: "trip",
  handles: [{ eventType: "Tried" }],
  critical: true,
  retry: { attemptsMax: 5, immediateMax: 0, baseDelayMs: 60_000, delayMaxMs: 60_000 },
  async run(context) {
    for (const step of ["room", "car"]) await context.step(step, { compensate: undo(step) }, () => tell(step));
    if (context.event.payload.ends && !existsSync(folder + "/spared")) process.kill(process.pid, "SIGKILL");
    throw new PermanentError("the flight is full", { code: "FULL" });
  },
});
export default definePlugin({ skills: [trip] });
`;

async function storeFor(t: TestContext, kind: "sqlite" | "redis"): Promise<unknown> {
  if (kind === "sqlite") return { kind, path: "runs.sqlite" };
  const server = await startRedis();
  t.after(() => server.stop());
  return { kind, url: server.url };
}

function ledgerOf({ folder }: WorkerBench): string[] {
  const file = join(folder, "ledger");
  return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
}

function undone(bench: WorkerBench): string[] {
  return ledgerOf(bench).filter((line) => line.startsWith("undo"));
}

function deadLetters(bench: WorkerBench): readonly { readonly deadLetterReason: string | null; readonly deadLetterDescription: string | null }[] {
  return bench.broker.inspectMessages("input/$DeadLetterQueue")?.messages ?? [];
}

function left(bench: WorkerBench): number {
  const { active = 0, locked = 0, scheduled = 0 } = bench.broker.inspect().queues["input"]?.states ?? {};
  return active + locked + scheduled;
}

const recovery = { compensateAfterMs: 1_500, leaseMs: 1_000 };

/** Both steps are undone, in reverse, each under one key, and one letter tells of the event. */
async function assertUndone(bench: WorkerBench): Promise<void> {
  await eventually("the queue to be empty", () => left(bench) === 0, 20_000);
  const steps = undone(bench).map((line) => line.split(" ")[1]);
  assert.deepEqual([...new Set(steps)], ["car", "room"]);
  assert.equal(new Set(undone(bench)).size, 2, "expected one key for all tries of a compensation");
  assert.equal(deadLetters(bench).length, 1);
}

for (const kind of storesTried) {
  describe(`compensations left behind, with records in ${kind}`, () => {
    test("go on when the message's time is over, through the end of the worker that left them", async (t) => {
      const store = await storeFor(t, kind);
      // The message lives for less than the pause before the next try.
      const entities = { queues: [{ name: "input", lockDurationMs: 3_000, timeToLiveMs: 20_000, deadLetterOnExpiry: true }] };
      const bench = await startWorkerBench(t, { entities, skills: ["trip"], module });
      await bench.send("a");
      const first = await bench.startWorker({ store, recovery });
      await eventually("the message to be dead-lettered", () => deadLetters(bench).length === 1, 20_000);
      first.process.kill("SIGKILL");
      await first.done;
      const [letter] = deadLetters(bench);
      assert.equal(letter?.deadLetterReason, "FULL");
      assert.match(letter.deadLetterDescription ?? "", /the flight is full.*compensations go on in the recovery queue/);
      assert.ok(undone(bench).length >= 1);
      writeFileSync(join(bench.folder, "mended"), "");
      const second = await bench.startWorker({ store, recovery });
      await eventually("the run to end", () => second.events("recovery.ended").length === 1, 30_000);
      const [ended] = second.events("recovery.ended");
      assert.equal(ended?.["reason"], "FULL");
      assert.match(String(ended?.["description"]), /compensated: 'car', 'room'/);
      await assertUndone(bench);
    });

    test("are found when the broker has dead-lettered the message while no worker looked", async (t) => {
      const store = await storeFor(t, kind);
      const entities = { queues: [{ name: "input", lockDurationMs: 2_000, timeToLiveMs: 15_000, deadLetterOnExpiry: true }] };
      const bench = await startWorkerBench(t, { entities, skills: ["trip"], module });
      writeFileSync(join(bench.folder, "hang"), "");
      const first = await bench.startWorker({ store, recovery });
      await bench.send("a");
      await eventually("a compensation to begin", () => undone(bench).length > 0, 20_000);
      first.process.kill("SIGKILL");
      await first.done;
      await eventually("the message to expire", () => deadLetters(bench).length === 1, 30_000);
      assert.equal(deadLetters(bench)[0]?.deadLetterReason, "TTLExpiredException");
      writeFileSync(join(bench.folder, "mended"), "");
      rmSync(join(bench.folder, "hang"));
      const second = await bench.startWorker({ store, recovery });
      await eventually("the run to end", () => second.events("recovery.ended").length === 1, 30_000);
      assert.match(String(second.events("recovery.ended")[0]?.["description"]), /compensated: 'car', 'room'/);
      await assertUndone(bench);
    });

    test("begin for a run whose message was delivered too often before it had failed", async (t) => {
      const store = await storeFor(t, kind);
      const entities = { queues: [{ name: "input", lockDurationMs: 2_000, deliveryCountMax: 10 }] };
      const bench = await startWorkerBench(t, { entities, skills: ["trip"], module });
      writeFileSync(join(bench.folder, "mended"), "");
      await bench.send("a", { ends: true });
      const skills = { trip: { retry: { lossesMax: 9 } } };
      while (deadLetters(bench).length === 0) {
        const worker = await bench.startWorker({ store, deliveriesMax: 2, skills, recovery });
        await Promise.race([worker.done, eventually("the message to be over", () => deadLetters(bench).length > 0, 20_000)]);
        worker.process.kill("SIGKILL");
        await worker.done;
      }
      assert.equal(deadLetters(bench)[0]?.deadLetterReason, "DeliveryLimit");
      writeFileSync(join(bench.folder, "spared"), "");
      const last = await bench.startWorker({ store, deliveriesMax: 2, skills, recovery });
      await eventually("the run to end", () => last.events("recovery.ended").length === 1, 40_000);
      assert.equal(last.events("recovery.ended")[0]?.["reason"], "DeliveryLimit");
      await assertUndone(bench);
    });
  });
}

test("compensations that nobody can go on with are said to be left undone", async (t) => {
  const entities = { queues: [{ name: "input", lockDurationMs: 3_000, timeToLiveMs: 20_000, deadLetterOnExpiry: true }] };
  const bench = await startWorkerBench(t, { entities, skills: ["trip"], module });
  await bench.send("a");
  await bench.startWorker({ recovery: { enabled: false } });
  await eventually("the message to be dead-lettered", () => deadLetters(bench).length === 1, 20_000);
  assert.equal(deadLetters(bench)[0]?.deadLetterReason, "CompensationFailed");
  const store = createThreadedSqliteRunStore({ consumer: "input", retentionMs: 86_400_000, path: join(bench.folder, "runs.sqlite"), clock: systemClock });
  await store.start();
  t.after(() => store.stop());
  assert.equal((await store.read("a"))?.state, "dead");
});
