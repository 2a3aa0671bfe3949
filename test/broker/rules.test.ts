import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { ServiceBusClient, ServiceBusMessage, ServiceBusReceivedMessage } from "@azure/service-bus";
import { startBroker } from "#load/broker/broker.ts";
import { encode } from "#runtime/amqp/codec/encode.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import type { Session } from "#runtime/amqp/session/session.ts";
import { described, type Encodable, type Fields, int, long, symbol, timestamp, Typed, type TypedValue, uint } from "#runtime/amqp/codec/types.ts";
import { attachedSender, Signal } from "../amqp/support/loopback.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { oddNames, oddWords } from "../support/odd-names.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { connectWire, WireNode } from "../support/broker-wire.ts";
import { eventually } from "../support/eventually.ts";

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
  assert.deepEqual(listed, ["large", "sky"]);
  assert.equal(bench.account("news/Subscriptions/all").totals.accepted, 20);
});

test("tells rules as they were given, in pages, and refuses what it cannot keep", async (t) => {
  const { client } = await start(t);
  const rules = client.createRuleManager("news", "s");
  await rules.createRule("sql", { sqlExpression: "a = 1" }, { sqlExpression: "SET b = 2" });
  await rules.createRule("correlation", { correlationId: "c", subject: "l", applicationProperties: { n: 5, text: "x", flag: false } });
  const pages: string[][] = [];
  for await (const page of rules.listRules().byPage({ maxPageSize: 2 })) pages.push(page.map(({ name }) => name));
  assert.deepEqual(pages, [["$Default", "correlation"], ["sql"]]);
  const all = [];
  for await (const rule of rules.listRules()) all.push(rule);
  assert.deepEqual(all[0]?.filter, { sqlExpression: "1=1" });
  assert.deepEqual([all[2]?.filter, all[2]?.action], [{ sqlExpression: "a = 1" }, { sqlExpression: "SET b = 2" }]);
  const { filter } = all[1] ?? {};
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
  await rules.createRule(
    "mark",
    { sqlExpression: "color = 'red' AND size = 1" },
    { sqlExpression: "SET mark = color + '!'; SET doubled = size * 2; REMOVE size; SET sys.Label = 'marked'; SET sys.To = 'there'" },
  );
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
  await admin.createSubscription("news", "own", {
    defaultRuleOptions: { name: "first", filter: { sqlExpression: "size > @least", sqlParameters: { "@least": 5 } } },
  });
  assert.deepEqual((await admin.getRule("news", "own", "first")).filter, { sqlExpression: "size > @least", sqlParameters: { "@least": 5 } });
  const created = await admin.createRule("news", "s", "red", { sqlExpression: "color = 'red'" }, { sqlExpression: "SET seen = 1" });
  assert.deepEqual(
    [created.name, created.filter, created.action.sqlExpression],
    ["red", { sqlExpression: "color = 'red'", sqlParameters: undefined }, "SET seen = 1"],
  );
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
  assert.deepEqual(names, ["by", "red"]);
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
    [
      ["red-large", "sql"],
      ["blue-large", undefined],
    ],
  );
});

const whole: ServiceBusMessage = {
  body: "whole",
  messageId: "m",
  correlationId: "c",
  subject: "l",
  to: "t",
  replyTo: "r",
  sessionId: "s",
  replyToSessionId: "rs",
  contentType: "text/plain",
  timeToLive: 60_000,
  applicationProperties: { text: "x", count: 5, share: 0.5, flag: true, when: new Date(86_400_000) },
};

const correlations: readonly (readonly [field: string, matches: object, differs: object])[] = [
  ["correlationId", { correlationId: "c" }, { correlationId: "C" }],
  ["messageId", { messageId: "m" }, { messageId: "other" }],
  ["to", { to: "t" }, { to: "other" }],
  ["replyTo", { replyTo: "r" }, { replyTo: "other" }],
  ["subject", { subject: "l" }, { subject: "other" }],
  ["sessionId", { sessionId: "s" }, { sessionId: "other" }],
  ["replyToSessionId", { replyToSessionId: "rs" }, { replyToSessionId: "other" }],
  ["contentType", { contentType: "text/plain" }, { contentType: "text" }],
  ["an application property of text", { applicationProperties: { text: "x" } }, { applicationProperties: { text: "X" } }],
  ["an application property whatever the case of its name", { applicationProperties: { TEXT: "x" } }, { applicationProperties: { TEX: "x" } }],
  ["an application property of a number", { applicationProperties: { count: 5, share: 0.5 } }, { applicationProperties: { count: 5, share: 0.6 } }],
  ["an application property of a flag", { applicationProperties: { flag: true } }, { applicationProperties: { flag: false } }],
  ["an application property of a time", { applicationProperties: { when: new Date(86_400_000) } }, { applicationProperties: { when: new Date(0) } }],
  [
    "all of them",
    { correlationId: "c", subject: "l", applicationProperties: { text: "x", flag: true } },
    { correlationId: "c", subject: "l", applicationProperties: { text: "x", flag: true, missing: 1 } },
  ],
];
for (const by of ["the rule manager", "administration"] as const) {
  test(`selects by ${correlations.map(([field]) => field).join(", ")}, as ${by} sets it`, async (t) => {
    const bench = await start(t);
    const { client, broker } = bench;
    const manager = client.createRuleManager("news", "s");
    const admin = administrationOf(broker);
    await manager.deleteRule("$Default");
    const create = (name: string, filter: object): Promise<unknown> =>
      by === "administration" ? admin.createRule("news", "s", name, filter) : manager.createRule(name, filter);
    for (const [field, matches, differs] of correlations) {
      await create("matches", matches);
      await client.createSender("news").sendMessages(whole);
      assert.equal((await received(bench)).length, 1, `expected ${field} to select`);
      await manager.deleteRule("matches");
      await create("differs", differs);
      await client.createSender("news").sendMessages(whole);
      assert.equal(bench.account("news/Subscriptions/s").states.active, 0, `expected ${field} not to select`);
      await manager.deleteRule("differs");
    }
  });
}

const selecting: readonly (readonly [expression: string, selects: boolean])[] = [
  ["sys.MessageId = 'm' AND sys.CorrelationId = 'c' AND sys.Label = 'l' AND sys.Subject = 'l' AND sys.To = 't' AND sys.ReplyTo = 'r'", true],
  ["sys.SessionId = 's' AND sys.ReplyToSessionId = 'rs' AND sys.ContentType = 'text/plain' AND sys.TimeToLive = 60000", true],
  ["sys.SequenceNumber > 0 AND sys.EnqueuedSequenceNumber > 0 AND sys.DeliveryCount = 0 AND sys.EnqueuedTimeUtc > '2020-01-01'", true],
  ["sys.PartitionKey IS NULL AND sys.ScheduledEnqueueTimeUtc IS NULL", true],
  ["TEXT = 'x' AND EXISTS(Count) AND user.FLAG = TRUE AND p('share') < 1", true],
  ["count / 2 = 2 AND share * 2 = 1 AND when = '1970-01-02'", true],
  ["NOT (text = 'x')", false],
  ["missing <> 'x' OR NOT missing = 'x'", false],
  ["text", false],
];
for (const [expression, selects] of selecting) {
  test(`${selects ? "selects" : "does not select"} a message by ${expression}`, async (t) => {
    const bench = await start(t);
    const manager = bench.client.createRuleManager("news", "s");
    await manager.deleteRule("$Default");
    await manager.createRule("sql", { sqlExpression: expression });
    await bench.client.createSender("news").sendMessages(whole);
    assert.deepEqual([bench.account("news/Subscriptions/s").states.active, bench.account("news/Subscriptions/s").states.deadLettered], [selects ? 1 : 0, 0]);
  });
}

test("lets an action's statements follow one another, and keeps names and types that were there", async (t) => {
  const bench = await start(t);
  const manager = bench.client.createRuleManager("news", "s");
  await manager.deleteRule("$Default");
  await manager.createRule(
    "act",
    { sqlExpression: "1=1" },
    {
      sqlExpression:
        "SET first = 1 SET second = first + 1; SET COUNT = '7'; SET text = 5; SET flag = 'false'; SET share = 2; SET fresh = 'f' + count; REMOVE When; REMOVE nothing; SET sys.CorrelationId = sys.CorrelationId + '-' + second; SET sys.ReplyTo = sys.CorrelationId; SET sys.MessageId = 'changed'; REMOVE sys.To; SET sys.ContentType = 'application/x'; SET sys.TimeToLive = 5000; SET none = missing",
    },
  );
  await bench.client.createSender("news").sendMessages(whole);
  const [message] = await received(bench);
  assert.deepEqual(message?.applicationProperties, { text: "5", count: 7, share: 2, flag: false, first: 1, second: 2, fresh: "f7" });
  assert.deepEqual(
    [message?.correlationId, message?.replyTo, message?.messageId, message?.to, message?.contentType, message?.body, message?.subject, message?.sessionId],
    ["c-2", "c-2", "changed", undefined, "application/x", "whole", "l", "s"],
  );
  assert.equal((message?.expiresAtUtc?.getTime() ?? 0) - (message?.enqueuedTimeUtc?.getTime() ?? 0), 5000);
});

const lives: readonly (readonly [value: string, ms: number | undefined])[] = [
  ["sys.TimeToLive / 2", 30_000],
  ["sys.TimeToLive * 0.5", 30_000],
  ["1000.9", 1000],
  ["-5", 1],
  ["NULL", undefined],
];
for (const [value, ms] of lives) {
  test(`lets a copy live ${ms === undefined ? "as long as its subscription lets it" : `${ms} ms`} after SET sys.TimeToLive = ${value}`, async (t) => {
    const { client, broker } = await startBench(t, { entities: { topics }, clock: new ManualClock() });
    await client.createRuleManager("news", "s").createRule("life", { sqlExpression: "1=1" }, { sqlExpression: `SET sys.TimeToLive = ${value}` });
    await client.createSender("news").sendMessages(whole);
    const copy = broker.inspectMessages("news/Subscriptions/s")?.messages.at(-1);
    assert.equal(copy?.expiresAt, ms === undefined ? null : new Date(Date.parse(copy?.enqueuedAt ?? "") + ms).toISOString());
  });
}

/** One message was sent to a topic whose only rule takes all and has this action. */
async function sentThrough(t: TestContext, action: string): Promise<ServiceBusClient> {
  const { client } = await start(t);
  const rules = client.createRuleManager("news", "s");
  await rules.deleteRule("$Default");
  await rules.createRule("only", { sqlExpression: "1=1" }, { sqlExpression: action });
  await client.createSender("news").sendMessages(whole);
  return client;
}

test("dead-letters a copy for whose life an action gives no time", async (t) => {
  const client = await sentThrough(t, "SET sys.TimeToLive = 'long'");
  const [letter] = await client.createReceiver("news", "s", { subQueueType: "deadLetter" }).receiveMessages(1);
  assert.match(letter?.deadLetterErrorDescription ?? "", /expected milliseconds for sys\.TimeToLive, found a string/);
});

test("leaves a copy its id whatever an action does, for clients settle none without one", async (t) => {
  const client = await sentThrough(t, "SET sys.MessageId = 'other'; REMOVE sys.MessageId; SET sys.To = sys.MessageId");
  const receiver = client.createReceiver("news", "s");
  const [message] = await receiver.receiveMessages(1);
  assert.ok(message);
  assert.deepEqual([message.messageId, message.to], ["m", "m"]);
  await receiver.completeMessage(message);
});

test("changes rules while messages flow, and each message meets the rules of its moment", async (t) => {
  const bench = await start(t);
  const { client, account } = bench;
  const manager = client.createRuleManager("news", "s");
  const sender = client.createSender("news");
  let sent = 0;
  const flow = { isOver: false };
  const flowing = (async (): Promise<void> => {
    while (!flow.isOver) {
      await sender.sendMessages([
        { body: "a", applicationProperties: { parity: sent++ % 2 } },
        { body: "b", applicationProperties: { parity: sent++ % 2 } },
      ]);
    }
  })();
  const seen: (readonly [name: string, count: number])[] = [];
  await manager.deleteRule("$Default");
  for (let round = 0; round < 10; round++) {
    await manager.createRule("even", { sqlExpression: "parity = 0" });
    await manager.createRule("odd", { applicationProperties: { parity: 1 } });
    await manager.deleteRule("even");
    seen.push(["odd", account("news/Subscriptions/s").totals.accepted]);
    await manager.deleteRule("odd");
  }
  flow.isOver = true;
  await flowing;
  assert.equal(seen.length, 10);
  assert.equal(account("news/Subscriptions/all").totals.accepted, sent, "expected the other subscription to get everything");
  const settled = account("news/Subscriptions/s").totals.accepted;
  await sender.sendMessages({ body: "unwanted", applicationProperties: { parity: 0 } });
  assert.equal(account("news/Subscriptions/s").totals.accepted, settled);
  const own = await client.createReceiver("news", "s", { receiveMode: "receiveAndDelete" }).receiveMessages(5000, { maxWaitTimeInMs: 500 });
  assert.equal(own.length, settled);
  assert.equal(new Set(own.map(({ sequenceNumber }) => sequenceNumber?.toString())).size, settled);
});

test("drops what a filter cannot be computed for where a subscription says so", async (t) => {
  const bench = await start(t);
  const admin = administrationOf(bench.broker);
  await admin.updateSubscription({ ...(await admin.getSubscription("news", "s")), deadLetteringOnFilterEvaluationExceptions: false });
  const manager = bench.client.createRuleManager("news", "s");
  await manager.deleteRule("$Default");
  await manager.createRule("odd", { sqlExpression: "color * 2 = 4" });
  await bench.client.createSender("news").sendMessages(messages.slice(0, 1));
  const { states, totals } = bench.account("news/Subscriptions/s");
  assert.deepEqual([states.active, states.deadLettered, totals.accepted], [0, 0, 0]);
});

test("takes true and false filters, and says where a bad expression of a configuration is wrong", async (t) => {
  const bench = await start(t);
  const admin = administrationOf(bench.broker);
  await admin.deleteRule("news", "s", "$Default");
  await admin.createRule("news", "s", "none", { sqlExpression: "1=0" });
  assert.deepEqual(await bodiesAfter(bench), []);
  await admin.createRule("news", "s", "open", { sqlExpression: "1=1" });
  assert.equal((await bodiesAfter(bench)).length, 4);
  await assert.rejects(
    start(t, { topics: [{ name: "news", subscriptions: [{ name: "s", rules: [{ name: "r", sql: "a = = 1" }] }] }] }),
    /rules\[0\]: expected a filter and an action that can be read \(.*found '=' at position 5\)/,
  );
});

test("entities, rules and properties may have names that every object knows", async (t) => {
  const sql = oddNames.map((name) => `[${name}] = 'x'`).join(" AND ");
  const properties = Object.fromEntries(oddNames.map((name) => [name, "x"]));
  const entities = {
    queues: oddWords.map((name) => ({ name })),
    topics: [
      {
        name: "topics/constructor",
        subscriptions: [
          {
            name: "toString",
            rules: [
              { name: "valueOf", sql, action: "SET [__proto__] = 'y'" },
              { name: "constructor", correlation: { properties } },
            ],
          },
        ],
      },
    ],
  };
  const { broker, client, account } = await start(t, entities);
  for (const name of oddWords) {
    await client.createSender(name).sendMessages({ body: 1, applicationProperties: properties });
    assert.equal(account(name).states.active, 1);
    assert.equal(broker.inspectMessages(name)?.messages.length, 1);
  }
  await client.createSender("topics/constructor").sendMessages([{ body: 1, applicationProperties: properties }, { body: 2 }]);
  const page = broker.inspectMessages("topics/constructor/Subscriptions/toString")?.messages ?? [];
  assert.deepEqual(page.map(({ applicationProperties }) => Object.entries(applicationProperties).find(([name]) => name === "__proto__")?.[1]).join(), "x,y");
  await assert.rejects(client.createSender("isPrototypeOf2").sendMessages({ body: 1 }), /could not be found|not found/i);
});

async function openedSender(session: Session, address: string): Promise<Sender> {
  const ready = new Signal("credit");
  const sender = await attachedSender(session, { name: "sender", target: { address } }, { onSendable: () => ready.set() });
  await ready.wait();
  return sender;
}

const typed: readonly (readonly [type: string, text: string])[] = [
  ["int", "-7"],
  ["long", "9007199254740993"],
  ["long", "5"],
  ["double", "5"],
  ["double", "1.5"],
  ["double", "INF"],
  ["decimal", "12345678901234567890.10"],
  ["unsignedLong", "18446744073709551615"],
  ["short", "3"],
  ["unsignedByte", "255"],
  ["duration", "P1DT2H0.0000001S"],
  ["dateTime", "2026-01-02T03:04:05.006Z"],
  ["boolean", "true"],
  ["string", "5"],
  ["guid", "00112233-4455-6677-8899-aabbccddeeff"],
];

test("rule parameters keep their types and all their digits, in filters, actions and correlations, and after a restart", async (t) => {
  const data = mkdtempSync(join(tmpdir(), "holdfast-rules-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const pairs = typed
    .map(
      ([type, text], i) =>
        `<KeyValueOfstringanyType><Key>@p${i}</Key><Value i:type="d6p1:${type}" xmlns:d6p1="http://www.w3.org/2001/XMLSchema">${text}</Value></KeyValueOfstringanyType>`,
    )
    .join("");
  const entry = (filter: string, action: string): string =>
    `<entry xmlns="http://www.w3.org/2005/Atom"><content type="application/xml"><RuleDescription xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">${filter}${action}</RuleDescription></content></entry>`;
  const rules = {
    sql: entry(
      `<Filter i:type="SqlFilter"><SqlExpression>a = @p0</SqlExpression><Parameters>${pairs}</Parameters></Filter>`,
      `<Action i:type="SqlRuleAction"><SqlExpression>SET b = @p1</SqlExpression><Parameters>${pairs}</Parameters></Action>`,
    ),
    correlation: entry(`<Filter i:type="CorrelationFilter"><Properties>${pairs}</Properties></Filter>`, ""),
  };
  const found = (xml: string): (readonly [string, string])[] =>
    [...xml.matchAll(/<Value i:type="d6p1:(\w+)" [^>]*>([^<]*)<\/Value>/g)].map(([, type = "", text = ""]) => [type, text]);
  const urlOf = (port: number, name: string): string => `http://127.0.0.1:${port}/news/Subscriptions/s/Rules/${name}?api-version=2021-05`;
  const first = await startBroker({ entities: { topics }, data });
  for (const [name, body] of Object.entries(rules)) assert.equal((await fetch(urlOf(first.port, name), { method: "PUT", body })).status, 201);
  await first.stop();
  const second = await startBroker({ entities: { topics }, data });
  t.after(() => second.stop());
  for (const name of Object.keys(rules)) {
    const told = found(await (await fetch(urlOf(second.port, name))).text());
    assert.deepEqual(told, name === "sql" ? [...typed, ...typed] : typed, name);
  }
  const bad = await fetch(urlOf(second.port, "bad"), { method: "PUT", body: rules.correlation.replace(">-7<", ">7.5<") });
  assert.deepEqual([bad.status, /@p0.*7\.5\S* is no int/.test(await bad.text())], [400, true]);
});

test("rule parameters set over AMQP keep their types, whoever reads them", async (t) => {
  const { broker } = await start(t);
  const { connection } = await connectWire(t, broker);
  const node = await WireNode.open(connection.begin({}), "news/Subscriptions/s/$management");
  const big = 2n ** 53n + 1n;
  const sent: readonly (readonly [name: string, value: TypedValue, type: string, text: string])[] = [
    ["long", long(big), "long", String(big)],
    ["small", long(5), "long", "5"],
    ["int", int(5), "int", "5"],
    ["double", new Typed("double", 5), "double", "5"],
    ["uint", uint(7), "unsignedInt", "7"],
    ["at", timestamp(86_400_000), "dateTime", "1970-01-02T00:00:00.000Z"],
    ["span", described(symbol("com.microsoft:timespan"), long(15_000_000)), "duration", "PT1.5S"],
  ];
  const properties = new Map<Encodable, Encodable>(sent.map(([name, value]) => [name, value]));
  assert.equal((await node.ask("com.microsoft:add-rule", { "rule-name": "typed", "rule-description": { "correlation-filter": { properties } } })).code, 200);
  const { message } = await node.ask("com.microsoft:enumerate-rules", { skip: int(1), top: int(1) });
  const bytes = message.bytes.toString("latin1");
  for (const [name, value] of sent) assert.ok(bytes.includes(`${name}${encode(value).toString("latin1")}`), `expected ${name} to be told as it was sent`);
  const xml = await (await fetch(`http://127.0.0.1:${broker.port}/news/Subscriptions/s/Rules/typed?api-version=2021-05`)).text();
  for (const [name, , type, text] of sent)
    assert.match(xml, new RegExp(`<Key>${name}</Key><Value i:type="d6p1:${type}" [^>]*>${text.replaceAll(".", "\\.")}</Value>`));
});

test("compares typed parameters by value: longs beyond 2^53 exactly, durations with time spans and times to live, doubles with whole numbers", async (t) => {
  const bench = await start(t);
  const { connection } = await connectWire(t, bench.broker);
  const sender = await openedSender(connection.begin({}), "news");
  const rule = (name: string, expression: string, type: string, text: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${bench.broker.port}/news/Subscriptions/s/Rules/${name}?api-version=2021-05`, {
      method: "PUT",
      body: `<entry xmlns="http://www.w3.org/2005/Atom"><content type="application/xml"><RuleDescription xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><Filter i:type="SqlFilter"><SqlExpression>${expression}</SqlExpression><Parameters><KeyValueOfstringanyType><Key>@p</Key><Value i:type="d6p1:${type}" xmlns:d6p1="http://www.w3.org/2001/XMLSchema">${text}</Value></KeyValueOfstringanyType></Parameters></Filter></RuleDescription></content></entry>`,
    });
  await administrationOf(bench.broker).deleteRule("news", "s", "$Default");
  const big = 2n ** 53n + 1n;
  for (const [name, expression, type, text] of [
    ["big", "n = @p", "long", String(big)],
    ["span", "span &gt; @p", "duration", "PT1S"],
    ["life", "sys.TimeToLive &lt; @p", "duration", "PT1M"],
    ["half", "n / @p = 2.5", "double", "2"],
  ] as const) {
    assert.equal((await rule(name, expression, type, text)).status, 201, name);
  }
  const send = (messageId: string, applicationProperties: Fields, ttlMs?: number): unknown =>
    sender.send(encodeMessage({ header: { ttlMs }, properties: { messageId }, applicationProperties, body: { value: 1 } }), undefined);
  send("exact", { n: long(big) });
  send("near", { n: long(big - 1n) });
  send("span", { span: described(symbol("com.microsoft:timespan"), long(10_000_001)) });
  send("short", { span: described(symbol("com.microsoft:timespan"), long(10_000_000)) });
  send("brief", { n: int(1) }, 59_000);
  send("half", { n: int(5) });
  await eventually("all to be there", () => bench.account("news/Subscriptions/all").totals.accepted === 6);
  assert.deepEqual(
    (await received(bench)).map(({ messageId }) => messageId),
    ["exact", "span", "brief", "half"],
  );
});
