// README's code: it has the types that it claims, and does what the text beside it says.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Config, parseConfig } from "#runtime/core/config.ts";
import { type HttpResponse, type Plugin, PermanentError, type Skill, TransientError, defineDependency } from "#runtime/index.ts";
import { encodeIntent } from "#runtime/skills/host/step-codec.ts";
import { type HostBundle, makeHost } from "../skills/host.ts";
import { envelope, json } from "../support/event-messages.ts";
import { root } from "../support/markdown.ts";
import { exampleFile, exampleFolder, importExample } from "../support/readme-examples.ts";
import { runSkill } from "../support/skill-harness.ts";

const answered = (body: unknown): HttpResponse => ({ status: 200, headers: {}, body });

test("every example in TypeScript has the types that it claims, under the project's own compiler settings", () => {
  const config = {
    extends: join(root, "tsconfig.json"),
    compilerOptions: {
      paths: { holdfast: [join(root, "runtime/index.ts")], "holdfast/testing": [join(root, "runtime/testing/index.ts")] },
      typeRoots: [join(root, "node_modules/@types")],
      isolatedDeclarations: false,
      declaration: false,
    },
    include: ["examples"],
    exclude: [],
  };
  writeFileSync(join(exampleFolder, "tsconfig.json"), JSON.stringify(config));
  const { status, stdout, stderr } = spawnSync(join(root, "node_modules/.bin/tsc"), ["-p", exampleFolder], { encoding: "utf8" });
  assert.equal(status, 0, `${stdout}${stderr}`);
});

test("the first skill writes, sends under a key, and emits; a run that is resumed sends nothing again", async () => {
  const { default: plugin } = await importExample<{ default: Plugin }>("export default definePlugin(");
  const [greeter] = plugin.skills as readonly Skill<unknown>[];
  assert.ok(greeter !== undefined);
  const payload = { name: "Ada", email: "ada@example.com" };
  const answers = { mailer: () => answered({}) };
  const first = await runSkill(greeter, payload, { answers });
  assert.deepEqual([first.ran, first.calls.map(({ request }) => request.body)], [["write", "send"], [{ to: payload.email, text: "Welcome, Ada!" }]]);
  assert.deepEqual(first.emitted, [{ eventType: "CustomerGreeted", payload: { email: payload.email, status: 200 } }]);
  const resumed = await runSkill(greeter, payload, { stored: first.stored });
  assert.deepEqual([resumed.ran, resumed.calls, resumed.emitted], [[], [], first.emitted]);
});

test("each configuration is one that the worker accepts", async () => {
  const parsed = async (words: string): Promise<Config> => parseConfig((await importExample<{ default: unknown }>(words)).default, "README.md");
  assert.deepEqual((await parsed("pluginRoots:")).publish?.entity, "agent-events");
  assert.equal((await parsed("deliveriesMax: 19")).skills.get("greeter")?.retry?.lossesMax, 3);
});

test("the chain of steps hands each step what those before it returned", async () => {
  const { welcomer } = await importExample<{ welcomer: Skill<{ customerId: string }> }>("export const welcomer");
  const { calls, ran, emitted } = await runSkill(
    welcomer,
    { customerId: "7" },
    { answers: { customers: () => answered({ name: "Ada", email: "ada@example.com" }), mailer: () => answered({}) } },
  );
  assert.deepEqual(ran, ["find", "greet"]);
  assert.deepEqual(
    calls.map(({ request }) => request.path),
    ["/customers/7", "/messages"],
  );
  assert.deepEqual(emitted, [{ eventType: "CustomerGreeted", payload: { email: "ada@example.com" } }]);
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
  const runWith = (answer: () => unknown): ReturnType<typeof runSkill> => runSkill(converter, { amount: 100 }, { answers: { rates: answer } });
  const priced = async (answer: () => unknown): Promise<unknown> => (await runWith(answer)).emitted[0]?.payload;
  assert.deepEqual(await priced(() => answered({ rate: 2 })), { amount: 200, isOfToday: true });
  const refused = new PermanentError("rates: no", { dependency: "rates" });
  assert.deepEqual(
    await priced(() => {
      throw refused;
    }),
    { amount: 108, isOfToday: false },
  );
  const unknown = new TransientError("rates: no answer in time", { dependency: "rates", definite: false });
  await assert.rejects(
    runWith(() => {
      throw unknown;
    }),
    unknown,
  );
});

test("the test of the first skill passes", async () => {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const example = exampleFile("testSkill.everyWay(greeter");
  // Where the package is installed, Node finds it by its name.
  const hook = `data:text/javascript,import { knowOwnName } from ${JSON.stringify(import.meta.resolve("#runtime/skills/host/own-name.ts"))}; knowOwnName();`;
  const { status, stdout } = spawnSync(process.execPath, ["--import", hook, "--test", "--test-reporter=spec", example], { encoding: "utf8", env });
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^ℹ pass 3$/m);
});
