// What a skill sees of its message, and how it answers it.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { RunAnswer } from "#runtime/core/outcome.ts";
import { type Skill, type SkillContext, type SkillMessage, defineSkill } from "#runtime/index.ts";
import { testSkill } from "#runtime/testing/index.ts";
import { makeHost } from "./host.ts";

const asking: SkillMessage = {
  messageId: "m-1",
  sequenceNumber: 7n,
  enqueuedAtMs: 0,
  deliveryAttempt: 2,
  sessionId: undefined,
  correlationId: undefined,
  replyTo: "answers",
  replyToSessionId: "s-1",
  subject: undefined,
  contentType: undefined,
  properties: { region: "north" },
};

function skillOf(run: (context: SkillContext) => unknown): Skill {
  return defineSkill({ name: "asked", handles: [{ eventType: "OrderPlaced" }], run });
}

function sent(answer: RunAnswer): readonly OutgoingMessage[] {
  return answer.kind === "completed" ? answer.outbox : assert.fail(JSON.stringify(answer));
}

const failure = (answer: RunAnswer): string => (answer.kind === "failed" ? `${answer.failure.code}: ${answer.failure.message}` : answer.kind);

test("a skill that does not look at its message asks nobody; one that does, once", async (t) => {
  const seen: SkillMessage[] = [];
  const look = await makeHost(t, [skillOf(async (context) => seen.push(await context.message(), await context.step("see", (step) => step.message())))]);
  look.message = asking;
  assert.equal((await look.run()).answer.kind, "completed");
  assert.deepEqual([seen[0], seen[1]?.sequenceNumber, look.messageAsks], [asking, 7n, 1]);
  const blind = await makeHost(t, [skillOf(() => undefined)]);
  await blind.run();
  assert.equal(blind.messageAsks, 0);
  const untold = await makeHost(t, [skillOf((context) => context.message())]);
  assert.match(failure((await untold.run()).answer), /^MESSAGE_UNAVAILABLE: /);
});

test("an answer goes where the message says, with what belongs to the exchange", async (t) => {
  const host = await makeHost(t, [
    skillOf(async (context) => {
      await context.reply({ price: 5 }, { eventType: "PriceTold", version: "2.0", properties: { kind: "quote" } });
      await context.step("later", (step) => step.reply({ price: 6 }));
    }),
  ]);
  host.message = asking;
  const [first, second] = sent((await host.run()).answer);
  assert.deepEqual(
    [first?.entity, first?.sessionId, first?.correlationId, first?.subject, first?.headers["kind"]],
    ["answers", "s-1", "m-1", "PriceTold", "quote"],
  );
  assert.deepEqual([second?.entity, second?.subject], ["answers", "OrderPlaced.reply"]);
  assert.notEqual(first?.messageId, second?.messageId);
  host.message = { ...asking, correlationId: 9n, replyToSessionId: undefined };
  const [third] = sent((await host.run()).answer);
  assert.deepEqual([third?.correlationId, third?.sessionId, third?.messageId], [9n, undefined, first?.messageId]);
});

test("an answer that cannot be sent says why", async (t) => {
  const run = async (message: Partial<SkillMessage>, act: (context: SkillContext) => unknown): Promise<string> => {
    const host = await makeHost(t, [skillOf(act)]);
    host.message = { ...asking, ...message };
    return failure((await host.run()).answer);
  };
  assert.match(
    await run({ replyTo: undefined }, (context) => context.reply({})),
    /^REPLY_UNADDRESSED: reply: expected a message that names in reply-to .*, got one that names nothing/,
  );
  assert.match(await run({ replyTo: "sb://elsewhere/answers" }, (context) => context.reply({})), /^REPLY_UNADDRESSED: .*got 'sb:\/\/elsewhere\/answers'/);
  assert.match(await run({}, (context) => context.reply(new Map())), /^EMIT_INVALID: emit: payload: expected a value of JSON/);
  assert.match(await run({}, (context) => context.reply({}, { entity: "mine" } as never)), /^EMIT_INVALID: reply: expected only the options/);
  assert.match(await run({}, (context) => void context.reply({})), /^REPLY_NOT_AWAITED: expected the skill to wait for its reply/);
});

test("the kit gives a skill its message, tells its replies, and has them come to the same in every way", async () => {
  const skill = skillOf(async (context) => {
    const { properties } = await context.message();
    await context.step("answer", (step) => step.reply({ region: properties["region"] }));
  });
  const message = { replyTo: "answers", correlationId: "exchange-1", properties: { region: "north" } };
  const { outcome, emitted } = await testSkill(skill, { message });
  assert.equal(outcome, "completed");
  assert.deepEqual(
    emitted.map(({ entity, correlationId, payload, eventType }) => ({ entity, correlationId, payload, eventType })),
    [{ entity: "answers", correlationId: "exchange-1", payload: { region: "north" }, eventType: "OrderPlaced.reply" }],
  );
  await testSkill.everyWay(skill, { message });
  const unaddressed = await testSkill(skill, {});
  assert.deepEqual([unaddressed.outcome, unaddressed.reason], ["dead-lettered", "REPLY_UNADDRESSED"]);
});

test("the kit has an event come in a session, with what was left to it, and tells what it leaves, the same in every way", async () => {
  const skill = skillOf(async (context) => {
    const { count = 0 } = (await context.session?.getState<{ readonly count: number }>()) ?? {};
    await context.step("count", () => count + 1);
    context.session?.setState({ count: count + 1 });
  });
  const session = { id: "tenant-7", state: { count: 4 } };
  const { outcome, sessionState } = await testSkill(skill, { session });
  assert.deepEqual([outcome, sessionState], ["completed", { count: 5 }]);
  await testSkill.everyWay(skill, { session });
  assert.equal((await testSkill(skill, {})).sessionState, undefined);
});
