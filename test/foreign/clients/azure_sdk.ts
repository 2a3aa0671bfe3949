// What Azure's SDK for JavaScript makes of the broker, whichever version of it lies in the folder that is named.
import { strict as assert } from "node:assert";
import { createRequire } from "node:module";
import { join } from "node:path";
import type * as serviceBus from "@azure/service-bus";
import type { PeekMessagesOptions, ProcessErrorArgs, ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusReceiver } from "@azure/service-bus";
import { eventually, within } from "../../support/eventually.ts";
import { check, runChecks } from "./checks.ts";

const [folder = "", connectionString = "", transport = ""] = process.argv.slice(2);
const sdk = createRequire(join(folder, "package.json"))("@azure/service-bus") as typeof serviceBus;
const { delay, ServiceBusAdministrationClient, ServiceBusClient } = sdk;
const retryOptions = { maxRetries: 0, timeoutInMs: 10_000 };
const client = new ServiceBusClient(connectionString, { retryOptions });
const admin = new ServiceBusAdministrationClient(connectionString, { retryOptions });
const isNext = "purgeMessages" in Object.getPrototypeOf(client.createReceiver("orders"));
const hasAdministration = isNext || transport === "tls";
const endpoint = /Endpoint=(sb:\/\/[^;/]+)/.exec(connectionString)?.[1] ?? "";

let count = 0;
const unique = (name: string): string => `${name}-${process.pid}-${count++}`;
const hourLater = (): Date => new Date(Date.now() + 3_600_000);

async function send(queue: string, ...messages: readonly ServiceBusMessage[]): Promise<void> {
  const sender = client.createSender(queue);
  await sender.sendMessages([...messages]);
  await sender.close();
}

async function receive(receiver: ServiceBusReceiver, wanted: number): Promise<ServiceBusReceivedMessage[]> {
  const messages: ServiceBusReceivedMessage[] = [];
  while (messages.length < wanted) {
    const more = await receiver.receiveMessages(wanted - messages.length, { maxWaitTimeInMs: 5_000 });
    if (more.length === 0) break;
    messages.push(...more);
  }
  return messages;
}

const bodiesOf = (messages: readonly ServiceBusReceivedMessage[]): unknown[] => messages.map(({ body }) => body as unknown);

check("each way to settle does what it says, in one tick as well as one by one", async () => {
  await send("settled", ...["complete", "abandon", "dead", "defer"].map((body) => ({ body })));
  const receiver = client.createReceiver("settled");
  const messages = await receive(receiver, 4);
  assert.deepEqual(bodiesOf(messages), ["complete", "abandon", "dead", "defer"]);
  const [complete, abandon, dead, defer] = messages as [
    ServiceBusReceivedMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceivedMessage,
  ];
  await receiver.completeMessage(complete);
  await receiver.deadLetterMessage(dead, { deadLetterReason: "bad", deadLetterErrorDescription: "very bad", more: 7 });
  await receiver.deferMessage(defer, { note: "later" });
  await receiver.abandonMessage(abandon, { tried: true });
  const [again] = await receive(receiver, 1);
  assert.ok(again);
  assert.deepEqual([again.body, again.deliveryCount, again.applicationProperties], ["abandon", 1, { tried: true }]);
  await receiver.completeMessage(again);
  const [back] = await receiver.receiveDeferredMessages(defer.sequenceNumber!);
  assert.ok(back);
  assert.deepEqual([back.body, back.state, back.applicationProperties], ["defer", "deferred", { note: "later" }]);
  await receiver.completeMessage(back);
  const letters = client.createReceiver("settled", { subQueueType: "deadLetter" });
  const [letter] = await receive(letters, 1);
  assert.ok(letter);
  assert.deepEqual(
    [letter.body, letter.deadLetterReason, letter.deadLetterErrorDescription, letter.applicationProperties?.["more"]],
    ["dead", "bad", "very bad", 7],
  );
  await letters.completeMessage(letter);
  await assert.rejects(receiver.completeMessage(complete));
});

check("bodies of every shape come back as they were", async () => {
  const bodies = [{ a: [1, null, { b: "c" }] }, "text", 1.5, true, null, [1, "2"], Buffer.from([0, 255, 128])];
  await send("bodies", ...bodies.map((body) => ({ body })));
  const messages = await receive(client.createReceiver("bodies", { receiveMode: "receiveAndDelete" }), bodies.length);
  assert.deepEqual(bodiesOf(messages), bodies);
});

check("fields that a message can have come back as they were", async () => {
  const at = new Date(1_700_000_000_123);
  const sent = {
    body: "b",
    messageId: unique("id"),
    contentType: "text/plain",
    correlationId: "c",
    subject: "s",
    to: "t",
    replyTo: "r",
    replyToSessionId: "rs",
    timeToLive: 3_600_000,
    applicationProperties: { n: 1, d: 1.5, s: "x", b: false, at, none: null },
  };
  await send("fields", sent);
  const [message] = await receive(client.createReceiver("fields", { receiveMode: "receiveAndDelete" }), 1);
  assert.ok(message);
  // The SDK gives dates in application properties as numbers.
  const expected = { ...sent, applicationProperties: { ...sent.applicationProperties, at: at.getTime() } };
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(message[name as keyof typeof message], value, name);
  assert.ok(message.expiresAtUtc !== undefined && Math.abs(message.expiresAtUtc.getTime() - Date.now() - 3_600_000) < 60_000);
});

check("batches hold what fits, and large messages what is allowed", async () => {
  const sender = client.createSender("large");
  const batch = await sender.createMessageBatch();
  for (let body = 0; body < 500; body++) assert.ok(batch.tryAddMessage({ body }));
  assert.equal(batch.tryAddMessage({ body: Buffer.alloc(1_100_000) }), false);
  await sender.sendMessages(batch);
  await sender.sendMessages({ body: Buffer.alloc(900_000, 7) });
  await assert.rejects(sender.sendMessages({ body: Buffer.alloc(1_200_000) }), { code: "MessageSizeExceeded" });
  const messages = await receive(client.createReceiver("large", { receiveMode: "receiveAndDelete" }), 501);
  assert.deepEqual(
    bodiesOf(messages.slice(0, 500)),
    Array.from({ length: 500 }, (_, index) => index),
  );
  assert.deepEqual(messages[500]?.body, Buffer.alloc(900_000, 7));
});

check("a subscriber gets what comes, many at once, and closes when it is told to", async () => {
  const receiver = client.createReceiver("subscribed");
  const got: number[] = [];
  const errors: ProcessErrorArgs[] = [];
  const subscription = receiver.subscribe(
    { processMessage: async ({ body }) => void got.push(body as number), processError: async (error) => void errors.push(error) },
    { maxConcurrentCalls: 20 },
  );
  for (let part = 0; part < 5; part++) await send("subscribed", ...Array.from({ length: 100 }, (_, index) => ({ body: part * 100 + index })));
  await eventually("all messages", () => got.length === 500);
  await subscription.close();
  assert.deepEqual([got.toSorted((a, b) => a - b), errors], [Array.from({ length: 500 }, (_, index) => index), []]);
  await receiver.close();
});

check("scheduled messages wait, are peeked and cancelled", async () => {
  const sender = client.createSender("scheduled");
  const [kept, cancelled] = await sender.scheduleMessages([{ body: "kept" }, { body: "cancelled" }], hourLater());
  await sender.cancelScheduledMessages(cancelled!);
  const receiver = client.createReceiver("scheduled", { receiveMode: "receiveAndDelete" });
  const peeked = await receiver.peekMessages(5);
  assert.deepEqual(
    peeked.map(({ body, state, sequenceNumber }) => [body, state, String(sequenceNumber)]),
    [["kept", "scheduled", String(kept)]],
  );
  await sender.scheduleMessages({ body: "soon" }, new Date(Date.now() + 300));
  assert.deepEqual(bodiesOf(await receive(receiver, 1)), ["soon"]);
  await sender.cancelScheduledMessages(kept!);
});

check("a lock is renewed, and lost when it is not", async () => {
  await send("brief", { body: "held" });
  const receiver = client.createReceiver("brief", { maxAutoLockRenewalDurationInMs: 0 });
  const [message] = await receive(receiver, 1);
  assert.ok(message);
  const first = message.lockedUntilUtc?.getTime() ?? 0;
  assert.ok((await receiver.renewMessageLock(message)).getTime() > first - 1);
  const [again] = await receive(receiver, 1);
  assert.ok(again);
  assert.deepEqual([again.body, again.deliveryCount], ["held", 1]);
  await assert.rejects(receiver.renewMessageLock(message), { code: "MessageLockLost" });
  await assert.rejects(receiver.completeMessage(message), { code: "MessageLockLost" });
  await receiver.completeMessage(again);
});

check("the SDK renews a lock by itself while a message is worked on", async () => {
  await send("brief", { body: "slow" });
  const receiver = client.createReceiver("brief");
  const [message] = await receive(receiver, 1);
  assert.ok(message);
  const first = message.lockedUntilUtc?.getTime() ?? 0;
  await eventually("the lock to be renewed", () => (message.lockedUntilUtc?.getTime() ?? 0) > first + 1_500);
  await receiver.completeMessage(message);
  assert.deepEqual(await receiver.peekMessages(1), []);
});

check("sessions are accepted by name and as the next, keep a state, and are renewed", async () => {
  const [red, blue] = [unique("red"), unique("blue")];
  await send("sessions", ...[red, blue, red, blue].map((sessionId, index) => ({ body: index, sessionId })));
  const byName = await client.acceptSession("sessions", blue);
  assert.deepEqual([byName.sessionId, bodiesOf(await receive(byName, 2))], [blue, [1, 3]]);
  await assert.rejects(client.acceptSession("sessions", blue), { code: "SessionCannotBeLocked" });
  await byName.setSessionState({ step: 2 });
  assert.deepEqual(await byName.getSessionState(), { step: 2 });
  const until = byName.sessionLockedUntilUtc.getTime();
  assert.ok((await byName.renewSessionLock()).getTime() >= until);
  await byName.close();
  const next = await client.acceptNextSession("sessions");
  assert.ok([red, blue].includes(next.sessionId));
  await next.close();
  const waiting = within("the next session to be refused", client.acceptNextSession("no-sessions", { maxAutoLockRenewalDurationInMs: 0 }), 30_000);
  await assert.rejects(waiting, { code: "ServiceTimeout" });
});

check("subscriptions get what rules let through, and rules change over the same link", async () => {
  const rules = client.createRuleManager("news", "few");
  await rules.createRule("red", { sqlExpression: "colour = 'red' AND size < 3" }, { sqlExpression: "SET seen = 1" });
  await rules.createRule("blue", { applicationProperties: { colour: "blue" } });
  await rules.deleteRule("$Default");
  const names: string[] = [];
  for await (const { name } of rules.listRules()) names.push(name);
  assert.deepEqual(names.toSorted(), ["blue", "red"]);
  await send(
    "news",
    ...["red", "blue", "green"].flatMap((colour) => [1, 5].map((size) => ({ body: `${colour}${size}`, applicationProperties: { colour, size } }))),
  );
  const receiver = client.createReceiver("news", "few", { receiveMode: "receiveAndDelete" });
  const found = await receive(receiver, 3);
  assert.deepEqual(
    found.map(({ body, applicationProperties }) => [body, applicationProperties?.["seen"]]),
    [
      ["red1", 1],
      ["blue1", undefined],
      ["blue5", undefined],
    ],
  );
  assert.equal((await receive(client.createReceiver("news", "all", { receiveMode: "receiveAndDelete" }), 6)).length, 6);
});

check("what is not there and what is not allowed is told by its code", async () => {
  await assert.rejects(client.createSender("missing").sendMessages({ body: 1 }), { code: "MessagingEntityNotFound" });
  await assert.rejects(client.createReceiver("missing").receiveMessages(1), { code: "MessagingEntityNotFound" });
  await assert.rejects(client.createReceiver("orders").receiveDeferredMessages(sdkLong(999)), { code: "MessageNotFound" });
  await assert.rejects(client.acceptSession("orders", "any"));
  const stranger = new ServiceBusClient(connectionString.replace("SharedAccessKey=", "SharedAccessKey=x"), { retryOptions });
  await assert.rejects(stranger.createSender("orders").sendMessages({ body: 1 }), { code: "UnauthorizedAccess" });
  await stranger.close();
});

/** A number as the SDK has it; it brings the class along. */
function sdkLong(value: number): Parameters<ServiceBusReceiver["receiveDeferredMessages"]>[0] {
  const Long = createRequire(join(folder, "package.json"))("long") as { fromNumber(value: number): never };
  return Long.fromNumber(value);
}

check("receiving from an empty queue ends in time, and the link goes on", async () => {
  const receiver = client.createReceiver("drained");
  const before = performance.now();
  assert.deepEqual(await receiver.receiveMessages(10, { maxWaitTimeInMs: 300 }), []);
  assert.ok(performance.now() - before < 5_000);
  const waiting = receiver.receiveMessages(10, { maxWaitTimeInMs: 8_000 });
  await send("drained", { body: "here" });
  const [message] = await waiting;
  assert.equal(message?.body, "here");
  await receiver.completeMessage(message);
  await receiver.close();
});

check("who peeks without bodies is told their sizes, and who peeks at nothing gets nothing", async () => {
  const receiver = client.createReceiver("peeked", { receiveMode: "receiveAndDelete" });
  assert.deepEqual(await receiver.peekMessages(3), []);
  await send("peeked", { body: "heavy", messageId: "light", applicationProperties: { n: 1 } });
  const [light] = await client.createReceiver("peeked").peekMessages(1, { omitMessageBody: true } as PeekMessagesOptions);
  assert.ok(light);
  const raw = light._rawAmqpMessage;
  assert.deepEqual([light.body, light.messageId, light.applicationProperties], [undefined, "light", { n: 1 }]);
  assert.ok(Number(raw.deliveryAnnotations?.["omitted-message-body-size"]) > 0);
  const [whole] = await client.createReceiver("peeked").peekMessages(1, { fromSequenceNumber: light.sequenceNumber! });
  assert.deepEqual([whole?.body, whole?._rawAmqpMessage.deliveryAnnotations?.["omitted-message-body-size"]], ["heavy", undefined]);
  assert.ok(whole?._rawAmqpMessage.deliveryAnnotations !== undefined);
  await receive(receiver, 1);
});

check("a dead letter keeps its delivery count and a reason that is no text", async () => {
  await send("letters", { body: "dead" });
  const receiver = client.createReceiver("letters");
  const [message] = await receive(receiver, 1);
  assert.ok(message);
  await receiver.deadLetterMessage(message, { deadLetterReason: 7 as unknown as string, deadLetterErrorDescription: "a number" });
  const letters = client.createReceiver("letters", { subQueueType: "deadLetter" });
  for (let tries = 0; tries < 3; tries++) {
    const [letter] = await receive(letters, 1);
    assert.ok(letter);
    assert.deepEqual([letter.deliveryCount, letter.applicationProperties?.["DeadLetterReason"]], [0, 7]);
    await letters.abandonMessage(letter);
  }
  await letters.completeMessage((await receive(letters, 1))[0]!);
});

check("a refusal is told as the service words it, with where and when", async () => {
  const told = async (action: () => Promise<unknown>): Promise<string> =>
    action().then(
      () => "nothing",
      (error: Error) => error.message,
    );
  const end = /TrackingId:[0-9a-f-]{36}_\w+, SystemTracker:\S+, Timestamp:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;
  for (const [text, action] of [
    [
      /The messaging entity 'sb:\/\/[^/]+\/missing' could not be found\. To know more visit https:\/\/aka\.ms\/sbResourceMgrExceptions\./,
      () => client.createSender("missing").sendMessages({ body: 1 }),
    ],
    [/Failed to lock one or more specified messages\. /, () => client.createReceiver("orders").receiveDeferredMessages(sdkLong(999))],
    [
      /It is not possible for an entity that requires sessions to create a non-sessionful message receiver\. /,
      () => client.createReceiver("sessions").receiveMessages(1),
    ],
    [/The SessionId was not set on a message/, () => client.createSender("sessions").sendMessages({ body: 1 })],
  ] as const) {
    const message = await told(action);
    assert.match(message, text);
    assert.match(message, end);
  }
});

if (isNext) {
  check("a queue that is empty is purged, and nothing is deleted from it", async () => {
    const receiver = client.createReceiver("emptied") as ServiceBusReceiver & {
      deleteMessages(options: { maxMessageCount: number }): Promise<number>;
      purgeMessages(): Promise<number>;
    };
    assert.deepEqual([await receiver.purgeMessages(), await receiver.deleteMessages({ maxMessageCount: 10 })], [0, 0]);
    await send("emptied", { body: 1 });
    assert.deepEqual([await receiver.purgeMessages(), await receiver.purgeMessages()], [1, 0]);
  });

  check("messages are deleted in batches, and a queue is purged", async () => {
    await send("deleted", ...Array.from({ length: 25 }, (_, body) => ({ body })));
    const receiver = client.createReceiver("deleted") as ServiceBusReceiver & {
      deleteMessages(options: { maxMessageCount: number }): Promise<number>;
      purgeMessages(): Promise<number>;
    };
    assert.equal(await receiver.deleteMessages({ maxMessageCount: 10 }), 10);
    assert.deepEqual(bodiesOf(await receiver.peekMessages(1)), [10]);
    assert.equal(await receiver.purgeMessages(), 15);
    assert.deepEqual(await receiver.peekMessages(1), []);
  });
}

if (hasAdministration) {
  check("administration makes, reads, lists, counts, changes and deletes", async () => {
    const [queue, topic] = [unique("queue"), unique("topic")];
    const made = await admin.createQueue(queue, {
      lockDuration: "PT20S",
      maxDeliveryCount: 4,
      userMetadata: "a & <b>",
      deadLetteringOnMessageExpiration: true,
    });
    assert.deepEqual(
      [made.name, made.lockDuration, made.maxDeliveryCount, made.userMetadata, made.deadLetteringOnMessageExpiration],
      [queue, "PT20S", 4, "a & <b>", true],
    );
    assert.equal((await admin.updateQueue({ ...made, maxDeliveryCount: 6 })).maxDeliveryCount, 6);
    await assert.rejects(admin.createQueue(queue), { statusCode: 409 });
    await send(queue, { body: 1 }, { body: 2 });
    assert.equal((await admin.getQueueRuntimeProperties(queue)).activeMessageCount, 2);
    assert.equal(await admin.queueExists(queue), true);
    await admin.createTopic(topic);
    await admin.createSubscription(topic, "s", { defaultRuleOptions: { name: "first", filter: { sqlExpression: "a = 1" } } });
    await admin.createRule(topic, "s", "second", { correlationId: "c", applicationProperties: { n: 1, s: "t", b: true } }, { sqlExpression: "SET x = 1" });
    const rules: unknown[] = [];
    for await (const { name, filter } of admin.listRules(topic, "s")) rules.push([name, filter]);
    assert.deepEqual(rules.length, 2);
    const { filter, action } = await admin.getRule(topic, "s", "second");
    assert.deepEqual(
      [filter, action],
      [
        { ...filter, correlationId: "c", applicationProperties: { n: 1, s: "t", b: true } },
        { ...action, sqlExpression: "SET x = 1" },
      ],
    );
    const names: string[] = [];
    for await (const page of admin.listQueues().byPage({ maxPageSize: 3 })) names.push(...page.map(({ name }) => name));
    assert.ok(names.includes(queue) && new Set(names).size === names.length);
    assert.equal((await admin.getTopic(topic)).supportOrdering, true);
    await admin.deleteTopic(topic);
    await admin.deleteQueue(queue);
    assert.deepEqual(
      [await admin.queueExists(queue), await admin.topicExists(topic), (await admin.getNamespaceProperties()).messagingSku],
      [false, false, "Standard"],
    );
  });
}

if (hasAdministration) {
  check("an entity to forward to is told by its whole address, and a topic says that it keeps no order", async () => {
    const [target, queue, topic] = [unique("target"), unique("queue"), unique("topic")];
    await admin.createQueue(target);
    const whole = `${endpoint}/${target}`;
    const made = await admin.createQueue(queue, { forwardTo: target, forwardDeadLetteredMessagesTo: whole });
    assert.deepEqual([made.forwardTo, made.forwardDeadLetteredMessagesTo], [whole, whole]);
    const changed = await admin.updateQueue({ ...(await admin.getQueue(queue)), maxDeliveryCount: 3 });
    assert.deepEqual([changed.forwardTo, changed.maxDeliveryCount], [whole, 3]);
    await send(queue, { body: "moved" });
    assert.equal((await admin.getQueueRuntimeProperties(target)).activeMessageCount, 1);
    assert.equal((await admin.createTopic(topic, { supportOrdering: false })).supportOrdering, false);
    const subscription = await admin.createSubscription(topic, "s", { forwardTo: target });
    assert.equal(subscription.forwardTo, whole);
    await admin.deleteTopic(topic);
    await admin.deleteQueue(queue);
    await admin.deleteQueue(target);
  });

  check("what is listed comes in the order of its names", async () => {
    const topic = unique("listed");
    const names = ["c", "a", "b"];
    await admin.createTopic(topic);
    await admin.createSubscription(topic, "s");
    await admin.deleteRule(topic, "s", "$Default");
    for (const name of names) {
      await admin.createSubscription(topic, name);
      await admin.createRule(topic, "s", name, { sqlExpression: "1=1" });
    }
    const subscriptions: string[] = [];
    for await (const { subscriptionName } of admin.listSubscriptions(topic)) subscriptions.push(subscriptionName);
    const rules: string[] = [];
    for await (const { name } of admin.listRules(topic, "s")) rules.push(name);
    const managed: string[] = [];
    for await (const { name } of client.createRuleManager(topic, "s").listRules()) managed.push(name);
    assert.deepEqual(
      [subscriptions, rules, managed],
      [
        ["a", "b", "c", "s"],
        ["a", "b", "c"],
        ["a", "b", "c"],
      ],
    );
    await admin.deleteTopic(topic);
  });

  check("the values that a rule names come back as they were, in their types", async () => {
    const topic = unique("typed");
    await admin.createTopic(topic);
    await admin.createSubscription(topic, "s");
    const values = { whole: 5, large: 2 ** 40, part: 1.5, text: "5", flag: true, at: new Date(86_400_000) };
    const sqlParameters = { "@whole": 5, "@large": 2 ** 40, "@part": 1.5, "@text": "5", "@flag": true };
    await admin.createRule(topic, "s", "sql", { sqlExpression: "a = @whole", sqlParameters }, { sqlExpression: "SET a = @part", sqlParameters });
    await admin.createRule(topic, "s", "correlation", { applicationProperties: values });
    const { filter, action } = await admin.getRule(topic, "s", "sql");
    assert.deepEqual(
      [filter, action],
      [
        { sqlExpression: "a = @whole", sqlParameters },
        { ...action, sqlExpression: "SET a = @part", sqlParameters },
      ],
    );
    assert.deepEqual((await admin.getRule(topic, "s", "correlation")).filter, {
      ...(await admin.getRule(topic, "s", "correlation")).filter,
      applicationProperties: values,
    });
    await admin.deleteTopic(topic);
  });

  check("what is beyond the service's bounds is refused", async () => {
    const beyond = [
      { lockDuration: "PT5M1S" },
      { autoDeleteOnIdle: "PT4M59S" },
      { duplicateDetectionHistoryTimeWindow: "P7DT1S" },
      { userMetadata: "x".repeat(1025) },
    ];
    for (const options of beyond) await assert.rejects(admin.createQueue(unique("beyond"), options), { statusCode: 400 }, JSON.stringify(options));
    const queue = unique("within");
    await admin.createQueue(queue, {
      lockDuration: "PT5M",
      autoDeleteOnIdle: "PT5M",
      duplicateDetectionHistoryTimeWindow: "P7D",
      userMetadata: "x".repeat(1024),
    });
    await admin.deleteQueue(queue);
  });
}

check("everything closes", async () => {
  await within("the client to close", client.close());
  await delay(0);
});

await runChecks();
