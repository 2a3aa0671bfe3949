// The judge of the drills on whole processes: that it finds each way in which the promise can be broken.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { RunState, RunView, StepRecord } from "#runtime/core/run.ts";
import type { EffectCall } from "../../bench/drills/effects/effect-ledger.ts";
import { type Evidence, judge, type SentEvent } from "../../bench/drills/effects/judge.ts";
import type { Kind } from "../../bench/drills/effects/plugin.ts";

const empty = new Uint8Array(0);

function call(step: string, changes: Partial<EffectCall> = {}): EffectCall {
  return { eventId: "e", step, isUndoing: false, key: `key of ${step}`, epoch: 1, atMs: 1_000, ...changes };
}

function undo(step: string): EffectCall {
  return call(step, { isUndoing: true, key: `key of undo ${step}` });
}

function record(state: RunState, steps: readonly string[] = []): RunView {
  const step = (name: string): StepRecord => ({ name, kind: "keyed", state: "completed", result: empty, checksum: 0, codec: 1, atMs: 2_000 });
  const counts = { epoch: 1, failures: 0, losses: 0, generation: 0, restarts: 0 };
  const rest = {
    pipelineHash: "p",
    payloadHash: "h",
    outbox: empty,
    reason: undefined,
    history: [],
    setbacks: [],
    claim: undefined,
    isCancelling: false,
    writtenAgoMs: 0,
  };
  return { key: { consumer: "c", eventId: "e" }, state, steps: steps.map(step), ...counts, ...rest };
}

function judged(kind: Kind, changes: Partial<Evidence> & { readonly state?: RunState; readonly dead?: readonly string[] }): readonly string[] {
  const { state = "done", dead = [], ...rest } = changes;
  const event: SentEvent = { eventId: "e", kind };
  const evidence: Evidence = {
    events: [event],
    calls: [],
    deadLetters: new Map(dead.length === 0 ? [] : [["e", dead]]),
    records: new Map([["e", record(state)]]),
    wereRecordsLost: false,
    areTimesComparable: true,
    ...rest,
  };
  return judge(evidence).violations;
}

const bothSteps = [call("one"), call("two")];
const undone = [call("book"), call("charge"), call("notify"), undo("notify"), undo("charge"), undo("book")];

describe("the judge of effects accepts", () => {
  test("an event that completed with its effects, also when a step was called for again under its key", () => {
    assert.deepEqual(judged("Keyed", { calls: [...bothSteps, call("two", { epoch: 2 })] }), []);
  });

  test("an atMostOnce event that was parked, and a saga that was undone in reverse", () => {
    assert.deepEqual(judged("AtMostOnce", { calls: [call("one"), call("pay")], state: "parked", dead: ["OutcomeUnknown"] }), []);
    assert.deepEqual(judged("Saga", { calls: undone, state: "dead", dead: ["SOLD_OUT"] }), []);
  });

  test("an event without a record where records were lost, if its effects stand", () => {
    assert.deepEqual(judged("Keyed", { calls: bothSteps, records: new Map(), wereRecordsLost: true }), []);
    assert.match(judged("Keyed", { calls: [call("one")], records: new Map(), wereRecordsLost: true }).join(), /completed without an effect/);
  });
});

describe("the judge of effects finds", () => {
  const cases: readonly (readonly [what: string, kind: Kind, evidence: Parameters<typeof judged>[1], expected: RegExp])[] = [
    ["an event that was lost", "Keyed", { calls: bothSteps, records: new Map() }, /ended neither completed nor dead-lettered/],
    ["an event that is on its way for ever", "Keyed", { calls: bothSteps, state: "running" }, /ended neither completed nor dead-lettered/],
    ["an event that completed and was dead-lettered", "AtMostOnce", { dead: ["OutcomeUnknown"] }, /completed and dead-lettered/],
    ["a good event that was dead-lettered", "Keyed", { state: "dead", dead: ["MaxDeliveryCountExceeded"] }, /dead-lettered as MaxDeliveryCountExceeded/],
    ["a step under two keys", "Keyed", { calls: [...bothSteps, call("two", { key: "another" })] }, /under several keys/],
    ["an effect that began twice", "AtMostOnce", { calls: [call("one"), call("pay"), call("pay")] }, /began more than once/],
    ["a call under an old claim", "Keyed", { calls: [call("one", { epoch: 2 }), call("one"), call("two")] }, /claim that had been taken over/],
    ["an effect for an event that nobody sent", "Keyed", { calls: [...bothSteps, call("one", { eventId: "x", key: "x" })] }, /nobody sent/],
    [
      "compensations in the order of the steps",
      "Saga",
      { calls: [call("book"), call("charge"), undo("book"), undo("charge")], state: "dead", dead: ["SOLD_OUT"] },
      /not the reverse/,
    ],
    ["a compensation that is missing", "Saga", { calls: undone.slice(0, -1), state: "dead", dead: ["SOLD_OUT"] }, /not the reverse/],
  ];
  for (const [what, kind, evidence, expected] of cases) test(what, () => assert.match(judged(kind, evidence).join("\n"), expected));

  test("a call after the checkpoint of its step", () => {
    const late = [call("one"), call("two", { atMs: 3_000 })];
    const records = new Map([["e", record("done", ["one", "two"])]]);
    assert.match(judged("Keyed", { calls: late, records }).join(), /called for after its checkpoint/);
    assert.deepEqual(judged("Keyed", { calls: late, records, areTimesComparable: false }), []);
  });
});
