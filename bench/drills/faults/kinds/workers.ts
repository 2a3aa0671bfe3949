/** Trouble within the workers: threads that end or hang, a process that stands still or is gone. */
import { setTimeout as pause } from "node:timers/promises";
import { type Fault, heardSince, ofWorker } from "../fault.ts";
import { SingleRedis } from "../redis.ts";
import { lockMs, type Scene } from "../scene.ts";

/** Of runs that end their thread now and then complete: fewer than make it a crash loop. */
const timesToBear = 2;
const always = 1_000;
const pollMs = 200;
const endsWithinMs = 90_000;

/** Resolves when these events have ended; what else was held meanwhile is the fault's doing, too. */
async function ended(scene: Scene, eventIds: readonly string[]): Promise<void> {
  const untilMs = performance.now() + endsWithinMs;
  while (performance.now() < untilMs) {
    const open = new Set<string>();
    for await (const { applicationProperties } of scene.broker.waiting()) open.add(String(applicationProperties["eventId"]));
    if (!eventIds.some((eventId) => open.has(eventId))) return;
    await pause(pollMs);
  }
}

/** One event that does it and then completes, and one that never does otherwise. */
async function actHostile(scene: Scene, deed: "memory" | "exit" | "loop", end: string): Promise<() => number> {
  const times = heardSince(scene, "thread.lost");
  const borne = scene.load.add("Hostile", { deed, times: timesToBear });
  const hopeless = scene.load.add("Hostile", { deed, times: always }, [end]);
  await pause(1_000);
  await ended(scene, [borne, hopeless]);
  return times;
}

const outOfMemory: Fault = {
  name: "thread-out-of-memory",
  what: "runs that take all heap that a thread has in a worker of 512 MB: one twice, one always",
  targets: ofWorker,
  prepare: async () => ({ redis: await SingleRedis.start("aof", {}), memoryBytesMax: 512 * 1024 ** 2 }),
  strike: (scene) => actHostile(scene, "memory", "CrashLoop"),
};

const exits: Fault = {
  name: "thread-exits",
  what: "runs that end their thread: one twice, one always",
  targets: ofWorker,
  strike: (scene) => actHostile(scene, "exit", "CrashLoop"),
};

const loops: Fault = {
  name: "thread-loops",
  what: "runs that loop for ever: one twice, one always",
  targets: ofWorker,
  strike: (scene) => actHostile(scene, "loop", "RetriesExhausted"),
};

const frozen: Fault = {
  name: "worker-frozen",
  what: "SIGSTOP of one worker for a lock and 3 s more, then SIGCONT",
  isQuick: true,
  targets: ofWorker,
  async strike(scene) {
    const times = heardSince(scene, "loop.changed", "lock.lost");
    scene.workers[0]?.freeze();
    await pause(lockMs + 3_000);
    scene.workers[0]?.thaw();
    return times;
  },
};

const killed: Fault = {
  name: "worker-killed",
  what: "SIGKILL of one worker, and started again",
  targets: ofWorker,
  async strike(scene) {
    await scene.workers[0]?.kill();
    await scene.workers[0]?.start();
    return () => 1;
  },
};

export const workerFaults: readonly Fault[] = [outOfMemory, exits, loops, frozen, killed];
