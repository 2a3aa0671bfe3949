import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { encodeCompensation, encodeVerdict } from "#runtime/core/compensation.ts";
import { stepInDoubt } from "#runtime/cli/runs-view.ts";
import { stepsUpTo, undoneOf } from "#runtime/recovery/runs-fork.ts";
import { stepOf } from "../contracts/run-store-fixtures.ts";

const own = [stepOf("look"), stepOf("book"), stepOf("pay")];
const verdict = encodeVerdict({ reason: "REFUSED", description: "", failures: 1, losses: 0 });

describe("a fork", () => {
  test("knows of a step that may have happened, and is to happen once at most", () => {
    const intent = stepOf("fire", { state: "intent", kind: "atMostOnce", result: new Uint8Array(0) });
    assert.equal(stepInDoubt([...own, intent]), "fire");
    assert.equal(stepInDoubt([...own, { ...intent, kind: "keyed" }]), undefined);
    assert.equal(stepInDoubt([...own, stepOf("fire", { kind: "atMostOnce" })]), undefined);
  });

  test("takes over steps that stand, of a run that was compensated too", () => {
    assert.equal(undoneOf({ state: "done", steps: own }, own), undefined);
    const undone = encodeCompensation("book", { state: "compensated", wasNeeded: true });
    const untouched = encodeCompensation("look", { state: "compensated", wasNeeded: false });
    const steps = [...own, verdict, undone, untouched];
    assert.equal(undoneOf({ state: "dead", steps }, stepsUpTo(steps, "look")), undefined);
  });

  test("takes over no step that was compensated, or is to be", () => {
    const ends = [
      { state: "compensated", wasNeeded: true },
      { state: "not-compensated", code: "HTTP_500", message: "" },
      { state: "trying", begun: 1, failed: 0 },
    ] as const;
    for (const end of ends) {
      const steps = [...own, verdict, encodeCompensation("book", end)];
      assert.equal(undoneOf({ state: "dead", steps }, stepsUpTo(steps, "pay")), "book", end.state);
    }
    assert.equal(undoneOf({ state: "running", steps: [...own, verdict] }, stepsUpTo(own, "pay")), "look");
  });
});
