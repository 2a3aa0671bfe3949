import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { PeekMessagesOptions } from "@azure/service-bus";
import { startBench } from "../support/broker.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = { queues: ["orders"] };

test("peeks across states, in order and page by page, without locking", async (t) => {
  const clock = new ManualClock();
  const { client, account } = await startBench(t, { entities, clock });
  const sender = client.createSender("orders");
  await sender.sendMessages([{ body: "locked" }, { body: "deferred" }, { body: "active" }]);
  await sender.sendMessages({ body: "scheduled", scheduledEnqueueTimeUtc: new Date(clock.now() + 60_000) });
  const receiver = client.createReceiver("orders");
  const [, second] = await receiver.receiveMessages(2);
  assert.ok(second);
  await receiver.deferMessage(second);
  const peeker = client.createReceiver("orders");
  const first = await peeker.peekMessages(2);
  const rest = await peeker.peekMessages(10);
  assert.deepEqual(
    [...first, ...rest].map(({ body, state, sequenceNumber }) => [body as string, state, sequenceNumber?.toNumber()]),
    [
      ["locked", "active", 1],
      ["deferred", "deferred", 2],
      ["active", "active", 3],
      ["scheduled", "scheduled", 4],
    ],
  );
  assert.equal(first[0]?.lockedUntilUtc, undefined);
  assert.deepEqual(await peeker.peekMessages(1), []);
  const third = second.sequenceNumber?.add(1);
  assert.ok(third);
  assert.deepEqual(
    (await peeker.peekMessages(1, { fromSequenceNumber: third })).map(({ body }) => body as string),
    ["active"],
  );
  assert.deepEqual(account("orders").states, { active: 1, locked: 1, scheduled: 1, deferred: 1, deadLettered: 0 });
});

test("peeks without bodies, and into the dead-letter sub-queue", async (t) => {
  const { client } = await startBench(t, { entities });
  await client.createSender("orders").sendMessages({ body: "heavy", messageId: "m-1", applicationProperties: { eventId: "e-1" } });
  const receiver = client.createReceiver("orders");
  const [light] = await receiver.peekMessages(1, { omitMessageBody: true } as PeekMessagesOptions);
  assert.deepEqual([light?.messageId, light?.applicationProperties], ["m-1", { eventId: "e-1" }]);
  assert.notEqual(light?.body, "heavy");
  const letters = client.createReceiver("orders", { subQueueType: "deadLetter" });
  assert.deepEqual(await letters.peekMessages(5), []);
  const [message] = await receiver.receiveMessages(1);
  assert.ok(message);
  await receiver.deadLetterMessage(message, { deadLetterReason: "Broken", deadLetterErrorDescription: "why" });
  const [letter] = await letters.peekMessages(5);
  assert.deepEqual([letter?.body, letter?.deadLetterReason, letter?.sequenceNumber?.toNumber()], ["heavy", "Broken", message.sequenceNumber?.toNumber()]);
});
