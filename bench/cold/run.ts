import { generatePlain } from "#load/generator/plain.ts";
import type { ContenderKey } from "../peers/names.ts";
import { eventsFor, messagesOf, shapes } from "../peers/work.ts";
import { type Arena, inArena, notesOf, until } from "../support/arena.ts";
import { type Contender, contenderOf } from "../support/contenders.ts";
import { figure, median, ratio, single } from "../support/figures.ts";
import { sharedMonotonicMs } from "../support/notes.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf, judge, type Verdict } from "../support/verdict.ts";
import { type FirstSeconds, firstSeconds } from "./first-seconds.ts";

export interface ColdOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
}

interface Start {
  readonly readyMs: number;
  readonly firstMs: number;
  readonly steadyMs: number;
  readonly verdict: Verdict;
}

const measured: readonly ContenderKey[] = ["holdfast", "holdfast-sqlite", "subscribe-200", "receive-messages"];
const binMs = 100;
const steadyShare = 0.8;
const turnMaxMs = 60_000;
const trialsMax = 3;
/** As parts of the steady rate; what else the machine does makes a first second worse, never better, so that the best trial counts. */
const firstAtLeast = 0.4;
const thirdAtLeast = 0.9;

export async function run(options: ColdOptions): Promise<number> {
  const { quick = false, rounds = quick ? 1 : 7 } = options;
  const report = new Report("cold", options);
  const starts = new Map<ContenderKey, Start[]>(measured.map((key) => [key, []]));
  await inArena({}, async (arena) => {
    for (let round = 1; round <= rounds; round += 1) {
      for (const [key, list] of starts) {
        showProgress(`round ${round} of ${rounds}: ${contenderOf(key).name}`);
        list.push(await start(arena, contenderOf(key)));
      }
    }
  });
  const { trials, areSound } = await tryDev(quick);
  showProgress("");
  const rows = [...starts].map(([key, list]) => ({
    key,
    name: contenderOf(key).name,
    ready: figure(list, ({ readyMs }) => readyMs, 0),
    first: figure(list, ({ firstMs }) => firstMs, 0),
    steady: figure(list, ({ steadyMs }) => steadyMs, 0),
  }));
  report.table({
    name: "cold",
    title: `From the start of the process, ms; median (range) of ${rounds} rounds`,
    columns: { name: "", ready: "ready", first: "first event done", steady: "steady rate" },
    rows: rows.map(({ name, ready, first, steady }) => ({ name, ready, first, steady })),
  });
  report.chart({
    kind: "bars",
    title: "From the start of a process",
    unit: "ms",
    labels: rows.map(({ name }) => name),
    series: (["ready", "first", "steady"] as const).map((what) => ({ name: what, values: rows.map((row) => median(row[what].samples)) })),
  });
  const [ours, , subscribe] = rows;
  report.ratio(`first event done: Holdfast / ${subscribe!.name}`, ratio(ours!.first, subscribe!.first, 2), "less");
  report.targets({ what: "Holdfast: ready", found: ours!.ready, unit: "ms", bound: { atMost: 3_000 }, aim: 500 });
  judgeTrials(report, trials, areSound);
  for (const key of ["holdfast", "holdfast-sqlite"] as const)
    report.guards(
      ...guardsOf(
        contenderOf(key).name,
        starts.get(key)!.map(({ verdict }) => verdict),
      ),
    );
  return report.end();
}

/** A quick run tries no more often than it must to know that the gates are reached. */
async function tryDev(isQuick: boolean): Promise<{ readonly trials: readonly FirstSeconds[]; readonly areSound: readonly boolean[] }> {
  const trials: FirstSeconds[] = [];
  const accounts: Promise<boolean>[] = [];
  for (let trial = 1; trial <= trialsMax; trial += 1) {
    showProgress(`trial ${trial} of at most ${trialsMax}: holdfast dev`);
    const { found, isSound } = await firstSeconds();
    trials.push(found);
    accounts.push(isSound);
    if (isQuick && areReached(trials)) break;
  }
  return { trials, areSound: await Promise.all(accounts) };
}

function areReached(trials: readonly FirstSeconds[]): boolean {
  return trials.some(({ first }) => first >= firstAtLeast) && trials.some(({ third }) => third >= thirdAtLeast);
}

/** A world that has not warmed up does a quarter to a third in its first second. */
function judgeTrials(report: Report, trials: readonly FirstSeconds[], areSound: readonly boolean[]): void {
  const [first, third] = [figure(trials, (trial) => trial.first, 2), figure(trials, (trial) => trial.third, 2)];
  report.table({
    name: "first-seconds",
    title: `holdfast dev from its first event sent, as parts of its steady rate; median (range) of ${trials.length} trials`,
    columns: { first: "first second", third: "third second", steady: "steady, messages/s" },
    rows: [{ first, third, steady: figure(trials, ({ steadyPerSecond }) => steadyPerSecond, 0) }],
  });
  const bestOf = ({ samples }: typeof first): typeof first => single(Math.max(...samples), 2);
  report.gates(
    { what: "holdfast dev: first second / steady, best trial", found: bestOf(first), unit: "", bound: { atLeast: firstAtLeast }, aim: 0.5 },
    { what: "holdfast dev: third second / steady, best trial", found: bestOf(third), unit: "", bound: { atLeast: thirdAtLeast }, aim: 1 },
  );
  report.targets({ what: "holdfast dev: first second / steady", found: first, unit: "", bound: { atLeast: 0.5 } });
  report.targets({ what: "holdfast dev: third second / steady", found: third, unit: "", bound: { atLeast: 0.8 }, aim: 1 });
  report.guards({ what: "holdfast dev: accounts that did not balance", wrong: areSound.filter((isSound) => !isSound).length });
}

async function start(arena: Arena, contender: Contender): Promise<Start> {
  const shape = shapes[0]!;
  const ground = arena.ground();
  const feed = arena.feed(contender, ground);
  const sent = [...generatePlain({ ...messagesOf(shape, eventsFor(contender.key, shape, 1.2)), idPrefix: `${ground.prefix}-` })];
  await Promise.all([feed.send(sent), arena.vacated()]);
  const startMs = sharedMonotonicMs();
  const child = await contender.start(ground);
  const readyMs = sharedMonotonicMs() - startMs;
  try {
    await until(async () => (await feed.ended()) >= sent.length, turnMaxMs);
    const notes = await notesOf(ground, sent.length);
    const times = notes.map(({ atMs }) => atMs - startMs).toSorted((a, b) => a - b);
    return { readyMs, firstMs: times[0] ?? Number.NaN, steadyMs: steadyFrom(times), verdict: judge({ sent, outcomes: await feed.outcomes(), done: notes }) };
  } finally {
    arena.leave([child], feed);
  }
}

/** When the first tenth of a second began that is like those of the second half. */
function steadyFrom(times: readonly number[]): number {
  const half = times.slice(times.length >> 1);
  const rate = half.length / (half.at(-1)! - half[0]!);
  let until = 0;
  for (const [index, fromMs] of times.entries()) {
    while (until < times.length && times[until]! < fromMs + binMs) until += 1;
    if (until === times.length) break;
    if (until - index >= rate * binMs * steadyShare) return fromMs;
  }
  return times.at(-1) ?? Number.NaN;
}
