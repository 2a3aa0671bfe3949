// The page and the AsyncAPI document that are made of contracts.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Ajv } from "ajv";
import { asyncApiOf } from "#runtime/contracts/async-api.ts";
import { describeEvents } from "#runtime/contracts/describe-events.ts";
import { usersOf } from "#runtime/contracts/event-users.ts";
import { openRegistry } from "#runtime/contracts/read-contracts.ts";
import { folderOfTest, objectOf, sampleContracts } from "../support/contract-files.ts";

const skills = [
  { name: "ship", plugin: "shop", handles: [{ eventType: "OrderPlaced", versions: ["2.x"] }], emits: [{ eventType: "OrderShipped", version: "1.0" }] },
  { name: "note", plugin: "shop", handles: [{ eventType: "Noted", versions: ["1.x"] }], emits: undefined },
];
const places = { title: "Shop", version: "1.0.0", host: "shop.servicebus.windows.net", sources: ["orders"], entityOf: () => "shop/events" };

function follow(document: object, reference: string): unknown {
  return reference
    .slice(2)
    .split("/")
    .reduce<unknown>((at, key) => (at as Readonly<Record<string, unknown>> | undefined)?.[key], document);
}

test("the AsyncAPI document is one by AsyncAPI's own schema, and all its references lead somewhere", async (t) => {
  const specification = JSON.parse(readFileSync(createRequire(import.meta.url).resolve("@asyncapi/specs/schemas/3.0.0-without-$id.json"), "utf8")) as object;
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(specification);
  const recursive = { ...objectOf({ next: { $ref: "#/definitions/node" } }), definitions: { node: objectOf({ next: { $ref: "#/definitions/node" } }) } };
  const folder = folderOfTest(t, { "shop%2Forder:moved/1.0.json": recursive, "shop%2Forder:moved/examples/1.0-deep.json": { next: { next: {} } } });
  for (const registry of [await openRegistry(sampleContracts), await openRegistry(folder)]) {
    const document = asyncApiOf(registry, usersOf(registry, skills), places);
    assert.ok(validate(document), JSON.stringify(validate.errors?.slice(0, 3)));
    const text = JSON.stringify(document);
    const lost = [...text.matchAll(/"\$ref":"([^"]+)"/g)]
      .map(([, reference = ""]) => reference)
      .filter((reference) => follow(document, reference) === undefined);
    assert.deepEqual(lost, []);
  }
});

test("the AsyncAPI document says what is received and sent where", async () => {
  const registry = await openRegistry(sampleContracts);
  const { operations, channels, components } = asyncApiOf(registry, usersOf(registry, skills), places) as {
    operations: Record<string, { action: string; channel: { $ref: string }; messages: { $ref: string }[] }>;
    channels: Record<string, { address: string; messages: object }>;
    components: { messages: Record<string, { examples?: { payload: { payload: unknown } }[] }> };
  };
  assert.deepEqual(
    Object.entries(operations).map(([name, { action, channel, messages }]) => [name, action, channel.$ref, messages.map(({ $ref }) => $ref.split("/").at(-1))]),
    [
      ["receive-orders", "receive", "#/channels/orders", ["OrderPlaced-1.0", "OrderPlaced-1.1", "OrderPlaced-2.0"]],
      ["send-shop_events", "send", "#/channels/shop_events", ["OrderShipped-1.0"]],
    ],
  );
  assert.deepEqual(
    Object.values(channels).map(({ address, messages }) => [address, Object.keys(messages)]),
    [
      ["orders", ["OrderPlaced-1.0", "OrderPlaced-1.1", "OrderPlaced-2.0"]],
      ["shop/events", ["OrderShipped-1.0"]],
    ],
  );
  assert.deepEqual(components.messages["OrderPlaced-1.0"]?.examples?.[0]?.payload.payload, { orderId: "o-1", amount: "12.50" });
});

test("the page tells of each event what it carries, who has to do with it, and what each version changed", async () => {
  const registry = await openRegistry(sampleContracts);
  const page = describeEvents(registry, usersOf(registry, skills));
  for (const line of [
    "| [`OrderPlaced`](#orderplaced) | 1.0, 1.1, 2.0 | – | ship |",
    "| `Noted` | no contract | – | note |",
    "Emitted by `ship` (1.0); handled by nobody here.",
    "| `amount` | string | yes | **deprecated** In euros, as text |",
    "| `at` | string (date-time) | yes | – |",
    "Since 1.0:\n\n- `/note` was added, optional",
    '"note": "by the door"',
  ])
    assert.ok(page.includes(line), `expected the page to have ${line}, got\n${page}`);
});
