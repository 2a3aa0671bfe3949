import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import type { EscalationRule, Occurrence } from "#runtime/core/escalation.ts";
import { countsMax, EscalationPolicy, type EscalationPolicyOptions, type Reached } from "#runtime/policy/escalation.ts";

/** As one worker counts without the others. */
function hear(policy: EscalationPolicy, occurrence: Occurrence, nowMs: number): readonly Reached[] {
  return policy.concerned(occurrence).flatMap((counted) => policy.count(counted, nowMs) ?? []);
}

const minute = 60_000;

function ruleOf(changes: Partial<EscalationRule> = {}): EscalationRule {
  return {
    name: "many",
    on: "failure",
    when: {},
    critical: undefined,
    by: [],
    threshold: { count: 3, windowMs: minute },
    to: ["pager"],
    repeatAfterMs: 10 * minute,
    ...changes,
  };
}

function policyOf(rules: readonly EscalationRule[], changes: Partial<EscalationPolicyOptions> = {}): EscalationPolicy {
  return new EscalationPolicy({ rules, criticalProjects: new Set(["vital"]), perHourMax: 1_000, ...changes });
}

function failure(changes: Partial<Occurrence> = {}): Occurrence {
  return { on: "failure", failureClass: "transient", code: "HTTP_503", eventType: "OrderPlaced", skill: "s", tenant: "", project: "shop", ...changes };
}

function dues(reached: readonly Reached[]): string[] {
  return reached.map(({ rule, due }) => `${rule.name} ${due}`);
}

describe("escalation", () => {
  test("escalates at the last failure of the threshold, and says of those that follow that it has", () => {
    const policy = policyOf([ruleOf()]);
    const answers = [0, 1, 2, 3].map((nowMs) => hear(policy, failure(), nowMs));
    assert.deepEqual(answers.map(dues), [[], [], ["many now"], ["many repeated"]]);
    assert.deepEqual(
      answers.flat().map(({ count, sinceLast }) => [count, sinceLast]),
      [
        [3, 3],
        [3, 1],
      ],
    );
  });

  test("may concern what one of its rules looks at, as far as is known of it", () => {
    const policy = policyOf([ruleOf({ when: { code: ["E1"], project: ["shop"] } }), ruleOf({ when: { code: ["E2"] } })]);
    const { tenant: _tenant, project: _project, ...known } = failure();
    assert.deepEqual(
      ["E1", "E2", "E3"].map((code) => policy.mayConcern({ ...known, code })),
      [true, true, false],
    );
    assert.equal(policy.perHourMax, 1_000);
  });

  test("goes by the whole of a word, and by the beginning of one that ends with a star", () => {
    const concerned = (pattern: string, code: string): boolean => policyOf([ruleOf({ when: { code: [pattern] } })]).concerned(failure({ code })).length === 1;
    assert.deepEqual([concerned("CARD", "CARD"), concerned("CARD", "CARDS"), concerned("CARD", "CARE"), concerned("CARD", "CAR")], [true, false, false, false]);
    assert.deepEqual([concerned("CAR*", "CAR"), concerned("CAR*", "CARDS"), concerned("CAR*", "CA")], [true, true, false]);
  });

  test("counts each critical project apart, and names it once", () => {
    const countedBy = (by: EscalationRule["by"], project: string): readonly string[] =>
      policyOf([ruleOf({ by })])
        .concerned(failure({ project }))
        .map(({ counted }) => counted);
    assert.deepEqual(
      [countedBy([], "vital"), countedBy(["project"], "vital"), countedBy(["code"], "vital"), countedBy(["code"], "shop")],
      [["project=vital"], ["project=vital"], ["project=vital,code=HTTP_503"], ["code=HTTP_503"]],
    );
  });

  test("forgets no count when one of those that it knows goes on", () => {
    const policy = policyOf([ruleOf({ by: ["code"], threshold: { count: 2, windowMs: minute } })]);
    for (let number = 0; number < countsMax; number += 1) hear(policy, failure({ code: `E${number}` }), 0);
    hear(policy, failure({ code: `E${countsMax - 1}` }), 0);
    assert.deepEqual(dues(hear(policy, failure({ code: "E0" }), 0)), ["many now"]);
  });

  test("forgets what the window has passed: at its end to the millisecond", () => {
    const policy = policyOf([ruleOf()]);
    hear(policy, failure(), 0);
    hear(policy, failure(), 1);
    assert.deepEqual(hear(policy, failure(), minute), []);
    assert.deepEqual(dues(hear(policy, failure(), minute)), ["many now"]);
  });

  test("escalates the same again once its time has passed and the threshold is reached, with all that happened meanwhile", () => {
    const policy = policyOf([ruleOf({ repeatAfterMs: 2 * minute })]);
    for (const nowMs of [0, 0, 0]) hear(policy, failure(), nowMs);
    for (const nowMs of [minute, minute + 1, minute + 1, 2 * minute - 1]) hear(policy, failure(), nowMs);
    const [again] = hear(policy, failure(), 2 * minute);
    assert.deepEqual([again?.due, again?.sinceLast], ["now", 5]);
  });

  test("escalates a failure of a critical project at once, and counts each such project apart", () => {
    const policy = policyOf([ruleOf({ repeatAfterMs: minute })], { criticalProjects: new Set(["vital", "other"]) });
    assert.deepEqual(dues(hear(policy, failure({ project: "vital" }), 0)), ["many now"]);
    assert.deepEqual(dues(hear(policy, failure({ project: "vital" }), 1)), ["many repeated"]);
    const [other] = hear(policy, failure({ project: "other" }), 2);
    assert.deepEqual([other?.due, other?.counted, other?.critical], ["now", "project=other", true]);
    assert.deepEqual(hear(policy, failure(), 3), [], "expected another project to have its own count");
  });

  test("has rules for critical projects alone, and for all others alone", () => {
    const policy = policyOf([ruleOf({ name: "vital", critical: true }), ruleOf({ name: "others", critical: false, threshold: { count: 1, windowMs: 1 } })]);
    assert.deepEqual(dues(hear(policy, failure({ project: "vital" }), 0)), ["vital now"]);
    assert.deepEqual(dues(hear(policy, failure(), 0)), ["others now"]);
  });

  test("looks at class, code, event type, skill, tenant, project and at what happened", () => {
    const once = { count: 1, windowMs: minute };
    const parts = { failureClass: "permanent", code: "CARD", eventType: "OrderPaid", skill: "payer", tenant: "acme", project: "till" };
    for (const [part, value] of Object.entries(parts)) {
      const policy = policyOf([ruleOf({ threshold: once, when: { [part]: ["other", value] } })]);
      assert.deepEqual(hear(policy, failure(), 0), [], part);
      assert.deepEqual(dues(hear(policy, failure({ [part]: value }), 0)), ["many now"], part);
    }
    const policy = policyOf([ruleOf({ on: "dead-letter", threshold: once, when: { code: ["HTTP_5*"] } })]);
    assert.deepEqual(hear(policy, failure(), 0), []);
    assert.deepEqual(hear(policy, failure({ on: "dead-letter", code: "HTTP_404" }), 0), []);
    assert.deepEqual(dues(hear(policy, failure({ on: "dead-letter" }), 0)), ["many now"]);
    assert.deepEqual([policy.mayConcern(failure()), policy.mayConcern(failure({ on: "dead-letter" }))], [false, true]);
  });

  test("counts apart what a rule names", () => {
    const policy = policyOf([ruleOf({ by: ["code", "tenant"] })]);
    for (const code of ["A", "B", "A", "B"]) assert.deepEqual(hear(policy, failure({ code, tenant: "t" }), 0), []);
    assert.deepEqual(
      hear(policy, failure({ code: "A", tenant: "t" }), 0).map(({ counted }) => counted),
      ["code=A,tenant=t"],
    );
  });

  test("holds back what is too much for an hour, and escalates it when there is room again", () => {
    const policy = policyOf([ruleOf({ by: ["code"], threshold: { count: 1, windowMs: minute }, repeatAfterMs: 1 })], { perHourMax: 2 });
    const answers = ["A", "B", "C"].map((code) => dues(hear(policy, failure({ code }), 0)));
    assert.deepEqual(answers, [["many now"], ["many now"], ["many held-back"]]);
    assert.deepEqual(dues(hear(policy, failure({ code: "C" }), 29 * minute)), ["many held-back"]);
    const [late] = hear(policy, failure({ code: "C" }), 30 * minute);
    assert.deepEqual([late?.due, late?.sinceLast], ["now", 3]);
  });

  test("is not misled by a clock that goes backwards", () => {
    const policy = policyOf([ruleOf({ repeatAfterMs: minute })]);
    for (const nowMs of [100, 50, 0]) hear(policy, failure(), nowMs);
    assert.deepEqual(dues(hear(policy, failure(), 0)), ["many repeated"]);
    assert.deepEqual(dues(hear(policy, failure(), minute + 99)), ["many repeated"]);
    assert.deepEqual(hear(policy, failure(), minute + 100), [], "expected those of the start to be over");
  });

  test("remembers a bounded number of counts, the ones touched last", () => {
    const policy = policyOf([ruleOf({ by: ["project"], threshold: { count: 2, windowMs: minute } })]);
    for (let project = 0; project <= countsMax; project += 1) hear(policy, failure({ project: `p${project}` }), 0);
    assert.deepEqual(hear(policy, failure({ project: "p0" }), 1), [], "expected the oldest to be forgotten");
    assert.deepEqual(dues(hear(policy, failure({ project: `p${countsMax}` }), 1)), ["many now"]);
  });

  test("agrees with a rule that keeps every failure for ever", () => {
    const step = fc.record({ afterMs: fc.nat(400), project: fc.constantFrom("a", "b", "vital"), code: fc.constantFrom("X", "Y") });
    const shape = fc.record({
      count: fc.integer({ min: 1, max: 5 }),
      windowMs: fc.integer({ min: 1, max: 1_000 }),
      repeatAfterMs: fc.integer({ min: 1, max: 1_500 }),
      by: fc.constantFrom<readonly ("project" | "code")[]>([], ["project"], ["code"], ["project", "code"]),
    });
    const property = fc.property(shape, fc.array(step, { maxLength: 120 }), ({ count, windowMs, repeatAfterMs, by }, steps) => {
      const policy = policyOf([ruleOf({ threshold: { count, windowMs }, repeatAfterMs, by })], { perHourMax: 1_000_000 });
      const all: { atMs: number; key: string }[] = [];
      const last = new Map<string, number>();
      let nowMs = 0;
      for (const { afterMs, project, code } of steps) {
        nowMs += afterMs;
        const isCritical = project === "vital";
        const key = [isCritical || by.includes("project") ? project : "", by.includes("code") ? code : ""].join();
        all.push({ atMs: nowMs, key });
        const within = all.filter((one) => one.key === key && one.atMs > nowMs - windowMs).length;
        const isReached = within >= (isCritical ? 1 : count);
        const isDue = isReached && nowMs >= (last.get(key) ?? Number.NEGATIVE_INFINITY) + repeatAfterMs;
        if (isDue) last.set(key, nowMs);
        const [answer] = hear(policy, failure({ project, code }), nowMs);
        assert.deepEqual([answer !== undefined, answer?.due === "now"], [isReached, isDue]);
        if (answer !== undefined) assert.equal(answer.count, Math.min(within, count));
      }
    });
    fc.assert(property, { numRuns: 300 });
  });
});
