// The vendor's Config.json as it is: every property of every kind of entity, rules of both kinds, comments, names.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { readEntities } from "#load/broker/entities/config.ts";
import { BrokerConfigError } from "#load/broker/entities/config-checks.ts";
import { parseJson, textOfBytes } from "#load/broker/json-text.ts";
import { startBench } from "../support/broker.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** As the vendor's documentation shows one, with everything that one can say. */
const text = `{
  // Entities of the one namespace.
  "UserConfig": {
    "Namespaces": [
      {
        "Name": "sbemulatorns", /* cannot be changed there */
        "Queues": [
          {
            "Name": "queue.1",
            "Properties": {
              "DeadLetteringOnMessageExpiration": true,
              "DefaultMessageTimeToLive": "PT1H",
              "DuplicateDetectionHistoryTimeWindow": "PT20S",
              "EnableBatchedOperations": true,
              "EnableExpress": false,
              "EnablePartitioning": false,
              "ForwardDeadLetteredMessagesTo": "graves",
              "ForwardTo": "",
              "LockDuration": "PT1M30S",
              "MaxDeliveryCount": 3,
              "MaxMessageSizeInKilobytes": 256,
              "MaxSizeInMegabytes": 1024,
              "RequiresDuplicateDetection": true,
              "RequiresSession": true
            }
          },
          { "Name": "graves" },
          { "Name": "forwarder", "Properties": { "ForwardTo": "topic.1" } }
        ],
        "Topics": [
          {
            "Name": "topic.1",
            "Properties": { "DefaultMessageTimeToLive": "PT30M", "DuplicateDetectionHistoryTimeWindow": "PT5M", "RequiresDuplicateDetection": false, "SupportOrdering": false },
            "Subscriptions": [
              {
                "Name": "subscription.1",
                "Properties": { "DeadLetteringOnMessageExpiration": false, "DefaultMessageTimeToLive": "PT1H", "LockDuration": "PT1M", "MaxDeliveryCount": 10, "ForwardDeadLetteredMessagesTo": "", "ForwardTo": "", "RequiresSession": false },
                "Rules": [
                  {
                    "Name": "app-prop-filter-1",
                    "Properties": {
                      "FilterType": "Correlation",
                      "CorrelationFilter": {
                        "ContentType": "application/text", "CorrelationId": "id1", "Label": "subject1", "MessageId": "msgid1", "ReplyTo": "someQueue",
                        "ReplyToSessionId": "sessionId", "SessionId": "session1", "To": "xyz", "Properties": { "prop1": "value1", "count": 2, "flag": true }
                      }
                    }
                  },
                  { "Name": "sql", "Properties": { "FilterType": "Sql", "SqlFilter": { "SqlExpression": "sys.MessageId = '//no comment' AND a = 1" }, "Action": { "SqlExpression": "SET sys.To = 'x'" } } }
                ]
              },
              { "Name": "subscription.2" }
            ]
          }
        ]
      }
    ],
    "Logging": { "Type": "File" }
  }
}`;

test("reads every property", () => {
  const { queues, topics } = readEntities(parseJson(text));
  assert.deepEqual(queues, [
    {
      name: "queue.1",
      deadLetterOnExpiry: true,
      timeToLiveMs: 3_600_000,
      duplicateWindowMs: 20_000,
      batchedOperations: true,
      express: false,
      partitioned: false,
      forwardDeadLettersTo: "graves",
      lockDurationMs: 90_000,
      deliveryCountMax: 3,
      messageBytesMax: 256 * 1024,
      sizeMegabytesMax: 1024,
      requiresDuplicateDetection: true,
      requiresSession: true,
    },
    { name: "graves" },
    { name: "forwarder", forwardTo: "topic.1" },
  ]);
  const [topic] = topics;
  assert.ok(topic);
  const { subscriptions, ...rest } = topic;
  assert.deepEqual(rest, { name: "topic.1", timeToLiveMs: 1_800_000, duplicateWindowMs: 300_000, requiresDuplicateDetection: false, supportOrdering: false });
  const [first, second] = subscriptions;
  assert.deepEqual(second, { name: "subscription.2" });
  const { rules, ...subscription } = first ?? { rules: undefined };
  assert.deepEqual(subscription, {
    name: "subscription.1",
    deadLetterOnExpiry: false,
    timeToLiveMs: 3_600_000,
    lockDurationMs: 60_000,
    deliveryCountMax: 10,
    requiresSession: false,
  });
  assert.deepEqual(rules, [
    {
      name: "app-prop-filter-1",
      filter: {
        kind: "correlation",
        fields: new Map(
          Object.entries({
            contentType: "application/text",
            correlationId: "id1",
            subject: "subject1",
            messageId: "msgid1",
            replyTo: "someQueue",
            replyToSessionId: "sessionId",
            sessionId: "session1",
            to: "xyz",
          }),
        ),
        properties: new Map<string, unknown>(Object.entries({ prop1: "value1", count: 2, flag: true })),
      },
      action: undefined,
    },
    {
      name: "sql",
      filter: { kind: "sql", expression: "sys.MessageId = '//no comment' AND a = 1", parameters: new Map() },
      action: { expression: "SET sys.To = 'x'", parameters: new Map() },
    },
  ]);
});

test("acts on every property", async (t) => {
  const clock = new ManualClock();
  const { client, account, broker } = await startBench(t, { entities: parseJson(text), clock });
  await client.createSender("queue.1").sendMessages([
    { body: 1, sessionId: "a", messageId: "m" },
    { body: 2, sessionId: "a", messageId: "m" },
  ]);
  assert.deepEqual([account("queue.1").totals.accepted, account("queue.1").totals.duplicatesDropped], [1, 1]);
  const session = await client.acceptSession("queue.1", "a", { maxAutoLockRenewalDurationInMs: 0 });
  assert.equal(session.sessionLockedUntilUtc.getTime(), clock.now() + 90_000);
  for (let i = 0; i < 3; i++) {
    const [message] = await session.receiveMessages(1);
    assert.ok(message);
    await session.abandonMessage(message);
  }
  assert.deepEqual([account("queue.1").states.deadLettered, account("graves").states.active], [0, 1], "expected three tries, and dead letters to move on");
  await client.createSender("queue.1").sendMessages({ body: 3, sessionId: "b", messageId: "n" });
  clock.advance(3_600_000);
  assert.equal(account("graves").states.active, 2, "expected what expired to be dead-lettered and to move on");
  await client.createSender("forwarder").sendMessages({ body: 4, applicationProperties: { a: 1 } });
  assert.deepEqual([account("topic.1/Subscriptions/subscription.1").states.active, account("topic.1/Subscriptions/subscription.2").states.active], [0, 1]);
  await client.createSender("topic.1").sendMessages({ body: 5, messageId: "//no comment", applicationProperties: { a: 1 } });
  assert.equal(account("topic.1/Subscriptions/subscription.1").states.active, 1);
  clock.advance(1_799_999);
  assert.equal(account("topic.1/Subscriptions/subscription.2").states.active, 2);
  clock.advance(1);
  assert.equal(account("topic.1/Subscriptions/subscription.2").states.active, 0, "expected the topic's half hour to bound the subscription's life");
  assert.deepEqual(Object.keys(broker.inspect().topics), ["topic.1"]);
});

const names: readonly (readonly [name: string, isGood: boolean])[] = [
  ["a", true],
  ["7", true],
  ["a.b-c_d/e", true],
  ["Orders", true],
  ["x".repeat(260), true],
  ["", false],
  ["-a", false],
  ["a-", false],
  ["/a", false],
  ["a/", false],
  ["_a", false],
  ["a b", false],
  ["a?b", false],
  ["ä", false],
  ["x".repeat(261), false],
];
for (const [name, isGood] of names) {
  test(`${isGood ? "takes" : "refuses"} the name ${name.length > 20 ? `of ${name.length} characters` : `'${name}'`}`, () => {
    const read = (): unknown => readEntities({ UserConfig: { Namespaces: [{ Queues: [{ Name: name }] }] } });
    if (isGood) assert.doesNotThrow(read);
    else assert.throws(read, (error) => error instanceof BrokerConfigError && /Queues\[0\]\.Name: expected a name/.test(error.message));
  });
}

const durations: readonly (readonly [text: string, ms: number | undefined])[] = [
  ["PT1M", 60_000],
  ["PT0.5S", 500],
  ["PT1H2M3S", 3_723_000],
  ["P1D", 86_400_000],
  ["P1DT1S", 86_401_000],
  ["P10675199DT2H48M5.4775807S", Infinity],
  ["P", undefined],
  ["PT", undefined],
  ["1M", undefined],
  ["P1M", undefined],
  ["PT1M ", undefined],
  ["PT-1M", undefined],
  ["PT0S", undefined],
];
for (const [duration, ms] of durations) {
  test(`${ms === undefined ? "refuses" : "takes"} the duration '${duration}'`, () => {
    const read = (): unknown =>
      readEntities({ UserConfig: { Namespaces: [{ Queues: [{ Name: "a", Properties: { LockDuration: duration } }] }] } }).queues[0]?.lockDurationMs;
    if (ms === undefined) assert.throws(read, /LockDuration: expected (an ISO 8601 duration|a duration above zero)/);
    else assert.equal(read(), ms);
  });
}

const written = { UserConfig: { Namespaces: [{ Name: "n", Queues: [{ Name: "a,]" }, { Name: "b//c" }] }] } };
const writings: readonly (readonly [what: string, text: string])[] = [
  ["a byte order mark", `\uFEFF${JSON.stringify(written)}`],
  [
    "commas after the last of a list and of an object",
    '{ "UserConfig": { "Namespaces": [ { "Name": "n", "Queues": [ { "Name": "a,]", }, { "Name": "b//c" } , ], }, ], }, }',
  ],
  [
    "comments of both kinds, also before and after a last comma",
    '// first\n{ "UserConfig": /* , } */ { "Namespaces": [{ "Name": "n", "Queues": [{ "Name": "a,]" }, { "Name": "b//c" }, // last\n ] /* x */, /* y */ }] } } // end',
  ],
];
for (const [what, json] of writings) test(`takes ${what}`, () => assert.deepEqual(parseJson(json), written));

test("takes a file in each encoding that a byte order mark announces, as editors write it", () => {
  const text = JSON.stringify({ name: "ä" });
  const little = Buffer.from(`\uFEFF${text}`, "utf16le");
  for (const bytes of [Buffer.from(text), Buffer.from(`\uFEFF${text}`), little, Buffer.from(little).swap16()])
    assert.deepEqual(parseJson(textOfBytes(bytes)), { name: "ä" });
});

for (const json of ["[,]", "[1,,]", '{"a":,}', "{,}", "[1, 2", "/* no end [1]"]) {
  test(`refuses ${json}`, () => assert.throws(() => parseJson(json), SyntaxError));
}

test("tells the place that an error has in the file, whatever was taken out before it", () => {
  assert.throws(() => parseJson('\uFEFF// one\n/* two\n*/ { "a": [1,], "b": 2 "c": 3 }'), /line 3 column 24/);
});

const subscription = (rule: unknown): unknown => ({ Topics: [{ Name: "t", Subscriptions: [{ Name: "s", Rules: [{ Name: "r", Properties: rule }] }] }] });
const unknowns: readonly (readonly [what: string, config: unknown, message: RegExp])[] = [
  [
    "Entities in place of Queues",
    { UserConfig: { Namespaces: [{ Name: "n", Entities: [{ Name: "a" }] }] } },
    /^UserConfig\.Namespaces\[0\]\.Entities: expected one of Name, Queues, Topics, found/,
  ],
  [
    "SqlExpression beside FilterType",
    { UserConfig: { Namespaces: [subscription({ FilterType: "Sql", SqlExpression: "a = 1" })] } },
    /Rules\[0\]\.Properties\.SqlExpression: expected one of FilterType, SqlFilter, CorrelationFilter, Action, found "a = 1"/,
  ],
  [
    "no filter beside the type that says there is one",
    { UserConfig: { Namespaces: [subscription({ FilterType: "Sql" })] } },
    /Rules\[0\]\.Properties\.SqlFilter: expected an object, found nothing/,
  ],
  [
    "a correlation beside the type Sql",
    { UserConfig: { Namespaces: [subscription({ FilterType: "Sql", SqlFilter: { SqlExpression: "a = 1" }, CorrelationFilter: { Label: "x" } })] } },
    /CorrelationFilter: expected none beside a filter of the type Sql/,
  ],
  [
    "SQL beside the type Correlation",
    { UserConfig: { Namespaces: [subscription({ FilterType: "Correlation", SqlFilter: { SqlExpression: "a = 1" }, CorrelationFilter: { Label: "x" } })] } },
    /SqlFilter: expected none beside a CorrelationFilter/,
  ],
  [
    "a key of a SQL filter",
    { UserConfig: { Namespaces: [subscription({ SqlFilter: { Expression: "a = 1" } })] } },
    /SqlFilter\.Expression: expected SqlExpression alone/,
  ],
  [
    "a key of an action",
    { UserConfig: { Namespaces: [subscription({ Action: { SqlExpression: "SET a = 1", Sql: "" } })] } },
    /Action\.Sql: expected SqlExpression alone/,
  ],
  [
    "a key of a rule",
    { UserConfig: { Namespaces: [{ Topics: [{ Name: "t", Subscriptions: [{ Name: "s", Rules: [{ Name: "r", Filter: {} }] }] }] }] } },
    /Rules\[0\]\.Filter: expected one of Name, Properties/,
  ],
  [
    "a key of a queue",
    { UserConfig: { Namespaces: [{ Queues: [{ Name: "a", LockDuration: "PT1M" }] }] } },
    /Queues\[0\]\.LockDuration: expected one of Name, Properties, found "PT1M"/,
  ],
  [
    "a property of a queue, whatever its name",
    { UserConfig: { Namespaces: [{ Queues: [{ Name: "a", Properties: { constructor: 1 } }] }] } },
    /Queues\[0\]\.Properties\.constructor: expected one of AutoDeleteOnIdle, /,
  ],
  [
    "a property of queues on a topic",
    { UserConfig: { Namespaces: [{ Topics: [{ Name: "t", Properties: { LockDuration: "PT1M" } }] }] } },
    /Topics\[0\]\.Properties\.LockDuration: expected one of/,
  ],
  [
    "a key of a topic",
    { UserConfig: { Namespaces: [{ Topics: [{ Name: "t", Subscription: [] }] }] } },
    /Topics\[0\]\.Subscription: expected one of Name, Properties, Subscriptions/,
  ],
  [
    "a key of a subscription",
    { UserConfig: { Namespaces: [{ Topics: [{ Name: "t", Subscriptions: [{ Name: "s", Rule: [] }] }] }] } },
    /Subscriptions\[0\]\.Rule: expected one of Name, Properties, Rules/,
  ],
  ["a key beside Namespaces", { UserConfig: { Namespaces: [], Queues: [] } }, /^UserConfig\.Queues: expected one of Namespaces, Logging/],
  ["a UserConfig without Namespaces", { UserConfig: { Namespace: [] } }, /^UserConfig\.Namespace: expected one of Namespaces, Logging/],
  ["a UserConfig of nothing", { UserConfig: {} }, /^UserConfig\.Namespaces: expected a list of one namespace, found nothing/],
  ["a key beside UserConfig", { UserConfig: { Namespaces: [] }, queues: ["a"] }, /^configuration\.queues: expected UserConfig alone/],
  ["the namespaces without their UserConfig", { Namespaces: [{ Queues: [] }] }, /^configuration\.Namespaces: expected one of queues, topics, UserConfig/],
  ["a setting of our own form, whatever its name", { queues: [{ name: "a", toString: 1 }] }, /^queues\[0\]\.toString: expected one of name, /],
  [
    "a number that JSON has rounded",
    { UserConfig: { Namespaces: [subscription({ CorrelationFilter: { Properties: { n: 2 ** 53 } } })] } },
    /Properties\.n: expected a number below 2\^53/,
  ],
];
for (const [what, config, message] of unknowns) {
  test(`refuses ${what} with its place and what was expected`, () =>
    assert.throws(
      () => readEntities(config),
      (error) => error instanceof BrokerConfigError && message.test(error.message),
    ));
}

test("takes a rule's filter without its type, and a rule without a filter as one for everything", () => {
  const filterOf = (rule: unknown): unknown =>
    readEntities({ UserConfig: { Namespaces: [subscription(rule)] } }).topics[0]?.subscriptions[0]?.rules?.[0]?.filter;
  assert.deepEqual(filterOf({ CorrelationFilter: { Label: "x" } }), { kind: "correlation", fields: new Map([["subject", "x"]]), properties: new Map() });
  assert.deepEqual(filterOf({ SqlFilter: { SqlExpression: "a = 1" }, CorrelationFilter: null }), { kind: "sql", expression: "a = 1", parameters: new Map() });
  assert.deepEqual(filterOf({}), { kind: "sql", expression: "1=1", parameters: new Map() });
});

const bad: readonly (readonly [what: string, namespace: unknown, message: RegExp])[] = [
  ["a flag that is text", { Queues: [{ Name: "a", Properties: { RequiresSession: "true" } }] }, /RequiresSession: expected true or false, found "true"/],
  ["a count that is none", { Queues: [{ Name: "a", Properties: { MaxDeliveryCount: 1.5 } }] }, /MaxDeliveryCount: expected a whole number of at least 1/],
  ["queues that are no list", { Queues: {} }, /Queues: expected a list/],
  [
    "a filter of an unknown type",
    { Topics: [{ Name: "t", Subscriptions: [{ Name: "s", Rules: [{ Name: "r", Properties: { FilterType: "Any" } }] }] }] },
    /FilterType: expected Sql or Correlation, found "Any"/,
  ],
  [
    "a filter that cannot be read",
    { Topics: [{ Name: "t", Subscriptions: [{ Name: "s", Rules: [{ Name: "r", Properties: { SqlFilter: { SqlExpression: "a = = 1" } } }] }] }] },
    /Rules\[0\]: expected a filter and an action that can be read \(.*at position 5\)/,
  ],
  [
    "an action that cannot be read",
    { Topics: [{ Name: "t", Subscriptions: [{ Name: "s", Rules: [{ Name: "r", Properties: { Action: { SqlExpression: "DROP a" } } }] }] }] },
    /expected SET or REMOVE, found 'DROP' at position 1/,
  ],
  [
    "a correlation filter of nothing",
    { Topics: [{ Name: "t", Subscriptions: [{ Name: "s", Rules: [{ Name: "r", Properties: { FilterType: "Correlation", CorrelationFilter: {} } }] }] }] },
    /at least one property/,
  ],
  ["forwarding to nowhere", { Queues: [{ Name: "a", Properties: { ForwardTo: "b" } }] }, /a\.forwardTo: expected a queue or topic of this configuration/],
];
for (const [what, namespace, message] of bad) {
  test(`refuses ${what}, and says where it is`, () => {
    assert.throws(
      () => readEntities({ UserConfig: { Namespaces: [namespace] } }),
      (error) => error instanceof BrokerConfigError && message.test(error.message),
    );
  });
}

test("takes one namespace, and none", () => {
  assert.deepEqual(readEntities({ UserConfig: { Namespaces: [] } }), { queues: [], topics: [] });
  assert.throws(() => readEntities({ UserConfig: { Namespaces: [{ Name: "a" }, { Name: "b" }] } }), /expected one namespace, found 2/);
});
