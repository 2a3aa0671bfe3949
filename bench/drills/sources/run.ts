import { fork } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { showProgress } from "../../support/progress.ts";
import type { Idle } from "./idle-worker.ts";
import { placeOf, queues, Scene, topics } from "./scene.ts";

export interface SourcesOptions {
  readonly seconds: number;
  readonly events: number;
  readonly json?: boolean;
}

interface Check {
  readonly what: string;
  readonly found: string;
  readonly holds: boolean;
}

const lookEveryMs = 100;
const settleMs = 2_000;
const endMaxMs = 180_000;
const mib = 1024 ** 2;
const idleSources = 50;
const idleBytesMax = 20 * mib;
const idleCpuMsMax = 5;
const heavyMs = 8;
const lightMs = 3;

export async function run({ seconds, events, json }: SourcesOptions): Promise<number> {
  const checks: Check[] = [];
  const scene = await Scene.start({ heavy: { weight: 3 }, light: { weight: 1 }, urgent: { priority: 9 } }, [...queues, ...topics]);
  try {
    checks.push(...(await shares(scene, seconds)), ...(await trouble(scene, events)));
  } finally {
    await scene.stop();
  }
  checks.push(...(await idle()));
  showProgress("");
  if (json === true) console.log(JSON.stringify(checks));
  else for (const { what, found, holds } of checks) console.log(`${holds ? "held  " : "BROKEN"}  ${what}: ${found}`);
  return checks.every(({ holds }) => holds) ? exitCodes.good : exitCodes.failed;
}

/** How long the runs of each source computed within a time. */
async function within(scene: Scene, seconds: number): Promise<(name: string) => number> {
  await pause(settleMs);
  const before = scene.computedMs();
  await pause(seconds * 1_000);
  const after = scene.computedMs();
  return (name) => (after.get(name) ?? 0) - (before.get(name) ?? 0);
}

async function shares(scene: Scene, seconds: number): Promise<readonly Check[]> {
  const enough = (ms: number): number => Math.ceil(((2 * seconds + 8) * 1_000) / ms);
  await scene.send(placeOf("heavy"), enough(heavyMs), heavyMs);
  await scene.send(placeOf("light"), enough(lightMs), lightMs);
  showProgress("weights");
  const byWeight = await within(scene, seconds);
  const ratio = byWeight("heavy") / byWeight("light");
  await scene.send(placeOf("urgent"), enough(heavyMs), heavyMs);
  showProgress("priority");
  const byPriority = await within(scene, seconds);
  const all = ["heavy", "light", "urgent"].reduce((sum, name) => sum + byPriority(name), 0);
  const urgent = byPriority("urgent") / all;
  return [
    { what: "weights 3 : 1, within a tenth", found: `${ratio.toFixed(2)} : 1`, holds: Math.abs(ratio - 3) <= 0.3 },
    { what: "a higher priority goes first, with a tenth for the lower ones", found: `${(urgent * 100).toFixed(1)} %`, holds: urgent >= 0.85 && urgent <= 0.95 },
  ];
}

async function trouble(scene: Scene, events: number): Promise<readonly Check[]> {
  showProgress("trouble");
  const administration = scene.administration();
  const lived = scene.computedMs();
  for (const name of ["doomed", "closed", "busy"]) await scene.send(placeOf(name), events, lightMs);
  await scene.send(placeOf("poisoned"), events, lightMs, true);
  const doomed = placeOf("doomed");
  const goneWith = scene.open(doomed) ?? 0;
  await administration.deleteSubscription("doomed", "reader");
  const closed = await administration.getSubscription("closed", "reader");
  await administration.updateSubscription({ ...closed, status: "Disabled" });
  scene.broker.faults.add({ kind: "throttle", target: "busy*", rate: 0.5, durationMs: 5_000 });
  scene.broker.faults.add({ kind: "detach", target: "busy*" });
  await pause(6_000);
  const others = scene.computedMs();
  const moved = queues.every((name) => (others.get(name) ?? 0) > (lived.get(name) ?? 0));
  await administration.updateSubscription({ ...closed, status: "Active" });
  const told = { ...scene.worker.reports.totals().events };
  const places = [...queues, ...topics].filter((name) => name !== "doomed").map(placeOf);
  const isDone = (): boolean => places.every((place) => scene.open(place) === 0);
  const endMs = performance.now() + endMaxMs;
  while (!isDone() && performance.now() < endMs) await pause(lookEveryMs);
  const left = places.filter((place) => scene.open(place) !== 0).map(({ name }) => `${scene.open(placeOf(name))} of ${name}`);
  return [
    { what: "the others go on", found: moved ? "they do" : "they stood still", holds: moved },
    {
      what: "a source that is gone, and one that is disabled, are reported once each",
      found: `${told["source.down"] ?? 0} times`,
      holds: (told["source.down"] ?? 0) >= 2 && (told["source.down"] ?? 0) <= 4,
    },
    { what: "nothing is left where it can be read", found: left.join(", ") || "nothing is", holds: left.length === 0 },
    ...account(scene, events, goneWith),
  ];
}

function account(scene: Scene, events: number, goneWith: number): readonly Check[] {
  const effects = scene.effects().map(({ eventId }) => eventId);
  const of = (name: string): number => new Set(effects.filter((eventId) => eventId.startsWith(`${name}-`))).size;
  const twice = effects.length - new Set(effects).size;
  const wrong = ["closed", "busy"].filter((name) => of(name) !== events);
  const doomed = of("doomed") + goneWith;
  return [
    {
      what: "every event has its effect once",
      found: `${twice} twice; ${wrong.map((name) => `${of(name)} of ${events} of ${name}`).join(", ") || "none missing"}`,
      holds: twice === 0 && wrong.length === 0,
    },
    {
      what: "all poison is dead-lettered",
      found: `${scene.deadLetters(placeOf("poisoned"))} of ${events}`,
      holds: scene.deadLetters(placeOf("poisoned")) === events,
    },
    {
      what: "what went with the subscription is all that is missing of it",
      found: `${of("doomed")} done, ${goneWith} gone`,
      holds: doomed >= events && of("doomed") <= events,
    },
  ];
}

async function idle(): Promise<readonly Check[]> {
  const few = await idleWith(1);
  const many = await idleWith(idleSources);
  const bytes = many.residentBytes - few.residentBytes;
  const cpuMs = many.cpuMsPerSecond - few.cpuMsPerSecond;
  return [
    {
      what: `${idleSources} idle sources cost at most ${idleBytesMax / mib} MB more than one`,
      found: `${(bytes / mib).toFixed(1)} MB`,
      holds: bytes <= idleBytesMax,
    },
    { what: `and at most ${idleCpuMsMax} ms of the processor a second`, found: `${cpuMs.toFixed(1)} ms`, holds: cpuMs <= idleCpuMsMax },
  ];
}

async function idleWith(count: number): Promise<Idle> {
  showProgress(`${count} idle`);
  const scene = await Scene.prepare(
    {},
    Array.from({ length: count }, (_, index) => `idle-${index}`),
  );
  try {
    const child = fork(resolve(import.meta.dirname, "idle-worker.ts"), [scene.configFile]);
    const [found] = (await once(child, "message")) as [Idle];
    await once(child, "exit");
    return found;
  } finally {
    await scene.stop();
  }
}
