import { setTimeout as pause } from "node:timers/promises";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import type { StandInControl } from "#load/stand-ins/client.ts";
import { makeAhead, Stream } from "#load/dev/stream.ts";
import { isSound, summarise, type Summary } from "#load/dev/verdict.ts";
import { WorkerProcess } from "#load/dev/worker-process.ts";
import { startWorld, type World } from "#load/dev/world.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { showProgress } from "../../support/progress.ts";
import { startRedis } from "../../../test/support/redis-server.ts";
import { EffectLedger } from "../effects/effect-ledger.ts";
import { effectsDependency, writeEffectsPlugin } from "../effects/plugin.ts";
import type { Verdict } from "../effects/judge.ts";
import { Recoveries, quantile, recoveryLines } from "./recoveries.ts";
import { Sagas } from "./sagas.ts";

export interface KillOptions {
  readonly kills: number;
  readonly events: number;
  readonly workers: number;
  readonly seed: number;
  readonly transport: TransportKind;
}

/** On average, from one kill to the next: longer than a worker takes to start on a machine that is busy, so that kills meet workers at work. */
const killEveryMs = 5_000;
const lookEveryMs = 250;
const stallMaxMs = 120_000;
const duplicates = 0.1;
const poison = 0.01;
/** Critical runs that fail for good, beside the stream: so many for each of its events. */
const sagaShare = 0.03;
/** A run with less than this part of its events completed, or of its kills at a worker at work, says nothing. */
const leastMeaning = 0.5;
/** A run goes on from its checkpoint within a minute; what a worker held comes back when its locks end, after 10 s in this world. */
const recoveryTargetMs = 60_000;
/** Once the broker gives it to somebody: seconds. Of messages that one kill hit; a further one makes it wait for a further lock. */
const afterLocksTargetMs = 10_000;

class Pool {
  readonly workers: readonly WorkerProcess[];
  readonly #random: () => number;
  #isOver = false;
  killed = 0;

  constructor(workers: readonly WorkerProcess[], random: () => number) {
    this.workers = workers;
    this.#random = random;
  }

  /** Kills one after the other at random moments, each time one that is up; it is started again at once. */
  async kill(kills: number, killed: (holder: string) => Promise<void>): Promise<void> {
    const up = new Set(this.workers);
    const starts = new Map<WorkerProcess, Promise<void>>();
    while (this.killed < kills && !this.#isOver) {
      await pause(killEveryMs * 2 * this.#random());
      if (up.size === 0) await Promise.race(starts.values());
      const victim = [...up][Math.floor(this.#random() * up.size)];
      if (victim === undefined) continue;
      up.delete(victim);
      const holder = `holdfast-${victim.pid} at `;
      await victim.kill();
      this.killed += 1;
      await killed(holder);
      const started = victim.start().then(() => {
        up.add(victim);
        starts.delete(victim);
      });
      starts.set(victim, started);
    }
    await Promise.all(starts.values());
  }

  end(): void {
    this.#isOver = true;
  }

  resumed(): number {
    return this.workers.reduce((sum, worker) => sum + (worker.reports.totals().events["run.resumed"] ?? 0), 0);
  }
}

/** Calls that arrived under an older claim than one that had arrived before, for one step of one run. */
async function staleCalls(standIns: StandInControl): Promise<number> {
  let count = 0;
  for (const repeats of Object.values(await standIns.repeats())) {
    for (const { calls } of repeats) {
      let highest = 0;
      for (const { epoch } of calls.toSorted((one, other) => one.atMs - other.atMs)) {
        if (epoch < highest) count += 1;
        highest = Math.max(highest, epoch);
      }
    }
  }
  return count;
}

export async function run(options: KillOptions): Promise<number> {
  const redis = await startRedis(["--maxmemory-policy", "noeviction"]);
  process.env["REDIS_URL"] = redis.url;
  const never = new AbortController().signal;
  const ledger = await EffectLedger.start();
  let world: World | undefined;
  const further: WorkerProcess[] = [];
  try {
    const dependency = { name: effectsDependency, url: ledger.url };
    world = await startWorld(options.transport, never, { plugin: writeEffectsPlugin, dependency });
    if (world === undefined) throw new Error("expected the world to start, it was interrupted");
    for (let count = 1; count < options.workers; count += 1) {
      const worker = new WorkerProcess(world.configFile);
      further.push(worker);
      await worker.start();
    }
    return await drill(options, world, new Pool([world.worker, ...further], seededRandom(options.seed)), ledger);
  } finally {
    await Promise.all(further.map((worker) => worker.stop()));
    await world?.stop();
    await ledger.stop();
    await redis.stop();
  }
}

async function drill(options: KillOptions, world: World, pool: Pool, ledger: EffectLedger): Promise<number> {
  const { kills, events, seed } = options;
  const signal = new AbortController().signal;
  const rate = Math.max(50, (events * (1 + duplicates + poison) * 1_000) / (kills * killEveryMs));
  const streamOptions = { events, duplicates, poison, seed, rate };
  const stream = new Stream(streamOptions, await makeAhead(streamOptions, signal), world);
  const recoveries = new Recoveries(world.broker);
  const sagas = new Sagas(world);
  const startedMs = performance.now();
  const progress = { isSent: false, areKilled: false };
  const sending = Promise.all([stream.sendSteadily(signal), sagas.send(Math.ceil(events * sagaShare), rate * sagaShare)]).then(() => (progress.isSent = true));
  const killing = pool.kill(kills, (holder) => recoveries.killed(holder)).then(() => (progress.areKilled = true));
  const watching = watch(world, recoveries, {
    isQuiet: () => progress.isSent && progress.areKilled,
    show: (account) =>
      showProgress(`${pool.killed} of ${kills} kills; ${account.completed} completed, ${account.deadLettered} dead-lettered, ${account.queued} queued`),
  }).finally(() => {
    showProgress("");
    pool.end();
  });
  await Promise.all([sending, killing, watching]);
  const elapsedMs = performance.now() - startedMs;
  for (const worker of pool.workers) await worker.stop();
  const latencies = world.worker.reports.latencies();
  const summary = await summarise({
    events: stream.sent.events,
    account: await world.broker.account(),
    broker: world.broker,
    standIns: world.standIns,
    store: world.store,
    messages: stream.sentMessages(),
    elapsedMs,
    bySecond: [],
    latencyMs: { p50: latencies.percentile(50), p99: latencies.percentile(99) },
    resumed: pool.resumed(),
  });
  return report(options, pool, { summary, recoveries, stale: await staleCalls(world.standIns), sagas: await sagas.judge(ledger.calls) });
}

interface Watching {
  readonly isQuiet: () => boolean;
  readonly show: (account: Awaited<ReturnType<World["broker"]["account"]>>) => void;
}

/** Looks on until everything was sent, everybody was killed and the queue is empty. */
async function watch(world: World, recoveries: Recoveries, { isQuiet, show }: Watching): Promise<void> {
  let ended = 0;
  let lastEndMs = performance.now();
  for (;;) {
    const account = await world.broker.account();
    show(account);
    await recoveries.look();
    if (isQuiet() && account.queued === 0) return;
    const now = account.completed + account.deadLettered;
    if (now !== ended) lastEndMs = performance.now();
    ended = now;
    if (performance.now() - lastEndMs > stallMaxMs)
      throw new Error(`expected messages to end, none did for ${stallMaxMs / 1_000} s with ${account.queued} queued; see the workers' logs above`);
    await pause(lookEveryMs);
  }
}

interface Found {
  readonly summary: Summary;
  readonly recoveries: Recoveries;
  /** Calls that arrived under a claim that had been taken over. */
  readonly stale: number;
  readonly sagas: Verdict & { readonly undone: number };
}

function report({ kills, events, workers }: KillOptions, pool: Pool, { summary, recoveries, stale, sagas }: Found): number {
  const { messages, killsAtWork } = recoveries;
  const total = messages.map(({ totalMs }) => totalMs);
  const afterOne = messages.filter((one) => one.kills === 1).map(({ totalMs, waitedForLocksMs }) => totalMs - waitedForLocksMs);
  const [p50, p99, afterP99] = [quantile(total, 0.5), quantile(total, 0.99), quantile(afterOne, 0.99)];
  const late = (what: string, found: number, target: number): string[] =>
    found <= target ? [] : [`expected ${what} within ${target / 1_000} s, the 99th percentile is ${(found / 1_000).toFixed(1)} s`];
  const broken = [
    ...(isSound(summary) ? [] : ["the account does not balance: every message ends once, as its content calls for, and each effect stands once"]),
    ...(stale > 0 ? [`${stale} calls arrived under a claim that had been taken over`] : []),
    ...(summary.queued > 0 ? [`${summary.queued} messages are still queued`] : []),
    ...sagas.violations,
    ...(pool.killed < kills ? [`expected ${kills} kills, made ${pool.killed}`] : []),
    ...(summary.completed < events * leastMeaning ? [`too few messages completed to mean anything: ${summary.completed} of ${events}`] : []),
    ...(sagas.undone < events * sagaShare * leastMeaning ? [`too few runs were undone to mean anything: ${sagas.undone}`] : []),
    ...(killsAtWork < kills * leastMeaning ? [`too few kills met a worker at work to mean anything: ${killsAtWork} of ${kills}`] : []),
    ...late("recovery", p99, recoveryTargetMs),
    ...late("recovery after the lock's end, of what one kill hit,", afterP99, afterLocksTargetMs),
  ];
  const { accepted, completed, deadLettered, duplicates, lost, unexpected, queued, effects, effectsOnce, resumed, repeatedCalls } = summary;
  console.log(
    `${pool.killed} kills over ${workers} workers, ${killsAtWork} of them with messages in hand; recovered in ${(p50 / 1_000).toFixed(1)} s (p50), ${(p99 / 1_000).toFixed(1)} s (p99)`,
  );
  for (const line of recoveryLines(messages)) console.log(line);
  const counts = { accepted, completed, duplicates, deadLettered, lost, unexpected, queued, effects, effectsOnce, repeatedCalls, staleCalls: stale, resumed };
  console.log(JSON.stringify({ ...counts, undone: sagas.undone }));
  for (const line of broken) console.log(`broken: ${line}`);
  return broken.length === 0 ? exitCodes.good : exitCodes.failed;
}
