// BullMQ is loaded when a recovery queue in Redis is started: an image may have been made without it.
import { strict as assert } from "node:assert";
import { registerHooks } from "node:module";
import { test } from "node:test";
import { createBullmqRecoveryQueue } from "#runtime/adapters/bullmq/recovery-queue.ts";
import { deaf } from "../contracts/recovery-queue.ts";

test("where BullMQ is not installed, the queue says so to its worker and to whoever asks it, and what to do", async () => {
  const hooks = registerHooks({ resolve: (specifier, context, next) => next(specifier === "bullmq" ? "bullmq-that-is-missing" : specifier, context) });
  const queue = createBullmqRecoveryQueue({ url: process.env["REDIS_URL"] ?? "", consumer: "orders" });
  try {
    const troubles: string[] = [];
    queue.start({ ...deaf(), disturbed: (error) => troubles.push(error) });
    const message =
      /^expected to load the package 'bullmq', which the recovery queue in Redis is built on, found .*bullmq-that-is-missing.*; install it with the worker's other dependencies, or switch the queue off with recovery\.enabled: false$/;
    await assert.rejects(queue.counts(), { code: "HOLDFAST_CONFIGURATION", message });
    await queue.work(new Map());
    assert.equal(troubles.length, 1);
    assert.match(troubles[0] ?? "", message);
  } finally {
    hooks.deregister();
    await queue.stop(0);
  }
});
