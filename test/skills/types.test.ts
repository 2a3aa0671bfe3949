// What must hold at compile time: tsc fails on this file when types stop flowing from schemas and steps to their readers.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { z } from "zod";
import { type Dependency, type HttpResponse, defineDependency, definePlugin, defineResource, defineSettings, defineSkill } from "../../runtime/index.ts";
import { byCall, fault, inTurn, late, provide, stub, testSkill } from "../../runtime/testing/index.ts";

/** Compiles only when both types are the same. */
type Same<One, Other> = [One, 0 extends 1 & One ? "any" : "typed"] extends [Other, "typed"] ? ([Other] extends [One] ? true : false) : false;
function expectSame<One, Other>(_proof: Same<One, Other>): void {}

const order = z.object({ orderId: z.string(), total: z.coerce.number() });
const ledger = defineDependency({ name: "ledger", request: async (request: { readonly entry: string }) => ({ balance: request.entry.length }) });
const web = defineDependency({ name: "web", baseUrl: "http://127.0.0.1:1" });

test("the payload's type flows from a Standard Schema into run", () => {
  const skill = defineSkill({
    name: "bill",
    handles: [{ eventType: "OrderPlaced", versions: ["1.x", "2.3"] }],
    payload: order,
    uses: [ledger, web],
    async run(context) {
      expectSame<typeof context.event.payload, { orderId: string; total: number }>(true);
      const booked = await context.call(ledger, { entry: context.event.payload.orderId });
      expectSame<typeof booked, { balance: number }>(true);
      const response = await context.call(web, { method: "GET", path: "/" });
      expectSame<typeof response, HttpResponse>(true);
      // @ts-expect-error the request must be the dependency's
      void (() => context.call(ledger, { method: "GET", path: "/" }));
    },
  });
  assert.deepEqual(
    skill.uses.map((dependency: Dependency) => dependency.name),
    ["ledger", "web"],
  );
  assert.equal(definePlugin({ skills: [skill], dependencies: [ledger, web] }).skills[0], skill);
});

test("a JSON Schema gives unknown, or the type the author names", () => {
  defineSkill({
    name: "untyped",
    handles: [{ eventType: "OrderPlaced" }],
    payload: { type: "object" },
    run: (context) => expectSame<typeof context.event.payload, unknown>(true),
  });
  defineSkill<{ orderId: string }>({
    name: "typed",
    handles: [{ eventType: "OrderPlaced" }],
    payload: { type: "object" },
    run: (context) => expectSame<typeof context.event.payload, { orderId: string }>(true),
  });
  assert.throws(
    // @ts-expect-error a version is '1.x' or '1.2'
    () => defineSkill({ name: "x", handles: [{ eventType: "OrderPlaced", versions: "^1" }], run: () => {} }),
    /expected a version such as '1.x' \(any minor\) or '1.2' \(exactly\), got "\^1"/,
  );
});

test("a step's type reaches its caller", () => {
  defineSkill({
    name: "stepped",
    handles: [{ eventType: "OrderPlaced" }],
    payload: order,
    async run(context) {
      const drafted = await context.step("draft", {}, async (step) => {
        expectSame<typeof step.event.payload.total, number>(true);
        return { text: step.idempotencyKey };
      });
      expectSame<typeof drafted, { text: string }>(true);
      const short = await context.step("short", (step) => step.event.payload.total);
      expectSame<typeof short, number>(true);
      const found = await context.step("find", { kind: "queryable", query: () => undefined }, () => 7);
      expectSame<typeof found, number>(true);
      // @ts-expect-error only a queryable step has a query
      void (() => context.step("wrong", { kind: "keyed", query: () => 1 }, () => 1));
    },
  });
});

test("a chain hands each step the results of those before it", () => {
  const skill = defineSkill({
    name: "chained",
    handles: [{ eventType: "OrderPlaced" }],
    payload: order,
    steps: (begin) =>
      begin
        .step("outline", { kind: "idempotent" }, (step) => [step.event.payload.orderId])
        .step("draft", async (step, results) => {
          expectSame<typeof results.outline, string[]>(true);
          expectSame<typeof step.event.payload.total, number>(true);
          return results.outline.length;
        })
        .step("send", { kind: "atMostOnce" }, (_step, results) => {
          expectSame<typeof results.draft, number>(true);
          // @ts-expect-error no such step before this one
          void results.send;
        }),
  });
  assert.deepEqual(
    skill.steps.map(({ name, kind }) => `${name} ${kind}`),
    ["outline idempotent", "draft keyed", "send atMostOnce"],
  );
  assert.throws(
    () =>
      defineSkill({
        name: "twice",
        handles: [{ eventType: "OrderPlaced" }],
        // @ts-expect-error each name once
        steps: (begin) => begin.step("one", {}, () => 1).step("one", {}, () => 2),
      }),
    /skill 'twice': expected each step name once, got "one"/,
  );
});

test("what is asked is what the request's schema takes, and a request function is given what it makes of it", () => {
  const request = z.object({ cents: z.number(), currency: z.string().default("EUR") });
  const bank = defineDependency({ name: "bank", schemas: { request }, request: async ({ currency }) => currency.length });
  const shop = defineDependency({ name: "shop", baseUrl: "http://127.0.0.1:1", schemas: { request } });
  defineSkill({
    name: "payer",
    handles: [{ eventType: "BillDue" }],
    uses: [bank, shop],
    async run(context) {
      const paid = await context.call(bank, { cents: 3 });
      expectSame<typeof paid, number>(true);
      await context.call(shop, { method: "POST", path: "/", body: { cents: 3 } });
      // @ts-expect-error cents are needed
      void (() => context.call(bank, {}));
    },
  });
  assert.deepEqual([bank.name, shop.name], ["bank", "shop"]);
});

test("requests and answers of a dependency have the types of its schemas, bodies of one over HTTP", () => {
  const receipt = z.object({ receipt: z.string() });
  const bank = defineDependency({
    name: "bank",
    schemas: { request: z.object({ cents: z.number() }), response: receipt },
    request: async () => ({ receipt: "r" }),
  });
  const shop = defineDependency({ name: "shop", baseUrl: "http://127.0.0.1:1", schemas: { request: z.object({ sku: z.string() }), response: receipt } });
  defineSkill({
    name: "payer",
    handles: [{ eventType: "BillDue" }],
    uses: [bank, shop],
    async run(context) {
      const paid = await context.call(bank, { cents: 3 });
      expectSame<typeof paid, { receipt: string }>(true);
      const bought = await context.step("buy", (step) => step.call(shop, { method: "POST", path: "/", body: { sku: "a" } }));
      expectSame<typeof bought.body, { receipt: string }>(true);
      // @ts-expect-error cents are a number
      void (() => context.call(bank, { cents: "3" }));
      // @ts-expect-error the body has a sku
      void (() => context.call(shop, { method: "POST", path: "/", body: { cents: 3 } }));
    },
  });
  stub(bank, { receipt: "r" });
  stub(shop, { body: { receipt: "r" } });
  // @ts-expect-error a receipt is a text
  stub(bank, { receipt: 7 });
  // @ts-expect-error a receipt is a text
  stub(shop, { body: { receipt: 7 } });
});

test("a stub answers what the schema of answers takes, in every form, and the skill is given what it makes of it", async () => {
  const receipt = z.object({ receipt: z.string(), state: z.string().default("paid"), cents: z.string().transform(Number) });
  const request = z.object({ cents: z.number() });
  const bank = defineDependency({ name: "bank", schemas: { request, response: receipt }, request: async () => ({ receipt: "r", cents: "3" }) });
  const shop = defineDependency({ name: "shop", baseUrl: "http://127.0.0.1:1", schemas: { request, response: receipt } });
  const payer = defineSkill({
    name: "payer",
    handles: [{ eventType: "BillDue" }],
    uses: [bank, shop],
    async run(context) {
      const paid = await context.step("pay", (step) => step.call(bank, { cents: 3 }));
      expectSame<typeof paid, { receipt: string; state: string; cents: number }>(true);
      await context.step("buy", async (step) => (await step.call(shop, { method: "POST", path: "/", body: paid })).body);
    },
  });
  const answer = { receipt: "r", cents: "3" };
  const dependencies = [
    stub(bank, inTurn(fault.status(503), answer)),
    stub(
      shop,
      late(5, ({ request: { body } }) => ({ body: { ...answer, receipt: body?.cents.toFixed() ?? "" } })),
    ),
  ];
  const { outcome, steps } = await testSkill(payer, { dependencies });
  assert.equal(outcome, "completed");
  assert.deepEqual(
    steps.map(({ result }) => result),
    [
      { receipt: "r", state: "paid", cents: 3 },
      { receipt: "3", state: "paid", cents: 3 },
    ],
  );
  // Failures alone are answers of every dependency.
  stub(bank, inTurn(fault.status(503), fault.reset()));
  stub(shop, inTurn(late(5, fault.silent())));
  stub(shop, byCall([{ step: "buy", answer: fault.status(503) }]));
  // @ts-expect-error cents come as a text
  stub(bank, { receipt: "r", cents: 3 });
  // @ts-expect-error a receipt is a text
  stub(bank, inTurn(answer, { ...answer, receipt: 7 }));
  // @ts-expect-error a receipt is a text
  stub(bank, late(5, { ...answer, receipt: 7 }));
  // @ts-expect-error cents of a request are a number
  stub(bank, (call) => ({ ...answer, receipt: call.request.cents }));
  // @ts-expect-error a receipt is a text
  stub(shop, inTurn(fault.reset(), { body: { ...answer, receipt: 7 } }));
  // @ts-expect-error a receipt is a text
  stub(shop, () => ({ body: { ...answer, receipt: 7 } }));
  // One that is declared with less knows what it gives.
  const declared: Dependency<{ readonly cents: number }, { readonly receipt: string }> = defineDependency({
    name: "declared",
    request: async (_request: { readonly cents: number }) => ({ receipt: "r" }),
  });
  stub(declared, { receipt: "r" });
  // @ts-expect-error a receipt is a text
  stub(declared, { receipt: 7 });
});

test("settings and resources reach skills, steps, request functions and each other with their types", () => {
  const shop = defineSettings({ schema: z.object({ currency: z.string(), max: z.coerce.number() }) });
  const pool = defineResource({ name: "pool", open: ({ settings }) => ({ max: settings(shop).max }) });
  defineDependency({
    name: "asker",
    request: async (_request: string, { settings, use }) => {
      expectSame<ReturnType<typeof use<{ max: number }>>, Promise<{ max: number }>>(true);
      return [settings(shop).currency, await use(pool)] as const;
    },
  });
  defineSkill({
    name: "reader",
    handles: [{ eventType: "Read" }],
    warmUp: async ({ use }) => (await use(pool)).max,
    async run(context) {
      const said = context.settings(shop);
      expectSame<typeof said, { currency: string; max: number }>(true);
      const made = await context.step("read", (step) => step.use(pool));
      expectSame<typeof made, { max: number }>(true);
      // @ts-expect-error there is no such setting
      void said.colour;
    },
  });
  provide(pool, { max: 3 });
  // @ts-expect-error what stands in is what the resource would make
  provide(pool, { max: "3" });
});
