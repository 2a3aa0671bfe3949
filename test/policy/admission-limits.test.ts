// Admission where dependencies are limited, or find their concurrency by themselves.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { Allowance } from "#runtime/core/limits.ts";
import { defaultLatencyWatchPolicy } from "#runtime/core/latency-watch.ts";
import type { CallReport } from "#runtime/core/outcome.ts";
import { type DependencyPolicy, defaultCircuitPolicy } from "#runtime/core/skill.ts";
import { windowCalls, windowMs } from "#runtime/policy/adaptive-limit.ts";
import { Admission, type Admissible, type AdmissionAnswer, type LaneAnswer, type Permits, type Postponed } from "#runtime/policy/admission.ts";
import { lookRuns } from "#runtime/policy/latency-watch.ts";

interface Run extends Admissible {
  readonly name: string;
}

function dependency(name: string, changes: Partial<DependencyPolicy["bulkhead"]> = {}, concurrency?: DependencyPolicy["concurrency"]): DependencyPolicy {
  return {
    name,
    bulkhead: { concurrentMax: 1, queueMax: 2, waitMaxMs: 1_000, whenFull: "postpone", ...changes },
    circuit: { ...defaultCircuitPolicy, failureThreshold: concurrency === undefined ? 1 : 1_000, resetTimeoutMs: 1_000, resetFactor: 1, halfOpenMax: 1 },
    concurrency,
  };
}

function runOf(name: string, ...uses: readonly number[]): Run {
  return { name, uses, waitingSinceMs: 0, mayBeRejected: true };
}

const outOfTokens: Postponed = { kind: "postponed", why: "rate-limited", dependency: "a", atLeastMs: 500 };

/** Limits that answer as they are told to. */
class ToldPermits implements Permits<Run> {
  waiting = 0;
  shut = false;
  answer: AdmissionAnswer = { kind: "admitted" };
  refusal: Postponed | undefined;
  moved: LaneAnswer<Run> = { admitted: [], postponed: [], limited: [] };
  readonly asked: string[] = [];
  readonly left: (readonly CallReport[] | undefined)[] = [];

  isShut(): boolean {
    return this.shut;
  }

  refuses(): Postponed | undefined {
    return this.refusal;
  }

  enter(run: Run): AdmissionAnswer {
    this.asked.push(`enter ${run.name}`);
    return this.answer;
  }

  next(): LaneAnswer<Run> {
    const { moved } = this;
    this.moved = { admitted: [], postponed: [], limited: [] };
    return moved;
  }

  giveBack(run: Run): void {
    this.asked.push(`give back ${run.name}`);
  }

  leave(_run: Run, calls: readonly CallReport[] | undefined): void {
    this.left.push(calls);
  }

  allowances(run: Run): readonly Allowance[] {
    return run.uses.map((number) => ({ dependency: number, requests: 1, tokens: 7 }));
  }

  clear(): void {
    this.waiting = 0;
  }
}

function limited(...dependencies: readonly DependencyPolicy[]) {
  const permits = new ToldPermits();
  const admission = new Admission<Run>(dependencies, () => undefined, permits);
  return { permits, admission, counts: (nowMs = 0) => admission.view(nowMs).map(({ inUse, waiting }) => [inUse, waiting]) };
}

const names = (runs: readonly Run[]): string[] => runs.map(({ name }) => name);

describe("admission to what is limited", () => {
  test("asks for a permit when nothing else is missing, and takes no slot while the run waits for it or is postponed", () => {
    const { permits, admission, counts } = limited(dependency("a"));
    permits.answer = { kind: "limited" };
    assert.deepEqual([admission.admit(runOf("1", 0), 0).kind, counts()], ["limited", [[0, 0]]]);
    permits.answer = outOfTokens;
    assert.deepEqual([admission.admit(runOf("2", 0), 0), counts()], [outOfTokens, [[0, 0]]]);
    permits.answer = { kind: "admitted" };
    assert.deepEqual([admission.admit(runOf("3", 0), 0).kind, counts()], ["admitted", [[1, 0]]]);
    assert.equal(admission.admit(runOf("4", 0), 0).kind, "waiting");
    assert.deepEqual(permits.asked, ["enter 1", "enter 2", "enter 3"]);
  });

  test("has no room, and refuses, where a limit has nothing left", () => {
    const { permits, admission } = limited(dependency("a"));
    assert.deepEqual([admission.room([0], 0, "lane"), admission.refuses(runOf("1", 0), 0)], [3, undefined]);
    permits.shut = true;
    permits.refusal = outOfTokens;
    assert.deepEqual([admission.room([0], 0, "lane"), admission.room([], 0, "soon"), admission.refuses(runOf("1", 0), 0)], [0, 0, outOfTokens]);
  });

  test("counts those that wait for a limit, and takes them out when it is cleared", () => {
    const { permits, admission } = limited(dependency("a"));
    permits.waiting = 3;
    admission.admit(runOf("1", 0), 0);
    admission.admit(runOf("2", 0), 0);
    assert.equal(admission.waiting, 4);
    admission.clear();
    assert.equal(admission.waiting, 0);
  });

  test("says what a run may use, and hands on what it used, or that nobody knows", () => {
    const { permits, admission } = limited(dependency("a"));
    const run = runOf("1", 0);
    const calls: CallReport[] = [{ dependency: "a", result: "succeeded" }];
    assert.deepEqual(admission.allowances(run), [{ dependency: 0, requests: 1, tokens: 7 }]);
    for (const isKnown of [undefined, true, false] as const) {
      admission.admit(run, 0);
      admission.leave(run, calls, 0, isKnown);
    }
    assert.deepEqual(permits.left, [calls, calls, undefined]);
    const free = new Admission<Run>([dependency("a")], () => undefined);
    assert.equal(free.allowances(run), undefined);
  });

  test("begins with what has its permit at last, and hands on what is postponed for it", () => {
    const { permits, admission, counts } = limited(dependency("a"));
    const [first, second] = [runOf("1", 0), runOf("2", 0)];
    permits.moved = { admitted: [first], postponed: [{ run: second, answer: outOfTokens }], limited: [] };
    assert.deepEqual(admission.next(0), { admitted: [first], postponed: [{ run: second, answer: outOfTokens }], limited: [] });
    assert.deepEqual([counts(), permits.asked], [[[1, 0]], []]);
  });

  test("gives a permit back that comes while there is no slot: the run waits in the lane, or is postponed where a circuit is open", () => {
    const { permits, admission, counts } = limited(dependency("a"), dependency("b"));
    admission.admit(runOf("holds a", 0), 0);
    const fails = runOf("fails", 1);
    admission.admit(fails, 0);
    admission.leave(fails, [{ dependency: "b", result: "failed" }], 0);
    const [waits, late] = [runOf("waits", 0), runOf("late", 1)];
    permits.moved = { admitted: [waits, late], postponed: [], limited: [] };
    permits.asked.length = 0;
    const { admitted, postponed, limited: again } = admission.next(0);
    assert.deepEqual([admitted, postponed.map(({ run, answer }) => `${run.name} ${answer.why}`), again], [[], ["late circuit-open"], []]);
    assert.deepEqual(
      [permits.asked, counts()],
      [
        ["give back waits", "give back late"],
        [
          [1, 1],
          [0, 0],
        ],
      ],
    );
    assert.equal(waits.waitedFor, "the bulkhead of a");
  });

  test("does not judge a lane by a run that waited for its limit before", () => {
    const { permits, admission } = limited(dependency("a", { queueMax: 1 }));
    admission.admit(runOf("holds a", 0), 0);
    permits.moved = { admitted: [runOf("waits", 0)], postponed: [], limited: [] };
    admission.next(0);
    assert.deepEqual(names(admission.expire(2_000, 5_000).expired), ["waits"]);
    assert.equal(admission.bulkhead("a")?.view().laneMax, 1);
  });

  test("says which runs wait for a limit once their slot is there, and keeps the slot for others", () => {
    const { permits, admission, counts } = limited(dependency("a"));
    const holder = runOf("holds a", 0);
    admission.admit(holder, 0);
    admission.admit(runOf("waits", 0), 0);
    permits.answer = { kind: "limited" };
    admission.leave(holder, [], 0);
    const { admitted, postponed, limited: waiting } = admission.next(0);
    assert.deepEqual([admitted, postponed, names(waiting), counts()], [[], [], ["waits"], [[0, 0]]]);
  });
});

describe("admission to what finds its concurrency by itself", () => {
  const adaptive = { mode: "adaptive", min: 2, max: 20 } as const;

  /** A window of runs, one after the other. */
  function pass(admission: Admission<Run>, fromMs: number, report: Omit<CallReport, "dependency">): void {
    for (let call = 0; call < windowCalls; call += 1) {
      const nowMs = fromMs + (call * windowMs) / (windowCalls - 1);
      const run = runOf(`${call}`, 0);
      assert.equal(admission.admit(run, nowMs).kind, "admitted");
      admission.leave(run, [{ dependency: "a", ...report }], nowMs);
    }
  }

  /** What eight slots, five of them in use, become in three windows. */
  function found(report: Omit<CallReport, "dependency">): number {
    const admission = new Admission<Run>([dependency("a", { concurrentMax: 8 }, adaptive)], () => undefined);
    for (let stays = 0; stays < 4; stays += 1) admission.admit(runOf(`stays ${stays}`, 0), 0);
    for (let window = 0; window < 3; window += 1) pass(admission, window * (windowMs + 1), report);
    const concurrentMax = admission.view(0)[0]?.concurrentMax;
    assert.equal(concurrentMax, admission.adaptive("a")?.limit);
    return concurrentMax ?? 0;
  }

  test("begins within its bounds, and leaves the others as they are", () => {
    const bulkhead = { concurrentMax: 500 };
    const admission = new Admission<Run>([dependency("a", bulkhead, adaptive), dependency("b", bulkhead)], () => undefined);
    assert.deepEqual(
      admission.view(0).map(({ concurrentMax }) => concurrentMax),
      [20, 500],
    );
    assert.deepEqual([admission.adaptive("a")?.limit, admission.adaptive("b"), admission.adaptive("c")], [20, undefined, undefined]);
  });

  test("gives more slots while calls take no longer, fewer when they fail, and goes by no success that says nothing of its time", () => {
    assert.ok(found({ result: "succeeded", latencyMs: 10 }) > 8);
    assert.ok(found({ result: "failed", latencyMs: 10 }) < 8);
    assert.ok(found({ result: "failed" }) < 8);
    assert.equal(found({ result: "succeeded" }), 8);
  });

  test("hears of each dependency how long its calls take", () => {
    const admission = new Admission<Run>([dependency("b"), dependency("a")], () => undefined);
    for (let call = 0; call < lookRuns; call += 1) {
      const run = runOf(`${call}`, 0, 1);
      admission.admit(run, call);
      admission.leave(
        run,
        [
          { dependency: "a", result: "succeeded", latencyMs: 100 },
          { dependency: "b", result: "succeeded" },
        ],
        call,
      );
    }
    const heard = admission.latencies().map(({ dependency: name, latency }) => {
      latency.look(1_000, defaultLatencyWatchPolicy);
      return [name, Math.round(latency.view().recentMs ?? 0)];
    });
    assert.deepEqual(heard, [
      ["b", 0],
      ["a", 100],
    ]);
  });
});
