/** The drill on `holdfast debug`: what other drills leave dead is gone through again, and looked at from outside. */
import { setTimeout as pause } from "node:timers/promises";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { judge } from "../effects/judge.ts";
import type { Kind } from "../effects/plugin.ts";
import { SingleRedis } from "../faults/redis.ts";
import { Scene } from "../faults/scene.ts";
import { goThrough, type Letter, writtenTest } from "./letters.ts";

export interface DebugDrillOptions {
  readonly seconds: number;
  readonly kills: number;
  readonly letters: number;
  readonly seed: number;
  readonly json?: boolean;
}

export interface DebugDrillResult {
  readonly events: number;
  readonly deadLetters: number;
  readonly kills: number;
  /** Dead letters that were gone through, by kind and reason. */
  readonly gone: Readonly<Record<string, number>>;
  /** Calls that were answered from the record. */
  readonly answered: number;
  readonly tests: number;
  readonly seconds: number;
  readonly violations: readonly string[];
}

const perSecond = 40;
const endMaxMs = 120_000;
const lookEveryMs = 200;

/** Sends events and kills workers; resolves once everything has ended. */
async function leaveLetters(scene: Scene, { seconds, kills, seed }: DebugDrillOptions): Promise<void> {
  const { load, workers } = scene;
  const random = seededRandom(seed + 1);
  load.start();
  // One of each at least, however the dice fall.
  for (const kind of ["Mistaken", "Saga", "AtMostOnce"] as const) load.add(kind);
  for (let kill = 0; kill < kills; kill += 1) {
    await pause((seconds * 1_000) / (kills + 1));
    const victim = workers[Math.floor(random() * workers.length)];
    await victim?.kill();
    await victim?.start();
  }
  await pause((seconds * 1_000) / (kills + 1));
  await load.stop();
  const untilMs = performance.now() + endMaxMs;
  while ((await scene.waiting()).size > 0) {
    if (performance.now() > untilMs) throw new Error(`expected every event to have ended within ${endMaxMs} ms, some have not`);
    await pause(lookEveryMs);
  }
}

/** Some of each kind and reason. */
async function chooseLetters(scene: Scene, most: number): Promise<readonly Letter[]> {
  const kinds = new Map(scene.load.events.map(({ eventId, kind }): [string, Kind] => [eventId, kind]));
  const groups = new Map<string, Letter[]>();
  for (const [eventId, [reason = ""]] of await scene.deadLetters()) {
    const kind = kinds.get(eventId);
    if (kind === undefined) continue;
    const group = `${kind} ${reason}`;
    const some = groups.get(group) ?? [];
    groups.set(group, some);
    if (some.length < most) some.push({ eventId, kind, group });
  }
  return [...groups.values()].flat();
}

export async function drillDebug(options: DebugDrillOptions): Promise<DebugDrillResult> {
  const startedMs = performance.now();
  const random = seededRandom(options.seed);
  const env = { broker: {}, worker: () => ({}) };
  const scene = await Scene.start(await SingleRedis.start("aof", {}), { workers: 2, perSecond, random, memoryBytesMax: undefined, env });
  try {
    await leaveLetters(scene, options);
    await Promise.all(scene.workers.map((worker) => worker.stop()));
    const { events } = scene.load;
    const deadLetters = await scene.deadLetters();
    const records = await scene.records(events.map(({ eventId }) => eventId));
    const { violations } = judge({ events, calls: scene.ledger.calls, deadLetters, records, wereRecordsLost: false, areTimesComparable: true });
    const found = [...violations];
    const gone: Record<string, number> = {};
    const mistakes: Letter[] = [];
    let answered = 0;
    for (const letter of await chooseLetters(scene, options.letters)) {
      const { differs, calls } = await goThrough(scene, letter);
      found.push(...differs.map((what) => `${letter.eventId}: ${what}`));
      answered += calls;
      gone[letter.group] = (gone[letter.group] ?? 0) + 1;
      if (letter.kind === "Mistaken") mistakes.push(letter);
    }
    for (const letter of mistakes) found.push(...(await writtenTest(scene, letter)).map((what) => `${letter.eventId}: ${what}`));
    if (mistakes.length === 0) found.push("no dead letter of a planted mistake was left: this shows nothing");
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    return { events: events.length, deadLetters: deadLetters.size, kills: options.kills, gone, answered, tests: mistakes.length, seconds, violations: found };
  } finally {
    await scene.stop();
  }
}

/** Answers the exit code. */
export async function run(options: DebugDrillOptions): Promise<number> {
  const { violations, gone, ...figures } = await drillDebug(options);
  if (options.json === true) process.stdout.write(`${JSON.stringify({ ...figures, gone, violations })}\n`);
  else {
    const told = Object.entries({ ...figures, ...gone }).map(([name, value]) => `${name} ${value}`);
    process.stdout.write(`${told.join(", ")}\n`);
    for (const violation of violations) process.stdout.write(`VIOLATED: ${violation}\n`);
  }
  return violations.length === 0 ? exitCodes.good : exitCodes.failed;
}
