import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type LoadSheddingPolicy, defaultLoadSheddingPolicy } from "#runtime/core/load-shedding.ts";
import { type Priority, asPriority, priorities, sheddablePriorities } from "#runtime/core/priority.ts";
import { type Arrival, LoadShedding } from "#runtime/policy/load-shedding.ts";

const policy: LoadSheddingPolicy = { ...defaultLoadSheddingPolicy, enabled: true };
const ample = { memory: 0, loop: 0 };
const low: Arrival = { priority: "low", mayWait: true, usage: 1, postponements: 0 };
const always = (): number => 0;
/** A draw just below one. */
const hardly = (): number => 0.999_999;

/** A second in which even the youngest message had waited for so long. */
function lookAt(shedding: LoadShedding, ageMs: number): boolean {
  shedding.arrived(ageMs);
  return shedding.look(ample, false);
}

/** All of whose lowest zone is shed. */
function pressed(changes: Partial<LoadSheddingPolicy> = {}): LoadShedding {
  const shedding = new LoadShedding({ ...policy, ...changes });
  lookAt(shedding, 1_000_000);
  return shedding;
}

function answers(shedding: LoadShedding, arrivals: readonly Partial<Arrival>[], random = always, nowMs = 0): string[] {
  return arrivals.map((arrival) => shedding.decide({ ...low, ...arrival }, nowMs, random));
}

function pressureAfter(...agesMs: readonly number[]): number {
  const shedding = new LoadShedding(policy);
  for (const ageMs of agesMs) lookAt(shedding, ageMs);
  return shedding.view().pressure;
}

describe("load shedding", () => {
  test("is off until even the youngest message of a look has waited too long", () => {
    const shedding = new LoadShedding(policy);
    shedding.arrived(400_000);
    shedding.arrived(29_999);
    shedding.arrived(400_000);
    assert.deepEqual([shedding.isEnabled, shedding.look(ample, false), shedding.isActive], [true, false, false]);
    assert.deepEqual([lookAt(shedding, 30_000), shedding.isActive, shedding.view().why], [true, true, "queue-age"]);
    assert.deepEqual([lookAt(shedding, 30_000), shedding.isActive], [false, true]);
  });

  test("never begins where it is not enabled", () => {
    const shedding = new LoadShedding(defaultLoadSheddingPolicy);
    assert.deepEqual(
      [lookAt(shedding, 1_000_000), shedding.look({ memory: 1, loop: 1 }, false), shedding.isActive, shedding.isEnabled],
      [false, false, false, false],
    );
    assert.deepEqual(shedding.view(), {
      policy: defaultLoadSheddingPolicy,
      isActive: false,
      why: undefined,
      pressure: 0,
      queueAgeMs: 0,
      shed: { low: 0, normal: 0, high: 0, critical: 0 },
      spared: 0,
      givenUp: 0,
    });
  });

  test("presses the more the longer the wait is, from half the bound to twice the bound", () => {
    assert.deepEqual(
      [30_000, 45_000, 59_999, 60_000, 500_000].map((ageMs) => Math.round(pressureAfter(ageMs) * 1_000) / 1_000),
      [0.333, 0.667, 1, 1, 1],
    );
  });

  test("goes on down to half the bound, and then until the pressure, halved with each look, has died away", () => {
    const shedding = new LoadShedding(policy);
    lookAt(shedding, 60_000);
    assert.equal(shedding.view().pressure, 1);
    assert.deepEqual(
      [45_000, 44_999, 15_000].map((ageMs) => [lookAt(shedding, ageMs), Math.round(shedding.view().pressure * 1_000) / 1_000]),
      [
        [false, 1],
        [false, 0.667],
        [false, 0.333],
      ],
    );
    assert.deepEqual(
      [14_999, 0, 0, 0].map((ageMs) => [lookAt(shedding, ageMs), Math.round(shedding.view().pressure * 1_000) / 1_000, shedding.isActive]),
      [
        [false, 0.167, true],
        [false, 0.083, true],
        [true, 0, false],
        [false, 0, false],
      ],
    );
  });

  test("ends with a pressure just below a twentieth, not at it", () => {
    const shedding = new LoadShedding(policy);
    shedding.look({ memory: 0.1, loop: 0 }, false);
    assert.deepEqual([shedding.look(ample, false), shedding.view().pressure], [false, 0.05]);
    assert.deepEqual([shedding.look(ample, false), shedding.view().pressure], [true, 0]);
  });

  test("takes a queue that nothing came from for empty when nothing is held, else for as old as it was", () => {
    const shedding = pressed();
    for (let look = 0; look < 10; look += 1) shedding.look(ample, false);
    assert.deepEqual([shedding.isActive, shedding.view().queueAgeMs], [true, 1_000_000]);
    for (let look = 0; look < 5; look += 1) shedding.look(ample, true);
    assert.deepEqual([shedding.isActive, shedding.view().queueAgeMs], [false, 0]);
  });

  test("presses by memory or loop, too, and names what presses most", () => {
    const why = (memory: number, loop: number, ageMs: number): unknown => {
      const shedding = new LoadShedding(policy);
      shedding.arrived(ageMs);
      shedding.look({ memory, loop }, false);
      const view = shedding.view();
      return [view.why, Math.round(view.pressure * 100)];
    };
    assert.deepEqual(
      [why(0.6, 0.2, 0), why(0.2, 0.6, 0), why(0.6, 0.6, 37_500), why(0.2, 0.3, 37_500), why(0.01, 0, 0), why(0, 0, 0)],
      [
        ["memory", 60],
        ["loop", 60],
        ["memory", 60],
        ["queue-age", 50],
        ["memory", 1],
        [undefined, 0],
      ],
    );
  });

  test("sheds all of one priority before any of the next, never what is above the bound, and nothing critical", () => {
    const parts = (upTo: LoadSheddingPolicy["upTo"], pressure: number): number[] => {
      const shedding = new LoadShedding({ ...policy, upTo, ratio: 1_000 });
      shedding.look({ memory: pressure, loop: 0 }, false);
      return priorities.map((priority) => {
        for (let part = 0; part < 10; part += 1) if (shedding.decide({ ...low, priority }, 0, () => (part + 0.5) / 10) === "run") return part / 10;
        return 1;
      });
    };
    assert.deepEqual(parts("low", 0.5), [0.5, 0, 0, 0]);
    assert.deepEqual(parts("low", 1), [1, 0, 0, 0]);
    assert.deepEqual(parts("normal", 0.4), [0.8, 0, 0, 0]);
    assert.deepEqual(parts("normal", 0.75), [1, 0.5, 0, 0]);
    assert.deepEqual(parts("high", 0.5), [1, 0.5, 0, 0]);
    assert.deepEqual(parts("high", 1), [1, 1, 1, 0]);
  });

  test("sheds by a draw below the part, not at it", () => {
    const shedding = new LoadShedding(policy);
    shedding.look({ memory: 0.5, loop: 0 }, false);
    assert.deepEqual([answers(shedding, [{}], () => 0.499), answers(shedding, [{}], () => 0.5)], [["shed"], ["run"]]);
  });

  test("sheds nothing for the queue's age while the skill has room, but for memory and loop", () => {
    assert.deepEqual(answers(pressed(), [{ usage: 0.49 }, { usage: 0.5 }]), ["run", "shed"]);
    for (const pressures of [
      { memory: 1, loop: 0 },
      { memory: 0, loop: 1 },
    ]) {
      const shedding = new LoadShedding(policy);
      shedding.look(pressures, false);
      assert.deepEqual(answers(shedding, [{ usage: 0 }], hardly), ["shed"]);
    }
  });

  test("does not shed what may not wait", () => {
    assert.deepEqual(answers(pressed(), [{ mayWait: false }]), ["run"]);
  });

  test("runs what was postponed too often, or gives it up where that is configured", () => {
    assert.deepEqual(answers(pressed({ postponementsMax: 3 }), [{ postponements: 2 }, { postponements: 3 }, { postponements: 4 }]), ["shed", "run", "run"]);
    const strict = pressed({ postponementsMax: 3, afterwards: "dead-letter" });
    assert.deepEqual(answers(strict, [{ postponements: 2 }, { postponements: 3 }, { postponements: 3, priority: "normal" }]), ["shed", "give-up", "run"]);
    assert.deepEqual([strict.view().givenUp, strict.view().shed], [1, { low: 1, normal: 0, high: 0, critical: 0 }]);
  });

  test("sheds in proportion to what is found behind, and to time; the rest is run", () => {
    const shedding = pressed({ ratio: 3, perSecondMin: 2 });
    const shedOf = (count: number, nowMs: number): number =>
      answers(
        shedding,
        Array.from({ length: count }, () => ({})),
        always,
        nowMs,
      ).filter((answer) => answer === "shed").length;
    assert.equal(shedOf(600, 0), 500);
    assert.equal(shedding.view().spared, 100);
    answers(shedding, [{ priority: "normal" }, { priority: "critical" }]);
    assert.equal(shedOf(10, 0), 6);
    assert.equal(shedOf(10, 5_000), 10);
    assert.equal(shedOf(10, 5_000), 0);
    // One of the lowest priority that is run is no find.
    answers(shedding, [{ usage: 0 }], always, 5_000);
    assert.equal(shedOf(10, 5_000), 0);
    assert.deepEqual(shedding.view().shed, { low: 516, normal: 0, high: 0, critical: 0 });
  });

  test("counts by priority", () => {
    const shedding = pressed({ upTo: "high" });
    answers(shedding, [{ priority: "high" }, { priority: "normal" }, { priority: "high" }, {}]);
    assert.deepEqual(shedding.view().shed, { low: 1, normal: 1, high: 2, critical: 0 });
  });

  test("ends at once when it is switched off, and begins with the next look when it is switched on", () => {
    const shedding = pressed();
    shedding.change({ enabled: false });
    assert.equal(lookAt(shedding, 1_000_000), false);
    shedding.change({ enabled: false });
    assert.deepEqual([shedding.isActive, shedding.isEnabled, shedding.view().pressure, shedding.view().queueAgeMs], [false, false, 0, 0]);
    shedding.change({ enabled: true });
    assert.deepEqual([shedding.isActive, shedding.look(ample, false), lookAt(shedding, 30_000)], [false, false, true]);
  });

  test("is judged by new bounds with the next look, and keeps the others", () => {
    const shedding = pressed();
    shedding.change({ queueAgeMs: 4_000_000, upTo: "normal" });
    assert.deepEqual([shedding.isActive, shedding.policy], [true, { ...policy, queueAgeMs: 4_000_000, upTo: "normal" }]);
    for (let look = 0; look < 5; look += 1) lookAt(shedding, 1_000_000);
    assert.equal(shedding.isActive, false);
    shedding.change({ queueAgeMs: 1_000, ratio: 0, perSecondMin: 0 });
    lookAt(shedding, 1_000_000);
    assert.equal(
      answers(
        shedding,
        Array.from({ length: 600 }, () => ({})),
        always,
        1_000_000,
      ).filter((answer) => answer === "shed").length,
      500,
    );
  });

  const anyPolicy = fc.record({
    upTo: fc.constantFrom(...sheddablePriorities),
    ratio: fc.integer({ min: 0, max: 50 }),
    perSecondMin: fc.integer({ min: 0, max: 50 }),
    postponementsMax: fc.integer({ min: 1, max: 5 }),
    afterwards: fc.constantFrom("run", "dead-letter"),
  });
  const anyArrival = fc.record<Arrival>({
    priority: fc.constantFrom<Priority>(...priorities),
    mayWait: fc.boolean(),
    usage: fc.double({ min: 0, max: 2, noNaN: true }),
    postponements: fc.nat(6),
  });
  const anyPressure = fc.double({ min: 0, max: 1, noNaN: true });
  const anyDraw = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

  test("with the same draw, never sheds what is more important and runs what is less", () => {
    fc.assert(
      fc.property(anyPolicy, anyPressure, anyDraw, (changes, pressure, draw) => {
        const shedding = new LoadShedding({ ...policy, ...changes });
        shedding.look({ memory: pressure, loop: 0 }, false);
        const isShed = priorities.map((priority) => shedding.decide({ ...low, priority }, 0, () => draw) === "shed");
        assert.deepEqual(
          isShed,
          [...isShed].sort((one, other) => Number(other) - Number(one)),
        );
        assert.equal(isShed[priorities.indexOf("critical")], false);
      }),
    );
  });

  test("never sheds more than its budget, what may not wait, what is above its bound, or what has waited often enough", () => {
    fc.assert(
      fc.property(anyPolicy, fc.array(fc.tuple(anyArrival, anyDraw, fc.nat(400)), { maxLength: 1_500, minLength: 400 }), (changes, arrivals) => {
        const shedding = pressed(changes);
        let nowMs = 0;
        let shed = 0;
        let found = 0;
        for (const [arrival, draw, passedMs] of arrivals) {
          nowMs += passedMs;
          const answer = shedding.decide(arrival, nowMs, () => draw);
          if (answer !== "shed") {
            found += arrival.priority === "low" ? 0 : 1;
            assert.ok(answer === "run" || (changes.afterwards === "dead-letter" && arrival.postponements >= changes.postponementsMax));
            continue;
          }
          shed += 1;
          assert.ok(arrival.mayWait && arrival.usage >= 0.5 && arrival.postponements < changes.postponementsMax);
          assert.ok(priorities.indexOf(arrival.priority) <= priorities.indexOf(changes.upTo));
        }
        assert.ok(shed <= 500 + found * changes.ratio + (nowMs * changes.perSecondMin) / 1_000);
        const counts = shedding.view().shed;
        assert.equal(counts.low + counts.normal + counts.high, shed);
      }),
      { numRuns: 30 },
    );
  });

  test("does not swing: between half its bound and its bound the wait in the queue neither begins nor ends it", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(fc.integer({ min: 15_001, max: 29_999 })), (wasOn, agesMs) => {
        const shedding = new LoadShedding(policy);
        if (wasOn) lookAt(shedding, 30_000);
        assert.ok(agesMs.every((ageMs) => !lookAt(shedding, ageMs)));
        assert.equal(shedding.isActive, wasOn);
      }),
    );
  });
});

test("a priority is one of four words, and nothing else", () => {
  assert.deepEqual([...priorities, "LOW", "", 1, null, undefined, "constructor"].map(asPriority), [
    ...priorities,
    ...Array.from({ length: 6 }, () => undefined),
  ]);
});
