// The built-in handlers, each in every way that a run of it can go.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { artifactValidator } from "#handlers/artifact-validator/index.ts";
import { eventDispatcher } from "#handlers/event-dispatcher/index.ts";
import { notifier, webhookNotifier } from "#handlers/webhook-notifier/index.ts";
import { stub, testSkill } from "#runtime/testing/index.ts";

const about = { name: "check_run", event: {} };

test("webhook-notifier posts once and tells of the receipt, in every way", async () => {
  const payload = { channel: "builds", title: "Build failed", text: "main is red", about };
  const { undisturbed } = await testSkill.everyWay(webhookNotifier, {
    event: { payload },
    dependencies: [stub(notifier, { status: 202, body: { id: "hook-7" } })],
  });
  assert.deepEqual(
    undisturbed.emitted.map(({ eventType, payload: told }) => [eventType, told]),
    [["NotificationDelivered", { channel: "builds", receipt: "hook-7" }]],
  );
});

test("event-dispatcher asks for its tasks, in every way", async () => {
  const payload = { name: "issues", event: { action: "opened", repository: { full_name: "octo/shop" } } };
  const { undisturbed } = await testSkill.everyWay(eventDispatcher, { event: { payload } });
  assert.equal(undisturbed.outcome, "completed");
  assert.ok(undisturbed.emitted.length > 0);
});

test("artifact-validator tells what it found, in every way", async () => {
  const payload = { artifactId: "a-1", schema: "issues$opened", artifact: {} };
  const { undisturbed } = await testSkill.everyWay(artifactValidator, { event: { payload } });
  assert.deepEqual(
    undisturbed.emitted.map(({ eventType }) => eventType),
    ["ArtifactValidated"],
  );
});
