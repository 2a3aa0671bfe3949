/** The drill on faults: one world after the other, each hurt once, and a table at the end. */
import { setTimeout as pause } from "node:timers/promises";
import Table from "cli-table3";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { messageOf } from "#runtime/core/errors.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { judge } from "../effects/judge.ts";
import type { Fault, Prepared } from "./fault.ts";
import { faults } from "./faults.ts";
import type { Rates } from "./rates.ts";
import { SingleRedis } from "./redis.ts";
import { Scene } from "./scene.ts";

export interface FaultsOptions {
  readonly only: readonly string[];
  readonly quick?: boolean;
  readonly workers: number;
  readonly rate: number;
  readonly seed: number;
  readonly json?: boolean;
}

export interface FaultReport {
  readonly name: string;
  readonly events: number;
  readonly completed: number;
  readonly parked: number;
  readonly deadLettered: number;
  readonly repeatedCalls: number;
  /** Messages a second. */
  readonly rateBefore: number;
  readonly lowestRate: number;
  readonly faultMs: number;
  /** From the end of the fault. Undefined when it did not come. */
  readonly firstAfterMs: number | undefined;
  readonly rateBackMs: number | undefined;
  readonly restEndedMs: number | undefined;
  readonly struck: number;
  readonly violations: readonly string[];
}

/** A fault whose run broke off: nothing is known of it but why. */
type BrokenOff = Pick<FaultReport, "name" | "violations">;

const warmMaxMs = 30_000;
const beforeMs = 2_500;
const afterMinMs = 2_000;
const afterMaxMs = 90_000;
const lookEveryMs = 200;
/** Four fifths of the earlier rate count as back. */
const backShare = 0.8;
/** A run with less than this part of its events ended says nothing. */
const leastMeaning = 0.5;

async function eventually(condition: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
  const untilMs = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > untilMs) return false;
    await pause(lookEveryMs);
  }
  return true;
}

export async function drillFault(fault: Fault, { workers, rate, seed }: Pick<FaultsOptions, "workers" | "rate" | "seed">): Promise<FaultReport> {
  const { redis, env, memoryBytesMax }: Prepared = fault.prepare === undefined ? { redis: await SingleRedis.start("aof", {}) } : await fault.prepare();
  const nothing = {};
  const scene = await Scene.start(redis, {
    workers,
    perSecond: rate,
    random: seededRandom(seed),
    memoryBytesMax,
    env: { broker: env?.broker ?? nothing, worker: env?.worker ?? (() => nothing) },
  });
  try {
    return await drill(fault, scene, rate);
  } finally {
    await scene.stop();
  }
}

/**
 * Waits until events end as fast as they come, for some seconds on end; resolves with when these began. A rate that was low before the fault would
 * be back at once.
 */
export async function calmSince(fault: Pick<Fault, "name">, rates: Pick<Rates, "perSecond">, rate: number, overMs = beforeMs): Promise<number> {
  const startMs = performance.now();
  const isCalm = (): boolean => {
    const nowMs = performance.now();
    return nowMs - startMs >= overMs && rates.perSecond(nowMs - overMs, nowMs) >= rate * backShare;
  };
  if (!(await eventually(isCalm, warmMaxMs))) throw new Error(`expected ${fault.name} to begin with ${rate} messages a second, they did not end as fast`);
  return performance.now() - overMs;
}

async function drill(fault: Fault, scene: Scene, rate: number): Promise<FaultReport> {
  const { load, rates } = scene;
  load.start();
  rates.start();
  const calmMs = await calmSince(fault, rates, rate);
  const beganMs = performance.now();
  const rateBefore = rates.perSecond(calmMs, beganMs);
  const times = await fault.strike(scene);
  const endedMs = performance.now();
  const rest = watchRest(scene, endedMs);
  // It is awaited later on, and fails there.
  rest.catch(() => undefined);
  const back = (): number | undefined => rates.backAfter(endedMs, rateBefore * backShare);
  await pause(afterMinMs);
  await eventually(() => back() !== undefined, afterMaxMs);
  const lowestRate = rates.lowest(beganMs, performance.now() - 1_000);
  await load.stop();
  const restEndedMs = await rest;
  const isEmpty = await eventually(() => rates.queued === 0, afterMaxMs);
  await pause(lookEveryMs);
  const result = await examine(fault, scene, isEmpty);
  const figures = { rateBefore, lowestRate, faultMs: endedMs - beganMs, firstAfterMs: rates.firstAfter(endedMs), rateBackMs: back(), restEndedMs };
  const struck = times();
  const violations = [...result.violations, ...missed(fault, figures), ...(struck === 0 ? ["the fault struck nobody: this shows nothing"] : [])];
  return { name: fault.name, ...result, ...figures, struck, violations };
}

/** From now until everything has ended that is there; undefined when that takes too long. */
async function watchRest(scene: Scene, fromMs: number): Promise<number | undefined> {
  const left = await scene.waiting();
  const isOver = async (): Promise<boolean> => {
    const present = await scene.waiting();
    for (const number of left) if (!present.has(number)) left.delete(number);
    return left.size === 0;
  };
  return (await eventually(isOver, afterMaxMs)) ? performance.now() - fromMs : undefined;
}

type Examined = Pick<FaultReport, "events" | "completed" | "parked" | "deadLettered" | "repeatedCalls" | "violations">;

async function examine(fault: Fault, scene: Scene, isEmpty: boolean): Promise<Examined> {
  const { events } = scene.load;
  const { accepted, completed: messagesCompleted, deadLettered, queued } = await scene.broker.account();
  const records = await scene.records(events.map(({ eventId }) => eventId));
  const deadLetters = await scene.deadLetters();
  const isUncertain = fault.losesRecords === true || fault.movesClock === true;
  const { violations, completed, parked, repeatedCalls } = judge({
    events,
    calls: scene.ledger.calls,
    deadLetters,
    records,
    wereRecordsLost: fault.losesRecords === true,
    areTimesComparable: !isUncertain,
  });
  const account = accepted === messagesCompleted + deadLettered + queued;
  return {
    events: events.length,
    completed,
    parked,
    deadLettered: deadLetters.size,
    repeatedCalls,
    violations: [
      ...violations,
      ...(isEmpty ? [] : [`${queued} messages are still queued`]),
      ...(account ? [] : [`the broker's account does not balance: ${accepted} accepted, ${messagesCompleted} completed, ${deadLettered} dead-lettered`]),
      ...(completed + deadLetters.size < events.length * leastMeaning
        ? [`too few events ended to mean anything: ${completed} of ${events.length} completed`]
        : []),
    ],
  };
}

function missed({ targets }: Fault, { rateBackMs, restEndedMs }: Pick<FaultReport, "rateBackMs" | "restEndedMs">): string[] {
  const late = (what: string, found: number | undefined, target: number): string[] =>
    found !== undefined && found <= target ? [] : [`expected ${what} within ${target / 1_000} s of the fault's end, found ${secondsOf(found)}`];
  return [...late("four fifths of the rate", rateBackMs, targets.rateBackMs), ...late("the end of all that was there", restEndedMs, targets.restEndedMs)];
}

function secondsOf(ms: number | undefined): string {
  return ms === undefined ? "never" : `${(ms / 1_000).toFixed(1)} s`;
}

/** `drillOne`: what hurts one world. Where that breaks off, the other faults have their turn all the same. */
export async function run(options: FaultsOptions, drillOne: typeof drillFault = drillFault): Promise<number> {
  const { only, quick = false, seed, workers, rate, json = false } = options;
  const startedMs = performance.now();
  const chosen = faults.filter(({ name, isQuick }) => only.includes(name) && (!quick || isQuick === true));
  if (!json) console.log(`${chosen.length} faults, ${workers} workers, ${rate} events a second, seed ${seed}`);
  const reports: (FaultReport | BrokenOff)[] = [];
  for (const fault of chosen) {
    const report = await drillOne(fault, options).catch((error: unknown): BrokenOff => ({
      name: fault.name,
      violations: [`it broke off, so nothing was judged: ${messageOf(error)}`],
    }));
    reports.push(report);
    if (json) console.log(JSON.stringify(report));
    else {
      console.log(`${report.violations.length === 0 ? "held  " : "BROKEN"} ${fault.name}: ${fault.what}`);
      for (const violation of report.violations) console.log(`         ${violation}`);
      if (report.violations.length > 0)
        console.log(`         repeat with: npm run drill -- faults --only ${fault.name} --workers ${workers} --rate ${rate} --seed ${seed}`);
    }
  }
  const broken = reports.filter(({ violations }) => violations.length > 0);
  if (!json) {
    console.log(table(reports));
    console.log(
      `${reports.length} faults, ${broken.length} broken, ${((performance.now() - startedMs) / 1_000).toFixed(0)} s; times from the end of the fault`,
    );
  }
  return broken.length === 0 && reports.length > 0 ? exitCodes.good : exitCodes.failed;
}

function table(reports: readonly (FaultReport | BrokenOff)[]): string {
  const head = ["fault", "lasted", "rate before", "lowest", "first end", "rate back", "rest ended", "events", "parked", "calls again", ""];
  const out = new Table({ head, style: { head: [], border: [], compact: true } });
  for (const report of reports) {
    if (!("events" in report)) {
      out.push([report.name, ...head.slice(2).map(() => ""), "BROKEN"]);
      continue;
    }
    const { name, faultMs, rateBefore, lowestRate, firstAfterMs, rateBackMs, restEndedMs, events, parked, repeatedCalls, violations } = report;
    const times = [firstAfterMs, rateBackMs, restEndedMs].map(secondsOf);
    const rates = [Math.round(rateBefore), Math.round(lowestRate)];
    out.push([name, secondsOf(faultMs), ...rates, ...times, events, parked, repeatedCalls, violations.length === 0 ? "held" : "BROKEN"]);
  }
  return out.toString();
}
