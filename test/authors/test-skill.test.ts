// What an author's test is told of one run.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { setTimeout as realPause } from "node:timers/promises";
import { z } from "zod";
import {
  type Dependency,
  type HttpDependency,
  PermanentError,
  type Skill,
  type SkillContext,
  TransientError,
  defineDependency,
  defineSkill,
} from "#runtime/index.ts";
import { fault, inTurn, late, stub, testSkill } from "#runtime/testing/index.ts";

const bank: HttpDependency = defineDependency({ name: "bank", timeouts: { totalMs: 5_000, headersMs: 5_000, bodyMs: 5_000, idleMs: 5_000 } });
const rates: Dependency<{ readonly currency: string }, number> = defineDependency({
  name: "rates",
  request: async (_request: { readonly currency: string }): Promise<number> => {
    throw new Error("expected no real call");
  },
});
const handles = [{ eventType: "OrderPlaced" }];

const skillOf = (run: (context: SkillContext) => Promise<void>, more: { readonly attemptsMax?: number } = {}): Skill =>
  defineSkill({ name: "order", handles, uses: [bank, rates], retry: more, run });

const charge = skillOf(async (context) => {
  const { body } = await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body: { amount: 12 } }));
  context.log.info("charged", { body });
  context.emit("OrderCharged", body);
});

describe("a run of a skill", () => {
  test("gives its steps, calls, events and log lines", async () => {
    const { outcome, steps, calls, emitted, logs, retries } = await testSkill(charge, { dependencies: [stub(bank, { body: { id: "c-1" } })] });
    assert.equal(outcome, "completed");
    assert.deepEqual(steps, [
      { name: "charge", kind: "keyed", state: "completed", result: { status: 200, headers: {}, body: { id: "c-1" } }, quality: "full" },
    ]);
    assert.deepEqual(
      calls.map(({ dependency, step, request, carriedOut }) => [dependency, step, request, carriedOut]),
      [["bank", "charge", { method: "POST", path: "/charges", body: { amount: 12 } }, true]],
    );
    assert.match(calls[0]?.from ?? "", /test-skill\.test\.ts:\d+:\d+$/);
    assert.deepEqual(
      emitted.map(({ eventType, payload, event }) => [eventType, payload, event.causationId]),
      [["OrderCharged", { id: "c-1" }, "event-1"]],
    );
    assert.deepEqual(
      logs.map(({ level, message }) => [level, message]),
      [["info", "charged"]],
    );
    assert.deepEqual(retries, []);
  });

  test("has the event that was given, checked by the skill's schema", async () => {
    const skill = defineSkill({
      name: "typed",
      handles,
      payload: z.object({ amount: z.number() }),
      run: (context) => context.emit("Seen", [context.event.payload.amount, context.event.tenantId]),
    });
    const { emitted } = await testSkill(skill, { event: { tenantId: "acme", payload: { amount: 3 } } });
    assert.deepEqual(emitted[0]?.payload, [3, "acme"]);
    const refused = await testSkill(skill, { event: { payload: { amount: "three" } } });
    assert.equal(refused.outcome, "dead-lettered");
    assert.match(refused.description, /amount/);
  });

  test("is retried by its policy, in no real time, with the times told", async () => {
    const startedAtMs = performance.now();
    const skill = skillOf(async (context) => {
      if (context.attempt < 4) throw new TransientError("not yet", { code: "NOT_YET" });
    });
    const { outcome, retries, tookMs } = await testSkill(skill);
    assert.equal(outcome, "completed");
    assert.deepEqual(
      retries.map(({ code }) => code),
      ["NOT_YET", "NOT_YET", "NOT_YET"],
    );
    assert.ok(tookMs > 300_000, `took ${tookMs} ms of simulated time`);
    assert.ok(performance.now() - startedAtMs < 10_000);
  });

  test("is given up with its reason", async () => {
    const skill = skillOf(() => Promise.reject(new PermanentError("no such order", { code: "UNKNOWN_ORDER" })));
    const { outcome, reason, description } = await testSkill(skill);
    assert.deepEqual([outcome, reason], ["dead-lettered", "UNKNOWN_ORDER"]);
    assert.match(description, /no such order/);
  });

  test("is parked when an effect that must happen once at most is in doubt", async () => {
    const skill = skillOf(async (context) => {
      await context.step("charge", { kind: "atMostOnce" }, (step) => step.call(bank, { method: "POST", path: "/charges" }));
    });
    const { outcome, steps } = await testSkill(skill, { dependencies: [stub(bank, fault.silent())] });
    assert.equal(outcome, "parked");
    assert.equal(steps[0]?.state, "intent");
  });

  test("waits for what the skill itself waits for in real time", async () => {
    const skill = skillOf(async (context) => {
      await realPause(20);
      context.emit("Late", {});
    });
    const { outcome, tookMs } = await testSkill(skill);
    assert.equal(outcome, "completed");
    assert.ok(tookMs < 1_000, `real waiting took ${tookMs} ms of simulated time`);
  });
});

describe("a stub", () => {
  test("answers by a function, in turn and late", async () => {
    const skill = skillOf(async (context) => {
      const one = await context.call(rates, { currency: "SEK" });
      const two = await context.call(rates, { currency: "NOK" });
      context.emit("Rates", [one, two]);
    });
    const byFunction = await testSkill(skill, { dependencies: [stub(rates, ({ request, number }) => (request.currency === "SEK" ? 11 : 12) + number / 10)] });
    assert.deepEqual(byFunction.emitted[0]?.payload, [11.1, 12.2]);
    const inOrder = await testSkill(skill, { dependencies: [stub(rates, inTurn(1, late(2_000, 2)))] });
    assert.deepEqual(inOrder.emitted[0]?.payload, [1, 2]);
    assert.ok(inOrder.tookMs >= 2_000);
  });

  test("fails a call as the worker's client would", async () => {
    const tried = await testSkill(charge, { dependencies: [stub(bank, inTurn(fault.status(503), fault.refused(), { body: { id: "c-1" } }))] });
    assert.equal(tried.outcome, "completed");
    assert.deepEqual(
      tried.calls.map(({ attempt, carriedOut }) => [attempt, carriedOut]),
      [
        [1, false],
        [2, false],
        [3, true],
      ],
    );
    const refused = await testSkill(charge, { dependencies: [stub(bank, { status: 422, body: "no such account" })] });
    assert.deepEqual([refused.outcome, refused.reason], ["dead-lettered", "HTTP_422"]);
    assert.match(refused.description, /bank: expected a status from 200 to 299, got 422: no such account/);
  });

  test("that is slower than the call's time-out fails it, and what it did is not done again", async () => {
    const { outcome, calls } = await testSkill(charge, { dependencies: [stub(bank, inTurn(fault.silent(), { body: { id: "other" } }))] });
    assert.equal(outcome, "completed");
    assert.equal(calls.filter(({ carriedOut }) => carriedOut).length, 1);
  });

  test("that is missing ends the test with what was asked", async () => {
    await assert.rejects(
      testSkill(charge),
      /expected no call of 'bank', the skill made one, in step 'charge': \{"method":"POST","path":"\/charges","body":\{"amount":12\}\}; give dependencies a stub\(bank, …\)/,
    );
    const both = skillOf(async (context) => {
      await context.call(rates, { currency: "SEK" });
      await context.call(rates, { currency: "SEK" });
    });
    await assert.rejects(testSkill(both, { dependencies: [stub(rates, inTurn(1))] }), /'rates': expected 1 calls, the skill made one more, outside of steps/);
  });

  test("of what the skill does not use is refused", async () => {
    const other = defineDependency({ name: "other" });
    await assert.rejects(
      testSkill(charge, { dependencies: [stub(other, {})] }),
      /expected stubs of what skill 'order' names in uses \(bank, rates\), got one of 'other'/,
    );
    assert.throws(() => stub("bank" as never, {}), /expected a dependency made by defineDependency, got "bank"/);
  });
});

test("a changed skill that goes on where the old one was killed is tried", async () => {
  const body = { amount: 12 };
  const old = skillOf(async (context) => {
    await context.step("charge", (step) => step.call(bank, { method: "POST", path: "/charges", body }));
    await context.step("book", (step) => step.call(bank, { method: "POST", path: "/books", body }));
  });
  const renamed = skillOf(async (context) => {
    await context.step("charge-card", (step) => step.call(bank, { method: "POST", path: "/charges", body }));
    await context.step("book", (step) => step.call(bank, { method: "POST", path: "/books", body }));
  });
  const dependencies = [stub(bank, { status: 201 })];
  const { rows } = await testSkill.everyWay(old, { dependencies, successor: old });
  assert.ok(rows.some(({ kind, cases }) => kind === "resumed by the changed skill" && cases > 0));
  // The runtime stops it before the effect: it never happens twice.
  await testSkill.everyWay(old, { dependencies, successor: renamed });
});
