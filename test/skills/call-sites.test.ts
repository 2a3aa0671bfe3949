// A failure that an author's mistake makes names the line of the call, also where its own stack no longer leads there.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { setSourceMapsSupport } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { type Skill, type SkillContext, type SkillMessage, defineDependency, defineSkill } from "../../runtime/index.ts";
import type { FailureRecord } from "../../runtime/core/outcome.ts";
import { CallSites, callSitesMax } from "../../runtime/skills/host/call-sites.ts";
import { envelope } from "../support/event-messages.ts";
import { makeHost } from "./host.ts";

const handles = [{ eventType: envelope.eventType }];
const never = (): Promise<never> => new Promise(() => undefined);
const folder = import.meta.dirname;

async function failureOf(t: TestContext, skill: Skill, of = folder): Promise<FailureRecord> {
  const bundle = await makeHost(t, [skill], undefined, undefined, undefined, undefined, undefined, of);
  bundle.message = { ...bundle.message, messageId: "m", properties: {} } as SkillMessage;
  // The run's time is not over before its skill has said what it had to.
  bundle.stillAtMs = performance.now();
  const { answered } = bundle.begin({ timeoutMs: 50 });
  await new Promise(setImmediate);
  bundle.skewMs += 50;
  const { answer } = await answered;
  if (answer.kind === "failed" || answer.kind === "timed-out") return answer.failure;
  return assert.fail(`expected a failure, found ${answer.kind}`);
}

/** The line that this was called from. */
function here(): number {
  return Number(/call-sites\.test\.ts:(\d+)/.exec(new Error().stack?.split("\n")[2] ?? "")?.[1]);
}

const unnamed = defineDependency({ name: "unnamed", request: async () => 1 });
const ask = defineDependency({ name: "ask", request: async () => 1 });

/** Each says its own line before the call that is wrong. */
const mistakes: readonly (readonly [code: string, run: (context: SkillContext, line: (line: number) => void) => unknown])[] = [
  ["STEP_NOT_AWAITED", (context, line) => (line(here()), void context.step("a", never))],
  ["RUN_TIMEOUT", (context, line) => (line(here()), context.step("a", never))],
  ["STEP_OVERLAP", (context, line) => Promise.all([context.step("a", never), (line(here()), context.step("b", never))])],
  ["STEP_REPEATED", async (context, line) => (await context.step("a", () => 1), line(here()), await context.step("a", () => 1))],
  ["STEP_INVALID", (context, line) => (line(here()), context.step("a b", () => 1))],
  ["STEP_RESULT", (context, line) => (line(here()), context.step("a", async () => () => 1))],
  ["STEP_RESULT", async (context, line) => (line(here()), await context.step("a", () => "x".repeat(300_000)))],
  ["CALL_INVALID", (context, line) => (line(here()), context.call(unnamed, 1))],
  ["CALL_INVALID", async (context, line) => (await context.step("a", { kind: "idempotent" }, () => 1), line(here()), await context.call(unnamed, 1))],
  ["EMIT_INVALID", (context, line) => (line(here()), context.emit("T", { n: 1n }))],
  ["REPLY_NOT_AWAITED", (context, line) => (line(here()), void context.reply({}))],
  ["REPLY_UNADDRESSED", (context, line) => (line(here()), context.reply({}))],
  ["FLAG_UNKNOWN", (context, line) => (line(here()), context.isOn("none"))],
  ["RESOURCE_INVALID", (context, line) => (line(here()), context.use({} as never))],
];

for (const [index, [code, run]] of mistakes.entries()) {
  test(`${index + 1}: ${code} names the line of the call`, async (t) => {
    let line = 0;
    const skill = defineSkill({ name: "test", handles, uses: [ask], run: (context) => run(context, (at) => (line = at)) });
    const failure = await failureOf(t, skill);
    assert.equal(failure.code, code);
    assert.match(failure.at ?? "no place", new RegExp(`^call-sites\\.test\\.ts:${line}:\\d+$`));
  });
}

test("a step of a chain is where the chain was given it", async (t) => {
  let line = 0;
  const skill = defineSkill({
    name: "test",
    handles,
    steps: (begin) => ((line = here()), begin.step("a", () => never())),
  });
  assert.match((await failureOf(t, skill)).at ?? "no place", new RegExp(`^call-sites\\.test\\.ts:${line}:\\d+$`));
});

test("the place is that of the source, where there is a map", async (t) => {
  const made = mkdtempSync(join(tmpdir(), "holdfast-map-"));
  t.after(() => rmSync(made, { recursive: true }));
  const map = { version: 3, sources: ["src/greet.ts"], names: [], mappings: "AASA" };
  const inline = `//# sourceMappingURL=data:application/json;base64,${Buffer.from(JSON.stringify(map)).toString("base64")}`;
  writeFileSync(join(made, "greet.mjs"), `export const run = (context) => { void context.step("a", () => new Promise(() => {})); };\n${inline}\n`);
  setSourceMapsSupport(true);
  t.after(() => setSourceMapsSupport(false));
  const { run } = (await import(pathToFileURL(join(made, "greet.mjs")).href)) as { run: (context: SkillContext) => void };
  assert.match((await failureOf(t, defineSkill({ name: "test", handles, run }), made)).at ?? "no place", /^src\/greet\.ts:10:\d+$/);
});

test("of names that are made of data the first ones are kept", () => {
  const sites = new CallSites([]);
  for (let number = 0; number <= callSitesMax; number++) sites.note(`step-${number}`);
  const placeOf = (step: string): string | undefined => sites.complete({ code: "X", message: "", step }, folder).at;
  assert.match(placeOf(`step-${callSitesMax - 1}`) ?? "", /^call-sites\.test\.ts:\d+:\d+$/);
  assert.equal(placeOf(`step-${callSitesMax}`), undefined);
});
