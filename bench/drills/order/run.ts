import { setTimeout as pause } from "node:timers/promises";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import type { SessionFailure } from "#runtime/core/config/sessions.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import { showProgress } from "../../support/progress.ts";
import { startRedis } from "../../../test/support/redis-server.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { judgeOrder } from "./judge.ts";
import { isDoomed } from "./plugin.ts";
import { OrderStage, queue, type StageOptions } from "./stage.ts";

export interface OrderOptions {
  readonly sessions: number;
  readonly messages: number;
  readonly workers: number;
  readonly kills: number;
  readonly seed: number;
  readonly transport: TransportKind;
}

/** On average, from one kill to the next. */
const killEveryMs = 2_500;
/** Of all messages, how many fail at their first tries. */
const failing = 0.02;
/** Of deliveries and settlements, how many something happens to. */
const troubles = { expireLocks: 0.004, detach: 0.004, drop: 0.0005, loseSettlements: 0.002, deliverTwice: 0.005 } as const;
const shortSessions = 50;
const shortMessages = 5;
const endlessMessages = 4_000;
const fairPlaces = 4;
const fairTurnMs = 500;

export async function run(options: OrderOptions): Promise<number> {
  const redis = await startRedis(["--maxmemory-policy", "noeviction"]);
  const violations: string[] = [];
  try {
    for (const onFailure of ["block", "skip"] as const) violations.push(...(await drill(options, onFailure, redis.url)));
    violations.push(...(await beFair(options, redis.url)));
  } finally {
    showProgress("");
    await redis.stop();
  }
  for (const line of violations.slice(0, 20)) console.log(`broken: ${line}`);
  return violations.length === 0 ? exitCodes.good : exitCodes.failed;
}

const namesOf = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

/** Answers what was broken. */
export async function drill(options: OrderOptions, onFailure: SessionFailure, redisUrl: string): Promise<readonly string[]> {
  const { sessions: count, messages, workers, kills, seed, transport } = options;
  const sessions = namesOf("s", count);
  const stage = await OrderStage.start({ sessions: { concurrentMax: 32, idleMs: 500, turnMs: 2_000, onFailure }, transport, redisUrl });
  try {
    await stage.startWorkers(workers);
    const startedMs = performance.now();
    const { faults } = stage.broker;
    for (const [index, [kind, rate]] of Object.entries(troubles).entries())
      faults.add({ kind: kind as keyof typeof troubles, target: queue, rate, seed: seed + index });
    const random = seededRandom(seed);
    let killed = 0;
    let scheduled = 0;
    const kill = async (): Promise<void> => {
      while (killed < kills && stage.open > 0) {
        await pause(killEveryMs * 2 * random());
        const victim = stage.workers[Math.floor(random() * stage.workers.length)];
        await victim?.kill();
        await victim?.start();
        killed += 1;
      }
    };
    await stage.send(sessions, messages, { failing, seed });
    const killing = kill();
    await stage.until(() => {
      scheduled = Math.max(scheduled, stage.scheduled);
      showProgress(`${onFailure}: ${stage.open} of ${count * messages} messages left, ${killed} kills`);
      return stage.open === 0;
    });
    await killing;
    const hits = faults.list().reduce((sum, fault) => sum + fault.hits, 0);
    const kept = { sessions, messages, calls: stage.ledger.calls, deadLettered: stage.deadLettered, isDoomed: (index: number) => isDoomed(index, onFailure) };
    const { violations, repeats } = judgeOrder(kept);
    const tookS = (performance.now() - startedMs) / 1_000;
    console.log(
      `${onFailure}: ${count * messages} messages of ${count} sessions in ${tookS.toFixed(1)} s through ${killed} kills and ${hits} lost locks, links and settlements; ${stage.deadLettered.size} dead-lettered, ${repeats} calls came again under their key, ${violations.length === 0 ? "order kept" : `${violations.length} times broken`}`,
    );
    return [...violations, ...(scheduled > 0 ? ["expected no scheduled copies, found some"] : [])];
  } finally {
    await stage.stop();
  }
}

/** Short sessions beside one that does not end. */
async function beFair({ transport, seed }: OrderOptions, redisUrl: string): Promise<readonly string[]> {
  const options: StageOptions = { sessions: { concurrentMax: fairPlaces, idleMs: 500, turnMs: fairTurnMs }, transport, redisUrl };
  const alone = await elapsed(options, false, seed);
  const beside = await elapsed(options, true, seed);
  const text = `${shortSessions} short sessions end in ${(beside / 1_000).toFixed(1)} s beside an endless one, in ${(alone / 1_000).toFixed(1)} s alone`;
  console.log(`fairness: ${text}`);
  return beside <= 2 * alone ? [] : [`expected at most twice the time: ${text}`];
}

async function elapsed(options: StageOptions, isBesideEndless: boolean, seed: number): Promise<number> {
  const stage = await OrderStage.start(options);
  try {
    await stage.startWorkers(1);
    const content = { failing: 0, seed };
    if (isBesideEndless) await stage.send(["endless"], endlessMessages, content);
    await stage.until(() => !isBesideEndless || stage.completed > 0);
    const startedMs = performance.now();
    const short = namesOf("short", shortSessions);
    await stage.send(short, shortMessages, content);
    const ended = new Set<string>();
    let seen = 0;
    await stage.until(() => {
      const { calls } = stage.ledger;
      for (; seen < calls.length; seen += 1) {
        const eventId = calls[seen]?.eventId ?? "";
        if (eventId.startsWith("short")) ended.add(eventId);
      }
      return ended.size === shortSessions * shortMessages;
    });
    return performance.now() - startedMs;
  } finally {
    await stage.stop();
  }
}
