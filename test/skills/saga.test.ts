import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { compensationsOf, encodeVerdict, isOwnRecord } from "../../runtime/core/compensation.ts";
import type { StepRecord } from "../../runtime/core/run.ts";
import { type Compensate, type Skill, defineSkill, PermanentError, TransientError } from "../../runtime/index.ts";
import { makeHost } from "./host.ts";

const failedForGood = encodeVerdict({ reason: "PERMANENT", description: "refused", failures: 1, losses: 0 });

/** As the store would hold them: each name once, in the order of their last write. */
function stored(steps: readonly StepRecord[]): StepRecord[] {
  return steps.filter((step, index) => !steps.slice(index + 1).some((later) => later.name === step.name));
}

/** Books, pays, then fails; says what it undoes. */
function trip(told: string[], undoPay: Compensate<unknown> = (_context, result) => told.push(`undo pay ${String(result)}`)): Skill {
  return defineSkill({
    name: "trip",
    handles: [{ eventType: "OrderPlaced" }],
    critical: true,
    async run(context) {
      await context.step("book", { compensate: ({ idempotencyKey }, result) => told.push(`undo book ${String(result)} ${idempotencyKey}`) }, () => {
        told.push("book");
        return "room 7";
      });
      await context.step("pay", { kind: "atMostOnce", compensate: undoPay }, () => {
        told.push("pay");
        return 12;
      });
      await context.step("note", { kind: "idempotent" }, () => told.push("note"));
      await context.step("send", { compensate: () => told.push("undo send") }, () => {
        told.push("send");
        throw new PermanentError("the address is unknown");
      });
    },
  });
}

describe("a run that has failed for good", () => {
  test("is compensated in reverse, with the results of its steps and keys of its own, and runs nothing again", async (t) => {
    const told: string[] = [];
    const bundle = await makeHost(t, [trip(told)]);
    const forward = await bundle.run();
    assert.equal(forward.answer.kind, "failed");
    const steps = stored(bundle.steps);
    told.length = 0;
    const { answer } = await bundle.run({ steps: [...steps, failedForGood] });
    assert.equal(answer.kind, "compensated");
    assert.deepEqual(
      told.map((line) => line.replace(/[0-9a-f]{32}/, "KEY")),
      ["undo pay 12", "undo book room 7 KEY"],
    );
    const log = compensationsOf(stored(bundle.steps));
    assert.deepEqual(
      [...log],
      [
        ["pay", { state: "compensated", wasNeeded: true }],
        ["book", { state: "compensated", wasNeeded: true }],
      ],
    );
  });

  test("goes on behind its last compensation, with the same key, when it ended in the middle", async (t) => {
    const told: string[] = [];
    const bundle = await makeHost(t, [trip(told)]);
    await bundle.run();
    const steps = [...stored(bundle.steps), failedForGood];
    bundle.steps.length = 0;
    await bundle.run({ steps });
    const whole = told.splice(0);
    const entries = [...bundle.steps];
    for (let at = 0; at <= entries.length; at += 1) {
      const { answer } = await bundle.run({ steps: stored([...steps, ...entries.slice(0, at)]), epoch: 4 });
      assert.equal(answer.kind, "compensated");
      const done = compensationsOf(stored(entries.slice(0, at)));
      const expected = whole.filter((line) => line.startsWith("undo")).filter((line) => done.get(line.split(" ")[1] ?? "")?.state !== "compensated");
      assert.deepEqual(told.splice(0), expected);
    }
  });

  test("has a compensation tried again that failed, then on record as not compensated, and the others carried out", async (t) => {
    const told: string[] = [];
    const failing = (): never => {
      throw new TransientError("the bank is closed", { code: "CLOSED" });
    };
    const bundle = await makeHost(t, [trip(told, failing)]);
    await bundle.run();
    told.length = 0;
    const answers: unknown[] = [];
    for (let execution = 0; execution < 4; execution += 1) {
      const { answer } = await bundle.run({ steps: [...stored(bundle.steps).filter(({ name }) => name !== failedForGood.name), failedForGood] });
      answers.push(answer.kind === "compensating" ? [answer.failure.code, answer.failure.step, answer.tries] : answer.kind);
    }
    assert.deepEqual(answers, [["CLOSED", "pay", 1], ["CLOSED", "pay", 2], ["CLOSED", "pay", 3], "compensated"]);
    assert.equal(told.length, 1);
    const log = compensationsOf(stored(bundle.steps));
    assert.deepEqual(log.get("pay"), { state: "not-compensated", code: "CLOSED", message: "the bank is closed" });
    assert.equal(log.get("book")?.state, "compensated");
  });

  test("has a step in doubt compensated as such, and one that certainly did not happen left alone", async (t) => {
    const told: string[] = [];
    let isDefinite = false;
    const skill = defineSkill({
      name: "trip",
      handles: [{ eventType: "OrderPlaced" }],
      critical: true,
      async run(context) {
        await context.step("pay", { compensate: ({ isInDoubt, stepKey }, result) => told.push(`${isInDoubt} ${String(result)} ${stepKey}`) }, (step) => {
          told.push(step.idempotencyKey);
          throw new TransientError("no answer", { definite: isDefinite });
        });
      },
    });
    const bundle = await makeHost(t, [skill]);
    await bundle.run();
    const [key] = told.splice(0);
    assert.equal((await bundle.run({ steps: [...stored(bundle.steps), failedForGood] })).answer.kind, "compensated");
    assert.deepEqual(told.splice(0), [`true undefined ${key}`]);

    bundle.steps.length = 0;
    isDefinite = true;
    await bundle.run();
    told.length = 0;
    assert.equal((await bundle.run({ steps: [...stored(bundle.steps), failedForGood] })).answer.kind, "compensated");
    assert.deepEqual(told, []);
  });

  test("asks a query whether there is anything to compensate", async (t) => {
    const told: string[] = [];
    let found: string | undefined = "booking 4";
    const skill = defineSkill({
      name: "trip",
      handles: [{ eventType: "OrderPlaced" }],
      critical: true,
      async run(context) {
        await context.step(
          "book",
          { kind: "queryable", query: () => found, compensate: (_context, result) => told.push(`undo ${String(result)}`) },
          (): string => {
            throw new TransientError("no answer", { definite: false });
          },
        );
      },
    });
    const bundle = await makeHost(t, [skill]);
    await bundle.run();
    const steps = [...stored(bundle.steps), failedForGood];
    assert.equal((await bundle.run({ steps })).answer.kind, "compensated");
    assert.deepEqual(told, ["undo booking 4"]);
    found = undefined;
    assert.equal((await bundle.run({ steps })).answer.kind, "compensated");
    assert.deepEqual(told, ["undo booking 4"]);
  });

  test("says of steps that the skill no longer comes to that they are not compensated", async (t) => {
    const bundle = await makeHost(t, [trip([])]);
    await bundle.run();
    const steps = stored(bundle.steps).filter(({ name }) => name !== "book");
    const { answer } = await bundle.run({ steps: [...steps, failedForGood] });
    assert.equal(answer.kind, "compensated");
    assert.deepEqual(answer.kind === "compensated" && answer.log.map(([step, entry]) => [step, entry.state === "not-compensated" && entry.code]), [
      ["note", "STEP_UNMET"],
      ["pay", "STEP_UNMET"],
    ]);
  });

  test("stops between two compensations when it is asked to, or taken over", async (t) => {
    const told: string[] = [];
    const bundle = await makeHost(t, [trip(told)]);
    await bundle.run();
    const steps = [...stored(bundle.steps), failedForGood];
    bundle.store = "hold";
    const interrupted = bundle.begin({ steps });
    bundle.host.interrupt([interrupted.runId], "interrupted");
    bundle.store = "written";
    bundle.host.acknowledge(bundle.steps.length, "written");
    assert.equal((await interrupted.answered).answer.kind, "interrupted");
    bundle.store = "stale";
    assert.equal((await bundle.run({ steps })).answer.kind, "stale");
    assert.ok(!told.some((line) => line.startsWith("undo")));
  });
});

describe("a compensation", () => {
  test("is refused in a skill that is not critical, in a chain when it is defined", () => {
    assert.throws(
      () =>
        defineSkill({ name: "trip", handles: [{ eventType: "OrderPlaced" }], steps: (begin) => begin.step("pay", { compensate: () => undefined }, () => 1) }),
      /step 'pay'\.compensate: expected it only in a skill with critical: true/,
    );
  });

  test("belongs to a step of a chain as it does to one of a run", async (t) => {
    const told: unknown[] = [];
    const skill = defineSkill({
      name: "trip",
      handles: [{ eventType: "OrderPlaced" }],
      critical: true,
      steps: (begin) =>
        begin
          .step("pay", { compensate: (_context, result) => told.push(result) }, () => "paid")
          .step("send", {}, () => {
            throw new PermanentError("no");
          }),
    });
    const bundle = await makeHost(t, [skill]);
    await bundle.run();
    await bundle.run({ steps: [...stored(bundle.steps), failedForGood] });
    assert.deepEqual(told, ["paid"]);
    assert.ok(stored(bundle.steps).some(isOwnRecord));
  });
});
