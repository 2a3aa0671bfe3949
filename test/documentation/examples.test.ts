// The code of README and guide: it has the types that it claims, and does what the text beside it says.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Config, parseConfig } from "#runtime/core/config.ts";
import { type HttpDependency, type HttpRequest, type HttpResponse, type Skill, defineDependency } from "#runtime/index.ts";
import { encodeIntent } from "#runtime/skills/host/step-codec.ts";
import { type HostBundle, makeHost } from "../skills/host.ts";
import { type Fault, type HttpAnswer, fault, stub, testSkill } from "#runtime/testing/index.ts";
import { envelope, json } from "../support/event-messages.ts";
import { root } from "../support/markdown.ts";
import { exampleFile, exampleFolder, importExample } from "../support/readme-examples.ts";

const answered = (body: unknown): HttpResponse => ({ status: 200, headers: {}, body });

test("every example in TypeScript has the types that it claims, under the project's own compiler settings", () => {
  const config = {
    extends: join(root, "tsconfig.json"),
    compilerOptions: {
      paths: {
        holdfast: [join(root, "runtime/index.ts")],
        "holdfast/broker": [join(root, "load/broker/index.ts")],
        "holdfast/testing": [join(root, "runtime/testing/index.ts")],
        "holdfast/postgres": [join(root, "runtime/postgres/index.ts")],
      },
      typeRoots: [join(root, "node_modules/@types")],
      isolatedDeclarations: false,
      declaration: false,
    },
    include: ["examples", "guide"],
    exclude: [],
  };
  writeFileSync(join(exampleFolder, "tsconfig.json"), JSON.stringify(config));
  const { status, stdout, stderr } = spawnSync(join(root, "node_modules/.bin/tsc"), ["-p", exampleFolder], { encoding: "utf8" });
  assert.equal(status, 0, `${stdout}${stderr}`);
});

test("each configuration is one that the worker accepts", async () => {
  const parsed = async (words: string): Promise<Config> => parseConfig((await importExample<{ default: unknown }>(words)).default, "README.md");
  assert.deepEqual((await parsed("pluginRoots:")).publish?.entity, "agent-events");
  assert.equal((await parsed("deliveriesMax: 19")).skills.get("greeter")?.retry?.lossesMax, 3);
});

test("the chain of steps hands each step what those before it returned", async () => {
  const { welcomer } = await importExample<{ welcomer: Skill<{ customerId: string }> }>("export const welcomer");
  const answers = new Map<string, HttpAnswer>([["customers", { body: { name: "Ada", email: "ada@example.com" } }]]);
  const dependencies = welcomer.uses.map((dependency) => stub(dependency as unknown as HttpDependency, answers.get(dependency.name) ?? {}));
  const { calls, steps, emitted } = await testSkill(welcomer, { event: { payload: { customerId: "7" } }, dependencies });
  assert.deepEqual(
    steps.map(({ name }) => name),
    ["find", "greet"],
  );
  assert.deepEqual(
    calls.map(({ request }) => (request as HttpRequest).path),
    ["/customers/7", "/messages"],
  );
  assert.deepEqual(
    emitted.map(({ eventType, payload }) => [eventType, payload]),
    [["CustomerGreeted", { email: "ada@example.com" }]],
  );
});

/** The skill as it is, and every call that it makes, on dependencies that answer here. */
async function hosted(
  t: TestContext,
  skill: Skill,
  answer: (method: string) => HttpResponse,
): Promise<{ readonly asked: string[]; readonly host: HostBundle }> {
  const asked: string[] = [];
  const uses = skill.uses.map(({ name }) =>
    defineDependency({
      name,
      retry: { attemptsMax: 1 },
      request: async ({ method }: { readonly method: string }) => {
        asked.push(method);
        return answer(method);
      },
    }),
  );
  return { asked, host: await makeHost(t, [{ ...skill, uses }]) };
}

test("the answer goes to whom the message names, priced by its properties", async () => {
  const { quoter } = await importExample<{ quoter: Skill }>("export const quoter");
  const message = { replyTo: "answers", replyToSessionId: "mine", properties: { region: "north" } };
  const { emitted } = await testSkill(quoter, { event: { payload: { sku: "a" } }, message });
  assert.deepEqual(
    emitted.map(({ entity, sessionId, eventType, payload }) => ({ entity, sessionId, eventType, payload })),
    [{ entity: "answers", sessionId: "mine", eventType: "PriceTold", payload: { sku: "a", price: 12 } }],
  );
});

test("the step that can be queried is carried out at once the first time, and looks first when it is in doubt", async (t) => {
  const { booker } = await importExample<{ booker: Skill }>("export const booker");
  const body = json({ ...envelope, payload: { orderId: "o-1", amount: 5 } });
  const order = {
    body,
    route: { eventId: envelope.eventId, eventType: envelope.eventType, version: envelope.version, form: "canonical", codec: "json" },
  } as const;
  let bookings: readonly { readonly id: string }[] = [];
  const { asked, host } = await hosted(t, booker, (method) => answered(method === "GET" ? { bookings } : { id: "b-1" }));
  assert.equal((await host.run(order)).answer.kind, "completed");
  assert.deepEqual(asked.splice(0), ["POST"]);
  const inDoubt = { ...order, steps: [encodeIntent("book", "queryable")] };
  assert.equal((await host.run(inDoubt)).answer.kind, "completed");
  assert.deepEqual(asked.splice(0), ["GET", "POST"]);
  bookings = [{ id: "b-1" }];
  assert.equal((await host.run(inDoubt)).answer.kind, "completed");
  assert.deepEqual(asked.splice(0), ["GET"]);
});

test("the fallback answers for a failure without effect, and not when the effect may have happened", async () => {
  const { converter } = await importExample<{ converter: Skill<{ amount: number }> }>("export const converter");
  assert.equal(converter.isolation, "dedicated");
  const priced = async (answer: HttpAnswer | Fault): Promise<readonly [string, unknown]> => {
    const dependencies = converter.uses.map((dependency) => stub(dependency as unknown as HttpDependency, answer));
    const { outcome, emitted } = await testSkill(converter, { event: { payload: { amount: 100 } }, dependencies });
    return [outcome, emitted[0]?.payload];
  };
  assert.deepEqual(await priced({ body: { rate: 2 } }), ["completed", { amount: 200, isOfToday: true }]);
  assert.deepEqual(await priced({ status: 422 }), ["completed", { amount: 108, isOfToday: false }]);
  assert.deepEqual(await priced(fault.silent()), ["dead-lettered", undefined]);
});

for (const [what, words, count] of [
  ["the test of the first skill passes", "testSkill.everyWay(greeter", 3],
  ["the test with a whole worker passes", "testWorker({", 1],
] as const) {
  test(what, async () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    // Where the package is installed, Node finds it by its name.
    const hook = `data:text/javascript,import { knowOwnName } from ${JSON.stringify(import.meta.resolve("#runtime/skills/host/own-name.ts"))}; knowOwnName();`;
    const { status, stdout } = spawnSync(process.execPath, ["--import", hook, "--test", "--test-reporter=spec", exampleFile(words)], { encoding: "utf8", env });
    assert.equal(status, 0, stdout);
    assert.match(stdout, new RegExp(`^ℹ pass ${count}$`, "m"));
  });
}
