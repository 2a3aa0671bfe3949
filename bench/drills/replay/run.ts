/** The drill on replays: what it does to them, and the account that it takes from outside. */
import { setTimeout as pause } from "node:timers/promises";
import { Random } from "../../fuzz/random.ts";
import { kinds, mendedKinds, Scene, type Source, until } from "./scene.ts";

export interface ReplayDrillOptions {
  readonly letters: number;
  readonly kills: number;
  readonly seed: number;
  readonly json?: boolean;
}

export interface ReplayDrillResult {
  readonly source: Source;
  readonly letters: number;
  /** Of these, kills while something was being replayed. */
  readonly kills: number;
  readonly replayKills: number;
  readonly workerKills: number;
  /** Times that the command was run. */
  readonly commands: number;
  readonly mended: number;
  readonly completed: number;
  /** Replays that came to the worker; more than `mended` and canaries, for what was sent twice. */
  readonly arrived: number;
  /** Events of the other kinds that a canary tried. */
  readonly canaries: number;
  readonly deadLetters: number;
  readonly seconds: number;
  readonly violations: readonly string[];
}

const setUpLimitMs = 180_000;
const firstReplayLimitMs = 60_000;
const killWithinMs = 1_500;
const quietLimitMs = 90_000;
const finalCommandsMax = 8;
const waitS = 60;
const told = 5;

function listed(what: string, ids: readonly string[]): string[] {
  return ids.length === 0 ? [] : [`${ids.length} ${what}: ${ids.slice(0, told).join(", ")}`];
}

/** Kills a replay at a random moment after it has begun to send, every third time the worker too; answers what was killed while it was at work. */
async function strike(scene: Scene, turn: number, random: Random, perSecond: number): Promise<{ readonly replay: boolean; readonly worker: boolean }> {
  const before = scene.arrived;
  const replaying = scene.replay(perSecond, waitS);
  const { process: child } = replaying;
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  await until(() => scene.arrived > before || isOver(), firstReplayLimitMs);
  await pause(random.below(killWithinMs));
  let worker = false;
  if (turn % 3 === 2) {
    worker = !isOver();
    await scene.worker.kill();
    await scene.worker.start();
    await pause(random.below(killWithinMs));
  }
  const replay = !isOver() && scene.arrived > before;
  child.kill("SIGKILL");
  await replaying.done;
  return { replay, worker };
}

/** Replays undisturbed until no letter of a mended kind is left; answers how many commands it took. */
async function finish(scene: Scene, perSecond: number): Promise<number> {
  for (let command = 1; ; command += 1) {
    await scene.replay(perSecond, waitS).done;
    await until(() => scene.open === 0, quietLimitMs);
    if (command === finalCommandsMax || !scene.letters().some((id) => isMended(id))) return command;
  }
}

function isMended(eventId: string): boolean {
  return mendedKinds.some((kind) => eventId.startsWith(kind));
}

/** Distinct keys of a step, by event. */
function keysOf(effects: readonly (readonly string[])[], step: string): ReadonlyMap<string, ReadonlySet<string>> {
  const keys = new Map<string, Set<string>>();
  for (const [eventId = "", name, key = ""] of effects) {
    if (name === step) keys.set(eventId, (keys.get(eventId) ?? new Set<string>()).add(key));
  }
  return keys;
}

async function account(
  scene: Scene,
  eventIds: readonly string[],
  commands: number,
): Promise<{ readonly completed: number; readonly canaries: number; readonly violations: string[] }> {
  const mended = eventIds.filter((id) => isMended(id));
  const others = eventIds.filter((id) => !isMended(id));
  const records = await scene.records(eventIds);
  const effects = scene.effects();
  const paid = keysOf(effects, "pay");
  const reserved = keysOf(effects, "reserve");
  const letters = new Set(scene.letters());
  const completed = mended.filter((id) => records.get(id)?.state === "done");
  const tried = others.filter((id) => records.get(id)?.generation !== 0);
  const canariesMax = commands * (kinds.length - mendedKinds.length);
  const violations = [
    ...listed(
      "mended events have not completed",
      mended.filter((id) => records.get(id)?.state !== "done"),
    ),
    ...listed(
      "mended events are dead letters still",
      mended.filter((id) => letters.has(id)),
    ),
    ...listed(
      "mended events were not paid under one key",
      mended.filter((id) => paid.get(id)?.size !== 1),
    ),
    ...listed(
      "events had their first step under several keys",
      eventIds.filter((id) => reserved.get(id)?.size !== 1),
    ),
    ...listed(
      "mended events were replayed under two orders that both ran",
      mended.filter((id) => (records.get(id)?.generation ?? 0) > 1),
    ),
    ...listed(
      "other events are not dead",
      others.filter((id) => records.get(id)?.state !== "dead"),
    ),
    ...listed(
      "other events are no dead letters any more",
      others.filter((id) => !letters.has(id)),
    ),
    ...listed(
      "other events were paid",
      others.filter((id) => paid.has(id)),
    ),
    ...(tried.length > canariesMax ? [`${tried.length} other events were tried, expected canaries only, ${canariesMax} at most`] : []),
    ...(scene.open > 0 ? [`${scene.open} messages are neither completed nor dead-lettered`] : []),
  ];
  return { completed: completed.length, canaries: tried.length, violations };
}

export async function drillReplay(source: Source, { letters, kills, seed }: ReplayDrillOptions): Promise<ReplayDrillResult> {
  const random = new Random(seed);
  const startedMs = performance.now();
  const scene = await Scene.start(source);
  try {
    const eventIds = await scene.send(letters);
    const isSetUp = await until(() => scene.letters().length === letters, setUpLimitMs);
    if (!isSetUp) throw new Error(`expected ${letters} dead letters within ${setUpLimitMs} ms, found ${scene.letters().length}`);
    const othersBefore = scene.seenByOthers.join();
    const arrivedBefore = scene.arrived;
    scene.mend();
    // What is left must last for all kills.
    const perSecond = Math.max(10, Math.min(200, Math.ceil(letters / 2 / (kills * 1.2))));
    let replayKills = 0;
    let workerKills = 0;
    for (let turn = 0; turn < kills; turn += 1) {
      const struck = await strike(scene, turn, random, perSecond);
      replayKills += struck.replay ? 1 : 0;
      workerKills += struck.worker ? 1 : 0;
    }
    const commands = kills + (await finish(scene, 200));
    const { completed, canaries, violations } = await account(scene, eventIds, commands);
    if (scene.seenByOthers.join() !== othersBefore)
      violations.push(`other subscribers saw something: ${othersBefore} before, ${scene.seenByOthers.join()} after`);
    if (replayKills * 2 < kills)
      violations.push(`only ${replayKills} of ${kills} kills met a replay that was at work: this shows too little; take more letters, or fewer kills`);
    const arrived = scene.arrived - arrivedBefore;
    const mended = eventIds.filter((id) => isMended(id)).length;
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    return {
      source,
      letters,
      kills,
      replayKills,
      workerKills,
      commands,
      mended,
      completed,
      arrived,
      canaries,
      deadLetters: scene.letters().length,
      seconds,
      violations,
    };
  } finally {
    await scene.stop();
  }
}

/** Answers the exit code. */
export async function run(options: ReplayDrillOptions): Promise<number> {
  let isSound = true;
  for (const source of ["queue", "subscription"] as const) {
    const { violations, ...figures } = await drillReplay(source, options);
    isSound &&= violations.length === 0;
    if (options.json === true) process.stdout.write(`${JSON.stringify({ ...figures, violations })}\n`);
    else {
      process.stdout.write(
        `${Object.entries(figures)
          .map(([name, value]) => `${name} ${value}`)
          .join(", ")}\n`,
      );
      for (const violation of violations) process.stdout.write(`VIOLATED: ${violation}\n`);
    }
  }
  return isSound ? 0 : 1;
}
