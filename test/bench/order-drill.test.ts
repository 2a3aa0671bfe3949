import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { eventIdOf, judgeOrder, type Kept } from "../../bench/drills/order/judge.ts";
import { strangeStep } from "../../bench/drills/order/plugin.ts";
import { run } from "../../bench/drills/order/run.ts";
import { longTest } from "../support/long.ts";

type Call = Kept["calls"][number];
const call = (session: string, index: number, key = "k", step = "effect"): Call => ({ eventId: eventIdOf(session, index), step, key });

/** What is said of three messages of session `a`, of which the last is given up. */
function judge(calls: readonly Call[], dead: readonly string[] = ["a/2"]): readonly string[] {
  return judgeOrder({ sessions: ["a"], messages: 3, calls, deadLettered: new Set(dead), isDoomed: (index) => index === 2 }).violations;
}

describe("the judge of the order drill", () => {
  test("lets each session's effects pass in their order, and calls that come again at once under their key", () => {
    const calls = [call("a", 0), call("a", 0), call("a", 1), call("a", 2)];
    const verdict = judgeOrder({
      sessions: ["a", "b"],
      messages: 3,
      calls: calls.flatMap((one) => [one, { ...one, eventId: one.eventId.replace("a", "b") }]),
      deadLettered: new Set(),
      isDoomed: () => false,
    });
    assert.deepEqual(verdict, { violations: [], repeats: 2 });
  });

  test("names an effect that came before its turn, or again after another's, or under another key", () => {
    assert.match(judge([call("a", 1), call("a", 0), call("a", 2)]).join(), /expected the effect of a\/0, found that of a\/1/);
    assert.match(judge([call("a", 0), call("a", 1), call("a", 0), call("a", 2)]).join(), /expected the effect of a\/2, found that of a\/0/);
    assert.match(judge([call("a", 0), call("a", 0, "other"), call("a", 1), call("a", 2)]).join(), /a\/0 was called for under two keys/);
  });

  test("names what is missing, what was given up and what was not, and a state that nobody had left", () => {
    const sound = [call("a", 0), call("a", 1), call("a", 2)];
    assert.deepEqual(judge(sound), []);
    assert.deepEqual(judge(sound.slice(0, 2)), ["session a: expected 3 effects, found 2"]);
    assert.deepEqual(judge(sound, ["a/1"]), ["a/1 was dead-lettered", "a/2 fails at each try, and was not dead-lettered"]);
    assert.match(judge([...sound, call("a", 2, "k", strangeStep)]).join(), /a\/2 found another state than the message before it had left/);
  });
});

longTest("sessions keep their order on whole workers, on the official client too", async () => {
  assert.equal(await run({ sessions: 20, messages: 20, workers: 2, kills: 2, seed: 1, transport: "sdk" }), 0);
});
