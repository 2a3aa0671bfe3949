import { strict as assert } from "node:assert";
import { test } from "node:test";
import { lineageOf } from "#runtime/core/lineage.ts";
import { cloudEvent, cloudEventHeaders, delivery, envelope, json, msgpack, snake } from "../support/event-messages.ts";

const { traceId, correlationId, projectId } = envelope;
const whole = { traceId, correlationId, projectId, tenantId: "" };

test("reads what an event belongs to in every wire form, from properties or from the body", () => {
  const cases: readonly (readonly [name: string, ReturnType<typeof delivery>])[] = [
    ["canonical", delivery(json(envelope))],
    ["canonical, the payload first", delivery(json({ data: { traceId: "inner", lines: [{ projectId: "inner" }] }, ...envelope }))],
    ["canonical as msgpack", delivery(msgpack(envelope))],
    ["snake_case", delivery(json(snake))],
    ["snake_case as msgpack", delivery(msgpack(snake))],
    ["CloudEvents, structured", delivery(json(cloudEvent), {}, "application/cloudevents+json")],
    ["CloudEvents, binary", delivery(json(envelope.payload), cloudEventHeaders)],
    ["properties", delivery(Buffer.from([0xff, 0x00]), { traceId, correlationId, projectId })],
  ];
  for (const [name, message] of cases) assert.deepEqual(lineageOf(message), whole, name);
});

test("takes what an envelope hook read before what the message says itself", () => {
  assert.deepEqual(lineageOf(delivery(json(envelope)), { traceId: "t", correlationId: "c", projectId: "p", tenantId: "n" }), {
    traceId: "t",
    correlationId: "c",
    projectId: "p",
    tenantId: "n",
  });
});

test("takes the trace of a CloudEvent from its trace context", () => {
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  assert.equal(lineageOf(delivery(json({ specversion: "1.0", id: "e", traceparent }))).traceId, trace);
  assert.equal(lineageOf(delivery(json({}), { "cloudEvents:id": "e", "cloudEvents:traceparent": traceparent })).traceId, trace);
});

test("says nothing of what is not there, is no text or is too long, and reads what stands before a broken end", () => {
  const nothing = { traceId: "", correlationId: "", projectId: "", tenantId: "" };
  for (const body of ["", "[1]", "{", '{"traceId":7}', `{"traceId":"${"x".repeat(300)}"}`, "\u0000\u0001"])
    assert.deepEqual(lineageOf(delivery(Buffer.from(body))), nothing, body);
  assert.equal(lineageOf(delivery(Buffer.from('{"traceId":"t","payload":{"a":'))).traceId, "t");
});

test("never throws, whatever a message does", () => {
  const message = delivery(json(envelope));
  const broken = {
    ...message,
    header: (): never => {
      throw new Error("unreadable");
    },
  };
  assert.equal(lineageOf(broken).traceId, "");
});
