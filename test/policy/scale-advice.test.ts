// How many workers are asked for, by what one of them sees.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { adviceOf, type DependencyLoad, ScaleAdvice, type ScaleFacts, type SkillLoad, workersWanted } from "#runtime/policy/scale-advice.ts";

const policy = { drainWithinMs: 60_000, useMax: 0.8 };
const skill = (overrides: Partial<SkillLoad> = {}): SkillLoad => ({
  skill: "mail",
  held: 0,
  running: 0,
  concurrentMax: 100,
  runMs: 1_000,
  uses: [],
  ...overrides,
});
const mailer = (overrides: Partial<DependencyLoad> = {}): DependencyLoad => ({
  dependency: "mailer",
  inUse: 0,
  slots: 10,
  waiting: 0,
  isShut: false,
  waitingForLimit: 0,
  ...overrides,
});
const facts = (overrides: Partial<ScaleFacts> = {}): ScaleFacts => ({
  isReady: true,
  storeUp: true,
  brokerUp: true,
  isShort: undefined,
  sessionsWait: false,
  queued: 0,
  skills: [skill()],
  dependencies: [],
  ...overrides,
});
const advice = (overrides: Partial<ScaleFacts>) => adviceOf(facts(overrides), policy);
const kindOf = (overrides: Partial<ScaleFacts>): string => advice(overrides).bottleneck.kind;

test("a worker that holds nothing asks for none; one that holds a message is kept", () => {
  assert.equal(workersWanted([advice({})]), 0);
  assert.equal(workersWanted([]), 0);
  assert.equal(workersWanted([advice({ queued: 1, skills: [skill({ held: 1, running: 1 })] })]), 1);
});

test("workers at the part that they may use ask for as many as there are", () => {
  const at = (running: number) => advice({ skills: [skill({ held: running, running })], queued: 5 * running });
  assert.equal(workersWanted(Array.from({ length: 5 }, () => at(80))), 5);
  assert.equal(workersWanted(Array.from({ length: 5 }, () => at(40))), 3);
});

test("what waits asks for so many as end it in time, but not for more than could begin all of it at once", () => {
  const full = skill({ held: 100, running: 100 });
  // 60 000 s of work, 100 at once, within 60 s.
  assert.equal(Math.round(advice({ queued: 60_100, skills: [full] }).forBacklog), 10);
  // Ten runs of ten minutes, one at once: ten workers and not a hundred.
  assert.equal(Math.round(advice({ queued: 11, skills: [skill({ held: 1, running: 1, concurrentMax: 1, runMs: 600_000 })] }).forBacklog), 10);
});

test("while a worker could begin more, what lies in the queue is held by others", () => {
  assert.equal(advice({ queued: 60_000, skills: [skill({ held: 50, running: 50 })] }).waiting, 0);
});

test("in front of a full bulkhead, a used-up limit or an open circuit the pool stays as it is, and the bottleneck is named", () => {
  const waits = skill({ held: 40, running: 10, concurrentMax: 10, uses: ["mailer"] });
  const cases = [
    ["bulkhead", mailer({ inUse: 10, waiting: 30 })],
    ["limit", mailer({ waitingForLimit: 30 })],
    ["circuit", mailer({ isShut: true })],
  ] as const;
  for (const [kind, dependency] of cases) {
    const { forRuns, forBacklog, bottleneck } = advice({ queued: 100_000, skills: [waits], dependencies: [dependency] });
    assert.deepEqual([forRuns, forBacklog], [1, 0], kind);
    assert.deepEqual(bottleneck, { kind, dependency: "mailer", workersHelp: false });
  }
});

test("while the store or the broker is away the pool stays as it is", () => {
  for (const [kind, away] of [
    ["store", { storeUp: false }],
    ["broker", { brokerUp: false }],
  ] as const) {
    const { forRuns, forBacklog, bottleneck } = advice({ ...away, isReady: false, queued: 100_000 });
    assert.deepEqual([forRuns, forBacklog, bottleneck.kind, bottleneck.workersHelp], [1, 0, kind, false]);
  }
});

test("a pool that is paused asks for nobody for what waits: those who came would begin it", () => {
  assert.equal(advice({ isReady: false, isPaused: true, queued: 100_000 }).forBacklog, 0);
  assert.ok(advice({ isReady: false, queued: 100_000 }).forBacklog > 0);
});

test("a dependency that stands still does not keep workers from coming for skills that do not use it", () => {
  const free = skill({ skill: "index", held: 100, running: 100 });
  const stuck = skill({ held: 20, running: 10, uses: ["mailer"] });
  const { forRuns, forBacklog, bottleneck } = advice({ queued: 72_120, skills: [free, stuck], dependencies: [mailer({ inUse: 10, waiting: 10 })] });
  assert.ok(forRuns > 1 && forBacklog > 5, `${forRuns} ${forBacklog}`);
  assert.deepEqual(bottleneck, { kind: "threads", dependency: "", workersHelp: true });
});

test("full threads, memory and event loop are what further workers help against; an idle worker has no bottleneck", () => {
  assert.equal(kindOf({ skills: [skill({ held: 100, running: 95 })] }), "threads");
  assert.equal(kindOf({ isShort: "memory" }), "memory");
  assert.equal(kindOf({ isShort: "loop" }), "loop");
  assert.equal(kindOf({}), "none");
  assert.equal(advice({ isShort: "memory" }).forRuns, 1 / policy.useMax);
});

test("a pool whose bulkheads are nearly full keeps its slots", () => {
  assert.equal(advice({ skills: [skill({ held: 9, running: 9, uses: ["mailer"] })], dependencies: [mailer({ inUse: 9 })] }).forRuns, 1);
});

test("sessions that wait for others to end ask for more workers", () => {
  assert.equal(advice({ sessionsWait: true, skills: [skill({ held: 8, running: 8 })] }).forRuns, 1 / policy.useMax);
});

test("a moment changes little; idleness ends at nothing", () => {
  const watch = new ScaleAdvice(policy);
  const busy = facts({ queued: 100, skills: [skill({ held: 80, running: 80 })] });
  watch.look(busy, 0);
  for (let second = 1; second <= 120; second += 1) watch.look(busy, second * 1_000);
  const before = watch.view()?.forRuns ?? 0;
  assert.ok(Math.abs(before - 1) < 0.01);
  watch.look(facts(), 121_000);
  assert.ok((watch.view()?.forRuns ?? 0) > 0.9);
  for (let second = 122; second <= 240; second += 1) watch.look(facts(), second * 1_000);
  assert.equal(watch.view()?.forRuns, 0);
});
