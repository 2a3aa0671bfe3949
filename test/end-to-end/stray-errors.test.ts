// Errors that nobody catches on a worker's main thread: those that a plugin or a configuration leaves behind become lines and end
// nothing; every other one ends the process.
import { strict as assert } from "node:assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { runCommand, startCommand } from "../support/holdfast-command.ts";
import { runtimeModule, startWorkerBench, type WorkerBench } from "../support/worker-bench.ts";

const { REDIS_URL: _redis, ...env } = process.env;

/** `left` is what the module leaves behind on the main thread, where its skills never run. */
const moduleThatLeaves = (left: string): string => `import { isMainThread } from "node:worker_threads";
import { definePlugin, defineSkill } from "${runtimeModule}";
if (isMainThread) {
${left}
}
export default definePlugin({ skills: [defineSkill({ name: "careless", handles: [{ eventType: "Tried" }], run() {} })] });
`;

function benchOf(t: TestContext, left: string): Promise<WorkerBench> {
  return startWorkerBench(t, {
    entities: { queues: [{ name: "input", deadLetterOnExpiry: true }] },
    skills: ["careless"],
    module: () => moduleThatLeaves(left),
  });
}

const left = `  void Promise.reject(new Error("at once"));
  setTimeout(() => { void Promise.reject({ code: 42 }); }, 50);
  setTimeout(() => { throw new TypeError("from a timer"); }, 100);
  setInterval(() => { void Promise.reject(new Error("again and again")); }, 1);`;

test("what a plugin's module rejects and throws on the main thread is a line each, with plugin, file and line, and the worker goes on", async (t) => {
  const bench = await benchOf(t, left);
  const worker = await bench.startWorker();
  const errors = (): readonly Readonly<Record<string, unknown>>[] => worker.events("plugin.error");
  await eventually("four lines", () => errors().length >= 4, 30_000);
  await bench.send("after-them");
  await eventually("a completion", () => bench.broker.inspect().queues["input"]?.totals.completed === 1, 30_000);
  worker.process.kill("SIGTERM");
  assert.equal((await worker.done).code, 0, worker.log());
  const rejected = (what: string): string => `plugin './plugin': a promise was rejected that nobody waits for: ${what}; await it, or catch what it may throw`;
  const expected: readonly (readonly [at: string, msg: string])[] = [
    ["index.ts", rejected('expected an Error to be thrown, got {"code":42} (index.ts)')],
    ["index.ts:4:23", rejected("at once (index.ts:4:23)")],
    [
      "index.ts:6:28",
      "plugin './plugin': an error was thrown outside of every promise: from a timer (index.ts:6:28); catch it where the timer or the event calls",
    ],
    ["index.ts:7:43", rejected("again and again (index.ts:7:43)")],
  ];
  const found = errors().map(({ level, source, at, msg }) => ({ level, source, at, msg }));
  const byPlace = (a: { readonly at: unknown }, b: { readonly at: unknown }): number => String(a.at).localeCompare(String(b.at));
  assert.deepEqual(
    found.toSorted(byPlace),
    expected.map(([at, msg]) => ({ level: "error", source: "plugin './plugin'", at, msg })),
  );
});

test("what a configuration leaves behind is told in its name, by every command, and ends none", async (t) => {
  const bench = await benchOf(t, "");
  const file = join(bench.folder, "holdfast.config.mjs");
  const settings = { sources: [{ queue: "input" }], serviceBus: { connectionString: bench.broker.connectionString }, plugins: ["./plugin"], threads: 1 };
  writeFileSync(
    file,
    `void Promise.reject(new Error("at once"));\nsetTimeout(() => { throw new Error("later"); });\nawait new Promise((done) => setTimeout(() => setImmediate(done)));\nexport default ${JSON.stringify(settings)};\n`,
  );
  for (const command of ["skills", "doctor"]) {
    const { code, stdout, stderr } = await runCommand([command, "--json", "-c", file], env);
    assert.equal(code, 0, stderr);
    assert.doesNotThrow(() => JSON.parse(stdout) as unknown);
    assert.match(stderr, /^configuration holdfast\.config\.mjs: a promise was rejected that nobody waits for: at once \(holdfast\.config\.mjs:1:21\)/m);
    assert.match(stderr, /^configuration holdfast\.config\.mjs: an error was thrown outside of every promise: later \(holdfast\.config\.mjs:2:26\)/m);
  }
});

// A file that is loaded before the worker, as an author's own tool might be, is no plugin.
for (const [what, code] of [
  ["a rejection", `setTimeout(() => { void Promise.reject(new Error("not a plugin's")); }, 500);`],
  ["an error of a timer", `setTimeout(() => { throw new Error("not a plugin's"); }, 500);`],
] as const) {
  test(`${what} of other code than a plugin's ends the worker, with its stack`, async (t) => {
    const bench = await benchOf(t, "");
    const preload = `data:text/javascript,${encodeURIComponent(code)}`;
    const config = join(bench.folder, "holdfast.config.json");
    writeFileSync(
      config,
      JSON.stringify({ sources: [{ queue: "input" }], serviceBus: { connectionString: bench.broker.connectionString }, plugins: ["./plugin"], threads: 1 }),
    );
    const worker = startCommand(["start", "-c", config], { ...env, NODE_OPTIONS: `--import ${preload}` });
    t.after(() => worker.process.kill("SIGKILL"));
    const { code: exitCode, stderr } = await worker.done;
    const last = JSON.parse(stderr.trim().split("\n").at(-1) ?? "") as {
      readonly level: string;
      readonly msg: string;
      readonly err: { readonly stack: string };
    };
    assert.deepEqual([exitCode, last.level, last.msg], [1, "fatal", "not a plugin's"], stderr);
    assert.match(last.err.stack, /^Error: not a plugin's\n {4}at /);
  });
}
