// Types that are made of contracts, and what they tell a skill, `emit` and a producer.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { generateTypes } from "#runtime/contracts/generate-types.ts";
import { openRegistry } from "#runtime/contracts/read-contracts.ts";
import { typesOfSchema } from "#runtime/contracts/schema-types.ts";
import { z } from "zod";
import { createProducer, defineSkill } from "#runtime/index.ts";
import { folderOfTest, objectOf } from "../support/contract-files.ts";

const schemas: readonly (readonly [what: string, schema: object, type: string])[] = [
  ["values", { enum: ["a", 1, null] }, '"a" | 1 | null'],
  ["a constant", { const: "a" }, '"a"'],
  ["a nullable text", { anyOf: [{ type: "string" }, { type: "null" }] }, "string | null"],
  ["a list of either", { type: "array", items: { type: ["string", "integer"] } }, "readonly (string | number)[]"],
  ["a tuple", { type: "array", prefixItems: [{ type: "string" }, { type: "number" }], items: false }, "readonly [string, number]"],
  ["a tuple of an older draft", { type: "array", items: [{ type: "string" }], additionalItems: { type: "boolean" } }, "readonly [string, ...boolean[]]"],
  ["a map", { type: "object", additionalProperties: { type: "number" } }, "Readonly<Record<string, number>>"],
  ["names that are no identifiers", objectOf({ "a-b": { type: "string" } }, ["a-b"]), '{\n  readonly "a-b": string;\n}'],
  ["a required field without a schema", objectOf({}, ["x"]), "{\n  readonly x: unknown;\n}"],
  [
    "an open object",
    objectOf({ x: { type: "string" } }, [], { additionalProperties: true }),
    "{\n  readonly x?: string;\n  readonly [name: string]: unknown;\n}",
  ],
  [
    "parts that all hold",
    { allOf: [objectOf({ x: { type: "string" } }, ["x"]), objectOf({ y: { type: "number" } })] },
    "{\n  readonly x: string;\n  readonly y?: number;\n}",
  ],
  ["alternatives", { oneOf: [objectOf({ k: { const: 1 } }, ["k"]), { type: "string" }] }, "{\n  readonly k: 1;\n} | string"],
  ["anything", {}, "unknown"],
];

for (const [what, schema, type] of schemas)
  test(`a schema as a type: ${what}`, () => assert.equal(typesOfSchema(schema as never), `export type Payload = ${type};\n`));

test("a schema as a type: parts that are referred to have names, also where they refer to themselves", () => {
  const node = objectOf({ next: { $ref: "#/$defs/node" }, all: { type: "array", items: { $ref: "#" } } });
  assert.equal(
    typesOfSchema({ ...objectOf({ first: { $ref: "#/$defs/node" } }, ["first"]), $defs: { node } }),
    "export type Payload = {\n  readonly first: Node;\n};\n\nexport type Node = {\n  readonly next?: Node;\n  readonly all?: readonly Payload[];\n};\n",
  );
});

test("a schema as a type: parts that are called like types which are written have other names", () => {
  const written = typesOfSchema({ ...objectOf({ x: { $ref: "#/$defs/record" } }), $defs: { record: { type: "string" } } });
  assert.equal(written, "export type Payload = {\n  readonly x?: Record2;\n};\n\nexport type Record2 = string;\n");
});

test("event types that differ in a point alone have types of their own", async (t) => {
  const written = generateTypes(await openRegistry(folderOfTest(t, { "A.b/1.0.json": objectOf({}), "A_b/1.0.json": objectOf({}) })));
  assert.deepEqual(written.match(/namespace \S+/g), ["namespace A_2e_b_1_0", "namespace A_b_1_0"]);
});

type Same<One, Other> = [One] extends [Other] ? ([Other] extends [One] ? true : false) : false;
function is<Truth extends true>(truth?: Truth): Truth | undefined {
  return truth;
}

test("what `holdfast contracts types` writes of the contracts is what this file is compiled with", async () => {
  const folder = resolve(import.meta.dirname, "../support/contracts-typed");
  assert.equal(readFileSync(join(folder, "events.d.ts"), "utf8"), generateTypes(await openRegistry(folder)));
});

// The compiler checks what follows.
test("a skill, emit and a producer are typed by the contracts", async () => {
  // A skill is given what the contract of its event says: the newest minor of its major.
  defineSkill({
    name: "one",
    handles: [{ eventType: "ParcelPacked" }],
    run: ({ event }) => {
      is<Same<typeof event.payload.note, string | undefined>>();
      is<Same<typeof event.eventType, "ParcelPacked">>();
      // @ts-expect-error: only 2.0 has it
      return event.payload.cents;
    },
  });

  // One that handles two types narrows by type; one of two majors by version.
  defineSkill({
    name: "two",
    handles: [
      { eventType: "ParcelPacked", versions: "2.x" },
      { eventType: "ParcelSent", versions: ["1.0"] },
    ],
    run({ event }) {
      // @ts-expect-error: an order that was shipped has none
      void event.payload.cents;
      if (event.eventType === "ParcelPacked") return event.payload.cents.toFixed();
      is<Same<typeof event.version, "1.0">>();
      return event.payload.at.slice(1);
    },
  });
  defineSkill({
    name: "majors",
    handles: [{ eventType: "ParcelPacked", versions: ["1.0", "2.0"] }],
    run: ({ event }) => (event.version === "2.0" ? event.payload.cents : event.payload.amount.length),
  });

  // In a chain of steps, too, and in the context of a step.
  defineSkill({
    name: "chain",
    handles: [{ eventType: "ParcelPacked", versions: "2.x" }],
    steps: (begin) => begin.step("add", (step) => step.event.payload.cents + 1).step("show", (_step, { add }) => add.toFixed()),
  });
  defineSkill({
    name: "steps",
    handles: [{ eventType: "ParcelPacked", versions: "2.x" }],
    run: async (context) => {
      const cents = await context.step("look", (step) => step.event.payload.cents);
      is<Same<typeof cents, number>>();
    },
  });

  // A schema of its own goes before; without a contract it is anything.
  defineSkill({ name: "own", handles: [{ eventType: "ParcelPacked" }], payload: z.object({ mine: z.string() }), run: ({ event }) => event.payload.mine });
  defineSkill<{ named: number }>({ name: "named", handles: [{ eventType: "ParcelPacked" }], run: ({ event }) => event.payload.named });
  defineSkill({
    name: "other",
    handles: [{ eventType: "Other" }],
    run: ({ event }) => {
      is<Same<typeof event.payload, unknown>>();
    },
  });

  // What is emitted is what its contract says, 1.0 unless another version is named.
  defineSkill({
    name: "emitting",
    handles: [{ eventType: "ParcelPacked" }],
    run(context) {
      context.emit("ParcelSent", { orderId: "o-1", at: "now" });
      context.emit("ParcelPacked", { orderId: "o-1", amount: "1", cents: 100 }, { version: "2.0" });
      context.emit("Other", { any: 1 });
      // @ts-expect-error: it lacks a field
      context.emit("ParcelSent", { orderId: "o-1" });
      // @ts-expect-error: 1.0 has no cents
      context.emit("ParcelPacked", { orderId: "o-1", amount: "1", cents: 100 });
      // @ts-expect-error: there is no such version
      context.emit("ParcelSent", { orderId: "o-1", at: "now" }, { version: "7.0" });
    },
  });
  const producer = createProducer({
    serviceBus: { connectionString: "" },
    publish: { entity: "orders" },
    projectId: "p",
    agent: "a",
    contracts: "./contracts",
  });
  const sent = () => [
    producer.send("ParcelSent", { orderId: "o-1", at: "now" }),
    producer.send("ParcelPacked", { orderId: "o-1", amount: "1", cents: 100 }, { version: "2.0", eventId: "e" }),
    producer.send("Other", 1),
    // @ts-expect-error: a number is no order
    producer.send("ParcelSent", 1),
    producer.sendAll([
      { eventType: "ParcelSent", payload: { orderId: "o-1", at: "now" } },
      { eventType: "ParcelPacked", version: "2.0", payload: { orderId: "o-1", amount: "1", cents: 100 } },
      { eventType: "Other", payload: 1 },
    ]),
    // @ts-expect-error: nor in a batch
    producer.sendAll([{ eventType: "ParcelSent", payload: 1 }]),
  ];
  assert.equal(typeof sent, "function");
  await producer.stop();
});
