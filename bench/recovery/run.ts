import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { type RedisServer, startRedis } from "../../test/support/redis-server.ts";
import { type Arena, inArena, until } from "../support/arena.ts";
import { contenderOf } from "../support/contenders.ts";
import { figure } from "../support/figures.ts";
import { sharedMonotonicMs } from "../support/notes.ts";
import { type OpenLoop, openLoop, type Subject } from "../support/open-loop.ts";
import { showProgress } from "../support/progress.ts";
import { Proxies, type Proxied } from "../support/proxies.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { binned, recoveredAfterMs } from "../support/timeline.ts";

export interface RecoveryOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
}

interface Recovery {
  readonly nextMs: number;
  readonly rateBackMs: number;
  readonly restMs: number;
  readonly lost: readonly string[];
  readonly twice: number;
  readonly timeline: readonly (readonly [number, number])[];
  readonly struckAtS: number;
}

const perSecond = 300;
const lockDurationMs = 5_000;
const warmUpMs = 1_500;
const calmMs = 2_000;
/** What the platform asks for. */
const targetsMs = { worker: 10_000, zone: 60_000 } as const;
type Loss = keyof typeof targetsMs;
const titles: Readonly<Record<Loss, string>> = { worker: "one of two workers killed", zone: "half of the workers and the store's primary killed at once" };

export async function run(options: RecoveryOptions): Promise<number> {
  const { quick = false, rounds = quick ? 1 : 5 } = options;
  const report = new Report("recovery", options);
  const found: Record<Loss, Recovery[]> = { worker: [], zone: [] };
  await inArena({ lockDurationMs, needsDependencies: true, isForLoads: true }, async (arena) => {
    for (let round = 1; round <= rounds; round += 1) {
      for (const loss of ["worker", "zone"] as const) {
        showProgress(`round ${round} of ${rounds}: ${titles[loss]}`);
        found[loss].push(loss === "worker" ? await loseWorker(arena, quick) : await loseZone(arena, quick));
      }
    }
  });
  showProgress("");
  tell(report, found);
  return report.end();
}

async function loseWorker(arena: Arena, quick: boolean): Promise<Recovery> {
  return measure(arena, arena.redis.url, quick, (subject) => subject.kill(0));
}

async function loseZone(arena: Arena, quick: boolean): Promise<Recovery> {
  const settings = ["--maxmemory-policy", "noeviction"];
  const primary = await startRedis(settings);
  const replica = await startRedis([...settings, "--replicaof", "127.0.0.1", String(primary.port), "--repl-diskless-sync-delay", "0"]);
  const proxies = await Proxies.start();
  try {
    await inSync(replica);
    const store = await proxies.before(primary.url);
    return await measure(arena, store.address, quick, async (subject) => {
      await Promise.all([subject.kill(0), kill(primary)]);
      await promote(replica, store);
    });
  } finally {
    await proxies.stop();
    await Promise.all([primary.process.exitCode === null && primary.process.signalCode === null ? primary.stop() : undefined, replica.stop()]);
  }
}

async function kill({ process }: RedisServer): Promise<void> {
  const gone = once(process, "close");
  process.kill("SIGKILL");
  await gone;
}

async function inSync({ url }: RedisServer): Promise<void> {
  const client = new Redis(url);
  const isInSync = await until(async () => (await client.info("replication")).includes("master_link_status:up"), 20_000);
  client.disconnect();
  if (!isInSync) throw new Error("expected the replica to follow its primary");
}

async function promote(replica: RedisServer, store: Proxied): Promise<void> {
  const client = new Redis(replica.url);
  await client.call("REPLICAOF", "NO", "ONE");
  client.disconnect();
  await store.retarget(replica.port);
}

async function measure(arena: Arena, redisUrl: string, quick: boolean, strike: (subject: Subject) => Promise<void>): Promise<Recovery> {
  const { control } = arena.dependencies!.sound;
  await control.forget();
  const lastsMs = warmUpMs + calmMs + (quick ? 9_000 : 15_000);
  let struckMs = 0;
  const loop = await openLoop(arena, contenderOf("holdfast"), {
    load: { events: Math.round((perSecond * lastsMs) / 1_000), arrivals: { kind: "poisson", perSecond }, eventTypes: { sound: 1 } },
    ground: { redisUrl, isNotedAtOnce: true, config: { logLevel: "silent" } },
    workers: 2,
    meanwhile: async (subject) => {
      await pause(warmUpMs + calmMs);
      struckMs = sharedMonotonicMs();
      await strike(subject);
    },
  });
  const { effectsAgain } = (await control.summary()).notifier;
  return { ...timesOf(loop, struckMs), lost: loop.verdict.lost, twice: effectsAgain };
}

function timesOf({ ended, drive, startMs, restMs }: OpenLoop, struckMs: number): Omit<Recovery, "lost" | "twice"> {
  const after = ended.filter(({ atMs }) => atMs > struckMs);
  // Of what was there: an event that is never done keeps it open.
  const rest = ended.filter(({ place }) => drive.intendedAtMs(place) < struckMs).reduce((latest, { atMs }) => Math.max(latest, atMs), struckMs);
  return {
    nextMs: Math.min(...after.map(({ atMs }) => atMs)) - struckMs,
    rateBackMs: recoveredAfterMs(ended, { fromMs: startMs + warmUpMs, toMs: struckMs }, struckMs) ?? Number.POSITIVE_INFINITY,
    restMs: restMs === undefined ? Number.POSITIVE_INFINITY : rest - struckMs,
    timeline: binned(
      ended,
      startMs,
      ended.reduce((latest, { atMs }) => Math.max(latest, atMs), 0),
      (count, binMs) => (count * 1_000) / binMs,
    ),
    struckAtS: (struckMs - startMs) / 1_000,
  };
}

function tell(report: Report, found: Readonly<Record<Loss, readonly Recovery[]>>): void {
  const seconds = (list: readonly Recovery[], of: (recovery: Recovery) => number) => figure(list, (one) => of(one) / 1_000, 2);
  const losses = ["worker", "zone"] as const;
  report.table({
    name: "recovery",
    title: `${perSecond} events a second, two workers, locks of ${lockDurationMs / 1_000} s; seconds after the loss`,
    columns: { loss: "", next: "next event done", rate: "rate back", rest: "all that was there has ended" },
    rows: losses.map((loss) => ({
      loss: titles[loss],
      next: seconds(found[loss], ({ nextMs }) => nextMs),
      rate: seconds(found[loss], ({ rateBackMs }) => rateBackMs),
      rest: seconds(found[loss], ({ restMs }) => restMs),
    })),
  });
  for (const loss of losses) {
    const list = found[loss];
    report.chart({
      kind: "lines",
      title: `Recovery: ${titles[loss]}`,
      unit: "events/s",
      x: { title: "seconds" },
      series: list.map(({ timeline }, round) => ({ name: `round ${round + 1}`, points: timeline })),
      shaded: [{ from: list[0]!.struckAtS, to: list[0]!.struckAtS + list[0]!.restMs / 1_000, title: "until all that was there has ended" }],
    });
    report.targets(
      { what: `${titles[loss]}: rate back after`, found: seconds(list, ({ rateBackMs }) => rateBackMs), unit: "s", bound: { atMost: targetsMs[loss] / 1_000 } },
      { what: `${titles[loss]}: all has ended after`, found: seconds(list, ({ restMs }) => restMs), unit: "s", bound: { atMost: 60 } },
    );
    const lost = list.flatMap((one) => one.lost);
    report.guards(
      { what: `${titles[loss]}: lost`, wrong: lost.length, examples: lost },
      { what: `${titles[loss]}: done twice`, wrong: list.reduce((sum, { twice }) => sum + twice, 0) },
    );
  }
}
