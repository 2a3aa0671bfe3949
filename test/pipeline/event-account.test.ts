// What the simulation takes for a sound end of an event, held against ends that a worker made.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { RunView } from "#runtime/core/run.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { eventViolations } from "../support/event-account.ts";
import type { Stored } from "#runtime/testing/world/model-queue.ts";
import { skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

/** More than a lock: after it a message is surely newer than what went before. */
const clockMarginMs = 40_000;
const retry = { ...defaultRetryPolicy, immediateMax: 0, attemptsMax: 2, baseDelayMs: 1_000 };

interface End {
  readonly record: RunView;
  readonly messages: readonly Stored[];
}

/** Each message of it is sent long after the one before has ended, and finds the skill failing or mended. */
async function endOf(...sent: readonly ("failing" | "mended")[]): Promise<End> {
  const world = new World({ skills: [skillPolicy("task", { retry })] });
  const { executor } = await world.start();
  for (const how of sent) {
    executor.script = () => (how === "mended" ? completedAnswer : failedAnswer());
    world.send("a");
    await world.clock.advance(clockMarginMs);
  }
  return { record: await world.record("a"), messages: world.broker.stored };
}

function lettersOf(messages: readonly Stored[]): readonly Stored[] {
  return messages.filter(({ state }) => state === "dead-lettered");
}

/** The same messages, with others in the places of some. */
function replaced(messages: readonly Stored[], from: Stored | undefined, to: readonly Stored[]): readonly Stored[] {
  assert.ok(from !== undefined, "expected a message to replace");
  return messages.flatMap((stored) => (stored === from ? to : [stored]));
}

describe("the account of an event", () => {
  test("adds up for one that is done, and for a duplicate of it", async () => {
    const { record, messages } = await endOf("mended", "failing");
    assert.deepEqual([record.state, eventViolations(record, messages)], ["done", []]);
  });

  test("adds up for one that was given up, sent again and done: its dead letter tells of the death before", async () => {
    const { record, messages } = await endOf("failing", "mended");
    assert.deepEqual([record.state, lettersOf(messages).map(({ reason }) => reason)], ["done", ["RetriesExhausted"]]);
    assert.deepEqual(eventViolations(record, messages), []);
  });

  test("does not add up when it is done and dead-lettered without having been brought back", async () => {
    const { record, messages } = await endOf("failing");
    const done = { ...record, state: "done" } as const;
    assert.deepEqual(eventViolations(done, messages), ["is done and dead-lettered as RetriesExhausted, and nothing brought it back between"]);
    const unknown = eventViolations({ ...done, history: [] }, messages);
    assert.deepEqual(unknown, ["is done and dead-lettered as RetriesExhausted, of which its record knows nothing"]);
  });

  test("does not add up when a duplicate that was there before the death has brought it back", async () => {
    const { record, messages } = await endOf("failing", "mended");
    const resent = messages.at(-1);
    const [first] = messages;
    assert.ok(resent !== undefined && first !== undefined);
    const early = replaced(messages, resent, [{ ...resent, enqueuedAtMs: first.enqueuedAtMs }]);
    const violations = eventViolations(record, early);
    assert.match(violations.join("\n"), /^died at \d+ and was brought back at \d+ by no message that was sent between$/);
  });

  test("takes a copy for as old as the message that it carries on, however late it is due", async () => {
    const { record, messages } = await endOf("failing");
    const copy = messages.at(-1);
    assert.ok(copy?.state === "dead-lettered" && messages.length === 2, "expected the retry's copy to be dead-lettered");
    const late = { ...copy, enqueuedAtMs: copy.enqueuedAtMs + clockMarginMs };
    assert.deepEqual(eventViolations(record, replaced(messages, copy, [late])), []);
  });

  test("does not add up when a message that was sent after a death is dead-lettered for it", async () => {
    const { record, messages } = await endOf("failing");
    const [first] = messages;
    assert.ok(first !== undefined);
    const late = replaced(messages, first, [{ ...first, enqueuedAtMs: first.enqueuedAtMs + clockMarginMs }]);
    assert.match(eventViolations(record, late).join("\n"), /^is dead-lettered as RetriesExhausted of \d+ with a message that was sent at \d+$/);
  });

  test("does not add up when it was given up again, and only its earlier death has a dead letter", async () => {
    const { record, messages } = await endOf("failing", "failing");
    const letters = lettersOf(messages);
    assert.deepEqual([record.generation, letters.length], [1, 2]);
    const violations = eventViolations(record, replaced(messages, letters[1], []));
    assert.match(violations.join("\n"), /^was given up and is not dead-lettered: /);
  });

  test("does not add up when its run has not ended, unless its message was ended for what it was", async () => {
    const { record, messages } = await endOf("mended");
    const waiting = { ...record, state: "waiting" } as const;
    assert.deepEqual(eventViolations(waiting, messages), ["is lost: its record is waiting, its messages are completed"]);
    const [first] = messages;
    assert.ok(first !== undefined);
    const unseen: Stored = { ...first, state: "dead-lettered", reason: "MaxDeliveryCountExceeded" };
    assert.deepEqual(eventViolations(waiting, [unseen]), []);
  });
});
