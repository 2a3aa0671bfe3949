import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { TransportError } from "#runtime/core/errors.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { outputEntity, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

const emitted: OutgoingMessage = { messageId: "a:0", body: new Uint8Array(1), headers: { eventType: "done" } };

describe("a message that is to come again", () => {
  test("carries where it goes, who is to be answered, and what is left of its time to live", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = () => failedAnswer();
    const rich = { correlationId: "c", to: "t", replyTo: "r", sessionId: "s", replyToSessionId: "rs", partitionKey: "s" };
    world.send({ ...world.message("a"), ...rich, timeToLiveMs: 600_000 });
    await world.clock.advance(1_000);
    const [original, copy] = world.broker.stored;
    assert.ok(original !== undefined && copy !== undefined);
    const { correlationId, to, replyTo, sessionId, replyToSessionId, partitionKey, timeToLiveMs, scheduledAtMs } = copy.message;
    assert.deepEqual({ correlationId, to, replyTo, sessionId, replyToSessionId, partitionKey }, rich);
    assert.ok(scheduledAtMs !== undefined && timeToLiveMs !== undefined);
    assert.ok(Math.abs(scheduledAtMs + timeToLiveMs - original.enqueuedAtMs - 600_000) <= 1, `${scheduledAtMs + timeToLiveMs - original.enqueuedAtMs}`);
  });

  test("is dead-lettered as expired, in words, when its time to live ends before it would come", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    executor.script = () => failedAnswer();
    world.send({ ...world.message("a"), timeToLiveMs: 20_000 });
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["dead-lettered: TTLExpiredException"]);
    assert.deepEqual([(await world.record("a")).state, (await world.record("a")).reason], ["dead", "TTLExpiredException"]);
    const told = telemetry.events.find((event) => event.type === "run.dead-lettered");
    assert.match(told?.description ?? "", /^expected the message to live until its next try in \d+ ms, found that its time-to-live ends in \d+ ms; raise it/);
  });

  test("comes however old it is once its run is done, until its events are published; they have a life of their own", async () => {
    const world = new World();
    const { executor, connection } = await world.start();
    executor.script = () => ({ kind: "completed", outbox: [emitted] });
    const send = connection.send.bind(connection);
    let isRefused = true;
    connection.send = async (entity, messages) => {
      if (entity === outputEntity && isRefused) throw new TransportError("expected the entity to take messages, it is busy");
      return send(entity, messages);
    };
    world.send({ ...world.message("a"), timeToLiveMs: 3_000, replyTo: "r" });
    await world.clock.advance(2_000);
    isRefused = false;
    assert.deepEqual(world.statesOf("a"), ["completed", "scheduled"]);
    assert.equal(world.broker.stored[1]?.message.timeToLiveMs, undefined);
    await world.clock.advance(60_000);
    assert.deepEqual([world.statesOf("a"), executor.posted.length], [["completed", "completed"], 1]);
    assert.deepEqual(
      world.broker.published.map(({ message }) => [message.timeToLiveMs, message.replyTo]),
      [[undefined, undefined]],
    );
  });
});

describe("a worker whose wall clock is wrong", () => {
  for (const skewMs of [3_600_000, -3_600_000]) {
    test(`by ${skewMs} ms has its copies come on time, keeps its locks, and says so`, async () => {
      const skill = skillPolicy("task", {
        timeoutMs: 120_000,
        retry: { ...defaultRetryPolicy, immediateMax: 0, baseDelayMs: 10_000, delayFactor: 1, delayMaxMs: 10_000 },
      });
      const world = new World({ skills: [skill], broker: { lockMs: 10_000 } });
      const { executor, telemetry, connection } = await world.start({}, (process) => (process.clock.skewMs = skewMs));
      const failedAtMs = new Map<string, number>();
      const pausesMs: number[] = [];
      executor.script = async (run) => {
        const failedMs = failedAtMs.get(run.eventId);
        if (failedMs !== undefined) {
          pausesMs.push(world.clock.monotonicMs() - failedMs);
          // Longer than a lock.
          await run.takes(15_000);
          return completedAnswer;
        }
        failedAtMs.set(run.eventId, world.clock.monotonicMs());
        return failedAnswer();
      };
      for (let index = 0; index < 120; index += 1) {
        world.send(`event-${index}`);
        await world.clock.advance(250);
      }
      await world.clock.until("all to be completed", () => world.broker.open.length === 0, 300_000);
      assert.equal(pausesMs.length, 120);
      assert.ok(
        pausesMs.every((pauseMs) => pauseMs >= 10_000),
        `${Math.min(...pausesMs)}`,
      );
      assert.ok(
        pausesMs.every((pauseMs) => pauseMs < 25_000),
        `${Math.max(...pausesMs)}`,
      );
      assert.deepEqual([telemetry.types().includes("lock.lost"), world.broker.stored.some((one) => one.failedDeliveries > 0)], [false, false]);
      assert.equal(connection.handedOut, 240);
      assert.deepEqual(
        telemetry.events.flatMap((event) => (event.type === "clock.skewed" ? [Math.round(event.brokerAheadMs / 1_000)] : [])),
        [-skewMs / 1_000],
      );
      assert.equal(telemetry.outcomes.length, 240);
    });
  }
});
