import { strict as assert } from "node:assert";
import { test } from "node:test";
import { classify, subjectOf } from "#handlers/event-dispatcher/classify.ts";
import { eventDispatcher } from "#handlers/event-dispatcher/index.ts";
import { type Rule, rules } from "#handlers/event-dispatcher/rules.ts";
import { testSkill } from "#runtime/testing/index.ts";
import { refusalOf } from "../support/refused-payload.ts";
import { webhookExamples } from "../support/webhook-examples.ts";

const rule = (change: Partial<Rule>): Rule => ({ name: "rule", events: ["issues"], taskType: "look", priority: "normal", ...change });

test("a rule matches by event, action and conditions, all of them", () => {
  const event = { action: "opened", issue: { labels: [{ name: "bug" }, { name: "ui" }], locked: false } };
  const matches = (change: Partial<Rule>): boolean => classify("issues", event, [rule(change)]).length === 1;
  assert.ok(matches({}));
  assert.ok(!matches({ events: ["push"] }));
  assert.ok(matches({ actions: ["opened"] }));
  assert.ok(!matches({ actions: ["closed"] }));
  assert.ok(matches({ where: [{ path: "issue.labels.name", oneOf: ["bug"] }] }));
  assert.ok(!matches({ where: [{ path: "issue.labels.name", oneOf: ["docs"] }] }));
  assert.ok(
    !matches({
      where: [
        { path: "issue.labels.name", oneOf: ["bug"] },
        { path: "issue.locked", oneOf: [true] },
      ],
    }),
  );
  assert.ok(matches({ where: [{ path: "*.locked", oneOf: [false] }] }));
  assert.ok(!matches({ where: [{ path: "issue.constructor.name", oneOf: ["Object"] }] }), "expected inherited fields not to count");
});

test("every rule that matches asks for its task, in order", () => {
  const event = { action: "opened", issue: { labels: [{ name: "bug" }] } };
  assert.deepEqual(
    classify("issues", event).map((task) => task.rule),
    ["bug-reported", "issue-opened"],
  );
  assert.deepEqual(classify("watch", { action: "started" }), []);
});

test("rules have names of their own, and the examples meet all but two", () => {
  assert.equal(new Set(rules.map(({ name }) => name)).size, rules.length);
  const met = new Set(webhookExamples().flatMap(({ name, event }) => classify(name, event).map((task) => task.rule)));
  const unmet = rules.map(({ name }) => name).filter((name) => !met.has(name));
  assert.deepEqual(unmet, ["failed-deployment", "change-merged"]);
});

test("the subject is the most particular thing an event carries", () => {
  assert.deepEqual(subjectOf({ repository: { full_name: "a/b" }, issue: { title: "Broken", number: 4, html_url: "https://example.test/4" } }), {
    kind: "issue",
    title: "Broken",
    number: 4,
    url: "https://example.test/4",
  });
  assert.equal(subjectOf({ sender: {} }), undefined);
});

test("emits a task event for each rule that matches, and nothing where none does", async () => {
  const event = { action: "opened", repository: { full_name: "octo/shop" }, issue: { title: "Broken", number: 4, labels: [{ name: "bug" }] } };
  const { emitted } = await testSkill(eventDispatcher, { event: { payload: { name: "issues", event } } });
  assert.deepEqual(
    emitted.map(({ eventType, payload }) => [eventType, (payload as Record<string, unknown>)["taskType"]]),
    [
      ["TaskRequested", "reproduce-bug"],
      ["TaskRequested", "triage-issue"],
    ],
  );
  assert.deepEqual(emitted[1]?.payload, {
    taskType: "triage-issue",
    priority: "normal",
    rule: "issue-opened",
    repository: "octo/shop",
    subject: { kind: "issue", title: "Broken", number: 4 },
    source: { name: "issues", action: "opened" },
  });
  assert.deepEqual((await testSkill(eventDispatcher, { event: { payload: { name: "watch", event: { action: "started" } } } })).emitted, []);
});

test("accepts every example and refuses what is no webhook", async () => {
  for (const example of webhookExamples()) assert.equal(await refusalOf(eventDispatcher, example), undefined);
  assert.match((await refusalOf(eventDispatcher, { name: "issues" })) ?? "", /event/);
  assert.match((await refusalOf(eventDispatcher, { name: "issues", event: { action: 7 } })) ?? "", /action/);
});
