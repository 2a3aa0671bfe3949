// Resources that stand from the start of a thread, and what becomes of them at its end.
import { strict as assert } from "node:assert";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type TestContext, test } from "node:test";
import type { Worker } from "node:worker_threads";
import { type ThreadsExecutor, createThreadsExecutor } from "#runtime/adapters/threads/executor.ts";
import type { ThreadsExecutorOptions } from "#runtime/adapters/threads/thread-options.ts";
import { defaultDecodeLimits } from "#runtime/core/read-route.ts";
import type { Plugin } from "#runtime/index.ts";
import { retryLedgerBytes } from "#runtime/policy/retry-ledger.ts";
import { deafListener } from "#runtime/ports/executor.ts";
import { eventually } from "../../support/eventually.ts";

interface Made {
  readonly executor: ThreadsExecutor;
  /** Lines that the plugin has written. */
  readonly said: () => readonly string[];
  readonly logged: string[];
  readonly folder: string;
}

/** An executor whose plugin has these resources, declared as text. */
function make(t: TestContext, resources: string, options: Partial<ThreadsExecutorOptions> = {}): Made {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-resources-"));
  const lines = join(folder, "lines");
  writeFileSync(
    join(folder, "index.mjs"),
    `import { appendFileSync, existsSync } from "node:fs";
import { definePlugin, defineResource, defineSkill } from "holdfast";
const say = (line) => appendFileSync(${JSON.stringify(lines)}, line + "\\n");
const there = () => existsSync(${JSON.stringify(join(folder, "there"))});
const resources = ${resources};
export default definePlugin({ resources, skills: [defineSkill({ name: "noop", handles: [{ eventType: "Any" }], warmUp: () => say("warm"), run: () => undefined })] });`,
  );
  const logged: string[] = [];
  const executor = createThreadsExecutor({
    consumers: ["orders"],
    plugins: [
      {
        name: "made",
        entry: pathToFileURL(join(folder, "index.mjs")).href,
        folder,
        skills: [{ name: "noop", isolation: "shared" }] as unknown as Plugin["skills"],
      },
    ],
    dependencies: [],
    dependencyConfig: new Map(),
    circuits: new SharedArrayBuffer(4),
    retries: new SharedArrayBuffer(retryLedgerBytes),
    limits: defaultDecodeLimits,
    threads: 1,
    endWithinMs: 5_000,
    log: (all) => logged.push(...all.map(({ message }) => message)),
    ...options,
  });
  t.after(async () => {
    await executor.stop();
    rmSync(folder, { recursive: true });
  });
  return { executor, said: () => (existsSync(lines) ? readFileSync(lines, "utf8").trim().split("\n") : []), logged, folder };
}

test("those for the start are open before a thread is ready, tried until they can be had, and closed in reverse of when they stood", async (t) => {
  const { executor, said, folder } = make(
    t,
    `(() => {
  const base = defineResource({ name: "base", open: () => (say("open base"), 1), close: () => say("close base") });
  const top = defineResource({ name: "top", openAt: "start", close: () => say("close top"), async open({ use }) {
    if (!there()) { say("not yet"); throw new Error("not there yet"); }
    await Promise.resolve();
    await use(base);
    say("open top");
  } });
  return [top, base];
})()`,
  );
  const started = executor.start(deafListener);
  await eventually("a first try", () => said().includes("not yet"));
  assert.equal(executor.isReady(), false);
  writeFileSync(join(folder, "there"), "");
  await started;
  assert.deepEqual(
    said().filter((line) => line !== "not yet"),
    ["open base", "open top", "warm"],
  );
  await executor.stop();
  assert.deepEqual(said().slice(-2), ["close top", "close base"]);
});

test("one for the start that cannot be had keeps the thread from starting, with what to do, and leaves nothing open", async (t) => {
  const { executor, said } = make(
    t,
    `[
  defineResource({ name: "sound", openAt: "start", open: () => say("open sound"), close: () => say("close sound") }),
  defineResource({ name: "base", openAt: "start", openTimeoutMs: 600, open() { say("try"); throw new Error("no database"); } }),
]`,
  );
  await assert.rejects(
    executor.start(deafListener),
    /resource 'base': expected it to open, found: no database; it is opened at the start, and was tried until its openTimeoutMs was over: see that what it opens can be reached/,
  );
  assert.deepEqual(said(), ["open sound", "try", "try", "close sound"]);
});

test("those that are not closed in the time that all of a thread have are named in the log", async (t) => {
  const { executor, logged } = make(
    t,
    `["one", "two", "quick"].map((name) => defineResource({ name, openAt: "start", open: () => 1, close: () => name === "quick" || new Promise(() => {}), closeTimeoutMs: 60_000 }))`,
    { endWithinMs: 200 },
  );
  await executor.start(deafListener);
  await executor.stop();
  assert.deepEqual(logged, [
    "expected a thread to close its resources within the 200 ms that all of them have (stuckThreads.endWithinMs), found open: 'one', 'two'; what they hold ends with the thread",
  ]);
});

test("while threads close their resources, none is started for one that is missing", async (t) => {
  const { executor, folder } = make(
    t,
    `(() => {
  if (there()) throw new Error("it cannot start any more");
  return [defineResource({ name: "held", openAt: "start", open: () => 1, close: () => new Promise(() => {}), closeTimeoutMs: 60_000 })];
})()`,
    { threads: 2, rebuildDelayMs: 1_000 },
  );
  const workers: Worker[] = [];
  const hear = (worker: Worker): void => void workers.push(worker);
  process.on("worker", hear);
  t.after(() => process.off("worker", hear));
  const losses: boolean[] = [];
  await executor.start({ ...deafListener, threadLost: (_why, replaced) => losses.push(replaced) });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  writeFileSync(join(folder, "there"), "");
  await workers[0]?.terminate();
  await eventually("its loss to be told", () => losses.length > 0);
  assert.deepEqual(losses, [false]);
  const made = workers.length;
  const stopped = executor.stop();
  t.mock.timers.tick(5_000);
  await stopped;
  assert.equal(workers.length, made);
});
