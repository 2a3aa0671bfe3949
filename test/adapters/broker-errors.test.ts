// What both transports say to do about a refusal of the broker.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { errorOf } from "#runtime/adapters/amqp/errors.ts";
import { transportErrorOf } from "#runtime/adapters/service-bus/errors.ts";

test("nobody is sent to look whether a broker is up that refuses for good, as where a topic is named as a queue", () => {
  const description = "This operation is for queues and subscriptions, not for topics.";
  const sdkError = (code: string): Error => Object.assign(new Error(description), { code });
  const refused = [
    errorOf("to receive from news", { condition: "amqp:invalid-field", description }, "nothing"),
    transportErrorOf("to receive from news", sdkError("InvalidOperationError")),
  ];
  for (const { message, isPermanent } of refused)
    assert.deepEqual([isPermanent, /; correct .*the entity's name or its kind/.test(message)], [true, true], message);
  const unreachable = [
    errorOf("to receive from news", { condition: "amqp:internal-error", description }, "nothing"),
    transportErrorOf("to receive from news", sdkError("ServiceCommunicationProblem")),
  ];
  for (const { message, isPermanent } of unreachable)
    assert.deepEqual([isPermanent, message.endsWith("check that the broker is up and reachable")], [false, true], message);
});
