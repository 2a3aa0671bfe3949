import { strict as assert } from "node:assert";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { readRule } from "#load/broker/administration/rules.ts";
import { compare } from "#load/broker/filters/sql-evaluate.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { startBench } from "../support/broker.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = {
  queues: [{ name: "orders", lockDurationMs: 5000, deliveryCountMax: 3, timeToLiveMs: 90_000, deadLetterOnExpiry: true }, "in/boxes"],
  topics: [{ name: "news", subscriptions: [{ name: "all", lockDurationMs: 30_000 }] }],
};

test("tells the settings of a queue and of a subscription", async (t) => {
  const { broker } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  const orders = await admin.getQueue("orders");
  assert.deepEqual(
    [
      orders.name,
      orders.lockDuration,
      orders.maxDeliveryCount,
      orders.defaultMessageTimeToLive,
      orders.deadLetteringOnMessageExpiration,
      orders.requiresSession,
      orders.status,
    ],
    ["orders", "PT5S", 3, "PT1M30S", true, false, "Active"],
  );
  assert.equal((await admin.getQueue("in/boxes")).name, "in/boxes");
  assert.equal((await admin.getQueue("in/boxes")).defaultMessageTimeToLive, "P10675199DT2H48M5.4775807S");
  const all = await admin.getSubscription("news", "all");
  assert.deepEqual([all.topicName, all.subscriptionName, all.lockDuration, all.maxDeliveryCount], ["news", "all", "PT30S", 10]);
  assert.equal((await admin.getTopic("news")).name, "news");
  assert.equal((await admin.getNamespaceProperties()).messagingSku, "Standard");
  await assert.rejects(admin.getQueue("nothing"), { statusCode: 404, code: "MessageEntityNotFoundError" });
  await assert.rejects(admin.getSubscription("news", "nobody"), { statusCode: 404 });
});

test("tells runtime counts", async (t) => {
  const { broker, client } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  const sender = client.createSender("orders");
  await sender.sendMessages([{ body: 1 }, { body: 2 }, { body: 3 }]);
  await sender.scheduleMessages({ body: 4 }, new Date(Date.now() + 60_000));
  const receiver = client.createReceiver("orders");
  const [first, second] = await receiver.receiveMessages(2);
  assert.ok(first && second);
  await receiver.deadLetterMessage(first);
  await receiver.deferMessage(second);
  const counts = await admin.getQueueRuntimeProperties("orders");
  assert.deepEqual([counts.activeMessageCount, counts.deadLetterMessageCount, counts.scheduledMessageCount, counts.totalMessageCount], [2, 1, 1, 4]);
  assert.ok((counts.sizeInBytes ?? 0) > 0);
  assert.ok(Math.abs(counts.createdAt.getTime() - Date.now()) < 60_000);
  await client.createSender("news").sendMessages({ body: 1 });
  assert.equal((await admin.getSubscriptionRuntimeProperties("news", "all")).activeMessageCount, 1);
  assert.equal((await admin.getTopicRuntimeProperties("news")).subscriptionCount, 1);
});

test("lists entities in pages", async (t) => {
  const names = Array.from({ length: 7 }, (_, i) => `q${i}`);
  const { broker } = await startBench(t, { entities: { queues: names, topics: [{ name: "t", subscriptions: names }] } });
  const admin = administrationOf(broker);
  const sizes: number[] = [];
  const seen: string[] = [];
  for await (const page of admin.listQueues().byPage({ maxPageSize: 3 })) {
    sizes.push(page.length);
    seen.push(...page.map(({ name }) => name));
  }
  assert.deepEqual([sizes, seen], [[3, 3, 1], names]);
  const subscriptions: string[] = [];
  for await (const { subscriptionName } of admin.listSubscriptions("t")) subscriptions.push(subscriptionName);
  assert.deepEqual(subscriptions, names);
  const topics = await admin.listTopics().next();
  assert.equal(topics.value?.name, "t");
});

test("creates, changes and deletes queues", async (t) => {
  const { broker, client } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  const created = await admin.createQueue("fresh", {
    lockDuration: "PT2S",
    maxDeliveryCount: 2,
    requiresSession: false,
    forwardDeadLetteredMessagesTo: "orders",
    userMetadata: "ours",
  });
  assert.deepEqual([created.name, created.lockDuration, created.maxDeliveryCount], ["fresh", "PT2S", 2]);
  assert.match(created.forwardDeadLetteredMessagesTo ?? "", /orders$/);
  await assert.rejects(admin.createQueue("Fresh"), { statusCode: 409, code: "MessageEntityAlreadyExistsError" });
  await assert.rejects(admin.createQueue("news"), { statusCode: 409 });
  await assert.rejects(admin.createQueue("-odd-"), { statusCode: 400 });
  await assert.rejects(admin.createQueue("with space!"), { statusCode: 400 });
  await assert.rejects(admin.createQueue("other", { lockDuration: "soon" }), { statusCode: 400 });
  await assert.rejects(admin.createQueue("other", { forwardTo: "nowhere" }), { statusCode: 400 });
  const sender = client.createSender("fresh");
  await sender.sendMessages({ body: 1 });
  const updated = await admin.updateQueue({ ...created, maxDeliveryCount: 7 });
  assert.equal(updated.maxDeliveryCount, 7);
  await assert.rejects(admin.updateQueue({ ...created, requiresSession: true }), { statusCode: 400 });
  await assert.rejects(admin.updateQueue({ ...created, name: "missing" }), { statusCode: 404 });
  await admin.updateQueue({ ...created, status: "SendDisabled" });
  await assert.rejects(client.createSender("fresh").sendMessages({ body: 2 }), { code: "MessagingEntityDisabled" });
  await admin.updateQueue({ ...created, status: "Active" });
  await client.createSender("fresh").sendMessages({ body: 3 });
  assert.equal((await admin.getQueueRuntimeProperties("fresh")).activeMessageCount, 2);
  await admin.deleteQueue("fresh");
  assert.equal(await admin.queueExists("fresh"), false);
  await assert.rejects(client.createSender("fresh").sendMessages({ body: 4 }), { code: "MessagingEntityNotFound" });
  await assert.rejects(admin.deleteQueue("fresh"), { statusCode: 404 });
});

test("creates, changes and deletes topics and subscriptions", async (t) => {
  const { broker, client } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  const topic = await admin.createTopic("events", { defaultMessageTimeToLive: "PT1H" });
  assert.equal(topic.defaultMessageTimeToLive, "PT1H");
  const audit = await admin.createSubscription("events", "audit", { forwardTo: "orders", maxDeliveryCount: 4 });
  assert.equal(audit.maxDeliveryCount, 4);
  await assert.rejects(admin.createSubscription("events", "audit"), { statusCode: 409 });
  await assert.rejects(admin.createSubscription("nothing", "audit"), { statusCode: 404 });
  await client.createSender("events").sendMessages({ body: "forwarded" });
  assert.equal((await admin.getQueueRuntimeProperties("orders")).activeMessageCount, 1);
  const { forwardTo: _, ...kept } = audit;
  const updated = await admin.updateSubscription(kept);
  assert.equal(updated.forwardTo, undefined);
  await client.createSender("events").sendMessages({ body: "stays" });
  assert.equal((await admin.getSubscriptionRuntimeProperties("events", "audit")).activeMessageCount, 1);
  await admin.updateTopic({ ...topic, defaultMessageTimeToLive: "PT2H" });
  assert.equal((await admin.getTopic("events")).defaultMessageTimeToLive, "PT2H");
  await admin.deleteSubscription("events", "audit");
  assert.equal(await admin.subscriptionExists("events", "audit"), false);
  await admin.deleteTopic("events");
  assert.equal(await admin.topicExists("events"), false);
});

test("tells where messages are forwarded to by the whole address, whether that was set by name or by address", async (t) => {
  const { broker, client, account } = await startBench(t, {
    entities: { queues: ["target", "graves", { name: "configured", forwardTo: "target" }], topics: ["news"] },
  });
  const admin = administrationOf(broker);
  const address = (name: string): string => `sb://127.0.0.1:${broker.port}/${name}`;
  const byName = { forwardTo: "target", forwardDeadLetteredMessagesTo: "graves" };
  const byAddress = { forwardTo: address("target"), forwardDeadLetteredMessagesTo: "sb://elsewhere.servicebus.windows.net/graves" };
  for (const [i, set] of [byName, byAddress].entries()) {
    for (const told of [
      await admin.createQueue(`q${i}`, set),
      await admin.getQueue(`q${i}`),
      await admin.createSubscription("news", `s${i}`, set),
      await admin.getSubscription("news", `s${i}`),
    ]) {
      assert.deepEqual([told.forwardTo, told.forwardDeadLetteredMessagesTo], [address("target"), address("graves")]);
    }
  }
  assert.equal((await admin.getQueue("configured")).forwardTo, address("target"));
  for await (const { name, forwardTo } of admin.listQueues()) if (name.startsWith("q")) assert.equal(forwardTo, address("target"));
  await admin.updateQueue({ ...(await admin.getQueue("q0")), maxDeliveryCount: 4 });
  await client.createSender("q0").sendMessages({ body: 1 });
  assert.equal(account("target").states.active, 1, "expected what was read back to mean the same when it is set again");
});

test("lists queues, topics, subscriptions and rules in the order of their names, page by page", async (t) => {
  const { broker, client } = await startBench(t, { entities: {} });
  const admin = administrationOf(broker);
  const names = ["b", "D", "a", "c", "a1"];
  const inOrder = ["a", "a1", "b", "c", "D"];
  await admin.createTopic("z");
  await admin.createSubscription("z", "s", { defaultRuleOptions: { name: "a", filter: { sqlExpression: "1=1" } } });
  for (const name of names) {
    await admin.createQueue(`q${name}`);
    await admin.createTopic(`t${name}`);
    await admin.createSubscription("z", name);
    if (name !== "a") await admin.createRule("z", "s", name, { sqlExpression: "1=1" });
  }
  const told = async <T>(pages: AsyncIterable<T[]>, nameOf: (item: T) => string): Promise<string[]> => {
    const found: string[] = [];
    for await (const page of pages) found.push(...page.map(nameOf));
    return found;
  };
  const page = { maxPageSize: 2 };
  assert.deepEqual(
    await told(admin.listQueues().byPage(page), ({ name }) => name),
    inOrder.map((name) => `q${name}`),
  );
  assert.deepEqual(await told(admin.listTopics().byPage(page), ({ name }) => name), [...inOrder.map((name) => `t${name}`), "z"]);
  assert.deepEqual(await told(admin.listSubscriptions("z").byPage(page), ({ subscriptionName }) => subscriptionName), ["a", "a1", "b", "c", "D", "s"]);
  assert.deepEqual(await told(admin.listRules("z", "s").byPage(page), ({ name }) => name), inOrder);
  assert.deepEqual(await told(client.createRuleManager("z", "s").listRules().byPage(page), ({ name }) => name), inOrder);
});

test("gives back every setting that it was given", async (t) => {
  const { broker } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  const shared = { defaultMessageTimeToLive: "P1DT2H3M4.5S", autoDeleteOnIdle: "PT7M", enableBatchedOperations: false, userMetadata: "kept <&> as it is" };
  const sending = {
    maxSizeInMegabytes: 2048,
    requiresDuplicateDetection: true,
    duplicateDetectionHistoryTimeWindow: "PT3M",
    enablePartitioning: true,
    enableExpress: true,
    maxMessageSizeInKilobytes: 512,
  };
  const receiving = { lockDuration: "PT45S", requiresSession: true, deadLetteringOnMessageExpiration: true, maxDeliveryCount: 7 };
  const rights = [
    { claimType: "SharedAccessKey", accessRights: ["Listen", "Send"] as ("Listen" | "Send")[], keyName: "worker", primaryKey: "first", secondaryKey: "second" },
  ];
  const told = (properties: object, given: object): object => Object.fromEntries(Object.entries(properties).filter(([key]) => key in given));
  const queue = { ...shared, ...sending, ...receiving, authorizationRules: rights };
  await admin.createQueue("every", queue);
  assert.deepEqual(told(await admin.getQueue("every"), queue), queue);
  const topic = { ...shared, ...sending, supportOrdering: false, authorizationRules: rights };
  await admin.createTopic("all", topic);
  assert.deepEqual(told(await admin.getTopic("all"), topic), topic);
  const subscription = { ...shared, ...receiving, deadLetteringOnFilterEvaluationExceptions: false };
  await admin.createSubscription("all", "each", subscription);
  assert.deepEqual(told(await admin.getSubscription("all", "each"), subscription), subscription);
  const changed = await admin.updateQueue({ ...(await admin.getQueue("every")), userMetadata: "other", lockDuration: "PT46S" });
  assert.deepEqual(told(changed, queue), { ...queue, userMetadata: "other", lockDuration: "PT46S" });
});

test("tells runtime counts of every state, transfers included, and the times of an entity", async (t) => {
  const clock = new ManualClock();
  const startedAt = clock.now();
  const { broker, client } = await startBench(t, {
    clock,
    entities: {
      queues: [
        { name: "orders", sizeMegabytesMax: 100 },
        { name: "gone", status: "SendDisabled" },
        { name: "source", forwardTo: "gone" },
      ],
      topics: [{ name: "news", subscriptions: ["a", "b"] }],
    },
  });
  const admin = administrationOf(broker);
  clock.advance(1000);
  const sender = client.createSender("orders");
  await sender.sendMessages(["active", "locked", "deferred", "dead", "completed"].map((body) => ({ body })));
  await sender.scheduleMessages([{ body: "one" }, { body: "two" }], new Date(clock.now() + 60_000));
  const receiver = client.createReceiver("orders");
  const [, , deferred, dead, completed] = await receiver.receiveMessages(5);
  assert.ok(deferred && dead && completed);
  await receiver.deferMessage(deferred);
  await receiver.deadLetterMessage(dead);
  await receiver.completeMessage(completed);
  const counts = await admin.getQueueRuntimeProperties("orders");
  assert.deepEqual(
    [
      counts.activeMessageCount,
      counts.deadLetterMessageCount,
      counts.scheduledMessageCount,
      counts.transferMessageCount,
      counts.transferDeadLetterMessageCount,
      counts.totalMessageCount,
    ],
    [3, 1, 2, 0, 0, 6],
  );
  assert.deepEqual([counts.createdAt.getTime(), counts.modifiedAt.getTime(), counts.accessedAt.getTime()], [startedAt, startedAt, startedAt + 1000]);
  clock.advance(1000);
  await admin.updateQueue({ ...(await admin.getQueue("orders")), maxDeliveryCount: 3 });
  assert.equal((await admin.getQueueRuntimeProperties("orders")).modifiedAt.getTime(), startedAt + 2000);
  await receiver.peekMessages(1);
  assert.equal((await admin.getQueueRuntimeProperties("orders")).accessedAt.getTime(), startedAt + 2000);

  await client.createSender("source").sendMessages({ body: 1 });
  const source = await admin.getQueueRuntimeProperties("source");
  assert.deepEqual([source.activeMessageCount, source.transferDeadLetterMessageCount, source.totalMessageCount], [0, 1, 1]);

  const news = client.createSender("news");
  await news.sendMessages([{ body: "x".repeat(1000) }, { body: 2 }]);
  await news.scheduleMessages({ body: 3 }, new Date(clock.now() + 60_000));
  const topic = await admin.getTopicRuntimeProperties("news");
  assert.deepEqual(
    [topic.subscriptionCount, topic.scheduledMessageCount, (topic.sizeInBytes ?? 0) > 2000, topic.accessedAt.getTime()],
    [2, 1, true, startedAt + 2000],
  );
  const listed: (readonly [string, number, number])[] = [];
  for await (const { subscriptionName, activeMessageCount, totalMessageCount } of admin.listSubscriptionsRuntimeProperties("news"))
    listed.push([subscriptionName, activeMessageCount, totalMessageCount]);
  assert.deepEqual(listed, [
    ["a", 2, 2],
    ["b", 2, 2],
  ]);
  const queues: string[] = [];
  for await (const { name } of admin.listQueuesRuntimeProperties()) queues.push(name);
  assert.deepEqual(queues, ["gone", "orders", "source"]);
});

test("updates the version that is meant, and no other", async (t) => {
  const { broker } = await startBench(t, { entities });
  const url = `http://127.0.0.1:${broker.port}/orders?api-version=2021-05`;
  const get = async (): Promise<{ tag: string; body: string }> => {
    const response = await fetch(url);
    return { tag: response.headers.get("etag") ?? "", body: await response.text() };
  };
  const put = (ifMatch: string, body: string): Promise<Response> =>
    fetch(url, { method: "PUT", headers: { "if-match": ifMatch, "content-type": "application/atom+xml" }, body });
  const first = await get();
  assert.match(first.tag, /^"[0-9a-f]{40}"$/);
  assert.equal((await get()).tag, first.tag, "expected the same version to have the same tag");
  const changed = first.body.replace("<MaxDeliveryCount>3<", "<MaxDeliveryCount>4<");
  assert.notEqual(changed, first.body);
  assert.equal((await put('"another"', changed)).status, 412);
  assert.equal((await get()).tag, first.tag);
  const updated = await put(first.tag, changed);
  assert.equal(updated.status, 200);
  assert.notEqual(updated.headers.get("etag"), first.tag);
  assert.equal((await put(first.tag, first.body)).status, 412, "expected the old version to be refused");
  assert.equal((await put("*", first.body)).status, 200);
  assert.equal((await get()).tag, first.tag);
});

test("keeps the kind of an entity, and what cannot be changed of it", async (t) => {
  const { broker } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  await assert.rejects(admin.createTopic("orders"), { statusCode: 409 });
  await assert.rejects(admin.createSubscription("orders", "s"), { statusCode: 404 });
  const topic = await admin.getTopic("news");
  await assert.rejects(admin.updateTopic({ ...topic, requiresDuplicateDetection: true }), { statusCode: 400 });
  const subscription = await admin.getSubscription("news", "all");
  await assert.rejects(admin.updateSubscription({ ...subscription, requiresSession: true }), { statusCode: 400 });
  await assert.rejects(admin.updateTopic({ ...topic, name: "missing" }), { statusCode: 404 });
  await assert.rejects(admin.deleteSubscription("news", "missing"), { statusCode: 404 });
  await assert.rejects(admin.createQueue("loop", { forwardTo: "loop" }), { statusCode: 400 });
  await assert.rejects(admin.createQueue("x".repeat(261)), { statusCode: 400 });
  await assert.rejects(admin.createSubscription("news", "x".repeat(51)), { statusCode: 400 });
});

test("answers what is no request with what is wrong with it", async (t) => {
  const { broker } = await startBench(t, { entities });
  const ask = (path: string, init?: RequestInit): Promise<Response> => fetch(`http://127.0.0.1:${broker.port}/${path}?api-version=2021-05`, init);
  const put = (body: string): Promise<Response> => ask("fresh", { method: "PUT", body });
  assert.equal((await ask("orders", { method: "POST", body: "" })).status, 405);
  assert.equal((await put("not xml")).status, 400);
  assert.equal((await put("<entry/>")).status, 400);
  assert.equal((await put(" ".repeat(600_000))).status, 413);
  const entry = (fields: string): string => `<entry><content><QueueDescription>${fields}</QueueDescription></content></entry>`;
  assert.equal((await put(entry("<__proto__>1</__proto__>"))).status, 400);
  assert.equal((await put(entry("<a>".repeat(5_000) + "</a>".repeat(5_000)))).status, 400);
  assert.equal((await put(entry("<UserMetadata>gr&#252;n&#xA;&amp;#65;&lt;</UserMetadata>"))).status, 201);
  assert.equal((await administrationOf(broker).getQueue("fresh")).userMetadata, "grün\n&#65;<", "expected characters by their numbers to be read");
  assert.equal((await ask("%zz")).status, 404);
  const missing = await ask("missing");
  assert.deepEqual([missing.status, /SubCode=40400/.test(await missing.text())], [404, true]);
});

test("moves waiting messages on when their queue is set to forward, dead letters too, and no others", async (t) => {
  const { broker, client, account } = await startBench(t, { entities: { queues: ["from", "to", "graves"] } });
  const admin = administrationOf(broker);
  const sender = client.createSender("from");
  await sender.sendMessages(["dead", "held", "deferred", "waiting", "waiting too"].map((body) => ({ body })));
  await sender.scheduleMessages({ body: "scheduled" }, new Date(Date.now() + 60_000));
  const receiver = client.createReceiver("from");
  const [dead, held, deferred] = await receiver.receiveMessages(3);
  assert.ok(dead && held && deferred);
  await receiver.deadLetterMessage(dead);
  await receiver.deferMessage(deferred);
  await admin.updateQueue({ ...(await admin.getQueue("from")), forwardTo: "to", forwardDeadLetteredMessagesTo: "graves" });
  assert.deepEqual(
    (await client.createReceiver("to").peekMessages(5)).map(({ body }) => body as string),
    ["waiting", "waiting too"],
  );
  assert.deepEqual(
    (await client.createReceiver("graves").peekMessages(5)).map(({ body }) => body as string),
    ["dead"],
  );
  assert.deepEqual(account("from").states, { active: 0, locked: 1, scheduled: 1, deferred: 1, deadLettered: 0 });
  await receiver.abandonMessage(held);
  assert.deepEqual(
    [account("from").states.locked, account("from").states.active, account("to").states.active],
    [0, 0, 3],
    "expected what comes back to move on, too",
  );
  const { forwardTo: _, forwardDeadLetteredMessagesTo: __, ...rest } = await admin.getQueue("from");
  await admin.updateQueue(rest);
  await sender.sendMessages({ body: "stays" });
  assert.equal(account("from").states.active, 1);
});

test("answers whatever a request asks for, and goes on", async (t) => {
  const { broker } = await startBench(t, { entities });
  const statusOf = async (target: string): Promise<string | undefined> => {
    const socket = connect(broker.port, broker.host);
    socket.write(`GET ${target} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n`);
    return /^HTTP\/1\.1 (\d+)/.exec(await text(socket))?.[1];
  };
  const query = "?api-version=2021-05";
  const asked = ["//", "/%", "http://[", "http://here/orders", "/in%2fboxes", "/orders", "/", "/orders//"].map((path) => `${path}${query}`);
  const answered = [];
  for (const target of asked) answered.push(await statusOf(target));
  assert.deepEqual(answered, ["404", "404", "404", "200", "200", "200", "404", "200"]);
});

test("takes a time of a rule that names no zone as UTC, wherever it runs", () => {
  const before = process.env["TZ"];
  process.env["TZ"] = "Asia/Tokyo";
  try {
    const at = (written: string): unknown => {
      const pair = { Key: "at", Value: { "@type": "l28:dateTime", "#text": written } };
      const rule = readRule("r", { Filter: { "@type": "CorrelationFilter", Properties: { KeyValueOfstringanyType: pair } } });
      return rule.filter.kind === "correlation" ? rule.filter.properties.get("at") : undefined;
    };
    const expected = new Date(Date.UTC(2026, 0, 2, 3, 4, 5));
    for (const written of ["2026-01-02T03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T05:04:05+02:00"]) {
      assert.deepEqual(at(written), expected, written);
      assert.equal(compare("=", expected, written), true, `expected a condition to read ${written} as the same time`);
    }
  } finally {
    if (before === undefined) delete process.env["TZ"];
    else process.env["TZ"] = before;
  }
});
