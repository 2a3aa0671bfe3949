import { setTimeout as pause } from "node:timers/promises";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { showProgress } from "../../support/progress.ts";
import { steps } from "./plugin.ts";
import { type Stage, startStage } from "./stage.ts";

export interface TransactionalOptions {
  readonly events: number;
  readonly workers: number;
  readonly kills: number;
  /** Percent. */
  readonly cut: number;
  readonly seed: number;
  readonly transport: TransportKind;
}

const duplicates = 0.1;
/** Shares of the messages that have ended when Redis is emptied. */
const emptiedAt = [0.3, 0.6];
const lookEveryMs = 50;
const stallMaxMs = 60_000;

export async function run(options: TransactionalOptions): Promise<number> {
  const { events, workers, kills, cut, seed, transport } = options;
  const stage = await startStage({ workers, cutShare: cut / 100, seed, transport });
  try {
    const startedMs = performance.now();
    const ids = Array.from({ length: events }, (_, index) => `event-${index}`);
    const again = ids.filter((_, index) => index % Math.round(1 / duplicates) === 0);
    // The second ones lie at the end of the queue: Redis has forgotten most of the first ones by then.
    const sent = [...ids, ...again];
    for (let from = 0; from < sent.length; from += 500) await stage.send(sent.slice(from, from + 500));
    const killed = await disturb(stage, sent.length, kills, seed);
    const broken = await judge(stage, ids, sent.length);
    const { commits, cutBefore, cutAfter } = stage.cutter;
    const tookS = ((performance.now() - startedMs) / 1_000).toFixed(1);
    console.log(
      `${events} events and ${again.length} duplicates in ${tookS} s through ${killed} kills, ${emptiedAt.length} times an empty Redis, and of ${commits} commits ${cutBefore} cut before and ${cutAfter} after they were done`,
    );
    if (cut > 0 && cutBefore * cutAfter === 0) broken.push("no commit was cut before or none after: that says nothing; send more events");
    for (const line of broken.slice(0, 20)) console.log(`broken: ${line}`);
    if (broken.length > 0) return exitCodes.failed;
    console.log(`each of ${events * steps.length} effects exactly once`);
    return exitCodes.good;
  } finally {
    showProgress("");
    await stage.stop();
  }
}

/** Kills workers and empties Redis until every message has ended; answers how many were killed. */
async function disturb(stage: Stage, messages: number, kills: number, seed: number): Promise<number> {
  const random = seededRandom(seed + 1);
  let killed = 0;
  let emptied = 0;
  let least = messages;
  let movedMs = performance.now();
  let killing: Promise<void> | undefined;
  for (;;) {
    const open = stage.open();
    if (open === 0) break;
    if (open < least) {
      least = open;
      movedMs = performance.now();
    }
    if (performance.now() - movedMs > stallMaxMs) throw new Error(`expected messages to end, none did for ${stallMaxMs / 1_000} s with ${open} in the queue`);
    const share = 1 - open / messages;
    if (share >= (emptiedAt[emptied] ?? Number.POSITIVE_INFINITY)) {
      emptied += 1;
      await stage.emptyRedis();
    }
    // Spread over the work, and each time another one than is starting.
    if (killing === undefined && killed < kills && share >= killed / (kills + 1)) {
      killed += 1;
      const victim = stage.workers[Math.floor(random() * stage.workers.length)];
      killing = victim?.kill().then(() => victim.start().then(() => (killing = undefined)));
    }
    showProgress(`${open} of ${messages} messages left, ${killed} kills, Redis emptied ${emptied} times`);
    await pause(lookEveryMs);
  }
  await killing;
  return killed;
}

async function judge(stage: Stage, ids: readonly string[], sent: number): Promise<string[]> {
  const broken: string[] = [];
  const { completed, deadLettered } = stage.ended();
  if (deadLettered > 0) broken.push(`${deadLettered} messages were dead-lettered`);
  if (completed < sent) broken.push(`expected ${sent} messages to be completed, found ${completed}`);
  const wanted = ids.length * steps.length;
  const counted = await stage.pool.query<{ event_id: string; step: string; n: number }>("SELECT event_id, step, count(*)::int AS n FROM counted GROUP BY 1, 2");
  for (const { event_id: id, step, n } of counted.rows) if (n !== 1) broken.push(`step ${step} of ${id} has ${n} effects`);
  if (counted.rows.length !== wanted) broken.push(`expected ${wanted} steps to have an effect, found ${counted.rows.length}`);
  const one = async (text: string): Promise<number> => (await stage.pool.query<{ n: number }>(text)).rows[0]?.n ?? -1;
  for (const [what, text] of [
    ["rows under the constraint", "SELECT count(*)::int AS n FROM sure"],
    ["in the accounts", "SELECT sum(balance)::int AS n FROM accounts"],
    ["records of steps", "SELECT count(*)::int AS n FROM holdfast_steps WHERE result IS NOT NULL"],
  ] as const) {
    const found = await one(text);
    if (found !== wanted) broken.push(`expected ${wanted} ${what}, found ${found}`);
  }
  return broken;
}
