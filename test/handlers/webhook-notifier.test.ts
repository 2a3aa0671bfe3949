import { strict as assert } from "node:assert";
import { test } from "node:test";
import { notifier, webhookNotifier } from "#handlers/webhook-notifier/index.ts";
import { fault, stub, testSkill } from "#runtime/testing/index.ts";
import { refusalOf } from "../support/refused-payload.ts";

const payload = { channel: "builds", title: "Build failed", text: "main is red", link: "https://example.test/1", about: { name: "check_run", event: {} } };
const event = { payload };

test("posts to the channel in one step and emits the receipt", async () => {
  const { steps, calls, emitted } = await testSkill(webhookNotifier, { event, dependencies: [stub(notifier, { status: 202, body: { id: "hook-7" } })] });
  assert.deepEqual(
    steps.map(({ name }) => name),
    ["post"],
  );
  assert.deepEqual(
    calls.map(({ step, request }) => [step, request]),
    [
      [
        "post",
        {
          method: "POST",
          path: "/hooks/builds",
          body: { title: "Build failed", text: "main is red", link: "https://example.test/1", about: "check_run", eventId: "event-1" },
        },
      ],
    ],
  );
  assert.deepEqual(
    emitted.map(({ eventType, payload: told }) => [eventType, told]),
    [["NotificationDelivered", { channel: "builds", receipt: "hook-7" }]],
  );
});

test("an answer without a receipt is a failure for good, a failure of the call is retried until it is given up", async () => {
  const { outcome, reason } = await testSkill(webhookNotifier, { event, dependencies: [stub(notifier, { body: "ok" })] });
  assert.deepEqual([outcome, reason], ["dead-lettered", "NO_RECEIPT"]);
  const down = await testSkill(webhookNotifier, { event, dependencies: [stub(notifier, fault.refused())] });
  assert.deepEqual([down.outcome, down.retries.length > 1], ["dead-lettered", true]);
});

test("refuses a channel that would leave the path, and a link that is no web address", async () => {
  for (const channel of ["../admin", "a/b", "", "Builds"]) assert.match((await refusalOf(webhookNotifier, { ...payload, channel })) ?? "", /channel/);
  assert.match((await refusalOf(webhookNotifier, { ...payload, link: "javascript:alert(1)" })) ?? "", /link/);
});
