// Threads that let nothing in any more: who is held to have failed, and what becomes of the others and of the thread.
import { strict as assert } from "node:assert";
import { resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Piscina } from "piscina";
import { createThreadsExecutor } from "../../../runtime/adapters/threads/executor.ts";
import type { ThreadsExecutorOptions } from "../../../runtime/adapters/threads/thread-options.ts";
import { defaultDecodeLimits } from "../../../runtime/core/read-route.ts";
import type { RunAnswer } from "../../../runtime/core/outcome.ts";
import { retryLedgerBytes } from "../../../runtime/policy/retry-ledger.ts";
import { type ExecutorBundle, startExecutor } from "../../contracts/executor.ts";
import { envelope, json } from "../../support/event-messages.ts";
import { eventually, within } from "../../support/eventually.ts";
import { makePipe } from "../../support/pipe.ts";
import fixture, { channel } from "../../support/stuck-plugin.ts";

const folder = resolve(import.meta.dirname, "../../support");
const entry = pathToFileURL(resolve(folder, "stuck-plugin.ts")).href;

function start(t: TestContext, options: Partial<ThreadsExecutorOptions> = {}): Promise<ExecutorBundle> {
  const executor = createThreadsExecutor({
    consumers: ["orders"],
    plugins: [{ name: "stuck", entry, folder, skills: fixture.skills }],
    dependencies: [],
    dependencyConfig: new Map(),
    circuits: new SharedArrayBuffer(4),
    retries: new SharedArrayBuffer(retryLedgerBytes),
    limits: defaultDecodeLimits,
    threads: 1,
    graceMs: 200,
    endWithinMs: 300,
    ...options,
  });
  return startExecutor(t, executor);
}

/** What skills say while their thread's loop does not turn. */
function hear(t: TestContext): string[] {
  const heard: string[] = [];
  const listening = new BroadcastChannel(channel);
  listening.addEventListener("message", (message) => heard.push(String((message as { readonly data?: unknown }).data)));
  t.after(() => listening.close());
  return heard;
}

function partOf(answer: RunAnswer): string {
  if (answer.kind === "thread-lost") return answer.part;
  return answer.kind === "timed-out" && answer.blockedThread === true ? "guilty" : answer.kind;
}

/** One that waits long, and one that is past its time while the culprit holds their thread. */
async function innocents({ post, answer }: ExecutorBundle): Promise<readonly number[]> {
  const runIds = [...post("deaf"), ...post("deaf", { timeoutMs: 250 })];
  await answer(post("noop")[0] ?? 0);
  return runIds;
}

for (const [skill, how] of [
  ["loop-later", "loops for ever"],
  ["wait-later", "waits for ever on shared memory"],
] as const) {
  test(`a run that ${how} after an await is found by itself: it has failed, where its code says, and the others have not`, async (t) => {
    const bundle = await start(t);
    const others = await innocents(bundle);
    const [culprit] = bundle.post(skill, { timeoutMs: 250 });
    const answer = await bundle.answer(culprit ?? 0);
    assert.ok(answer.kind === "timed-out" && answer.blockedThread === true, JSON.stringify(answer));
    assert.match(answer.failure.at ?? "", /^stuck-plugin\.ts:\d+:\d+$/);
    for (const runId of others) assert.equal(partOf(await bundle.answer(runId)), "bystander");
    const loss = await eventually("a replacement", () => bundle.losses[0], 20_000);
    assert.match(loss.why, new RegExp(`it is held at stuck-plugin\\.ts:\\d+:\\d+, by '${skill}' .*it was at '${skill}' \\(event [^)]+, which held it\\)`));
    assert.deepEqual([loss.replaced, bundle.stuck.map(({ skill, isOver }) => [skill, isOver])], [true, [[skill, false]]]);
    assert.equal((await bundle.answer(bundle.post("noop")[0] ?? 0)).kind, "completed");
  });
}

test("a loop that looks at its signal is called off past its time, and its thread lives", async (t) => {
  const { post, answer, losses, stuck } = await start(t);
  const [runId] = post("loop-and-look", { timeoutMs: 250 });
  const ended = await answer(runId ?? 0);
  assert.deepEqual([ended.kind, partOf(ended)], ["timed-out", "timed-out"]);
  assert.equal((await answer(post("noop")[0] ?? 0)).kind, "completed");
  assert.deepEqual(losses, []);
  await eventually("it to be over", () => stuck.length === 2);
  assert.deepEqual(
    stuck.map(({ skill, isOver }) => [skill, isOver]),
    [
      ["loop-and-look", false],
      ["loop-and-look", true],
    ],
  );
});

test("a run that computes within its time is let be, and what it keeps past its time is begun elsewhere without having failed", async (t) => {
  const bundle = await start(t);
  const [kept] = bundle.post("deaf", { timeoutMs: 100 });
  const [busy] = bundle.post("compute-later");
  assert.equal(partOf(await bundle.answer(kept ?? 0)), "bystander");
  assert.equal((await bundle.answer(busy ?? 0)).kind, "completed");
  assert.deepEqual(bundle.losses, []);
  await eventually("it to be over", () => bundle.stuck.at(-1)?.isOver === true);
  assert.deepEqual(
    bundle.stuck.map(({ skill, isOver }) => [skill, isOver]),
    [
      ["compute-later", false],
      ["compute-later", true],
    ],
  );
});

test("code that a run left behind ends no run as failed, and is named with its run", async (t) => {
  const { post, answer, losses, stuck } = await start(t, { stuckAfterMs: 1_000 });
  const [other] = post("deaf");
  const [culprit] = post("leave-loop");
  assert.equal((await answer(culprit ?? 0)).kind, "completed");
  assert.equal(partOf(await answer(other ?? 0)), "bystander");
  const loss = await eventually("a replacement", () => losses[0], 20_000);
  assert.match(loss.why, /^it is held at stuck-plugin\.ts:\d+:\d+, by 'leave-loop' \(event [^)]+\), which had ended/);
  assert.deepEqual([stuck[0]?.skill, stuck[0]?.at === ""], ["", false]);
});

test("runs that a thread has not begun, which code of an ended run holds, are begun on another one, each of them once", async (t) => {
  const heard = hear(t);
  const { executor, post, answer, losses } = await start(t, { threads: 2 });
  post("leave-work");
  await eventually("it to be held", () => heard.length === 1);
  const ids = Array.from({ length: 8 }, (_, index) => `tell-${index}`);
  const runIds = ids.map((eventId) => post("tell", { body: json({ ...envelope, payload: { eventId } }) })[0] ?? 0);
  await eventually("some to be left", () => heard.length > 1 && executor.unbegun > 0);
  await within("all of them", Promise.all(runIds.map((runId) => answer(runId))), 5_000);
  assert.ok(!heard.includes("over"), heard.join(" "));
  // Then the thread reads what was taken back, and what is new.
  await eventually("it to turn", () => heard.includes("over"));
  for (const runId of [...post("noop"), ...post("noop"), ...post("noop"), ...post("noop")]) assert.equal((await answer(runId)).kind, "completed");
  assert.deepEqual(heard.filter((id) => id.startsWith("tell-")).toSorted(), ids);
  assert.deepEqual(losses, []);
});

test("a thread is asked at once for the sake of a run that waits for it and fits no other, and is not ended any earlier for that", async (t) => {
  const heard = hear(t);
  const { executor, post, losses, stuck } = await start(t);
  post("leave-loop");
  await eventually("it to be held", () => heard.length === 1);
  post("noop");
  const found = await eventually("it to be told", () => stuck[0], 5_000);
  assert.match(found.why, /^it is held at stuck-plugin\.ts:\d+:\d+, by 'leave-loop' \(event [^)]+\), which had ended/);
  assert.deepEqual([executor.threads.stuck, losses], [1, []]);
});

test("a thread that code of a run that was called off goes on to hold is ended after the grace where runs wait for it", async (t) => {
  const heard = hear(t);
  const { post, answer, losses } = await start(t);
  const [other] = post("deaf");
  const [culprit] = post("outlast-loop", { timeoutMs: 100 });
  assert.equal(partOf(await answer(culprit ?? 0)), "timed-out");
  await eventually("it to be held", () => heard.length === 1);
  const [waiting] = post("noop");
  // A second until it is asked, the grace, and the start of another thread; ten seconds go by before code that a run has left behind is looked at.
  assert.equal((await within("an answer", answer(waiting ?? 0), 8_000)).kind, "completed");
  assert.equal(partOf(await answer(other ?? 0)), "bystander");
  assert.match(
    losses[0]?.why ?? "",
    /^it is held at stuck-plugin\.ts:\d+:\d+, by 'outlast-loop' \(event [^)]+\), which had ended and was called off, while runs wait/,
  );
});

test("a thread that code of a run that was called off holds for less than the grace lives, and so do its runs", async (t) => {
  const heard = hear(t);
  const { executor, post, answer, losses } = await start(t, { graceMs: 1_500 });
  const [other] = post("deaf", { timeoutMs: 20_000 });
  const [culprit] = post("outlast-work", { timeoutMs: 100 });
  assert.equal(partOf(await answer(culprit ?? 0)), "timed-out");
  await eventually("it to be held", () => heard.length === 1);
  assert.equal((await answer(post("noop")[0] ?? 0)).kind, "completed");
  executor.interrupt([other ?? 0], "stale");
  assert.equal((await answer(other ?? 0)).kind, "stale");
  assert.deepEqual(losses, []);
});

test("a thread that native code of an ended run holds is given up once a run has waited for it for long", async (t) => {
  const pipe = makePipe(t);
  const heard = hear(t);
  const { post, answer } = await start(t, { stuckAfterMs: 1_000 });
  post("leave-native", { body: json({ ...envelope, payload: { pipe: pipe.path } }) });
  await eventually("it to be held", () => heard.length === 1);
  assert.equal((await within("an answer", answer(post("noop")[0] ?? 0), 8_000)).kind, "completed");
});

test("a thread in native code is given up and replaced, and its runs are answered; it is counted until it ends", async (t) => {
  const pipe = makePipe(t);
  const { executor, post, answer, losses, leaked } = await start(t);
  const [other] = post("deaf");
  const [culprit] = post("native", { timeoutMs: 200, body: json({ ...envelope, payload: { pipe: pipe.path } }) });
  assert.equal(partOf(await answer(culprit ?? 0)), "guilty");
  assert.equal(partOf(await answer(other ?? 0)), "bystander");
  assert.match((await eventually("a replacement", () => losses[0], 20_000)).why, /native code of 'native' .* did not end within 300 ms/);
  assert.deepEqual([leaked.map(({ isOver }) => isOver), executor.threads, executor.isReady()], [[false], { stuck: 0, leaked: 1, missing: 0 }, true]);
  assert.equal((await answer(post("noop")[0] ?? 0)).kind, "completed");
  pipe.release();
  await eventually("it to end", () => leaked.at(-1)?.isOver === true);
  assert.deepEqual(executor.threads, { stuck: 0, leaked: 0, missing: 0 });
  assert.equal((await answer(post("noop")[0] ?? 0)).kind, "completed");
  const ended = t.mock.method(Piscina.prototype, "destroy");
  await executor.stop();
  // Of what has ended nothing is kept.
  assert.equal(ended.mock.callCount(), 1);
});

test("where a thread has taken the place of one in native code, its error outside of every task is held against none of the others", async (t) => {
  const [first, second] = [makePipe(t), makePipe(t)];
  const { post, answer, losses } = await start(t, { threads: 2 });
  const native = ({ path }: typeof first, timeoutMs: number): number | undefined =>
    post("native", { timeoutMs, body: json({ ...envelope, payload: { pipe: path } }) })[0];
  assert.equal(partOf(await answer(native(first, 200) ?? 0)), "guilty");
  await eventually("a replacement", () => losses.length === 1, 20_000);
  // The thread that was there from the start gets the first one.
  const [elder, younger] = [post("noop")[0], post("throw-later")[0]];
  assert.equal((await answer(elder ?? 0)).kind, "completed");
  assert.equal(partOf(await answer(younger ?? 0)), "suspect");
  await eventually("another replacement", () => losses.length === 2, 20_000);
  // One of the two threads is held: the other one must be given the next run.
  native(second, 30_000);
  assert.equal((await within("a thread for it", answer(post("noop")[0] ?? 0), 5_000)).kind, "completed");
});

test("in native code after an await nobody can be told from the others: all are suspects, and apart the culprit is certain", async (t) => {
  const pipe = makePipe(t);
  const { post, answer, losses } = await start(t);
  const body = json({ ...envelope, payload: { pipe: pipe.path } });
  const [other] = post("deaf");
  const [culprit] = post("native-later", { timeoutMs: 200, body });
  for (const runId of [culprit, other]) assert.equal(partOf(await answer(runId ?? 0)), "suspect");
  await eventually("a replacement", () => losses.length === 1, 20_000);
  // A thread of its own must come up first, which takes a busy machine longer than a run that is to be late may take.
  assert.equal((await answer(post("noop", { apart: true })[0] ?? 0)).kind, "completed");
  const [again] = post("native-later", { apart: true, timeoutMs: 200, body });
  assert.equal(partOf(await answer(again ?? 0)), "guilty");
});

test("threads in native code keep no executor from stopping", async (t) => {
  const pipe = makePipe(t);
  const { executor, post, answer } = await start(t, { graceMs: 60_000 });
  const [runId] = post("native", { body: json({ ...envelope, payload: { pipe: pipe.path } }) });
  await eventually("it to begin", () => executor.unbegun === 0);
  await within("the stop", executor.stop(), 5_000);
  assert.equal((await answer(runId ?? 0)).kind, "thread-lost");
});
