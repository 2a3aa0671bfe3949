import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import type { CallReport } from "#runtime/core/outcome.ts";
import { type DependencyPolicy, type WhenFull, defaultCircuitPolicy } from "#runtime/core/skill.ts";
import { Admission, type Admissible, type LaneAnswer } from "#runtime/policy/admission.ts";
import type { CircuitState } from "#runtime/policy/circuit.ts";

interface Run extends Admissible {
  readonly name: string;
}

function dependency(
  name: string,
  concurrentMax: number,
  queueMax: number,
  circuit: Partial<DependencyPolicy["circuit"]> = {},
  whenFull: WhenFull = "postpone",
): DependencyPolicy {
  return {
    name,
    bulkhead: { concurrentMax, queueMax, waitMaxMs: 1_000, whenFull },
    circuit: { ...defaultCircuitPolicy, failureThreshold: 1, resetTimeoutMs: 1_000, resetFactor: 1, halfOpenMax: 1, ...circuit },
  };
}

function fixture(...dependencies: readonly DependencyPolicy[]) {
  const changes: string[] = [];
  const admission = new Admission<Run>(dependencies, (number, name, state) => changes.push(`${number}:${name}:${state}`));
  return { admission, changes, admit: (name: string, uses: readonly number[], nowMs = 0) => admission.admit(runOf(name, uses), nowMs).kind };
}

const runs = new Map<string, Run>();
function runOf(name: string, uses: readonly number[]): Run {
  const key = `${name}/${uses.join()}`;
  const known = runs.get(key) ?? { name, uses, waitingSinceMs: Number(name) || 0, mayBeRejected: true };
  runs.set(key, known);
  return known;
}

const failed = (name: string): CallReport[] => [{ dependency: name, result: "failed" }];
const succeeded = (name: string): CallReport[] => [{ dependency: name, result: "succeeded" }];
const names = (list: readonly Run[]): string[] => list.map((run) => run.name);

describe("admission", () => {
  test("admits a run without dependencies always", () => {
    assert.equal(fixture(dependency("a", 1, 0)).admit("free", []), "admitted");
  });

  test("admits up to concurrentMax, queues up to queueMax, postpones the rest", () => {
    const { admit, admission } = fixture(dependency("a", 2, 1));
    assert.deepEqual([admit("1", [0]), admit("2", [0]), admit("3", [0]), admit("4", [0])], ["admitted", "admitted", "waiting", "postponed"]);
    assert.deepEqual(admission.admit(runOf("5", [0]), 3), { kind: "postponed", why: "lane-full", dependency: "a", atLeastMs: 0, atMostMs: 0 });
  });

  test("says when a full lane that moves should have room again", () => {
    const { admit, admission } = fixture(dependency("a", 1, 2));
    for (const name of ["1", "2", "3"]) admit(name, [0]);
    admission.leave(runOf("1", [0]), [], 100);
    admission.next(100);
    admit("4", [0], 100);
    assert.deepEqual(admission.admit(runOf("5", [0]), 203), { kind: "postponed", why: "lane-full", dependency: "a", atLeastMs: 0, atMostMs: 800 });
  });

  test("lets the longest waiting run in when a slot comes free", () => {
    const { admit, admission } = fixture(dependency("a", 1, 5));
    for (const name of ["1", "2", "3"]) admit(name, [0]);
    admission.leave(runOf("1", [0]), [], 0);
    assert.deepEqual(names(admission.next(0).admitted), ["2"]);
    assert.deepEqual(names(admission.next(0).admitted), []);
  });

  test("takes all slots of a run or none", () => {
    const { admit, admission } = fixture(dependency("a", 2, 5), dependency("b", 1, 5));
    admit("holds b", [1]);
    assert.equal(admit("needs both", [0, 1]), "waiting");
    assert.deepEqual(
      admission.view(0).map(({ inUse, waiting }) => [inUse, waiting]),
      [
        [0, 0],
        [1, 1],
      ],
    );
  });

  test("does not let a run that waits for a hung dependency stop the lane of a healthy one", () => {
    const { admit, admission } = fixture(dependency("healthy", 1, 5), dependency("hung", 1, 5));
    admit("uses healthy", [0]);
    assert.equal(admit("uses both", [0, 1]), "waiting");
    assert.equal(admit("hangs", [1]), "admitted");
    assert.equal(admit("also uses healthy", [0]), "waiting");
    admission.leave(runOf("uses healthy", [0]), [], 0);
    assert.deepEqual(names(admission.next(0).admitted), ["also uses healthy"]);
    admission.leave(runOf("also uses healthy", [0]), [], 0);
    admission.leave(runOf("hangs", [1]), [], 0);
    assert.deepEqual(names(admission.next(0).admitted), ["uses both"]);
  });

  test("postpones a run whose next lane is full", () => {
    const { admit, admission } = fixture(dependency("a", 1, 5), dependency("b", 1, 0));
    admit("holds a", [0]);
    admit("needs both", [0, 1]);
    admit("holds b", [1]);
    admission.leave(runOf("holds a", [0]), [], 0);
    assert.deepEqual(admission.next(0), {
      admitted: [],
      postponed: [{ run: runOf("needs both", [0, 1]), answer: { kind: "postponed", why: "lane-full", dependency: "b", atLeastMs: 0 } }],
      limited: [],
    });
  });

  test("postpones what needs a dependency whose circuit is open, also what waits in another's lane", () => {
    const { admit, admission } = fixture(dependency("a", 1, 5), dependency("b", 2, 5));
    admit("fails", [1]);
    admit("holds a", [0]);
    admit("needs both", [0, 1]);
    admission.leave(runOf("fails", [1]), failed("b"), 0);
    assert.deepEqual(admission.admit(runOf("late", [1]), 400), { kind: "postponed", why: "circuit-open", dependency: "b", atLeastMs: 600 });
    assert.deepEqual(admission.next(400).postponed, [
      { run: runOf("needs both", [0, 1]), answer: { kind: "postponed", why: "circuit-open", dependency: "b", atLeastMs: 600 } },
    ]);
  });

  test("lets probes through when a circuit is half-open, keeps the rest waiting, and goes on when one succeeded", () => {
    const { admit, admission, changes } = fixture(dependency("a", 5, 5));
    admit("fails", [0]);
    admission.leave(runOf("fails", [0]), failed("a"), 0);
    assert.deepEqual([admit("probe", [0], 1_000), admit("second", [0], 1_000), admit("third", [0], 1_000)], ["admitted", "waiting", "waiting"]);
    assert.deepEqual(names(admission.next(1_000).admitted), []);
    admission.leave(runOf("probe", [0]), succeeded("a"), 1_100);
    assert.deepEqual(names(admission.next(1_100).admitted), ["second", "third"]);
    assert.deepEqual(changes, ["0:a:open", "0:a:half-open", "0:a:closed"]);
  });

  test("tells that a circuit is half-open before a waiting run enters because of it", () => {
    const { admit, admission, changes } = fixture(dependency("a", 1, 5), dependency("b", 2, 5));
    admit("fails", [1]);
    admit("holds a", [0]);
    admission.leave(runOf("fails", [1]), failed("b"), 0);
    assert.deepEqual(changes, ["1:b:open"]);
    assert.equal(admit("needs both", [0, 1], 1_000), "waiting");
    assert.deepEqual(changes, ["1:b:open", "1:b:half-open"]);
    admission.leave(runOf("holds a", [0]), [], 1_000);
    assert.deepEqual(names(admission.next(1_000).admitted), ["needs both"]);
  });

  test("takes waiting runs out that have waited for too long, oldest first", () => {
    const { admit, admission } = fixture(dependency("a", 1, 5));
    for (const name of ["1", "2", "3", "4"]) admit(name, [0]);
    assert.deepEqual(names(admission.expire(1_003, 5_000).expired), ["2", "3"]);
    assert.equal(admission.view(0)[0]?.waiting, 1);
  });

  describe("with a dependency that rejects what finds it full", () => {
    const rejecting = (name: string, concurrentMax: number, queueMax: number): DependencyPolicy => dependency(name, concurrentMax, queueMax, {}, "reject");

    test("lets a run begin without its slot, and gives back only what it took", () => {
      const { admit, admission } = fixture(rejecting("a", 1, 1), dependency("b", 5, 5));
      assert.deepEqual([admit("1", [0]), admit("2", [0]), admit("3", [0, 1])], ["admitted", "waiting", "admitted"]);
      assert.deepEqual([admission.rejectedBy(runOf("1", [0])), admission.rejectedBy(runOf("3", [0, 1]))], [[], [0]]);
      assert.deepEqual(
        admission.view(0).map(({ inUse, waiting }) => [inUse, waiting]),
        [
          [1, 1],
          [1, 0],
        ],
      );
      assert.equal(admission.bulkhead("a")?.view().rejected, 1);
      admission.leave(runOf("3", [0, 1]), failed("a"), 0);
      assert.deepEqual(
        admission.view(0).map(({ inUse, circuit }) => [inUse, circuit]),
        [
          [1, "closed"],
          [0, "closed"],
        ],
      );
      assert.deepEqual(admission.rejectedBy(runOf("3", [0, 1])), []);
    });

    test("postpones a run that must not be rejected", () => {
      const { admission } = fixture(rejecting("a", 1, 0));
      const compensation: Run = { name: "goes back", uses: [0], waitingSinceMs: 0, mayBeRejected: false };
      assert.equal(admission.admit(compensation, 0).kind, "admitted");
      assert.equal(admission.admit({ ...compensation }, 0).kind, "postponed");
    });

    test("has room for any number of runs, and refuses none, but while its circuit is open", () => {
      const { admit, admission } = fixture(rejecting("a", 1, 0), dependency("b", 3, 0));
      admit("1", [0]);
      assert.deepEqual([admission.room([0], 0, "lane"), admission.room([0], 0, "soon"), admission.room([0, 1], 0, "lane")], [Infinity, Infinity, 3]);
      assert.equal(admission.refuses(runOf("refused", [0]), 0), undefined);
      admission.leave(runOf("1", [0]), failed("a"), 0);
      assert.deepEqual([admission.room([0], 0, "lane"), admission.refuses(runOf("refused", [0]), 0)?.why, admit("2", [0])], [0, "circuit-open", "postponed"]);
    });

    test("makes a run that it rejects wait for its other slots, and then for its own again", () => {
      const { admit, admission } = fixture(rejecting("a", 1, 0), dependency("b", 1, 5));
      admit("holds a", [0]);
      admit("holds b", [1]);
      assert.equal(admit("needs both", [0, 1]), "waiting");
      admission.leave(runOf("holds a", [0]), [], 0);
      admission.leave(runOf("holds b", [1]), [], 0);
      assert.deepEqual(names(admission.next(0).admitted), ["needs both"]);
      assert.deepEqual(admission.rejectedBy(runOf("needs both", [0, 1])), []);
    });

    test("rejects what has waited in its lane for too long, unless another dependency would make it wait on", () => {
      const { admit, admission } = fixture(rejecting("a", 1, 5), dependency("b", 1, 5), rejecting("c", 1, 5));
      admit("holds a", [0]);
      admit("holds b", [1]);
      admit("holds c", [2]);
      for (const [name, uses] of [
        ["10", [0]],
        ["11", [0, 1]],
        ["12", [0, 2]],
        ["900", [0]],
      ] as const)
        assert.equal(admit(name, uses), "waiting");
      const { admitted, postponed, expired } = admission.expire(1_100, 5_000);
      assert.deepEqual([names(admitted), postponed, names(expired)], [["10", "12"], [], ["11"]]);
      assert.deepEqual([admission.rejectedBy(runOf("10", [0])), admission.rejectedBy(runOf("12", [0, 2]))], [[0], [0, 2]]);
      assert.deepEqual(
        admission.view(0).map(({ inUse, waiting }) => [inUse, waiting]),
        [
          [1, 1],
          [1, 0],
          [1, 0],
        ],
      );
    });

    test("postpones what has waited for too long while another circuit is open", () => {
      const { admit, admission } = fixture(rejecting("a", 1, 5), dependency("b", 5, 5));
      admit("holds a", [0]);
      admit("fails", [1]);
      admit("10", [0, 1]);
      admission.leave(runOf("fails", [1]), failed("b"), 1_000);
      assert.deepEqual(admission.expire(1_100, 5_000), {
        admitted: [],
        postponed: [{ run: runOf("10", [0, 1]), answer: { kind: "postponed", why: "circuit-open", dependency: "b", atLeastMs: 900 } }],
        limited: [],
        expired: [],
      });
    });

    test("takes no probe of a half-open circuit for a run that it rejects", () => {
      const { admit, admission } = fixture(dependency("a", 5, 0, { halfOpenMax: 1 }, "reject"));
      admit("fails", [0]);
      admission.leave(runOf("fails", [0]), failed("a"), 0);
      assert.deepEqual([admit("probe", [0], 1_000), admit("other", [0], 1_000)], ["admitted", "admitted"]);
      assert.deepEqual([admission.rejectedBy(runOf("probe", [0])), admission.rejectedBy(runOf("other", [0]))], [[], [0]]);
      admission.leave(runOf("other", [0]), failed("a"), 1_000);
      assert.equal(admission.view(1_000)[0]?.circuit, "half-open");
      admission.leave(runOf("probe", [0]), succeeded("a"), 1_000);
      assert.equal(admission.view(1_000)[0]?.circuit, "closed");
    });
  });

  test("counts what waits in all lanes, and takes everything out when it is cleared", () => {
    const { admit, admission } = fixture(dependency("a", 1, 5), dependency("b", 1, 5));
    for (const name of ["1", "2", "3"]) admit(name, [0]);
    for (const name of ["4", "5"]) admit(name, [1]);
    assert.equal(admission.waiting, 3);
    admission.clear();
    assert.equal(admission.waiting, 0);
    admission.leave(runOf("1", [0]), [], 0);
    assert.deepEqual(admission.next(0).admitted, []);
  });

  test("has as much room for runs as the dependency with the least, in its lane or for what begins soon", () => {
    const { admit, admission } = fixture(dependency("a", 2, 5), dependency("b", 3, 1));
    const rooms = (): number[] => [[0], [1], [0, 1]].flatMap((uses) => [admission.room(uses, 0, "lane"), admission.room(uses, 0, "soon")]);
    assert.deepEqual(rooms(), [7, 4, 4, 4, 4, 4]);
    assert.equal(admission.room([], 0, "lane"), Infinity);
    for (const name of ["1", "2", "3"]) admit(name, [0]);
    assert.deepEqual(rooms(), [4, 1, 4, 4, 4, 1]);
    admission.leave(runOf("1", [0]), failed("a"), 0);
    assert.deepEqual(rooms(), [0, 0, 4, 4, 0, 0]);
  });

  test("refuses beforehand what it would postpone, and nothing else", () => {
    const { admit, admission } = fixture(dependency("a", 1, 1), dependency("b", 1, 0));
    assert.equal(admission.refuses(runOf("refused", [0, 1]), 0), undefined);
    admit("1", [0]);
    admit("2", [1]);
    assert.deepEqual([admission.refuses(runOf("refused", [0]), 0), admission.refuses(runOf("refused", [0, 1]), 0)?.why], [undefined, "lane-full"]);
    admission.leave(runOf("2", [1]), failed("b"), 0);
    assert.deepEqual(admission.refuses(runOf("refused", [0, 1]), 300), { kind: "postponed", why: "circuit-open", dependency: "b", atLeastMs: 700 });
    assert.equal(admission.refuses(runOf("refused", [1]), 1_000), undefined);
  });

  test("finds circuits and bulkheads by the dependency's name", () => {
    const { admission } = fixture(dependency("a", 1, 1), dependency("b", 2, 2));
    assert.deepEqual(admission.names, ["a", "b"]);
    assert.equal(admission.bulkhead("b")?.policy.concurrentMax, 2);
    assert.deepEqual([admission.circuit("b")?.view(0).state, admission.circuit("c"), admission.bulkhead("c")], ["closed", undefined, undefined]);
    admission.circuit("b")?.isolate();
    assert.deepEqual(
      admission.view(0).map(({ circuit }) => circuit),
      ["closed", "isolated"],
    );
  });

  test("tells of circuits that were changed by hand when it looks, and lets nothing pass one that is isolated", () => {
    const { admit, admission, changes } = fixture(dependency("a", 1, 1), dependency("b", 1, 1));
    admission.circuit("b")?.isolate();
    assert.deepEqual(changes, []);
    admission.look(0);
    admission.look(0);
    assert.deepEqual(changes, ["1:b:isolated"]);
    assert.deepEqual([admit("1", [1]), admission.room([1], 0, "lane"), admission.refuses(runOf("refused", [1]), 0)?.atLeastMs], ["postponed", 0, 1_000]);
  });

  test("tells each circuit of the calls to its own dependency alone", () => {
    const { admit, admission } = fixture(dependency("a", 1, 1), dependency("b", 1, 1));
    admit("both", [0, 1]);
    admission.leave(runOf("both", [0, 1]), [...succeeded("a"), ...failed("b")], 0);
    assert.deepEqual(
      admission.view(0).map(({ circuit }) => circuit),
      ["closed", "open"],
    );
  });

  test("keeps a run in its own lane while that has no slot, whatever else it lacks", () => {
    const { admit, admission } = fixture(dependency("a", 1, 5), dependency("b", 1, 5), dependency("c", 1, 5));
    for (const [name, uses] of [
      ["holds a", [0]],
      ["holds b", [1]],
      ["holds c", [2]],
    ] as const)
      admit(name, uses);
    // It waits for a slot of a, then, once that is free, for one of b.
    assert.equal(admit("all", [0, 1, 2]), "waiting");
    const lanes = (): number[] => {
      admission.next(0);
      return admission.view(0).map(({ waiting }) => waiting);
    };
    assert.deepEqual(lanes(), [1, 0, 0]);
    admission.leave(runOf("holds b", [1]), [], 0);
    assert.deepEqual(lanes(), [1, 0, 0]);
    admission.leave(runOf("holds a", [0]), [], 0);
    assert.deepEqual(lanes(), [0, 0, 1]);
    admit("holds a", [0]);
    assert.deepEqual(lanes(), [0, 0, 1]);
    admission.leave(runOf("holds c", [2]), [], 0);
    assert.deepEqual(lanes(), [1, 0, 0]);
  });

  test("does not judge a lane by runs that waited in another one before", () => {
    const { admit, admission } = fixture(dependency("a", 1, 5), dependency("b", 1, 1));
    admit("holds a", [0]);
    admit("both", [0, 1]);
    admit("holds b", [1]);
    admission.leave(runOf("holds a", [0]), [], 100);
    admission.next(100);
    assert.equal(admission.view(100)[1]?.waiting, 1);
    admission.expire(2_000, 5_000);
    assert.equal(admission.bulkhead("b")?.view().laneMax, 1);
  });

  test("knows the shortest wait that a lane allows", () => {
    const { admission } = fixture(dependency("a", 1, 1), dependency("b", 1, 1));
    admission.bulkhead("b")?.change({ waitMaxMs: 50 });
    assert.deepEqual([admission.waitMinMs, fixture().admission.waitMinMs], [50, Infinity]);
  });

  test("an adaptive limit comes down by calls that failed at once, too, which say nothing of how long one takes", () => {
    const { admission } = fixture({
      ...dependency("a", 50, 0, { mode: "consecutive", failureThreshold: 1_000 }),
      concurrency: { mode: "adaptive", min: 1, max: 50 },
    });
    const end = (report: CallReport, nowMs: number): void => {
      admission.admit(runOf("1", [0]), nowMs);
      admission.leave(runOf("1", [0]), [report], nowMs);
    };
    for (let call = 0; call < 30; call += 1) end({ dependency: "a", result: "slow" }, call * 100);
    assert.equal(admission.adaptive("a")?.limit, 50);
    for (let call = 30; call < 60; call += 1) end({ dependency: "a", result: "failed" }, call * 100);
    assert.ok((admission.adaptive("a")?.limit ?? 50) < 50);
  });

  test("refuses a number that names no dependency", () => {
    assert.throws(() => fixture(dependency("a", 1, 1)).admit("x", [1]), /expected a dependency number below 1, got 1/);
  });

  test("never exceeds concurrentMax or queueMax, never loses a run, gives all slots or none, whatever happens", () => {
    const uses = fc.subarray([0, 1, 2]);
    const operation = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant("admit" as const), uses }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("leave" as const), pick: fc.nat(), fails: uses }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 1_500 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("expire" as const), waitMaxMs: fc.nat({ max: 1_000 }) }) },
    );
    const sizes = fc.record({
      concurrentMax: fc.integer({ min: 1, max: 3 }),
      queueMax: fc.integer({ min: 0, max: 3 }),
      whenFull: fc.constantFrom<WhenFull>("postpone", "reject"),
    });
    fc.assert(
      fc.property(fc.tuple(sizes, sizes, sizes), fc.array(operation, { maxLength: 150 }), (bulkheads, operations) => {
        const world = new AdmissionWorld(bulkheads);
        for (const next of operations) {
          if (next.kind === "admit") world.admit(next.uses);
          if (next.kind === "leave") world.leave(next.pick, next.fails);
          if (next.kind === "wait") world.nowMs += next.ms;
          if (next.kind === "expire") world.expire(next.waitMaxMs);
          world.next();
          world.check();
        }
        world.drain();
      }),
      { numRuns: 300 },
    );
  });
});

interface Size {
  readonly concurrentMax: number;
  readonly queueMax: number;
  readonly whenFull: WhenFull;
}

/** Drives an admission and keeps account of where every run must be. */
class AdmissionWorld {
  nowMs = 0;
  readonly admission: Admission<Run>;
  readonly running = new Set<Run>();
  readonly waiting = new Set<Run>();
  readonly #states: CircuitState[] = ["closed", "closed", "closed"];
  readonly #bulkheads: readonly Size[];
  #made = 0;

  constructor(bulkheads: readonly Size[]) {
    this.#bulkheads = bulkheads;
    this.admission = new Admission<Run>(
      bulkheads.map(({ concurrentMax, queueMax, whenFull }, number) => dependency(`d${number}`, concurrentMax, queueMax, { failureThreshold: 2 }, whenFull)),
      (number, _, state) => {
        assert.notEqual(this.#states[number], state, "expected only changes to be told");
        this.#states[number] = state;
      },
    );
  }

  admit(uses: readonly number[]): void {
    const run = { name: `${this.#made}`, uses, waitingSinceMs: this.nowMs, mayBeRejected: this.#made % 5 > 0 };
    this.#made += 1;
    const answer = this.admission.admit(run, this.nowMs);
    if (answer.kind === "admitted") this.enter(run);
    if (answer.kind === "waiting") this.waiting.add(run);
  }

  enter(run: Run): void {
    const rejectedBy = this.admission.rejectedBy(run);
    for (const number of rejectedBy) {
      assert.ok(run.mayBeRejected && run.uses.includes(number) && this.#bulkheads[number]?.whenFull === "reject", "expected only such a run to be rejected");
    }
    for (const number of run.uses) assert.notEqual(this.#states[number], "open", "expected no run to pass an open circuit");
    this.running.add(run);
  }

  leave(pick: number, fails: readonly number[]): void {
    const run = [...this.running][pick % Math.max(1, this.running.size)];
    if (run === undefined) return;
    this.running.delete(run);
    this.admission.leave(
      run,
      run.uses.map((number) => ({ dependency: `d${number}`, result: fails.includes(number) ? "failed" : "succeeded" })),
      this.nowMs,
    );
  }

  next(): void {
    this.#moved(this.admission.next(this.nowMs));
  }

  #moved({ admitted, postponed }: LaneAnswer<Run>): void {
    for (const run of admitted) {
      assert.ok(this.waiting.delete(run), "expected an admitted run to have waited");
      this.enter(run);
    }
    for (const { run, answer } of postponed) {
      assert.ok(this.waiting.delete(run), "expected a postponed run to have waited");
      if (answer.why === "circuit-open") assert.ok(run.uses.some((number) => this.#states[number] === "open"));
    }
  }

  expire(waitMaxMs: number): void {
    const answer = this.admission.expire(this.nowMs, waitMaxMs);
    for (const run of answer.expired) assert.ok(this.waiting.delete(run), "expected an expired run to have waited");
    this.#moved(answer);
  }

  check(): void {
    this.admission.view(this.nowMs).forEach((gate, number) => {
      const users = [...this.running].filter((run) => run.uses.includes(number) && !this.admission.rejectedBy(run).includes(number)).length;
      assert.equal(gate.inUse, users);
      assert.ok(users <= (this.#bulkheads[number]?.concurrentMax ?? 0));
      assert.ok(gate.waiting <= (this.#bulkheads[number]?.queueMax ?? 0));
    });
    assert.equal(
      this.admission.view(this.nowMs).reduce((sum, gate) => sum + gate.waiting, 0),
      this.waiting.size,
    );
  }

  /** Everything that waits gets its turn once runs end and circuits have had time. */
  drain(): void {
    for (let turn = 0; (this.running.size > 0 || this.waiting.size > 0) && turn < 1_000; turn += 1) {
      for (const run of this.running) this.leave([...this.running].indexOf(run), []);
      this.nowMs += 1_000;
      this.next();
      this.check();
    }
    assert.deepEqual([this.running.size, this.waiting.size], [0, 0]);
  }
}
