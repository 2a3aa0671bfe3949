// What a plugin's own code does in a thread: where it throws, what it prints, and what it does after its run.
import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { createThreadsExecutor } from "../../../runtime/adapters/threads/executor.ts";
import { defaultDecodeLimits } from "../../../runtime/core/read-route.ts";
import { retryLedgerBytes } from "../../../runtime/policy/retry-ledger.ts";
import type { RunOrder } from "../../../runtime/ports/executor.ts";
import type { Plugin } from "../../../runtime/index.ts";
import type { SkillLogLine } from "../../../runtime/skills/host/run-log.ts";
import { type ExecutorBundle, startExecutor } from "../../contracts/executor.ts";
import { envelope, json } from "../../support/event-messages.ts";
import { eventually } from "../../support/eventually.ts";

interface PluginBundle extends ExecutorBundle {
  readonly lines: SkillLogLine[];
}

/** Starts one thread for a plugin whose skills are these, by name: the body of each `run`. */
async function startPlugin(t: TestContext, bodies: Readonly<Record<string, string>>, head = "", tail = ""): Promise<PluginBundle> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-plugin-code-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const skills = Object.entries(bodies).map(
    ([name, body]) => `defineSkill({ name: "${name}", handles: [{ eventType: "test.${name}" }], run(context) {\n${body}\n} })`,
  );
  writeFileSync(
    join(folder, "index.mjs"),
    `import { definePlugin, defineResource, defineSkill } from "holdfast";\n${head}\nexport default definePlugin({ skills: [\n${skills.join(",\n")}\n] });\n${tail}`,
  );
  const entry = pathToFileURL(join(folder, "index.mjs")).href;
  const lines: SkillLogLine[] = [];
  const names = Object.keys(bodies).map((name) => ({ name, isolation: "shared" })) as unknown as Plugin["skills"];
  const executor = createThreadsExecutor({
    consumers: ["orders"],
    plugins: [{ name: "made", entry, folder, skills: names }],
    dependencies: [],
    dependencyConfig: new Map(),
    circuits: new SharedArrayBuffer(4),
    retries: new SharedArrayBuffer(retryLedgerBytes),
    limits: defaultDecodeLimits,
    threads: 1,
    log: (more) => lines.push(...more),
  });
  return { ...(await startExecutor(t, executor)), lines };
}

const eventOf = (eventId: string): Partial<RunOrder> => ({
  route: { eventId, eventType: envelope.eventType, version: envelope.version, form: "canonical", codec: "json" },
  body: json({ ...envelope, eventId }),
});

function line(bundle: PluginBundle, pattern: RegExp): Promise<SkillLogLine> {
  return eventually(`a line ${pattern}`, () => bundle.lines.find(({ message }) => pattern.test(message)), 10_000);
}

test("a failure says at which file and line of the plugin it was thrown, also behind a cause", async (t) => {
  const { post, answer } = await startPlugin(t, {
    sync: `throw new TypeError("here");`,
    later: `return context.step("load", {}, async () => {\nawait null;\nthrow new Error("outer", { cause: new Error("inner") });\n});`,
    text: `JSON.parse("{");`,
  });
  const failed = async (skill: string): Promise<unknown> => {
    const found = await answer(post(skill)[0] ?? 0);
    return found.kind === "failed" && [found.failure.message, found.failure.step, found.failure.at];
  };
  assert.deepEqual(await failed("sync"), ["here", undefined, "index.mjs:5:7"]);
  assert.deepEqual(await failed("later"), ["outer; caused by: inner", "load", "index.mjs:10:7"]);
  const text = await failed("text");
  assert.equal((text as unknown[])[2], "index.mjs:14:6");
});

test("where the plugin has a source map, a failure names the source", async (t) => {
  const map = { version: 3, sources: ["src/orders.ts"], names: [], mappings: `${";".repeat(4)}AASA` };
  const comment = `//# sourceMappingURL=data:application/json;base64,${Buffer.from(JSON.stringify(map)).toString("base64")}\n`;
  const { post, answer } = await startPlugin(t, { mapped: `throw new Error("here");` }, "", comment);
  const found = await answer(post("mapped")[0] ?? 0);
  assert.match((found.kind === "failed" && found.failure.at) || "", /^src\/orders\.ts:10:/);
});

test("what a skill prints becomes log lines with the ids of its run", async (t) => {
  const bundle = await startPlugin(
    t,
    {
      prints: `console.log("to the console", { a: 1 });
        process.stdout.write("straight out\\n");
        process.stdout.write(Buffer.from("as bytes"), () => console.error("the write was heard"));
        console.table([{ a: 1 }]);
        return new Promise((resolve) => setTimeout(() => { console.warn("later"); resolve(); }, 1));`,
    },
    `console.log("while it was imported");`,
  );
  const [runId] = bundle.post("prints", eventOf("evt-prints"));
  assert.equal((await bundle.answer(runId ?? 0)).kind, "completed");
  for (const [pattern, level] of [
    [/^to the console \{ a: 1 \}$/, "info"],
    [/^straight out$/, "info"],
    [/^as bytes$/, "info"],
    [/^the write was heard$/, "warn"],
    [/│ 0/, "info"],
    [/^later$/, "warn"],
  ] as const) {
    const found = await line(bundle, pattern);
    assert.deepEqual([found.level, found.skill, found.eventId], [level, "prints", "evt-prints"]);
  }
  assert.equal((await line(bundle, /^while it was imported$/)).skill, "");
});

test("a rejection that comes after its run has ended names that run, not those at work", async (t) => {
  const bundle = await startPlugin(t, {
    late: `globalThis.reject = Promise.withResolvers();
      void globalThis.reject.promise.then(() => { throw new Error("too late"); });`,
    trigger: `globalThis.reject.resolve();\nreturn new Promise(() => undefined);`,
  });
  const [late] = bundle.post("late", eventOf("evt-late"));
  assert.equal((await bundle.answer(late ?? 0)).kind, "completed");
  bundle.post("trigger", eventOf("evt-working"));
  const found = await line(bundle, /nobody waits for/);
  assert.match(found.message, /^a promise was rejected that nobody waits for: too late \(index\.mjs:6:\d+\), by 'late' \(event evt-late\), which had ended$/);
  assert.deepEqual([found.level, found.skill, found.eventId], ["error", "late", "evt-late"]);
});

test("an error thrown outside of every promise, after its run has ended, names that run as it ends the thread", async (t) => {
  const bundle = await startPlugin(t, {
    late: `globalThis.fail = Promise.withResolvers();
      void globalThis.fail.promise.then(() => setTimeout(() => { throw new Error("too late"); }, 0));`,
    working: `globalThis.fail.resolve();\nreturn new Promise(() => undefined);`,
  });
  const [late] = bundle.post("late", eventOf("evt-late"));
  assert.equal((await bundle.answer(late ?? 0)).kind, "completed");
  const [working] = bundle.post("working", eventOf("evt-working"));
  const lost = await bundle.answer(working ?? 0);
  assert.match(
    lost.kind === "thread-lost" ? lost.why : "",
    /^an error was thrown outside of every promise: too late \(index\.mjs:6:\d+\), by 'late' \(event evt-late\), which had ended$/,
  );
  const loss = await eventually("a loss", () => bundle.losses[0], 20_000);
  assert.match(loss.why, /it was at 'working' \(event evt-working\)/);
});

test("process.exit in a skill names its run and its line", async (t) => {
  const bundle = await startPlugin(t, { leaves: `process.exit(7);` });
  const lost = await bundle.answer(bundle.post("leaves", eventOf("evt-leaves"))[0] ?? 0);
  assert.match(
    lost.kind === "thread-lost" ? lost.why : "",
    /^it exited with code 7, as process\.exit was called \(index\.mjs:5:9\), by 'leaves' \(event evt-leaves\)$/,
  );
});

test("a rejection that a plugin's module leaves behind names plugin and place, at once and later, and its thread lives", async (t) => {
  const bundle = await startPlugin(
    t,
    { works: "" },
    `void Promise.reject(new Error("while it was imported"));\nsetTimeout(() => void Promise.reject({ code: 42 }), 20);`,
  );
  const [first, later] = [await line(bundle, /while it was imported/), await line(bundle, /"code":42/)];
  assert.match(
    first.message,
    /^a promise was rejected that nobody waits for: while it was imported \(index\.mjs:2:21\), by plugin 'made', outside of every run;/,
  );
  assert.match(later.message, /got \{"code":42\}, by plugin 'made', outside of every run;/);
  const [works] = bundle.post("works", eventOf("evt-works"));
  assert.equal((await bundle.answer(works ?? 0)).kind, "completed");
});

test("resources are closed when the threads are stopped, the last one first, and what does not close is logged and not waited for", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-resources-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const marks = join(folder, "marks");
  const bundle = await startPlugin(
    t,
    { user: "return context.use(first).then(() => context.use(second)).then(() => context.use(stuck));" },
    `import { appendFileSync } from "node:fs";
const mark = (text) => appendFileSync(${JSON.stringify(marks)}, text + " ");
const first = defineResource({ name: "first", open: () => mark("open-1"), close: async () => (await null, mark("close-1")) });
const second = defineResource({ name: "second", open: () => mark("open-2"), close: () => mark("close-2") });
const stuck = defineResource({ name: "stuck", open: () => 1, close: () => new Promise(() => setInterval(() => undefined, 1_000)), closeTimeoutMs: 50 });`,
  );
  const [run = 0, another = 0] = bundle.post("user", {}, {});
  assert.equal((await bundle.answer(run)).kind, "completed");
  assert.equal((await bundle.answer(another)).kind, "completed");
  await bundle.executor.stop();
  assert.equal(readFileSync(marks, "utf8"), "open-1 open-2 close-2 close-1 ");
});
