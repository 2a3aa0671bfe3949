import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import * as fc from "fast-check";
import { shareMemory } from "../../../runtime/adapters/system/memory.ts";
import { createThreadsExecutor, movesMax } from "../../../runtime/adapters/threads/executor.ts";
import type { ThreadsExecutorOptions } from "../../../runtime/adapters/threads/thread-options.ts";
import { defaultDecodeLimits } from "../../../runtime/core/read-route.ts";
import { RetryLedger, retryLedgerBytes } from "../../../runtime/policy/retry-ledger.ts";
import { deafListener, type Executor } from "../../../runtime/ports/executor.ts";
import type { SkillLogLine } from "../../../runtime/skills/host/run-log.ts";
import { type SlowStart, slowStartMs } from "../../../runtime/skills/host/start-times.ts";
import { type ExecutorBundle, executorContract, startExecutor } from "../../contracts/executor.ts";
import { eventually, within } from "../../support/eventually.ts";
import fixture from "../../support/thread-plugin.ts";

const folder = resolve(import.meta.dirname, "../../support");
const entry = pathToFileURL(join(folder, "thread-plugin.ts")).href;
const sharedSkills = fixture.skills.filter(({ isolation }) => isolation === "shared");

function make(options: Partial<ThreadsExecutorOptions> = {}): Executor {
  return createThreadsExecutor({
    consumers: ["orders"],
    plugins: [{ name: "fixture", entry, folder, skills: sharedSkills }],
    dependencies: ["local", "limited"],
    dependencyConfig: new Map(),
    circuits: new SharedArrayBuffer(12),
    retries: new SharedArrayBuffer(retryLedgerBytes),
    limits: defaultDecodeLimits,
    threads: 2,
    graceMs: 100,
    ...options,
  });
}

function start(t: TestContext, options: Partial<ThreadsExecutorOptions> = {}): Promise<ExecutorBundle> {
  return startExecutor(t, make(options));
}

executorContract("threads", make);

test("tells for how long the code of each skill has held event loops, whenever in its runs that was", async (t) => {
  const { executor, post, answer } = await start(t);
  for (const skill of ["sleep", "busy-later", "sleep", "busy", "busy-later", "sleep", "noop"]) {
    const runs = Array.from({ length: 3 }, () => post(skill)[0] ?? 0);
    for (const run of runs) await answer(run);
  }
  const held = (skill: string): number => Math.round(executor.heldMs(skill));
  assert.ok(held("busy") >= 12, `busy: ${held("busy")} ms of 15`);
  assert.ok(held("busy-later") >= 100, `busy-later: ${held("busy-later")} ms of 120`);
  // A machine with much else to do may take its time; but 900 ms of sleep are not counted.
  assert.ok(held("sleep") < held("busy-later"), `sleep: ${held("sleep")} ms`);
});

/** Each way to lose a thread, and what its run and the others on it are answered. */
const losses: readonly (readonly [skill: string, timeoutMs: number, own: string, why: RegExp])[] = [
  ["exit", 30_000, "thread-lost", /it exited with code 7/],
  ["throw-outside", 30_000, "thread-lost", /thrown outside/],
  ["block", 100, "timed-out", /it is held at thread-plugin\.ts:33:\d+, by 'block' .*, past the time of a run/],
  ["block-later", 100, "timed-out", /it is held at thread-plugin\.ts:33:\d+, by 'block-later' .*, past the time of a run/],
];

for (const [skill, timeoutMs, own, why] of losses) {
  test(`a thread lost to '${skill}' has its runs answered, and is replaced`, async (t) => {
    const { executor, post, answer, losses } = await start(t, { threads: 1 });
    const [bystander] = post("deaf");
    await answer(post("noop")[0] ?? 0);
    const [culprit] = post(skill, { timeoutMs });
    assert.equal((await answer(culprit ?? 0)).kind, own);
    assert.equal((await answer(bystander ?? 0)).kind, "thread-lost");
    const loss = await eventually("a replacement", () => losses[0], 20_000);
    assert.match(loss.why, why);
    assert.equal(loss.replaced, true);
    assert.ok(executor.isReady());
    assert.equal((await answer(post("noop")[0] ?? 0)).kind, "completed");
  });
}

test("a run that works long within its time is let be, and the runs it holds up are begun elsewhere at theirs", async (t) => {
  const { post, answer, results, losses } = await start(t, { threads: 1 });
  const [held] = post("deaf", { timeoutMs: 30 });
  const [long] = post("busy-long");
  assert.equal((await answer(held ?? 0)).kind, "thread-lost");
  assert.equal(results.length, 1);
  assert.equal((await answer(long ?? 0)).kind, "completed");
  assert.deepEqual(losses, []);
});

test("runs that ended with a thread are suspects, all of them, and one that was there alone, too: others may have left something behind; apart it is the sole cause", async (t) => {
  const { post, answer } = await start(t, { threads: 1 });
  const [bystander] = post("deaf");
  await answer(post("noop")[0] ?? 0);
  const [culprit] = post("exit");
  const parts: unknown[] = [];
  for (const runId of [culprit, bystander]) {
    const lost = await answer(runId ?? 0);
    parts.push(lost.kind === "thread-lost" && lost.part);
  }
  for (const apart of [false, true]) {
    const lost = await answer(post("exit", { apart })[0] ?? 0);
    parts.push(lost.kind === "thread-lost" && lost.part);
  }
  assert.deepEqual(parts, ["suspect", "suspect", "suspect", "sole"]);
});

test("what ended with a thread that was ended for another run's sake is a bystander", async (t) => {
  const { post, answer } = await start(t, { threads: 1 });
  const [bystander] = post("deaf");
  await answer(post("noop")[0] ?? 0);
  post("block", { timeoutMs: 100 });
  const lost = await answer(bystander ?? 0);
  assert.equal(lost.kind === "thread-lost" && lost.part, "bystander");
});

test("a run that is posted apart has a thread of its own, one at a time, and takes nobody with it", async (t) => {
  const { executor, post, answer, results } = await start(t, { threads: 1 });
  const [other] = post("deaf");
  await answer(post("noop")[0] ?? 0);
  const apart = { apart: true, timeoutMs: 150 };
  const [culprit] = post("exit", { apart: true });
  const lost = await answer(culprit ?? 0);
  await answer(post("noop", { apart: true })[0] ?? 0);
  const waits = post("wait", apart, apart, apart);
  assert.equal(lost.kind === "thread-lost" && lost.part, "sole");
  const endedAtMs: number[] = [];
  for (const runId of waits) {
    assert.equal((await answer(runId)).kind, "timed-out");
    endedAtMs.push(performance.now());
  }
  // Each began only when the one before it had ended.
  for (const [index, atMs] of endedAtMs.entries()) assert.ok(index === 0 || atMs - endedAtMs[index - 1]! > 100, endedAtMs.join(" "));
  assert.equal(
    results.some(({ runId }) => runId === other),
    false,
  );
  assert.ok(executor.isReady());
});

test("a thread has the heap that is left for it, whatever the process has; who takes more is out of memory, and the others only lost their thread", async (t) => {
  // As a worker in a container that is started with a limit for its main thread.
  setFlagsFromString("--max-old-space-size=4096");
  const { threadHeapBytes } = shareMemory({ memoryBytesMax: 256 * 1024 ** 2 }, 1);
  const { post, answer, losses } = await start(t, { threads: 1, heapBytesMax: threadHeapBytes });
  const [innocent] = post("deaf");
  await answer(post("noop")[0] ?? 0);
  const [culprit] = post("fill-memory");
  for (const runId of [innocent, culprit]) {
    const lost = await answer(runId ?? 0);
    assert.equal(lost.kind === "thread-lost" && lost.part, "suspect");
  }
  const loss = await eventually("a replacement", () => losses[0], 20_000);
  assert.match(loss.why, /^it ran out of memory: expected a heap of at most 48 MiB \(threadHeapBytesMax\), its code took more; it was at /);
  const alone = await answer(post("fill-memory", { apart: true })[0] ?? 0);
  assert.deepEqual(alone.kind === "thread-lost" && [alone.part, alone.outOfMemory], ["sole", true]);
  assert.equal((await answer(post("noop")[0] ?? 0)).kind, "completed");
});

test("a thread lost with one run takes none with it that were on other threads", async (t) => {
  const { post, answer, results } = await start(t, { threads: 2 });
  const runIds = post("wait", ...Array.from({ length: 8 }, () => ({ timeoutMs: 3_000 })));
  const [culprit] = post("exit");
  assert.equal((await answer(culprit ?? 0)).kind, "thread-lost");
  const kinds: string[] = [];
  for (const runId of runIds) kinds.push((await answer(runId)).kind);
  assert.ok(kinds.includes("timed-out") && kinds.includes("thread-lost"), kinds.join(" "));
  assert.equal(results.length, 9);
});

test("runs that a lost thread had not begun run on the next one, unless they were asked to stop meanwhile", async (t) => {
  const { executor, post, answer, losses } = await start(t, { threads: 1 });
  const [first] = post("block", { timeoutMs: 300 });
  const noops = post("noop", {}, {}, {});
  const [lapsing] = post("noop", { leaseMs: 200 });
  const [held] = post("noop", { leaseMs: 200 });
  executor.interrupt([noops[1] ?? 0], "stale");
  executor.extend([held ?? 0], 60_000);
  assert.equal((await answer(first ?? 0)).kind, "timed-out");
  const kinds: string[] = [];
  for (const runId of [...noops, lapsing, held]) kinds.push((await answer(runId ?? 0)).kind);
  assert.deepEqual(kinds, ["completed", "stale", "completed", "stale", "completed"]);
  assert.equal(losses.length, 1);
});

test("a run that every thread is lost before it is begun is answered as such in the end", async (t) => {
  const { post, answer, losses } = await start(t, { threads: 1 });
  // Learnt to be quick, all of them are one task.
  for (let warm = 0; warm < 50; warm += 1) await answer(post("noop")[0] ?? 0);
  const culprits = post("exit", ...Array.from({ length: movesMax + 3 }, () => ({})));
  const kinds: string[] = [];
  for (const runId of culprits) kinds.push((await answer(runId)).kind);
  assert.ok(
    kinds.every((kind) => kind === "thread-lost" || kind === "not-started"),
    kinds.join(" "),
  );
  await eventually("every loss to be told", () => losses.length === kinds.filter((kind) => kind === "thread-lost").length, 20_000);
  assert.ok(
    losses.every(({ why }) => why.includes("'exit' (event ")),
    losses[0]?.why,
  );
  assert.ok(kinds.filter((kind) => kind === "thread-lost").length > movesMax, kinds.join(" "));
});

test("what a run answered before its thread died counts", async (t) => {
  const { post, answer } = await start(t, { threads: 1 });
  const noops = post("noop", ...Array.from({ length: 100 }, () => ({})));
  const [culprit] = post("exit");
  assert.equal((await answer(culprit ?? 0)).kind, "thread-lost");
  for (const runId of noops) assert.match((await answer(runId)).kind, /completed|thread-lost/);
});

test("whatever becomes of threads and runs, each run is answered once", async (t) => {
  // A run that waits for a thread which code of an ended one holds waits for that to be noticed, and there may be several of these in a row.
  const { executor, post, results } = await start(t, { threads: 2, stuckAfterMs: 1_000 });
  const mischief = fc.record({
    skill: fc.constantFrom("noop", "noop", "noop", "emit", "fail", "steps", "wait", "busy", "exit", "throw-outside", "block-later"),
    runs: fc.integer({ min: 1, max: 12 }),
    interrupt: fc.constantFrom(undefined, undefined, "interrupted" as const, "stale" as const),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(mischief, { minLength: 5, maxLength: 12 }), async (all) => {
      const before = results.length;
      const runIds = all.flatMap(({ skill, runs, interrupt }) => {
        const posted = post(skill, ...Array.from({ length: runs }, () => ({ timeoutMs: 150 })));
        if (interrupt !== undefined) executor.interrupt(posted, interrupt);
        return posted;
      });
      await eventually("every answer", () => results.length >= before + runIds.length, 30_000);
      assert.deepEqual(
        results
          .slice(before)
          .map(({ runId }) => runId)
          .toSorted((a, b) => a - b),
        runIds,
      );
    }),
    { numRuns: 6 },
  );
  assert.equal(new Set(results.map(({ runId }) => runId)).size, results.length);
});

test("a rejected promise that nobody waits for is logged, and its thread lives", async (t) => {
  const lines: SkillLogLine[] = [];
  const { post, answer, losses } = await start(t, { threads: 1, log: (more) => lines.push(...more) });
  assert.equal((await answer(post("reject-outside")[0] ?? 0)).kind, "completed");
  const line = await eventually("a line", () => lines[0]);
  assert.equal(line.level, "error");
  assert.match(
    line.message,
    /^a promise was rejected that nobody waits for: nobody waits \(thread-plugin\.ts:73:27\), by 'reject-outside' \(event .+\), which had ended$/,
  );
  assert.equal((await answer(post("noop")[0] ?? 0)).kind, "completed");
  assert.deepEqual(losses, []);
});

test("what skills log reaches the main thread, tagged and redacted", async (t) => {
  const lines: SkillLogLine[] = [];
  const { post, answer } = await start(t, { threads: 1, log: (more) => lines.push(...more) });
  await answer(post("emit")[0] ?? 0);
  const line = await eventually("a line", () => lines[0]);
  assert.deepEqual([line.level, line.skill, line.message, line.fields], ["info", "emit", "emitting", { password: "[redacted]" }]);
});

test("an open circuit is seen by calls in threads", async (t) => {
  const circuits = new SharedArrayBuffer(4);
  const { post, answer } = await start(t, { threads: 1, circuits });
  Atomics.store(new Int32Array(circuits), 0, 1);
  const { kind, ...rest } = await answer(post("steps")[0] ?? 0);
  assert.deepEqual([kind, (rest as { failure?: { code: string } }).failure?.code], ["failed", "CIRCUIT_OPEN"]);
});

test("a run that a dependency rejected cannot call it, in whichever thread", async (t) => {
  const { post, answer } = await start(t, { threads: 1 });
  const [rejected, admitted] = [...post("steps", { rejectedBy: [0] }), ...post("steps", {})];
  const { kind, ...rest } = await answer(rejected ?? 0);
  assert.deepEqual([kind, (rest as { failure?: { code: string } }).failure?.code], ["failed", "BULKHEAD_FULL"]);
  assert.equal((await answer(admitted ?? 0)).kind, "completed");
});

test("calls in all threads take their retries from what the worker's budget allows them", async (t) => {
  const retries = new SharedArrayBuffer(retryLedgerBytes);
  const ledger = new RetryLedger(retries);
  ledger.allow(0, 5);
  const { post, answer } = await start(t, { threads: 2, retries });
  // Each would retry twice.
  const runIds = post("call-in-vain", ...Array.from({ length: 4 }, () => ({})));
  for (const runId of runIds) assert.equal((await answer(runId)).kind, "failed");
  assert.deepEqual([ledger.taken, ledger.refused > 0], [5, true]);
});

test("a dedicated skill that blocks its thread keeps nobody else waiting", async (t) => {
  const dedicated = fixture.skills.filter(({ name }) => name === "dedicated-block" || name === "noop");
  const { post, answer, results } = await start(t, { threads: 1, plugins: [{ name: "fixture", entry, folder, skills: dedicated }] });
  const [blocked] = post("dedicated-block", { timeoutMs: 1_500 });
  const noops = post("noop", ...Array.from({ length: 50 }, () => ({})));
  for (const runId of noops) assert.equal((await answer(runId)).kind, "completed");
  assert.equal(results.length, 50);
  assert.equal((await answer(blocked ?? 0)).kind, "timed-out");
});

test("an order that no thread can be told of is refused alone, and says why; those beside it and after it are executed", async (t) => {
  const { post, answer, losses } = await start(t, { threads: 1 });
  await answer(post("noop")[0] ?? 0);
  const runIds = post("noop", {}, { traceparent: "é" }, {}, { traceparent: "é" });
  const answers = [];
  for (const runId of runIds) answers.push(await answer(runId));
  assert.deepEqual(
    answers.map(({ kind }) => kind),
    ["completed", "invalid", "completed", "invalid"],
  );
  const [, refused] = answers;
  assert.match(refused?.kind === "invalid" ? refused.invalid.description : "", /^no thread can be told of it: expected the fields of a route to be ASCII/);
  assert.equal((await answer(post("noop")[0] ?? 0)).kind, "completed");
  assert.deepEqual(losses, []);
});

test("where every skill has threads of its own, those of the runtime itself, such as probes, run on the first of them", async (t) => {
  const named = (name: string): typeof sharedSkills => fixture.skills.filter((one) => one.name === name);
  const plugins = [
    { name: "fixture", entry, folder, skills: named("dedicated-block") },
    { name: "own", entry, folder, skills: named("noop"), isBuiltIn: true },
  ];
  const { executor, post, answer } = await start(t, { threads: 2, plugins });
  assert.ok(executor.isReady());
  assert.equal((await answer(post("noop")[0] ?? 0)).kind, "completed");
});

test("a run answered slowly holds up none of its batch", async (t) => {
  const { post, answer, results } = await start(t, { threads: 1 });
  for (let warm = 0; warm < 20; warm += 1) await answer(post("noop")[0] ?? 0);
  const before = results.length;
  const busy = post("busy", ...Array.from({ length: 4 }, () => ({})));
  await eventually("a first answer", () => results.length > before);
  assert.ok(results.length < before + 4, "expected answers as they come");
  for (const runId of busy) assert.equal((await answer(runId)).kind, "completed");
});

test("threads are ready only when they are warm, and what took long is named once, with its time", async (t) => {
  const runtime = JSON.stringify(resolve(import.meta.dirname, "../../../runtime/index.ts"));
  const slow = await writePlugin(
    t,
    `import { definePlugin, defineSkill } from ${runtime};
import { setTimeout as pause } from "node:timers/promises";
await pause(600);
let isWarm = false;
const warmUp = async () => { await pause(700); isWarm = true; };
const slow = defineSkill({ name: "slow", handles: [{ eventType: "test.slow" }], warmUp, run: (context) => context.emit("Warm", { isWarm }) });
const quick = defineSkill({ name: "quick", handles: [{ eventType: "test.quick" }], warmUp: () => undefined, run: () => undefined });
export default definePlugin({ skills: [slow, quick] });`,
  );
  const skill = (name: string): (typeof sharedSkills)[number] => ({ ...(sharedSkills[0] as (typeof sharedSkills)[number]), name });
  const parts: SlowStart[] = [];
  const { post, answer } = await start(t, { plugins: [{ name: "cold", ...slow, skills: [skill("slow"), skill("quick")] }], slow: (part) => parts.push(part) });
  assert.deepEqual(
    parts.map(({ plugin, skill, part }) => [plugin, skill, part]),
    [
      ["cold", "", "import"],
      ["cold", "slow", "warmUp"],
    ],
  );
  for (const { tookMs } of parts) assert.ok(tookMs >= slowStartMs);
  const answered = await answer(post("slow")[0] ?? 0);
  assert.ok(answered.kind === "completed");
  assert.match(Buffer.from(answered.outbox[0]?.body ?? []).toString("latin1"), /"isWarm":true/);
});

test("a skill that cannot be warmed up keeps its threads from starting, and is named", async (t) => {
  const runtime = JSON.stringify(resolve(import.meta.dirname, "../../../runtime/index.ts"));
  const cold = await writePlugin(
    t,
    `import { definePlugin, defineSkill } from ${runtime};
const noop = defineSkill({ name: "noop", handles: [{ eventType: "test.noop" }], warmUp: () => { throw new Error("no model here"); }, run: () => undefined });
export default definePlugin({ skills: [noop] });`,
  );
  const executor = make({ plugins: [{ name: "cold", ...cold, skills: sharedSkills.filter(({ name }) => name === "noop") }] });
  t.after(() => executor.stop());
  await assert.rejects(executor.start(deafListener), /skill 'noop': expected its warmUp to end well, it threw: no model here/);
});

async function writePlugin(t: TestContext, source: string): Promise<{ readonly entry: string; readonly folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-threads-"));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "index.mjs"), source);
  return { entry: pathToFileURL(join(folder, "index.mjs")).href, folder };
}

test("an executor whose threads cannot start says why, is not ready, and still answers", async (t) => {
  const broken = await writePlugin(t, "throw new Error('broken at load')");
  const executor = make({ plugins: [{ name: "broken", ...broken, skills: sharedSkills }] });
  const results: unknown[] = [];
  t.after(() => executor.stop());
  await assert.rejects(
    executor.start({ ...deafListener, results: (more) => results.push(...more) }),
    /expected skill threads to start, one could not: plugin 'broken': .*broken at load/,
  );
  assert.ok(!executor.isReady());
});

test("once it is stopped, no thread is started for a run that is to be apart", async (t) => {
  const { executor, post, answer } = await start(t, { threads: 1 });
  await executor.stop();
  let made = 0;
  const hear = (): void => void (made += 1);
  process.on("worker", hear);
  t.after(() => process.off("worker", hear));
  assert.deepEqual(await answer(post("noop", { apart: true })[0] ?? 0), { kind: "not-started", why: "the threads were stopped" });
  assert.equal(made, 0);
});

test("threads that hang while they start are given up in time", async (t) => {
  const hanging = await writePlugin(t, "await new Promise(() => setTimeout(() => {}, 1e9))");
  const executor = make({ startTimeoutMs: 300, plugins: [{ name: "hanging", ...hanging, skills: sharedSkills }] });
  t.after(() => executor.stop());
  await assert.rejects(within("a refusal", executor.start(deafListener)), /it did not start within 300 ms/);
});

test("a skill whose own threads cannot be started any more takes no other skill's runs along, and the worker hears of it", async (t) => {
  const vanishing = await writePlugin(t, `export { default } from ${JSON.stringify(entry)};`);
  const exit = sharedSkills.filter(({ name }) => name === "exit").map((skill) => ({ ...skill, isolation: "dedicated" as const }));
  const { executor, post, answer, results, downs } = await start(t, {
    threads: 1,
    rebuildDelayMs: 1,
    plugins: [
      { name: "fixture", entry, folder, skills: sharedSkills.filter(({ name }) => name !== "exit") },
      { name: "vanishing", ...vanishing, skills: exit },
    ],
  });
  const [busy] = post("deaf");
  await answer(post("noop")[0] ?? 0);
  await rm(join(vanishing.folder, "index.mjs"));
  assert.equal((await answer(post("exit")[0] ?? 0)).kind, "thread-lost");
  assert.match(await eventually("it to be heard", () => downs[0], 20_000), /^no thread of skill 'exit' is left, and none can be started: /);
  assert.ok(!executor.isReady());
  const [refused] = post("exit");
  assert.equal((await answer(post("noop")[0] ?? 0)).kind, "completed");
  assert.match(JSON.stringify(await answer(refused ?? 0)), /"not-started","why":"no thread of skill 'exit' is left/);
  assert.equal(
    results.find(({ runId }) => runId === busy),
    undefined,
  );
});

test("threads that cannot be replaced leave an executor that is not ready and answers everything", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-threads-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "index.mjs");
  await writeFile(path, `export { default } from ${JSON.stringify(entry)};`);
  const { executor, post, answer, losses } = await start(t, {
    threads: 1,
    plugins: [{ name: "vanishing", entry: pathToFileURL(path).href, folder, skills: sharedSkills }],
  });
  await rm(path);
  const [culprit] = post("exit");
  assert.equal((await answer(culprit ?? 0)).kind, "thread-lost");
  const [waiting] = post("noop", { timeoutMs: 100 });
  await eventually("it to be told", () => losses.some(({ replaced }) => !replaced), 20_000);
  assert.ok(!executor.isReady());
  assert.equal((await answer(waiting ?? 0)).kind, "not-started");
});

test("a thread that cannot be replaced is tried again while others live", async (t) => {
  const source = `export { default } from ${JSON.stringify(entry)};`;
  const flickering = await writePlugin(t, source);
  const [index, restarted] = ["index.mjs", "restarted"].map((name) => join(flickering.folder, name)) as [string, string];
  const { executor, post, answer, losses, replaced, results } = await start(t, {
    threads: 2,
    rebuildDelayMs: 1,
    rehearses: false,
    plugins: [{ name: "flickering", ...flickering, skills: sharedSkills }],
  });
  await rm(index);
  assert.equal((await answer(post("exit")[0] ?? 0)).kind, "thread-lost");
  assert.equal((await eventually("it to be told", () => losses[0], 20_000)).replaced, false);
  assert.deepEqual([executor.isReady(), executor.threads.missing, replaced], [true, 1, []]);
  await writeFile(index, `import { writeFileSync } from "node:fs"; writeFileSync(${JSON.stringify(restarted)}, ""); ${source}`);
  await eventually("another try", () => existsSync(restarted), 20_000);
  // One thread is held, and takes one run more: of two, the other thread gets one.
  post("block");
  await eventually("it to begin", () => executor.unbegun === 0);
  const runIds = [...post("noop"), ...post("noop")];
  await eventually("one of them to end", () => results.some(({ runId }) => runIds.includes(runId)), 20_000);
  // That it is missing is over, and was said to be.
  assert.deepEqual([losses.length, executor.threads.missing, replaced.map(({ missing }) => missing)], [1, 0, [0]]);
  assert.match(replaced[0]?.why ?? "", /process\.exit|exited with code 7/);
});
