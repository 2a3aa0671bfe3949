import { setTimeout as pause } from "node:timers/promises";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { Distance } from "../support/distance.ts";
import { eventMessage } from "../support/event-message.ts";
import { type Figure, figure, median, ratio } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import type { Report } from "../support/report.ts";
import { type Mark, onStage, queue, rate } from "../support/stage.ts";

/** The rate has been found when a quarter of a second of it is worth so much of what it settles at. */
const foundFrom = 0.8;
const spanMs = 250;
/** The window is to have found its size by then. */
const withinMs = 1_000;
/** Of what is sent, so much is waited for: the rest is on its way when the sending ends. */
const sentPart = 0.9;
/** Of the rate of a worker that began as far away, what one has to do that has come to be there; in the median of so many rounds. */
const thereAtLeast = 0.9;
const distanceRounds = 5;
const redis = process.env["REDIS_URL"];

interface Change {
  readonly name: string;
  /** Messages before and after. */
  readonly before: number;
  readonly after: number;
  readonly message: (index: number) => ReturnType<typeof eventMessage>;
  /** How far away broker and store are, before and after. */
  readonly delayMs?: readonly [number, number];
}

const grownDistance: Change = { name: "from near to 20 ms away", before: 40_000, after: 80_000, message: () => eventMessage("nothing"), delayMs: [0, 20] };
const changesTried: readonly Change[] = [
  { name: "runs of 100 ms, then of 0", before: 4_000, after: 80_000, message: (index) => eventMessage("sized", 300, { waitMs: index < 4_000 ? 100 : 0 }) },
  { name: "runs of 0 ms, then of 100", before: 60_000, after: 10_000, message: (index) => eventMessage("sized", 300, { waitMs: index < 60_000 ? 0 : 100 }) },
  { name: "from 20 ms away to near", before: 40_000, after: 120_000, message: () => eventMessage("nothing"), delayMs: [20, 0] },
  { name: "bodies of 300 bytes, then of 30 KB", before: 60_000, after: 10_000, message: (index) => eventMessage("nothing", index < 60_000 ? 300 : 30_000) },
  { name: "bodies of 30 KB, then of 300 bytes", before: 6_000, after: 80_000, message: (index) => eventMessage("nothing", index < 6_000 ? 30_000 : 300) },
];

/** Messages a second that are sent, before and after, for so long each; runs take 20 ms. */
const arrivals = { perSecond: [100, 3_000], forMs: 4_000, sendEveryMs: 10, runMs: 20 } as const;

/** What a change came to. */
interface Found {
  readonly settled: number;
  readonly foundMs: number;
}

/** Work, distance, size or what is sent changes at once: how soon is the rate what it then settles at? */
export async function changes(report: Report): Promise<void> {
  const rows: { readonly name: string; readonly found: readonly Found[] }[] = [];
  for (const change of changesTried) {
    showProgress(`changes: ${change.name}`);
    rows.push({ name: change.name, found: [await make(change)] });
  }
  const { moved, there } = await distances();
  rows.push({ name: grownDistance.name, found: moved });
  const [slowly, fast] = arrivals.perSecond;
  const name = `${slowly} messages a second, then ${fast.toLocaleString("en")}`;
  showProgress(`changes: ${name}`);
  rows.push({ name, found: [{ settled: fast, foundMs: foundAfterMs(await followArrivals(), fast) }] });
  const settledOf = (found: readonly Found[]): Figure => figure(found, ({ settled }) => settled, 0);
  const foundMsOf = (found: readonly Found[]): Figure => figure(found, ({ foundMs }) => foundMs, 0);
  report.table({
    name: "changes",
    title: "what changes at once, one thread",
    columns: { name: "change", settled: "messages/s, settled", foundMs: `${foundFrom * 100} % of it after, ms` },
    rows: rows.map(({ name, found }) => ({ name, settled: settledOf(found), foundMs: foundMsOf(found) })),
  });
  report.gates({
    what: "changes: rate that has come to be 20 ms away / from the start there",
    found: ratio(settledOf(moved), settledOf(there), 2),
    unit: "",
    bound: { atLeast: thereAtLeast },
  });
  for (const { name, found } of rows) {
    report.targets({ what: `changes: ${name}: found after`, found: foundMsOf(found), unit: "ms", bound: { atMost: withinMs } });
  }
}

/** One that comes to be far away and one that is from the start, in turns: what a single pair of them says is chance. */
async function distances(): Promise<{ readonly moved: readonly Found[]; readonly there: readonly Found[] }> {
  const moved: Found[] = [];
  const there: Found[] = [];
  for (let round = 1; round <= distanceRounds; round += 1) {
    showProgress(`changes: ${grownDistance.name}, round ${round} of ${distanceRounds}`);
    moved.push(await make(grownDistance));
    showProgress(`changes: from the start 20 ms away, round ${round} of ${distanceRounds}`);
    there.push(await make({ ...grownDistance, delayMs: [20, 20] }));
  }
  return { moved, there };
}

async function make(change: Change): Promise<Found> {
  const marks = await follow(change);
  const settled = settledRate(marks);
  return { settled, foundMs: foundAfterMs(marks, settled) };
}

/** Where things stood from the change on. */
async function follow({ before, after, message, delayMs }: Change): Promise<readonly Mark[]> {
  const away = await Distance.start();
  try {
    return await onStage(async (stage) => {
      await stage.fill(before + after, message);
      const [first, then] = delayMs ?? [0, 0];
      await stage.startWorker({
        threads: 1,
        ...(delayMs === undefined
          ? undefined
          : {
              connectionString: await away.put(stage.broker.connectionString, first),
              ...(redis === undefined
                ? undefined
                : { config: { store: { kind: "redis", url: await away.put(redis, first), prefix: `changes-${first}-${then}` } } }),
            }),
      });
      await stage.reach(before);
      await away.moveAll(then);
      return stage.marksUntil(before + after);
    });
  } finally {
    await away.stop();
  }
}

/** From when more is sent until as much has been completed. */
async function followArrivals(): Promise<readonly Mark[]> {
  const [slowly, fast] = arrivals.perSecond;
  const { forMs, sendEveryMs, runMs } = arrivals;
  return onStage(async (stage) => {
    await stage.startWorker({ threads: 1 });
    const publisher = createAmqpPublisher({ connectionString: stage.broker.connectionString, clock: systemClock });
    await publisher.start();
    const sendAt = async (perSecond: number): Promise<void> => {
      const startMs = performance.now();
      for (let sentForMs = 0; sentForMs < forMs; sentForMs += sendEveryMs) {
        await pause(Math.max(0, startMs + sentForMs - performance.now()));
        const count = (perSecond * sendEveryMs) / 1_000;
        const messages = Array.from({ length: count }, () => eventMessage("sized", 300, { waitMs: runMs }));
        await publisher.send(queue, messages);
        stage.expect(count);
      }
    };
    try {
      await sendAt(slowly);
      const end = await stage.completed();
      const marks = stage.marksUntil(end + ((fast * forMs) / 1_000) * sentPart);
      await sendAt(fast);
      return await marks;
    } finally {
      await publisher.stop();
    }
  });
}

/** Messages a second over the latter half of the time, the very end left out. */
function settledRate(marks: readonly Mark[]): number {
  const spans = marks.slice(Math.floor(marks.length / 2), Math.floor(marks.length * 0.95)).map((mark) => spanFrom(marks, mark));
  return median(spans.filter((span) => span !== undefined));
}

function foundAfterMs(marks: readonly Mark[], settled: number): number {
  const from = marks[0]!.atMs;
  for (const mark of marks) {
    const found = spanFrom(marks, mark);
    if (found !== undefined && found >= settled * foundFrom) return mark.atMs - from;
  }
  return Number.NaN;
}

/** Messages a second in the quarter of a second after a mark; undefined where the end comes first. */
function spanFrom(marks: readonly Mark[], from: Mark): number | undefined {
  const to = marks.find((mark) => mark.atMs >= from.atMs + spanMs);
  return to === undefined ? undefined : rate(from, to);
}
