import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { type Compensation, compensationsOf, encodeCompensation, verdictOf } from "#runtime/core/compensation.ts";
import { skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer, type Script } from "../support/scripted-executor.ts";

const done: Compensation = { state: "compensated", wasNeeded: true };
const notDone: Compensation = { state: "not-compensated", code: "HTTP_409", message: "too late" };

/** Pays, then fails for good; under compensation answers with what became of `pay`. */
function saga(pay: Compensation): Script {
  return async (run) => {
    if (verdictOf(run.order.steps) !== undefined) return { kind: "compensated", log: [["pay", pay]] };
    await run.step("pay");
    return failedAnswer("HTTP_422", {}, false);
  };
}

function world(critical = true): World {
  return new World({ skills: [skillPolicy("task", { critical })] });
}

describe("a critical run that fails for good", () => {
  test("is compensated, then dead-lettered with its own reason, and its record says both", async () => {
    const one = world();
    const { executor, telemetry } = await one.start();
    executor.script = saga(done);
    one.send("a");
    await one.clock.advance(1_000);
    assert.deepEqual(one.statesOf("a"), ["dead-lettered: HTTP_422"]);
    assert.equal(executor.posted.length, 2);
    const record = await one.record("a");
    assert.deepEqual([record.state, record.reason, verdictOf(record.steps)?.reason], ["dead", "HTTP_422", "HTTP_422"]);
    assert.ok(telemetry.types().includes("run.compensating"));
  });

  test("is dead-lettered as CompensationFailed when something was not compensated", async () => {
    const one = world();
    const { executor } = await one.start();
    executor.script = saga(notDone);
    one.send("a");
    await one.clock.advance(1_000);
    assert.deepEqual(one.statesOf("a"), ["dead-lettered: CompensationFailed"]);
    assert.equal((await one.record("a")).reason, "CompensationFailed");
  });

  test("is compensated when its retries are exhausted, too, and when it ends its thread every time", async () => {
    for (const end of [failedAnswer("HTTP_503"), { kind: "thread-lost", why: "it ended", part: "sole" } as const]) {
      const one = world();
      const { executor } = await one.start();
      executor.script = async (run) => {
        if (verdictOf(run.order.steps) !== undefined) return { kind: "compensated", log: [["pay", done]] };
        await run.step("pay");
        return end;
      };
      one.send("a");
      await one.clock.advance(3_600_000);
      assert.match(one.statesOf("a").at(-1) ?? "", /^dead-lettered: (RetriesExhausted|CrashLoop)$/);
      assert.equal(verdictOf((await one.record("a")).steps) === undefined, false);
    }
  });

  test("goes on with compensating elsewhere when its worker dies in the middle, and never runs forward again", async () => {
    const one = world();
    const first = await one.start();
    let undone = 0;
    first.executor.script = async (run) => {
      if (verdictOf(run.order.steps) === undefined) {
        await run.step("pay");
        return failedAnswer("HTTP_422", {}, false);
      }
      first.kill();
      return completedAnswer;
    };
    one.send("a");
    await one.clock.advance(1_000);
    const second = await one.start();
    second.executor.script = (run) => {
      assert.notEqual(verdictOf(run.order.steps), undefined);
      undone += 1;
      return { kind: "compensated", log: [["pay", done]] };
    };
    await one.clock.advance(600_000);
    assert.equal(undone, 1);
    assert.deepEqual(one.statesOf("a"), ["dead-lettered: HTTP_422"]);
  });

  test("has a compensation that failed tried again, in place and then through the queue", async () => {
    const one = world();
    const { executor } = await one.start();
    let tries = 0;
    executor.script = async (run) => {
      if (verdictOf(run.order.steps) === undefined) {
        await run.step("pay");
        return failedAnswer("HTTP_422", {}, false);
      }
      tries += 1;
      return tries < 3
        ? { kind: "compensating", failure: { code: "HTTP_503", message: "busy", step: "pay" }, tries }
        : { kind: "compensated", log: [["pay", done]] };
    };
    one.send("a");
    await one.clock.advance(600_000);
    assert.equal(tries, 3);
    assert.deepEqual(one.statesOf("a"), ["completed", "dead-lettered: HTTP_422"]);
  });

  test("without a step, of a skill that is not critical, or parked, is not compensated", async () => {
    const plain = world(false);
    const atPlain = await plain.start();
    atPlain.executor.script = saga(done);
    plain.send("a");
    const one = world();
    const atOne = await one.start();
    atOne.executor.script = (run) =>
      run.eventId === "none" ? failedAnswer("HTTP_422", {}, false) : run.step("pay").then(() => ({ kind: "outcome-unknown", step: "pay", why: "it may" }));
    one.send("none", "parked");
    await plain.clock.advance(1_000);
    await one.clock.advance(1_000);
    assert.deepEqual([atPlain.executor.posted.length, atOne.executor.posted.length], [1, 2]);
    assert.deepEqual(
      [plain.statesOf("a"), one.statesOf("none"), one.statesOf("parked")],
      [["dead-lettered: HTTP_422"], ["dead-lettered: HTTP_422"], ["dead-lettered: OutcomeUnknown"]],
    );
  });
});

test("the log of compensations is read as it was written", () => {
  assert.deepEqual(
    [...compensationsOf([encodeCompensation("pay", notDone), encodeCompensation("book", done)])],
    [
      ["pay", notDone],
      ["book", done],
    ],
  );
});
