import { strict as assert } from "node:assert";
import { gzipSync } from "node:zlib";
import { test } from "node:test";
import * as fc from "fast-check";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import { type ScopeField, readScope } from "#runtime/core/read-scope.ts";
import { cloudEvent, cloudEventHeaders, delivery, envelope, eventGridEvent, json, msgpack, routeHeaders, snake } from "../support/event-messages.ts";

type Message = ReturnType<typeof delivery>;

function scopeOf(message: Message, field: ScopeField = "tenantId"): string | undefined {
  const routed = readRoute(message, defaultDecodeLimits);
  assert.ok(routed.ok, JSON.stringify(routed));
  return readScope({ delivery: message, ...routed }, field);
}

test("reads tenant and project in every wire form, from properties or from the body", () => {
  const tenanted = { ...envelope, tenantId: "acme" };
  const cases: readonly (readonly [Message, tenant: string | undefined, project: string | undefined])[] = [
    [delivery(json(tenanted)), "acme", "project-1"],
    [delivery(json(envelope)), undefined, "project-1"],
    [delivery(msgpack(tenanted)), "acme", "project-1"],
    [delivery(json(tenanted), { ...routeHeaders, tenantId: "told", projectId: "told" }), "told", "told"],
    [delivery(json({ ...snake, tenant_id: "acme" })), "acme", "project-1"],
    [delivery(json({ ...snake, tenant_id: "acme" }), { tenant_id: "told" }), "told", "project-1"],
    [delivery(json({ ...cloudEvent, tenantid: "acme" }), {}, "application/cloudevents+json"), "acme", "project-1"],
    [delivery(json([{ ...cloudEvent, tenantid: "acme" }]), {}, "application/cloudevents-batch+json"), "acme", "project-1"],
    [delivery(json({ tenantid: "payload" }), { ...cloudEventHeaders, "cloudEvents:tenantid": "acme" }, "application/json"), "acme", "project-1"],
    [delivery(json({ tenantid: "payload" }), cloudEventHeaders, "application/json"), undefined, "project-1"],
    [delivery(json({ ...eventGridEvent, tenantId: "acme" })), "acme", undefined],
  ];
  for (const [message, tenant, project] of cases) assert.deepEqual([scopeOf(message), scopeOf(message, "projectId")], [tenant, project]);
});

test("what a hook reads names its event's own, and the body is not looked at", () => {
  const hook = { name: "own", read: () => ({ eventId: "e", eventType: "T", tenantId: "acme" }) };
  const message = delivery(json({ tenantId: "body", projectId: "body" }));
  const routed = readRoute(message, defaultDecodeLimits, [hook]);
  assert.ok(routed.ok);
  assert.deepEqual([readScope({ delivery: message, ...routed }, "tenantId"), readScope({ delivery: message, ...routed }, "projectId")], ["acme", "default"]);
});

test("what cannot be seen, or is no name, names nobody", () => {
  const compressed = delivery(gzipSync(json({ ...envelope, tenantId: "acme" })), { ...routeHeaders, "content-encoding": "gzip" });
  assert.equal(scopeOf(compressed), undefined);
  for (const tenantId of ["", "x".repeat(257), 5, null, {}, ["a"]]) {
    assert.equal(scopeOf(delivery(json({ ...envelope, tenantId }))), undefined);
    assert.equal(scopeOf(delivery(msgpack({ ...envelope, tenantId }))), undefined);
  }
  assert.equal(scopeOf(delivery(json({ ...envelope, tenantId: "x".repeat(256) }))), "x".repeat(256));
  assert.equal(scopeOf(delivery(msgpack({ ...envelope, tenantId: "x".repeat(256) }))), "x".repeat(256));
  assert.equal(scopeOf(delivery(json(envelope), { ...routeHeaders, tenantId: 5 })), undefined);
});

test("any text comes out as it went in, and no body makes it throw", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 60 }), (tenantId) => {
      assert.equal(scopeOf(delivery(json({ payload: 1, tenantId }), routeHeaders)), tenantId);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom("application/json", "application/msgpack"), (body, contentType) => {
      scopeOf(delivery(body, routeHeaders, contentType));
    }),
  );
});
