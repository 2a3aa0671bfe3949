// Schemas that say the same and refer to what is another, and parts that stand beside alternatives.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { compareSchemas } from "#runtime/contracts/compare-schemas.ts";

const cardOf = (type: string): object => ({ type: "object", properties: { n: { type } } });
const card = { $ref: "#/$defs/card" };
const object = { type: "object", properties: { b: { type: "string" } } };

/** A schema whose definition `card` changes, and what is found. */
function found(schema: object, after: object = schema): readonly string[] {
  const changes = compareSchemas({ ...schema, $defs: { card: cardOf("string") } }, { ...after, $defs: { card: cardOf("number") } });
  return changes.map(({ path, breaks, message }) => `${path} ${breaks.length} ${message}`);
}

test("what an alternative refers to is compared, whatever its text", () => {
  const changed = ["/n 2 type changed from string to number"];
  assert.deepEqual(found({ oneOf: [card, { type: "string" }] }), changed);
  assert.deepEqual(found({ anyOf: [card, { type: "null" }] }), changed);
  assert.deepEqual(found({ anyOf: [{ type: "array", items: card }, { type: "null" }] }), ["/*/n 2 type changed from string to number"]);
  assert.deepEqual(found({ additionalProperties: card }), ["/*/n 2 type changed from string to number"]);
  const tree = { anyOf: [{ type: "string" }, { type: "array", items: { $ref: "#" } }, { $ref: "#" }] };
  assert.deepEqual(compareSchemas(tree, tree), []);
});

test("what a keyword refers to that cannot be compared is looked at too", () => {
  const told = (keyword: string): readonly string[] => [` 2 ${keyword} changed, which cannot be told to be compatible`];
  assert.deepEqual(found({ not: card }), told("not"));
  assert.deepEqual(found({ not: { properties: { x: card } } }), told("not"));
  assert.deepEqual(found({ type: "object", minProperties: 1, allOf: [{ minProperties: 2, not: card }] }), told("allOf"));
  assert.deepEqual(compareSchemas({ not: card, $defs: { card: { not: card } } }, { not: card, $defs: { card: { not: card } } }), []);
  assert.deepEqual(
    compareSchemas({ patternProperties: { title: { type: "string" } } }, { patternProperties: { title: { type: "number" } } }).map(({ message }) => message),
    ["patternProperties changed, which cannot be told to be compatible"],
  );
});

test("what stands beside alternatives is compared where there were none before, and one of both kinds as well", () => {
  const messages = (before: object, after: object): readonly string[] =>
    compareSchemas({ ...before }, { ...after }).map(({ path, message }) => `${path} ${message}`);
  const required = "/b was optional, and is required now: older events may lack it";
  assert.deepEqual(messages(object, { anyOf: [object], required: ["b"] }), [required]);
  assert.deepEqual(messages(object, { anyOf: [object] }), []);
  assert.deepEqual(messages({ anyOf: [object], oneOf: [{ type: "object" }] }, { anyOf: [object], oneOf: [{ type: "object", required: ["b"] }] }), [
    " oneOf changed, which cannot be told to be compatible",
  ]);
});
