import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { Delivery } from "#runtime/core/delivery.ts";
import { ConfigurationError } from "#runtime/core/errors.ts";
import type { BodyCodec, WireForm } from "#runtime/core/event-envelope.ts";
import type { Routed } from "#runtime/core/read-route.ts";
import { mergePatch, patchPayload } from "#runtime/recovery/patch-payload.ts";

function patched(body: unknown, form: WireForm, patch: unknown, changes: { readonly codec?: BodyCodec; readonly contentEncoding?: "gzip" } = {}): unknown {
  const routed: Routed = {
    route: { eventId: "e", eventType: "t", version: "1.0", form, codec: changes.codec ?? "json" },
    contentEncoding: changes.contentEncoding,
    headers: undefined,
  };
  const delivery = { body: Buffer.from(JSON.stringify(body)) } as unknown as Delivery;
  return JSON.parse(Buffer.from(patchPayload(delivery, routed, patch)).toString("utf8"));
}

describe("a payload's patch", () => {
  test("is merged as RFC 7396 says", () => {
    assert.deepEqual(mergePatch({ a: "b", c: { d: "e", f: "g" } }, { a: "z", c: { f: null } }), { a: "z", c: { d: "e" } });
    assert.deepEqual(mergePatch({ a: [{ b: "c" }] }, { a: [1] }), { a: [1] });
    assert.deepEqual(mergePatch([1], { a: { b: null } }), { a: {} });
    assert.equal(mergePatch({ a: 1 }, "c"), "c");
    assert.deepEqual(Object.keys(mergePatch({}, JSON.parse('{"__proto__":{"x":1}}')) as object), ["__proto__"]);
  });

  test("changes the payload of each form, and nothing of its envelope", () => {
    const patch = { amount: 2 };
    assert.deepEqual(patched({ eventId: "e", amount: 1, payload: { amount: 1, to: "x" } }, "canonical", patch), {
      eventId: "e",
      amount: 1,
      payload: { amount: 2, to: "x" },
    });
    assert.deepEqual(patched([{ id: "e", data: { amount: 1 } }], "cloudevents-structured", patch), [{ id: "e", data: { amount: 2 } }]);
    assert.deepEqual(patched({ id: "e", data: { amount: 1 } }, "event-grid", patch), { id: "e", data: { amount: 2 } });
    assert.deepEqual(patched({ amount: 1, to: "x" }, "cloudevents-binary", patch), { amount: 2, to: "x" });
    assert.deepEqual(patched({ event_id: "e", version: "1.0", amount: 1 }, "snake", { amount: 2 }), { event_id: "e", version: "1.0", amount: 2 });
  });

  test("is refused where it would have to guess, or would change the envelope", () => {
    const refused = (act: () => unknown): void => assert.throws(act, ConfigurationError);
    refused(() => patched({}, "hooked", {}));
    refused(() => patched({}, "canonical", {}, { codec: "msgpack" }));
    refused(() => patched({}, "canonical", {}, { contentEncoding: "gzip" }));
    refused(() => patched({ event_id: "e" }, "snake", { event_id: "f" }));
  });
});
