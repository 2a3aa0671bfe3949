import { setTimeout as pause } from "node:timers/promises";
import { figure, ratio } from "../support/figures.ts";
import { eventMessage } from "../support/event-message.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { type Mark, onStage, rate } from "../support/stage.ts";
import { bodiesWithin, shapes } from "../drills/memory/bodies.ts";
import { ownDistance } from "../distance/run.ts";
import { changes } from "./changes.ts";

export interface IntakeOptions extends ReportOptions {
  readonly only: readonly string[];
}

type Scenario = (report: Report) => Promise<void>;

const scenarios: Readonly<Record<string, Scenario>> = { "scale-out": scaleOut, waiting, mixed, bodies, distance: ownDistance, changes };

export async function run(options: IntakeOptions): Promise<number> {
  const report = new Report("intake", options);
  try {
    for (const name of options.only) {
      showProgress(name);
      await scenarios[name]?.(report);
    }
  } catch (error) {
    // What was measured before is not lost.
    showProgress("");
    report.end();
    throw error;
  }
  showProgress("");
  return report.end();
}

/** Work that holds its thread for 200 ms, two threads a worker; a second worker joins after 3 s. */
async function scaleOut(report: Report): Promise<void> {
  const messages = 400;
  const { before, after, totalMs, heldMax } = await onStage(async (stage) => {
    await stage.fill(messages, () => eventMessage("block"));
    await stage.startWorker();
    const start = performance.now();
    await pause(1_000);
    const from: Mark = { atMs: performance.now(), completed: await stage.completed() };
    await pause(2_000);
    const to: Mark = { atMs: performance.now(), completed: await stage.completed() };
    const held = await stage.held();
    await stage.startWorker();
    await pause(2_000);
    const joined: Mark = { atMs: performance.now(), completed: await stage.completed() };
    const later = await stage.reach(Math.min(messages, joined.completed + 100));
    const end = await stage.reach(messages);
    return { before: rate(from, to), after: rate(joined, later), totalMs: end.atMs - start, heldMax: held };
  });
  report.table({
    name: "scale-out",
    title: `work that holds its thread for 200 ms, ${messages} messages, two threads a worker; a second worker joins after 3 s`,
    columns: {
      alone: "messages/s alone",
      both: "with the second, from 2 s after it joined",
      held: "held by the first when it joined",
      total: "the backlog took, s",
    },
    rows: [{ alone: figure([before], Number, 1), both: figure([after], Number, 1), held: heldMax, total: figure([totalMs / 1_000], Number, 1) }],
  });
  report.targets(
    { what: "scale-out: rate with the second worker / alone", found: figure([after / before], Number, 2), unit: "", bound: { atLeast: 1.8 }, aim: 2 },
    { what: "scale-out: the backlog takes", found: figure([totalMs / 1_000], Number, 1), unit: "s", bound: { atMost: 24 }, aim: 22 },
  );
}

/** Without a setting so many runs that wait are on a thread at once. */
const atOnceAThread = 100;
const threads = 2;
const waitMs = 100;

/** Work that only waits: bound by what may run at once. */
async function waiting(report: Report): Promise<void> {
  const messages = 6_000;
  const { second, steady } = await onStage(async (stage) => {
    await stage.fill(messages, () => eventMessage("wait"));
    await stage.startWorker();
    const from: Mark = { atMs: performance.now(), completed: await stage.completed() };
    await pause(1_000);
    const to: Mark = { atMs: performance.now(), completed: await stage.completed() };
    const end = await stage.reach(messages);
    return { second: rate(from, to), steady: rate(to, end) };
  });
  report.table({
    name: "waiting",
    title: `work that waits for ${waitMs} ms, ${messages} messages, two threads`,
    columns: { second: "messages/s in the first second", steady: "after that" },
    rows: [{ second: figure([second], Number, 0), steady: figure([steady], Number, 0) }],
  });
  const allowed = (atOnceAThread * threads * 1_000) / waitMs;
  report.targets({
    what: `waiting: rate / what ${atOnceAThread} at once on each thread allow`,
    found: figure([steady / allowed], Number, 2),
    unit: "",
    bound: { atLeast: 0.9 },
  });
}

/** One may meet a moment in which the machine does something else. */
const mixedRounds = 5;
/** Of these, the first half warms up what they run through: the rate of a second in which code is still being compiled differs by a third from one worker to the next. */
const mixedQuick = 160_000;
const mixedEvery = 11;

/** The rate over the second half but for its end, with so many messages in the queue as make `quick` of quick ones. */
async function mixedRate(messages: number, typeOf: (index: number) => string): Promise<{ readonly perSecond: number; readonly held: number }> {
  return onStage(async (stage) => {
    await stage.fill(messages, (index) => eventMessage(typeOf(index)));
    await stage.startWorker();
    const from = await stage.reach(mixedQuick / 2);
    const to = await stage.reach(mixedQuick * 0.95);
    return { perSecond: rate(from, to), held: await stage.held() };
  });
}

/** Quick and slow work on one queue: the quick is not to be held up. Whoever comes first in a round comes second in the next. */
async function mixed(report: Report): Promise<void> {
  const quick = mixedQuick;
  const slow = Math.ceil(quick / (mixedEvery - 1));
  const alone: number[] = [];
  const together: number[] = [];
  const held: number[] = [];
  const runAlone = async (): Promise<void> => {
    alone.push((await mixedRate(quick, () => "quick")).perSecond);
  };
  const runTogether = async (): Promise<void> => {
    const found = await mixedRate(quick + slow, (index) => (index % mixedEvery === 0 ? "long" : "quick"));
    together.push(found.perSecond);
    held.push(found.held);
  };
  for (let round = 0; round < mixedRounds; round += 1) {
    for (const run of round % 2 === 0 ? [runAlone, runTogether] : [runTogether, runAlone]) await run();
  }
  report.table({
    name: "mixed",
    title: `${quick} messages of 1 ms and, between them, ${slow} of 2 s`,
    columns: { alone: "the quick alone, messages/s", together: "all, beside the slow ones", held: "held" },
    rows: [{ alone: figure(alone, Number, 0), together: figure(together, Number, 0), held: figure(held, Number, 0) }],
  });
  report.targets({
    what: "mixed: rate beside slow work / alone",
    found: ratio(figure(together, Number, 0), figure(alone, Number, 0), 2),
    unit: "",
    bound: { atLeast: 0.9 },
  });
}

/** Bodies of 200 KB for a worker that has 512 MB. */
async function bodies(report: Report): Promise<void> {
  const messages = 3_000;
  const limitMb = 512;
  const result = await bodiesWithin(limitMb, shapes[0]!, messages);
  report.table({
    name: "bodies",
    title: `${messages} messages of ${shapes[0]!.name} for a worker in ${limitMb} MB (${result.isBounded ? "a memory cgroup" : "by configuration, nothing enforced it"})`,
    columns: { completed: "completed", again: "deliveries that were not the first", seconds: "took, s", peakMb: "resident at most, MB" },
    rows: [{ completed: result.completed, again: result.again, seconds: figure([result.seconds], Number, 1), peakMb: result.peakMb }],
  });
  report.guards(
    { what: "bodies: messages that did not complete", wrong: messages - result.completed },
    { what: "bodies: deliveries that were not the first", wrong: result.again },
    { what: "bodies: workers that ended", wrong: result.broken.some((text) => text.startsWith("the worker ended")) ? 1 : 0 },
  );
}
