// Events of two skills, side by side on one queue, each with a dependency of its own: trouble of the one is not to be felt by the other.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { dependencyPolicy, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

const intake = { start: 4, floor: 1, ceiling: 10_000, waitMaxMs: 500 };
const bulkhead = { concurrentMax: 64, queueMax: 512, waitMaxMs: 5_000 };
const everyMs = 10;
const soundMs = 2;

interface Phase {
  readonly forMs: number;
  /** What runs of the troubled skill take. */
  readonly troubledMs: number;
}

/** Three events of each skill every 10 ms; returns how long those of the sound skill took, from the latest phase. */
async function soundLatencies(phases: readonly Phase[]): Promise<{ readonly mostMs: number; readonly ended: number; readonly held: number }> {
  const world = new World({
    skills: [skillPolicy("sound", { uses: [0] }), skillPolicy("troubled", { uses: [1], timeoutMs: 600_000 })],
    dependencies: [dependencyPolicy("sound", bulkhead), dependencyPolicy("troubled", bulkhead)],
    broker: { latencyMs: 2 },
    storeLatencyMs: 2,
  });
  const { executor, worker } = await world.start({ intake, inFlightMax: 10_000 });
  const sentMs = new Map<string, number>();
  let tookMs: number[] = [];
  let troubledMs = soundMs;
  executor.script = async (run) => {
    const isSound = run.order.skill === "sound";
    await run.takes(isSound ? soundMs : troubledMs);
    if (isSound) tookMs.push(world.clock.monotonicMs() - (sentMs.get(run.eventId) ?? 0));
    return completedAnswer;
  };
  let held = 0;
  for (const phase of phases) {
    tookMs = [];
    troubledMs = phase.troubledMs;
    for (let goneMs = 0; goneMs < phase.forMs; goneMs += everyMs) {
      for (let event = 0; event < 6; event += 1) {
        const eventId = `e${sentMs.size}`;
        sentMs.set(eventId, world.clock.monotonicMs());
        world.send(world.message(eventId, event % 2 === 0 ? "sound" : "troubled"));
      }
      await world.clock.advance(everyMs);
    }
    held = worker.view().intake.find(({ skill }) => skill === "troubled")?.held ?? 0;
  }
  return { mostMs: Math.max(...tookMs), ended: tookMs.length, held };
}

describe("events for a sound dependency are not held up by another", () => {
  for (const [name, troubledMs] of [
    ["is slow", 500],
    ["hangs", 300_000],
  ] as const) {
    test(`that ${name} from the start`, async () => {
      const { mostMs, ended, held } = await soundLatencies([{ forMs: 3_000, troubledMs }]);
      assert.ok(mostMs <= 100, `${mostMs} ms at most`);
      assert.ok(ended >= 890, `${ended} ended`);
      // A window, and what chance mixes in.
      assert.ok(held <= 300, `${held} held`);
    });

    test(`that comes to be in trouble: it ${name}`, async () => {
      const { mostMs, ended } = await soundLatencies([
        { forMs: 1_000, troubledMs: soundMs },
        { forMs: 3_000, troubledMs },
      ]);
      assert.ok(mostMs <= 100, `${mostMs} ms at most`);
      assert.ok(ended >= 890, `${ended} ended`);
    });
  }
});
