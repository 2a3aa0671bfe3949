/** Wall clocks that jump, each of one process, by libfaketime; monotonic clocks go on. */
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { globSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Fault, heardSince, ofInfrastructure, ofWorker, type Targets } from "../fault.ts";
import { SingleRedis } from "../redis.ts";
import type { Scene } from "../scene.ts";

const lastsMs = 4_000;
/** By then, libfaketime has read the file again. */
const isReadEveryMs = 1_500;
const library = "/usr/lib/*/faketime/libfaketime.so.1";

function libraryPath(): string {
  const [found] = globSync(library);
  if (found !== undefined) return found;
  process.stderr.write("libfaketime is missing; installing it with apt-get\n");
  const isRoot = process.getuid?.() === 0;
  const args = ["-qq", "-y", "install", "faketime"];
  spawnSync(isRoot ? "apt-get" : "sudo", isRoot ? args : ["-n", "apt-get", ...args], { stdio: ["ignore", 2, 2] });
  const [installed] = globSync(library);
  if (installed === undefined)
    throw new Error(
      `expected libfaketime at ${library} to move clocks with, found none; install it (Debian: apt-get install faketime), or choose others with --only`,
    );
  return installed;
}

/** The wall clock of the processes that get its environment. */
class FakeClock {
  readonly #file = join(tmpdir(), `holdfast-clock-${randomUUID()}`);

  /** For processes to come: their clocks are right until it jumps. */
  get env(): Readonly<Record<string, string>> {
    this.jumpTo(0);
    // With libc's own malloc: that of a Redis asks for the time before the library is ready.
    return { LD_PRELOAD: `${libraryPath()} libc.so.6`, FAKETIME_TIMESTAMP_FILE: this.#file, FAKETIME_CACHE_DURATION: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1" };
  }

  /** So far from the right time. */
  jumpTo(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? "" : "+"}${seconds}\n`);
  }
}

type Whose = "store" | "broker" | "worker";

/** Jumps ahead, then as far back, then to the right time; how far it was seen to have moved. */
function jumping(whose: Whose, seconds: number, targets: Targets): Fault {
  let clock = new FakeClock();
  return {
    name: `clock-of-${whose}`,
    what: `the wall clock of ${whose === "worker" ? "one worker" : `the ${whose}`} ${seconds} s ahead for 4 s, then as far back for 4 s`,
    movesClock: true,
    targets,
    prepare: async () => {
      clock = new FakeClock();
      const { env } = clock;
      const redis = await SingleRedis.start("aof", whose === "store" ? env : {});
      return { redis, env: { ...(whose === "broker" ? { broker: env } : {}), worker: (number) => (whose === "worker" && number === 0 ? env : {}) } };
    },
    async strike(scene) {
      const told = heardSince(scene, "clock.skewed");
      let moved = 0;
      for (const offset of [seconds, -seconds, 0]) {
        clock.jumpTo(offset);
        await pause(offset === 0 ? isReadEveryMs : lastsMs);
        const found = whose === "worker" ? 0 : await aheadOf(scene, whose);
        if (offset !== 0 && Math.abs(found - offset) < seconds / 2) moved += 1;
      }
      return whose === "worker" ? told : () => moved;
    },
  };
}

/** How many seconds the clock of what all share is ahead of this process's, as it says itself. */
async function aheadOf(scene: Scene, whose: "store" | "broker"): Promise<number> {
  if (whose === "broker") return ((await scene.brokerNowMs()) - Date.now()) / 1_000;
  const { redis } = scene;
  if (!(redis instanceof SingleRedis)) throw new Error("expected a single Redis");
  const [at] = (await redis.command("TIME")) as [string];
  return Number(at) - Date.now() / 1_000;
}

export const clockFaults: readonly Fault[] = [
  jumping("store", 120, ofInfrastructure),
  // A copy that was scheduled meanwhile comes as much later, once the clock is right.
  jumping("broker", 20, ofInfrastructure),
  jumping("worker", 3_600, ofWorker),
];
