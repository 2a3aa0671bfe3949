// A recorded run gone through again, in process.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type HttpDependency, PermanentError, type Skill, TransientError, defineDependency, defineSkill } from "#runtime/index.ts";
import { eventMessage } from "#runtime/core/event-message.ts";
import { CallAnswers, unpackAnswers } from "#runtime/skills/host/call-answers.ts";
import { deriveKey } from "#runtime/skills/host/run-identity.ts";
import { encodeIntent, encodeStep } from "#runtime/skills/host/step-codec.ts";
import { rerun, type Rerun, type RerunOptions } from "#runtime/testing/rerun.ts";
import { byCall, fault, inTurn, stub, testSkill } from "#runtime/testing/index.ts";
import { usualSurroundings } from "#runtime/testing/world/surroundings.ts";

const bank: HttpDependency = defineDependency({ name: "bank", baseUrl: "http://127.0.0.1:9" });
let ran = 0;
const charge: Skill = defineSkill({
  name: "charge",
  handles: [{ eventType: "OrderPlaced" }],
  uses: [bank],
  retry: { attemptsMax: 3 },
  async run(context) {
    const held = await context.step("hold", () => {
      ran += 1;
      return "fresh";
    });
    const { body } = await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body: { held } }));
    throw new TransientError(`attempt ${context.attempt}: ${(body as { readonly state: string }).state}`, { code: "DECLINED" });
  },
});
const event = {
  eventId: "order-1",
  eventType: "OrderPlaced",
  traceId: "t",
  correlationId: "c",
  projectId: "p",
  originatingAgent: "test",
  version: "1.0",
  timestamp: "2030-01-01T00:00:00.000Z",
  payload: {},
};

function answersOf(fill: (answers: CallAnswers) => void): RerunOptions["answers"] {
  const answers = new CallAnswers();
  fill(answers);
  return [...answers.pack()].flatMap(([dependency, bytes]) => unpackAnswers(dependency, bytes));
}

const again = (answers: RerunOptions["answers"], stubs: RerunOptions["stubs"] = []): Promise<Rerun> =>
  rerun({
    skill: charge,
    run: { message: eventMessage(event), steps: [encodeStep("hold", "keyed", { result: "hold-1", emitted: [], quality: "full" })], failuresBefore: 2 },
    answers,
    stubs,
    provided: { settings: new Map(), resources: new Map() },
    surroundings: { ...usualSurroundings, folder: import.meta.dirname },
  });

test("steps and calls on record answer as they did, and the last attempt is the one that is gone through", async () => {
  ran = 0;
  const { report, kind } = (await again(
    answersOf((answers) => answers.add("bank", "charge", "", { status: 200, headers: {}, body: { state: "declined" } })),
  )) as Extract<Rerun, { kind: "ended" }>;
  assert.equal(kind, "ended");
  assert.equal(ran, 0);
  assert.deepEqual([report.outcome, report.death?.code, report.death?.attempt, report.retries.length], ["dead-lettered", "DECLINED", 3, 0]);
  assert.match(report.description, /attempt 3: declined \(skill 'charge', rerun\.test\.ts:\d+:\d+\)/);
  assert.deepEqual(
    report.calls.map(({ request }) => (request as { readonly body: unknown }).body),
    [{ held: "hold-1" }],
  );
});

test("a call that failed fails again as it did", async () => {
  const failed = new TransientError("bank: no answer", { code: "HTTP_503", dependency: "bank", status: 503, definite: false });
  const ended = await again(answersOf((answers) => answers.add("bank", "charge", "", undefined, failed)));
  assert.deepEqual(ended.kind === "ended" ? [ended.report.death?.code, ended.report.death?.step] : ended, ["HTTP_503", "charge"]);
});

test("a call that is not on record is refused, and names what it asks and the line that makes it; a stub answers it", async () => {
  const refused = await again([]);
  assert.match(
    refused.kind === "refused" ? refused.why : "",
    /the call of 'bank' in step 'charge' was refused before it left: there is no record of its answer/,
  );
  assert.match(refused.kind === "refused" ? refused.from : "", /rerun\.test\.ts:\d+:\d+$/);
  const answered = await again([], [stub(bank, { body: { state: "from a stub" } })]);
  assert.match(answered.kind === "ended" ? answered.report.description : "", /attempt 3: from a stub/);
});

test("answers that a step's record holds are not kept beside it, and too large ones are left out", () => {
  const kept = answersOf((answers) => {
    answers.add("bank", "hold", "", "held");
    answers.stepDone();
    answers.add("bank", undefined, "", new Date(0));
    answers.add("bank", "charge", "", "x".repeat(9_000));
    answers.add("bank", "charge", "-2", () => "no data");
  });
  assert.deepEqual(kept, [{ dependency: "bank", step: undefined, place: "", came: { response: new Date(0) } }]);
});

test("a test goes on behind steps that were done before", async () => {
  ran = 0;
  const { calls, steps } = await testSkill(charge, { done: [{ name: "hold", result: "hold-2" }], dependencies: [stub(bank, { body: { state: "declined" } })] });
  assert.equal(ran, 0);
  assert.deepEqual(calls[0]?.request, { method: "POST", path: "/charges", body: { held: "hold-2" } });
  assert.equal(steps[0]?.result, "hold-2");
});

test("keys are those of the recorded run, by its queue, its claim and how often it was started over", async () => {
  const keys: string[] = [];
  const look = defineDependency({ name: "look", request: async (_request: string): Promise<boolean> => true });
  const skill = defineSkill({
    name: "payer",
    handles: [{ eventType: "OrderPlaced" }],
    uses: [look],
    retry: { attemptsMax: 3 },
    async run(context) {
      await context.step("pay", { kind: "queryable", query: async (step) => ((await step.call(look, "query")) ? undefined : "paid") }, async (step) => {
        await step.call(look, "effect");
        return "paid";
      });
    },
  });
  const ended = await rerun({
    skill,
    run: {
      message: eventMessage(event),
      steps: [encodeIntent("pay", "queryable")],
      failuresBefore: 2,
      identity: { consumer: "orders", restarts: 3, epoch: 7 },
    },
    answers: answersOf((answers) => {
      answers.add("look", "pay", "?", true);
      answers.add("look", "pay", "", true);
    }),
    stubs: [],
    provided: { settings: new Map(), resources: new Map() },
    surroundings: usualSurroundings,
  });
  assert.equal(ended.kind === "ended" ? ended.report.outcome : ended.why, "completed");
  if (ended.kind === "ended") keys.push(...ended.report.calls.map(({ idempotencyKey }) => idempotencyKey));
  const own = deriveKey({ consumer: "orders", eventId: "order-1", generation: 3 }, "pay");
  assert.deepEqual(keys, [`${own}-query-7.3`, own]);
});

test("a run of a critical skill that was compensated is gone through forward, up to what it failed with", async () => {
  const shop = defineDependency({ name: "shop", request: async (_request: string): Promise<boolean> => true });
  const skill = defineSkill({
    name: "booker",
    handles: [{ eventType: "OrderPlaced" }],
    uses: [shop],
    critical: true,
    async run(context) {
      await context.step("book", { compensate: async (step) => void (await step.call(shop, "undo")) }, (step) => step.call(shop, "book"));
      throw new PermanentError("sold out", { code: "SOLD_OUT" });
    },
  });
  const ended = await rerun({
    skill,
    run: { message: eventMessage(event), steps: [encodeStep("book", "keyed", { result: true, emitted: [], quality: "full" })], failuresBefore: 0 },
    answers: [],
    stubs: [],
    provided: { settings: new Map(), resources: new Map() },
    surroundings: { ...usualSurroundings, folder: import.meta.dirname },
  });
  assert.equal(ended.kind, "ended");
  if (ended.kind === "ended")
    assert.match(
      `${ended.report.death?.code} ${ended.report.description} ${ended.report.calls.length}`,
      /^SOLD_OUT sold out \(skill 'booker', rerun\.test\.ts:\d+:\d+\) 0$/,
    );
});

test("answers by call are those of a call, however often it is tried, and of its step's query and fallbacks", async () => {
  const shop = defineDependency({ name: "shop", retry: { attemptsMax: 2 }, request: async (_request: string): Promise<string> => "real" });
  const skill = defineSkill({
    name: "asker",
    handles: [{ eventType: "OrderPlaced" }],
    uses: [shop],
    retry: { attemptsMax: 2 },
    async run(context) {
      const first = await context.call(shop, "outside");
      const [one, two] = await context.step(
        "pay",
        { fallbacks: [{ name: "cached", quality: "cached", answer: async (step) => [await step.call(shop, "f"), "-"] }] },
        async (step) => [await step.call(shop, "a"), await step.call(shop, "b")],
      );
      context.emit("Asked", [first, one, two]);
    },
  });
  const answers = byCall<string, string>([
    { answer: "outside" },
    { step: "pay", answer: "a" },
    { step: "pay", number: 2, answer: fault.status(503) },
    { step: "pay", fallback: "cached", answer: "from the cache" },
  ]);
  const { emitted, calls } = await testSkill(skill, { dependencies: [stub(shop, answers)] });
  assert.deepEqual(emitted[0]?.payload, ["outside", "from the cache", "-"]);
  assert.deepEqual(
    calls.map(({ request }) => request),
    ["outside", "a", "b", "b", "f"],
  );
  await assert.rejects(
    testSkill(skill, { dependencies: [stub(shop, byCall<string, string>([{ answer: "outside" }]))] }),
    /'shop': expected a call that byCall has an answer for, the skill made another, in step 'pay': a; give byCall an answer for \{"step":"pay"\}, or a stub of others/,
  );
  const others = await testSkill(skill, { dependencies: [stub(shop, byCall<string, string>([{ answer: "outside" }], stub(shop, inTurn("x", "y"))))] });
  assert.deepEqual(others.emitted[0]?.payload, ["outside", "x", "y"]);
});
