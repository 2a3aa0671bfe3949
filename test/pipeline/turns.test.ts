import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Source } from "#runtime/pipeline/source.ts";
import { Turns } from "#runtime/pipeline/turns.ts";
import type { Work } from "#runtime/pipeline/work.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

/** One thread, and two sources of one weight that always have something. */
async function share(end: (turns: Turns, work: Work, nowMs: number) => void): Promise<number[]> {
  const clock = new SimClock();
  const sources = [0, 1].map((number) => ({ number, weight: 1, priority: 0 }) as Source);
  const turns: Turns = new Turns({ clock, executor: { unbegunShared: 0 }, sources, threads: 1, moved: () => undefined });
  const workOf = (source: Source): Work => ({ source, isApart: false, intake: undefined, waitingSinceMs: 0 }) as Work;
  const took = [0, 0];
  // Until they wait, what comes goes to the thread.
  for (const source of sources) while (turns.enter(workOf(source), 0));
  for (let run = 0; run < 200; run += 1) {
    for (const source of sources) turns.enter(workOf(source), clock.monotonicMs());
    await clock.advance(2);
    const work = turns.next(clock.monotonicMs());
    if (work === undefined) continue;
    await clock.advance(100);
    took[work.source.number]! += 1;
    end(turns, work, clock.monotonicMs());
  }
  return took;
}

test("a source whose runs hold their threads until these are ended pays for that time as for any other", async () => {
  const [held = 0, usual = 0] = await share((turns, work, nowMs) => turns.ended(work, work.source.number === 0 ? 0 : 100, nowMs, work.source.number === 0));
  assert.ok(Math.abs(held - usual) <= 10, `expected half of the turns for each, got ${held} and ${usual}`);
});

test("runs of which nobody knows how long they took, or that did not begin, do not make their source seem quick", async () => {
  let isOdd = false;
  const [lost = 0, usual = 0] = await share((turns, work, nowMs) => {
    if (work.source.number === 1) return turns.ended(work, 100, nowMs, false);
    isOdd = !isOdd;
    turns.ended(work, isOdd ? 100 : 0, nowMs, false);
  });
  assert.ok(Math.abs(lost - usual) <= 20, `expected half of the turns for each, got ${lost} and ${usual}`);
});
