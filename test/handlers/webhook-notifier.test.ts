import { strict as assert } from "node:assert";
import { test } from "node:test";
import { webhookNotifier } from "#handlers/webhook-notifier/index.ts";
import { PermanentError, TransientError } from "#runtime/index.ts";
import { Crash, readPayload, runSkill, type StoredSteps } from "../support/skill-harness.ts";

const payload = { channel: "builds", title: "Build failed", text: "main is red", link: "https://example.test/1", about: { name: "check_run", event: {} } };
const accepted = { status: 202, headers: {}, body: { id: "hook-7" } };

test("posts to the channel in one step and emits the receipt", async () => {
  const { calls, emitted, ran } = await runSkill(webhookNotifier, payload, { answers: { notifier: () => accepted } });
  assert.deepEqual(ran, ["post"]);
  assert.deepEqual(
    calls.map(({ dependency, step, request }) => ({ dependency, step, method: request.method, path: request.path })),
    [{ dependency: "notifier", step: "post", method: "POST", path: "/hooks/builds" }],
  );
  assert.deepEqual(calls[0]?.request.body, {
    title: "Build failed",
    text: "main is red",
    link: "https://example.test/1",
    about: "check_run",
    eventId: "evt-1",
  });
  assert.deepEqual(emitted, [{ eventType: "NotificationDelivered", payload: { channel: "builds", receipt: "hook-7" } }]);
});

test("after a crash between the post and its checkpoint it posts the same again under the same key", async () => {
  const stored: StoredSteps = new Map();
  const posted: unknown[] = [];
  const answers = {
    notifier: (request: unknown, call: { readonly idempotencyKey: string }): unknown => {
      posted.push([call.idempotencyKey, request]);
      return accepted;
    },
  };
  await assert.rejects(runSkill(webhookNotifier, payload, { answers, stored, crashAfterEffectOf: "post" }), Crash);
  await runSkill(webhookNotifier, payload, { answers, stored, attempt: 2 });
  assert.equal(posted.length, 2);
  assert.deepEqual(posted[0], posted[1]);
});

test("a run whose post is recorded emits the same receipt and calls nobody", async () => {
  const { calls, emitted } = await runSkill(webhookNotifier, payload, { stored: new Map([["post", "hook-7"]]) });
  assert.deepEqual(calls, []);
  assert.deepEqual(emitted[0]?.payload, { channel: "builds", receipt: "hook-7" });
});

test("an answer without a receipt is a failure for good, a failure of the call goes through", async () => {
  await assert.rejects(
    runSkill(webhookNotifier, payload, { answers: { notifier: () => ({ ...accepted, body: "ok" }) } }),
    (error) => error instanceof PermanentError && error.code === "NO_RECEIPT",
  );
  const outage = new TransientError("down");
  await assert.rejects(
    runSkill(webhookNotifier, payload, {
      answers: {
        notifier: () => {
          throw outage;
        },
      },
    }),
    (error) => error === outage,
  );
});

test("refuses a channel that would leave the path, and a link that is no web address", async () => {
  for (const channel of ["../admin", "a/b", "", "Builds"]) await assert.rejects(readPayload(webhookNotifier.payload, { ...payload, channel }), /channel/);
  await assert.rejects(readPayload(webhookNotifier.payload, { ...payload, link: "javascript:alert(1)" }), /link/);
});
