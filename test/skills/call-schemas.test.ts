// What a dependency is asked and answers, held against its schemas.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { z } from "zod";
import { defineDependency, defineSkill, type Dependency, PermanentError } from "#runtime/index.ts";
import { stub, testSkill } from "#runtime/testing/index.ts";

const cents = z.object({ cents: z.int() });
const receipt = z.object({ receipt: z.string(), at: z.coerce.date() });
const json = { type: "object", properties: { receipt: { type: "string" } }, required: ["receipt"] };

const skillOf = (dependency: Dependency, request: unknown, seen: unknown[] = []): ReturnType<typeof defineSkill> =>
  defineSkill({
    name: "payer",
    handles: [{ eventType: "BillDue" }],
    uses: [dependency],
    run: async (context) => {
      try {
        seen.push(await context.call(dependency as Dependency<unknown>, request));
      } catch (error) {
        if (error instanceof PermanentError) seen.push([error.code, error.definite]);
        throw error;
      }
    },
  });

test("a request that is something else is not sent, and says what is wrong", async () => {
  const bank = defineDependency({ name: "bank", schemas: { request: cents }, request: async () => "paid" });
  const seen: unknown[] = [];
  const { outcome, reason, description, calls } = await testSkill(skillOf(bank, { cents: "3" }, seen), { dependencies: [stub(bank, "paid")] });
  assert.deepEqual([outcome, reason, calls.length, seen], ["dead-lettered", "REQUEST_INVALID", 0, [["REQUEST_INVALID", true]]]);
  assert.match(description, /bank: expected a request as its schema has it, got another: request\/cents: .*expected number.*; nothing was sent/);
});

test("an answer that is something else fails the call, whose effect may have happened; what is right comes as the schema makes it", async () => {
  const bank = defineDependency({ name: "bank", schemas: { response: receipt }, request: async () => ({ receipt: "r", at: new Date(0) }) });
  const seen: unknown[] = [];
  const wrong = await testSkill(skillOf(bank, 1, seen), { dependencies: [stub(bank, { receipt: 7 } as never)] });
  assert.deepEqual([wrong.outcome, wrong.reason, seen], ["dead-lettered", "RESPONSE_INVALID", [["RESPONSE_INVALID", false]]]);
  assert.match(wrong.description, /bank: expected an answer as its schema has it, got another: response\/receipt: /);
  const right: unknown[] = [];
  await testSkill(skillOf(bank, 1, right), { dependencies: [stub(bank, { receipt: "r", at: "2030-01-01T00:00:00Z" } as never)] });
  assert.deepEqual(right, [{ receipt: "r", at: new Date("2030-01-01T00:00:00Z") }]);
});

test("of a dependency over HTTP the bodies are looked at, by a JSON Schema too, and an answer without one passes where HTTP lets it", async () => {
  const shop = defineDependency({ name: "shop", baseUrl: "http://127.0.0.1:1", schemas: { request: cents, response: json } });
  const post = (body: unknown): unknown => ({ method: "POST", path: "/", ...(body === undefined ? {} : { body }) });
  const outcomes = async (body: unknown, answer: object): Promise<string> =>
    (await testSkill(skillOf(shop, post(body)), { dependencies: [stub(shop, answer)] })).reason;
  assert.deepEqual(
    [
      await outcomes({ cents: 1 }, { body: { receipt: "r" } }),
      await outcomes({ cents: "1" }, {}),
      await outcomes(undefined, {}),
      await outcomes(undefined, { status: 204 }),
      await outcomes({ cents: 1 }, { body: {} }),
    ],
    ["", "REQUEST_INVALID", "RESPONSE_INVALID", "", "RESPONSE_INVALID"],
  );
  assert.throws(
    () => defineDependency({ name: "shop", schemas: { request: 1 as never } }),
    /dependency 'shop'\.schemas\.request: expected a Standard Schema validator/,
  );
  assert.throws(
    () => defineDependency({ name: "shop", schemas: { answer: {} } as never }),
    /dependency 'shop'\.schemas: expected only the keys request, response/,
  );
});
