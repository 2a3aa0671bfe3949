// Records and messages that disagree, made so with the tools that people have, and mended.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { ServiceBusClient } from "@azure/service-bus";
import { Redis } from "ioredis";
import { eventually } from "../support/eventually.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { marks, release, runsScene } from "../support/runs-scene.ts";

interface Reconciled {
  readonly disagreements: readonly { readonly kind: string; readonly eventId: string; readonly what: string; readonly mend: string; readonly result: string }[];
}

let redis: RedisServer;
before(async () => void (redis = await startRedis()));
after(() => redis.stop());

const lockDurationMs = 2_000;

describe("reconcile", () => {
  test("finds each disagreement between records and messages, mends it when it is told to, and finds none after that", { timeout: 120_000 }, async (t) => {
    const prefix = `test-${randomUUID()}`;
    const scene = await runsScene(t, { store: { kind: "redis", url: redis.url, prefix }, lockDurationMs });
    const { bench, worker, holdfast, json } = scene;
    const client = new ServiceBusClient(bench.broker.connectionString);
    const keys = new Redis(redis.url);
    t.after(async () => {
      keys.disconnect();
      await client.close();
    });
    const input = (): { readonly active: number; readonly locked: number; readonly scheduled: number } => bench.broker.inspect().queues["input"]!.states;
    const letters = (): number => bench.broker.inspect().queues["input/$DeadLetterQueue"]?.states.active ?? 0;
    const dead = client.createReceiver("input", { subQueueType: "deadLetter" });
    const reader = client.createReceiver("input");

    // Done, and sent again: one message stays in the queue, another one was dead-lettered by hand.
    for (const eventId of ["done-a", "done-b"]) {
      release(bench, `paid-${eventId}`);
      await bench.send(eventId);
    }
    // Given up, and their dead letters received and deleted with another tool; of one the record is gone instead.
    for (const eventId of ["purged", "forgotten"]) await bench.send(eventId, { forGood: true }, "Failed");
    // Waits for a copy that somebody cancels.
    await bench.send("late", {}, "Failed");
    // Under way when the worker is killed: the message of one is received and deleted, that of another one dead-lettered.
    for (const eventId of ["lost", "moved"]) await bench.send(eventId);
    // The same of runs that are being compensated.
    for (const eventId of ["trip-lost", "trip-moved"]) {
      release(bench, `confirmed-${eventId}`);
      release(bench, `hang-${eventId}`);
      await bench.send(eventId, { refused: true }, "Booked");
    }
    const states = async (): Promise<string> => {
      const { runs } = (await json("list")) as { readonly runs: readonly { readonly eventId: string; readonly state: string }[] };
      return runs
        .map(({ eventId, state }) => `${eventId} ${state}`)
        .toSorted()
        .join(", ");
    };
    await eventually("the compensations to begin", () => new Set(marks(bench, "undoing")).size === 2, 30_000);
    await eventually("the others to be on their way", () => new Set(marks(bench, "paying")).size === 4, 30_000);
    await eventually(
      "two to be done, two to be given up, one to wait",
      async () => {
        const now = await states();
        return /done-a done, done-b done/.test(now) && /forgotten dead/.test(now) && /purged dead/.test(now) && /late waiting/.test(now);
      },
      30_000,
    );
    worker.process.kill("SIGKILL");
    await worker.done;

    await bench.send("done-a");
    await bench.send("done-b");
    const [lateCopy] = (await client.createReceiver("input").peekMessages(50)).filter(({ state }) => state === "scheduled");
    await client.createSender("input").cancelScheduledMessages(lateCopy!.sequenceNumber!);
    await eventually("all locks to be over", () => input().locked === 0, 30_000);
    const handled = new Set<string>();
    while (handled.size < 6) {
      for (const message of await reader.receiveMessages(10, { maxWaitTimeInMs: 1_000 })) {
        const eventId = String(message.applicationProperties?.["eventId"]);
        const settled =
          eventId === "lost" || eventId === "trip-lost"
            ? reader.completeMessage(message)
            : eventId === "done-a"
              ? reader.abandonMessage(message)
              : reader.deadLetterMessage(message, { deadLetterReason: "Screened", deadLetterErrorDescription: "by hand" });
        // A lock that ends before is no matter: the message is received once more.
        await settled.then(
          () => handled.add(eventId),
          (error: unknown) => assert.match(String(error), /lock/i),
        );
      }
    }
    while (letters() > 4) {
      for (const message of await dead.receiveMessages(10, { maxWaitTimeInMs: 500 })) {
        if (message.applicationProperties?.["eventId"] === "purged") await dead.completeMessage(message);
        else await dead.abandonMessage(message);
      }
    }
    for (const part of ["r", "s", "h", "t"]) await keys.del(`${prefix}:{input}:${part}:forgotten`);
    await Promise.all([reader.close(), dead.close()]);
    const sinceMs = Date.now();
    await eventually("it to be quiet for a while", () => Date.now() - sinceMs > lockDurationMs + 1_500);

    const reconcile = async (...args: readonly string[]): Promise<{ readonly code: number | null; readonly told: readonly string[] }> => {
      const { code, stdout, stderr } = await holdfast("reconcile", "--quiet-for", "2s", "--json", ...args);
      assert.notEqual(stdout, "", stderr);
      const { disagreements } = JSON.parse(stdout) as Reconciled;
      return { code, told: disagreements.map(({ kind, eventId, result }) => `${kind} ${eventId} ${result}`).toSorted() };
    };
    const expected = [
      "compensation-dead-letter trip-moved",
      "compensation-without-message trip-lost",
      "dead-letter-without-record forgotten",
      "done-dead-letter done-b",
      "done-message done-a",
      "given-up-without-dead-letter purged",
      "unfinished-dead-letter moved",
      "unfinished-without-message late",
      "unfinished-without-message lost",
    ];
    const before_ = await states();
    const ofCompensations = ["compensation-dead-letter trip-moved", "compensation-without-message trip-lost"];
    const others = expected.filter((one) => !ofCompensations.includes(one));
    assert.deepEqual(await reconcile(), { code: 1, told: others.map((one) => `${one} found`) }, "the recovery queue looks after compensations");
    // As when it was away while they began.
    await keys.del(await keys.keys(`${prefix}:{input}:recovery:*`));
    assert.deepEqual(await reconcile(), { code: 1, told: expected.map((one) => `${one} found`) });
    assert.deepEqual([await states(), letters()], [before_, 4], "expected a dry run to change nothing");
    assert.deepEqual(await reconcile("--apply"), { code: 0, told: expected.map((one) => `${one} mended`) });

    const now = await states();
    for (const one of ["forgotten dead", "late dead", "lost dead", "moved dead", "purged dead", "trip-lost dead"]) assert.ok(now.includes(one), now);
    const lost = (await json("show", "lost")) as { readonly reason: string; readonly history: readonly { readonly kind: string; readonly reason: string }[] };
    assert.deepEqual([lost.reason, lost.history.map(({ kind }) => kind)], ["MessageLost", ["died", "closed"]]);
    assert.match(lost.history[1]?.reason ?? "", /^reconciled: its worker ended without returning it, and no message of it is left/);
    assert.equal(((await json("show", "trip-lost")) as { readonly reason: string }).reason, "CompensationFailed");
    // Left are the letters that can be replayed, and the replay of the run whose compensation goes on.
    assert.deepEqual([letters(), input().active], [2, 1]);

    release(bench, "unhang-trip-moved");
    await bench.startWorker({ store: { kind: "redis", url: redis.url, prefix } });
    await eventually("the other compensation to be done", () => marks(bench, "undone").filter((line) => line.startsWith("trip-moved ")).length === 3, 30_000);
    await eventually("it to be dead-lettered", () => letters() === 3, 30_000);
    const quietMs = Date.now();
    await eventually("it to be quiet for a while", () => Date.now() - quietMs > 2_500);
    assert.deepEqual(await reconcile(), { code: 0, told: [] });
  });
});
