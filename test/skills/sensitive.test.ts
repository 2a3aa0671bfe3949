// What takes the place of values that a payload's schema marks.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { z } from "zod";
import type { PayloadSchema } from "#runtime/skills/author/schema.ts";
import { Redaction } from "#runtime/testing/sensitive.ts";

test("what a schema marks becomes a value of the same type, length and shape, and everything else stays", () => {
  const redaction = new Redaction();
  const schema = z.object({
    id: z.string(),
    email: z.email().meta({ sensitive: true }),
    born: z.iso.date().meta({ "x-sensitive": true }),
    salary: z.number().meta({ sensitive: true }),
    members: z.array(z.object({ name: z.string().meta({ sensitive: true }), role: z.string() })),
  });
  const payload = {
    id: "c-1",
    email: "ada@example.com",
    born: "1815-12-10",
    salary: 1_234.5,
    password: "hunter2",
    members: [{ name: "Grace", role: "admiral" }],
  };
  assert.deepEqual(redaction.value(payload, [schema]), {
    id: "c-1",
    email: "xxx@xxxxxxx.xxx",
    born: "2000-01-01",
    salary: 1_111.1,
    password: "xxxxxx0",
    members: [{ name: "Xxxxx", role: "admiral" }],
  });
  assert.deepEqual(redaction.places, ["email", "born", "salary", "password", "members[0].name"]);
  assert.deepEqual(redaction.elsewhere({ greeting: "Dear Grace", to: "ada@example.com" }), { greeting: "Dear Xxxxx", to: "xxx@xxxxxxx.xxx" });
});

test("marks of a JSON Schema count through references and choices", () => {
  const secret = { type: "string", writeOnly: true };
  const schema = {
    type: "object",
    properties: { pin: { $ref: "#/$defs/pin" }, either: { anyOf: [{ type: "number" }, { type: "string", format: "password" }] } },
    additionalProperties: { type: "object", properties: { key: { "x-sensitive": true } } },
    $defs: { pin: secret },
  };
  assert.deepEqual(new Redaction().value({ pin: "1234", either: "Sesame", other: { key: { deep: [7, true] }, name: "n" } }, [schema]), {
    pin: "0000",
    either: "Xxxxxx",
    other: { key: { deep: [1, false] }, name: "n" },
  });
});

test("of a validator that does not say what it marks, everything counts as marked", () => {
  const validator = { "~standard": { version: 1 as const, vendor: "own", validate: (value: unknown) => ({ value }) } };
  assert.deepEqual(new Redaction().value({ id: "c-1", count: 20 }, [validator]), { id: "x-0", count: 11 });
});

test("what the payload held is found again in texts, numbers, keys, maps and sets, the longest first, and where a text is cut", () => {
  const marked = { "x-sensitive": true };
  const schema = { type: "object", properties: { name: marked, whole: marked, salary: marked, account: marked, quoted: marked } };
  const redaction = new Redaction();
  redaction.value({ name: "Ada", whole: "Ada Lovelace", salary: 52_750, account: 12_345_678_901_234_567_890n, quoted: 'the "Duke"' }, [schema]);
  const elsewhere: readonly (readonly [unknown, unknown])[] = [
    ["Ada Lovelace and Ada", "Xxx Xxxxxxxx and Xxx"],
    ['asks {"salary":52750,"id":152750}', 'asks {"salary":11111,"id":152750}'],
    [
      { "of Ada": 52_750, status: 200 },
      { "of Xxx": 11_111, status: 200 },
    ],
    [new Map<unknown, unknown>([["Ada", new Set([52_750, "Ada"])]]), new Map([["Xxx", new Set([11_111, "Xxx"])]])],
    [12_345_678_901_234_567_890n, 11_111_111_111_111_111_111n],
    [JSON.stringify({ by: 'the "Duke"' }), JSON.stringify({ by: 'xxx "Xxxx"' })],
    ["it asks Ada Lovel… and ends", "it asks Xxx Xxxxx… and ends"],
  ];
  for (const [given, shown] of elsewhere) assert.deepEqual(redaction.elsewhere(given), shown);
});

test("what any of several schemas marks is redacted once, each with references of its own", () => {
  const marking = (name: string): PayloadSchema<unknown> => ({
    type: "object",
    properties: { [name]: { $ref: "#/$defs/secret" } },
    $defs: { secret: { "x-sensitive": true } },
  });
  const redaction = new Redaction();
  const value = redaction.value({ card: "4111", holder: "Ada", order: "o-1" }, [marking("card"), undefined, marking("holder"), marking("card")]);
  assert.deepEqual(value, { card: "0000", holder: "Xxx", order: "o-1" });
  redaction.value({ iban: "DE02", card: "4111" }, [marking("iban")], "OrderCharged");
  assert.deepEqual(redaction.places, ["card", "holder", "OrderCharged.iban"]);
  assert.equal(redaction.elsewhere("DE02 of Ada with 4111"), "XX00 of Xxx with 0000");
});
