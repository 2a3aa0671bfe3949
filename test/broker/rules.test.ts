import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import type { ServiceBusMessage, ServiceBusReceivedMessage } from "@azure/service-bus";
import { administrationOf } from "../support/broker-administration.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";

const topics = [{ name: "news", subscriptions: ["s", "all"] }];

const messages: ServiceBusMessage[] = [
  { body: "red-small", subject: "paint", correlationId: "c1", applicationProperties: { color: "red", size: 1 } },
  { body: "red-large", subject: "paint", applicationProperties: { color: "red", size: 9 } },
  { body: "blue-large", subject: "sky", applicationProperties: { color: "blue", size: 9, sunny: true } },
  { body: "plain" },
];

async function received({ client }: BrokerBench): Promise<ServiceBusReceivedMessage[]> {
  const receiver = client.createReceiver("news", "s", { receiveMode: "receiveAndDelete" });
  const found = await receiver.receiveMessages(20, { maxWaitTimeInMs: 200 });
  await receiver.close();
  return found;
}

async function bodiesAfter(bench: BrokerBench): Promise<unknown[]> {
  await bench.client.createSender("news").sendMessages(messages);
  return (await received(bench)).map(({ body }) => body as unknown);
}

async function start(t: TestContext, entities: unknown = { topics }): Promise<BrokerBench> {
  return startBench(t, { entities });
}

test("gives a subscription what its rules select, while they change", async (t) => {
  const bench = await start(t);
  const rules = bench.client.createRuleManager("news", "s");
  assert.equal((await bodiesAfter(bench)).length, 4);
  await rules.deleteRule("$Default");
  assert.deepEqual(await bodiesAfter(bench), []);
  await rules.createRule("red", { sqlExpression: "color = 'red'" });
  assert.deepEqual(await bodiesAfter(bench), ["red-small", "red-large"]);
  await rules.createRule("sky", { subject: "sky", applicationProperties: { sunny: true } });
  await rules.createRule("large", { sqlExpression: "size > 5 AND sys.Label LIKE '%'" });
  assert.deepEqual(await bodiesAfter(bench), ["red-small", "red-large", "blue-large"]);
  await rules.deleteRule("red");
  assert.deepEqual(await bodiesAfter(bench), ["red-large", "blue-large"]);
  const listed: string[] = [];
  for await (const { name } of rules.listRules()) listed.push(name);
  assert.deepEqual(listed, ["sky", "large"]);
  assert.equal(bench.account("news/Subscriptions/all").totals.accepted, 20);
});

test("tells rules as they were given, in pages, and refuses what it cannot keep", async (t) => {
  const { client } = await start(t);
  const rules = client.createRuleManager("news", "s");
  await rules.createRule("sql", { sqlExpression: "a = 1" }, { sqlExpression: "SET b = 2" });
  await rules.createRule("correlation", { correlationId: "c", subject: "l", applicationProperties: { n: 5, text: "x", flag: false } });
  const pages: string[][] = [];
  for await (const page of rules.listRules().byPage({ maxPageSize: 2 })) pages.push(page.map(({ name }) => name));
  assert.deepEqual(pages, [["$Default", "sql"], ["correlation"]]);
  const all = [];
  for await (const rule of rules.listRules()) all.push(rule);
  assert.deepEqual(all[0]?.filter, { sqlExpression: "1=1" });
  assert.deepEqual([all[1]?.filter, all[1]?.action], [{ sqlExpression: "a = 1" }, { sqlExpression: "SET b = 2" }]);
  const { filter } = all[2] ?? {};
  assert.ok(filter !== undefined && "correlationId" in filter);
  assert.deepEqual([filter.correlationId, filter.subject, filter.applicationProperties], ["c", "l", { n: 5, text: "x", flag: false }]);
  await assert.rejects(rules.createRule("sql", { sqlExpression: "a = 1" }), { code: "MessagingEntityAlreadyExists" });
  await assert.rejects(rules.deleteRule("missing"), { code: "MessagingEntityNotFound" });
  await assert.rejects(rules.createRule("bad", { sqlExpression: "a = = 1" }), /found '=' at position 5/);
});

test("changes copies by actions, one copy for each rule that has one", async (t) => {
  const bench = await start(t);
  const rules = bench.client.createRuleManager("news", "s");
  await rules.deleteRule("$Default");
  await rules.createRule("mark", { sqlExpression: "color = 'red' AND size = 1" }, { sqlExpression: "SET mark = color + '!'; SET doubled = size * 2; REMOVE size; SET sys.Label = 'marked'; SET sys.To = 'there'" });
  await rules.createRule("red", { sqlExpression: "color = 'red'" });
  await bench.client.createSender("news").sendMessages(messages[0] ?? { body: "" });
  const found = await received(bench);
  const view = found.map(({ body, subject, to, correlationId, applicationProperties }) => [body as unknown, subject, to, correlationId, applicationProperties]);
  assert.deepEqual(view, [
    ["red-small", "paint", undefined, "c1", { color: "red", size: 1 }],
    ["red-small", "marked", "there", "c1", { color: "red", mark: "red!", doubled: 2 }],
  ]);
});

test("dead-letters what a filter cannot be computed for, where that is set", async (t) => {
  const bench = await start(t);
  const rules = bench.client.createRuleManager("news", "s");
  await rules.deleteRule("$Default");
  await rules.createRule("odd", { sqlExpression: "color * 2 = 4" });
  await bench.client.createSender("news").sendMessages(messages.slice(0, 1));
  const [letter] = await bench.client.createReceiver("news", "s", { subQueueType: "deadLetter" }).receiveMessages(1);
  assert.deepEqual([letter?.body, letter?.deadLetterReason], ["red-small", "FilterEvaluationException"]);
  const { totals } = bench.account("news/Subscriptions/s");
  assert.deepEqual([totals.accepted, totals.deadLettered], [1, 1]);
});

test("creates, changes and deletes rules by administration", async (t) => {
  const bench = await start(t);
  const admin = administrationOf(bench.broker);
  await admin.createSubscription("news", "own", { defaultRuleOptions: { name: "first", filter: { sqlExpression: "size > @least", sqlParameters: { "@least": 5 } } } });
  assert.deepEqual((await admin.getRule("news", "own", "first")).filter, { sqlExpression: "size > @least", sqlParameters: { "@least": 5 } });
  const created = await admin.createRule("news", "s", "red", { sqlExpression: "color = 'red'" }, { sqlExpression: "SET seen = 1" });
  assert.deepEqual([created.name, created.filter, created.action.sqlExpression], ["red", { sqlExpression: "color = 'red'", sqlParameters: undefined }, "SET seen = 1"]);
  await assert.rejects(admin.createRule("news", "s", "red", { sqlExpression: "1=1" }), { statusCode: 409 });
  await assert.rejects(admin.createRule("news", "s", "bad", { sqlExpression: "a = = 1" }), (error: Error) => /position 5/.test(error.message));
  await admin.createRule("news", "s", "by", { subject: "sky", applicationProperties: { size: 9, when: new Date(0), sunny: true, text: "x" } });
  const by = await admin.getRule("news", "s", "by");
  assert.ok("applicationProperties" in by.filter);
  assert.deepEqual([by.filter.subject, by.filter.applicationProperties], ["sky", { size: 9, when: new Date(0), sunny: true, text: "x" }]);
  await admin.deleteRule("news", "s", "$Default");
  assert.deepEqual(await bodiesAfter(bench), ["red-small", "red-large"]);
  await admin.updateRule("news", "s", { ...created, filter: { sqlExpression: "color = 'blue'" } });
  assert.deepEqual(await bodiesAfter(bench), ["blue-large"]);
  assert.equal(bench.account("news/Subscriptions/own").totals.accepted, 4);
  const names: string[] = [];
  for await (const { name } of admin.listRules("news", "s")) names.push(name);
  assert.deepEqual(names, ["red", "by"]);
  assert.equal(await admin.ruleExists("news", "s", "$Default"), false);
  await assert.rejects(admin.getRule("news", "s", "missing"), { statusCode: 404 });
});

test("takes the vendor's rules from a configuration", async (t) => {
  const rules = [
    { Name: "sql", Properties: { FilterType: "Sql", SqlFilter: { SqlExpression: "color = 'red' AND size > 5" }, Action: { SqlExpression: "SET by = 'sql'" } } },
    { Name: "correlation", Properties: { FilterType: "Correlation", CorrelationFilter: { Label: "sky", Properties: { color: "blue" } } } },
  ];
  const bench = await start(t, { UserConfig: { Namespaces: [{ Name: "n", Topics: [{ Name: "news", Subscriptions: [{ Name: "s", Rules: rules }] }] }] } });
  await bench.client.createSender("news").sendMessages(messages);
  assert.deepEqual(
    (await received(bench)).map(({ body, applicationProperties }) => [body as unknown, applicationProperties?.["by"]]),
    [["red-large", "sql"], ["blue-large", undefined]],
  );
});
