import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { SkillLoopTimeCounter, SkillLoopTimeReader } from "#runtime/adapters/threads/skill-loop-time.ts";

/** One thread with a clock, and a loop that is idle as the test says. */
function thread(reader: SkillLoopTimeReader, skills: readonly string[]) {
  let nowMs = 1_000;
  let idleMs = 400;
  const counter = new SkillLoopTimeCounter(
    reader.buffer,
    skills,
    () => nowMs,
    () => idleMs,
  );
  return {
    works: (ms: number, skill: string): void => {
      nowMs += ms;
      counter.held(skill);
    },
    idles: (ms: number): void => {
      nowMs += ms;
      idleMs += ms;
    },
  };
}

describe("how long code holds the loops of threads", () => {
  const skills = ["computes", "waits"];

  test("is summed by skill, over all threads, without what loops were idle", () => {
    const reader = new SkillLoopTimeReader(skills);
    const [one, other] = [thread(reader, skills), thread(reader, skills)];
    // What a thread does before its first run is nobody's.
    for (const each of [one, other]) each.works(300, "waits");
    one.works(200, "computes");
    one.idles(1_000);
    one.works(1, "waits");
    other.works(50, "computes");
    assert.deepEqual([reader.heldMs("computes"), reader.heldMs("waits")], [250, 1]);
    one.works(0.1, "waits");
    one.idles(0.2);
    one.works(0.1, "waits");
    one.works(3, "computes");
    assert.equal(Math.round(reader.heldMs("computes") + reader.heldMs("waits")), 254);
  });

  test("goes on past what one sum holds, and knows nothing of other skills", () => {
    const reader = new SkillLoopTimeReader(skills);
    const one = thread(reader, skills);
    one.works(1, "computes");
    for (let turn = 0; turn < 10; turn += 1) {
      one.works(600_000, "computes");
      reader.heldMs("computes");
    }
    one.works(5, "unknown");
    assert.deepEqual([reader.heldMs("computes"), reader.heldMs("waits"), reader.heldMs("unknown")], [6_000_000, 0, 0]);
  });
});
