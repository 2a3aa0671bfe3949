import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { z } from "zod";
import type { JsonSchema } from "../../runtime/index.ts";
import { compilePayloadCheck } from "../../runtime/skills/host/payload.ts";

test("a Standard Schema's output is what the skill gets", async () => {
  const check = await compilePayloadCheck("skill 's'", z.object({ total: z.coerce.number(), note: z.string().default("none") }));
  assert.deepEqual(await check({ total: "7", extra: 1 }), { ok: true, value: { total: 7, note: "none" } });
});

test("a refusal names the skill and the paths of the first issues and shows no values", async () => {
  const check = await compilePayloadCheck("skill 's'", z.object({ a: z.string(), b: z.object({ c: z.array(z.number()) }), d: z.string(), e: z.string() }));
  const result = await check({ a: 1, b: { c: ["secret"] } });
  assert.ok(!result.ok);
  assert.equal(result.invalid.reason, "InvalidPayload");
  assert.match(result.invalid.description, /^skill 's': payload\/a: .*; payload\/b\/c\/0: .*; payload\/d: .*; and 1 more$/);
  assert.doesNotMatch(result.invalid.description, /secret/);
});

test("a validator may answer later", async () => {
  const check = await compilePayloadCheck("skill 's'", {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: async (value: unknown) => (value === 1 ? { value: 2 } : { issues: [{ message: "no", path: [{ key: "a" }, 0] }] }),
    },
  });
  assert.deepEqual(await check(1), { ok: true, value: 2 });
  assert.deepEqual(await check(0), { ok: false, invalid: { reason: "InvalidPayload", description: "skill 's': payload/a/0: no" } });
});

test("JSON Schemas of each draft are checked, with formats", async () => {
  for (const $schema of [
    undefined,
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
  ]) {
    const schema: JsonSchema = {
      ...($schema === undefined ? {} : { $schema }),
      $id: "same",
      type: "object",
      required: ["at"],
      properties: { at: { type: "string", format: "date-time" } },
    };
    for (let time = 0; time < 2; time += 1) {
      const check = await compilePayloadCheck("skill 's'", schema);
      assert.deepEqual(await check({ at: "2024-05-01T12:00:00Z" }), { ok: true, value: { at: "2024-05-01T12:00:00Z" } });
      assert.deepEqual(await check({ at: "soon" }), {
        ok: false,
        invalid: { reason: "InvalidPayload", description: `skill 's': payload/at: must match format "date-time"` },
      });
    }
  }
});

test("a published draft-07 document with loose keywords compiles", async () => {
  const schemas = JSON.parse(readFileSync(createRequire(import.meta.url).resolve("@octokit/webhooks-schemas/schema.json"), "utf8")) as {
    definitions: Record<string, unknown>;
  };
  const check = await compilePayloadCheck("skill 's'", { definitions: schemas.definitions, $ref: "#/definitions/star$created" });
  const result = await check({ action: "created" });
  assert.ok(!result.ok && result.invalid.description.startsWith("skill 's': payload: must have required property"), JSON.stringify(result));
});

test("a validator may answer by a promise of a library of its own, or of another realm", async () => {
  const resolving = <Value>(value: Value): Promise<Value> => runInNewContext("(value) => Promise.resolve(value)")(value) as Promise<Value>;
  const schema = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => resolving({ value: { seen: value } }) } } as const;
  const check = await compilePayloadCheck("skill 's'", schema);
  assert.deepEqual(await check(1), { ok: true, value: { seen: 1 } });
});

test("a schema that cannot be used is refused at start", async () => {
  const refused = async (schema: JsonSchema, expected: RegExp): Promise<void> => {
    await assert.rejects(
      compilePayloadCheck("skill 's'", schema),
      (error: Error & { code?: string }) => error.code === "HOLDFAST_CONFIGURATION" && expected.test(error.message),
    );
  };
  await refused({ type: "nothing" }, /^skill 's'\.payload: expected a JSON Schema that compiles, got: /);
  await refused({ $ref: "#/definitions/none" }, /^skill 's'\.payload: expected a JSON Schema that compiles, got: /);
  await refused({ $schema: "http://json-schema.org/draft-04/schema#" }, /expected draft-07, 2019-09 or 2020-12, got "http/);
  await refused({ $async: true, type: "object" }, /got one with \$async/);
});
