import { setTimeout as pause } from "node:timers/promises";
import { eventsFor, messagesOf, type Shape, shapes } from "../peers/work.ts";
import { type Arena, inArena, type Turn } from "../support/arena.ts";
import { contenderOf } from "../support/contenders.ts";
import { type Figure, figure, ratio } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf } from "../support/verdict.ts";
import { type Collector, startCollector } from "./collector.ts";
import { type Pair, type PacedTurn, pacedPair } from "./paced-turn.ts";
import { all, off, prepare, type Setting, settings } from "./settings.ts";

export interface ObservabilityOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
}

interface Row {
  readonly shape: Shape;
  readonly setting: Setting;
  /** Each with a worker beside it that had everything off. */
  readonly pairs: Pair[];
  readonly saturated: Turn[];
}

/** To each of two workers, of what one with everything off drains: both together, with broker and store, leave processors idle. */
const offeredShare = 0.2;
const drainSeconds = { quick: 1, long: 3 } as const;
/** In a turn Prometheus comes once: every 5 s is the most often that it is set to. */
const windowMs = { quick: 4_000, long: 5_000 } as const;
const boundOfAll = 1.05;

export async function run(options: ObservabilityOptions): Promise<number> {
  const { quick = false, rounds = quick ? 3 : 7 } = options;
  const report = new Report("observability", options);
  const measured = shapes.filter(({ name }) => name === "no-op" || (name === "steps" && !quick));
  const rows = measured.flatMap((shape) =>
    (shape.name === "no-op" && !quick ? settings : [off, all]).map((setting): Row => ({ shape, setting, pairs: [], saturated: [] })),
  );
  const collector = await startCollector();
  try {
    await inArena({ turnsMax: (rounds + 1) * rows.length * 3 }, async (arena) => {
      for (let round = 1; round <= rounds; round += 1) {
        // Whoever comes first in one round comes last in the next: what drifts meets all alike.
        const turns = round % 2 === 1 ? rows : rows.toReversed();
        // A quick run learns of what is drained no more than the rate.
        for (const { shape, setting, saturated } of quick ? rows.slice(0, round === 1 ? 1 : 0) : turns.filter(isOfTarget)) {
          showProgress(`round ${round} of ${rounds}: ${shape.title}, ${setting.title}, saturated`);
          saturated.push(await drain(arena, collector, shape, setting, quick ? drainSeconds.quick : drainSeconds.long));
        }
        for (const { shape, setting, pairs } of turns) {
          if (setting === off) continue;
          showProgress(`round ${round} of ${rounds}: ${shape.title}, ${setting.title} beside everything off`);
          const paced = { shape, perSecond: offered(rows, shape), windowMs: quick ? windowMs.quick : windowMs.long };
          pairs.push(await pacedPair(arena, collector, setting, { ...paced, isOffFirst: round % 2 === 1 }));
        }
      }
    });
  } finally {
    await collector.stop();
  }
  showProgress("");
  tell(report, measured, rows);
  return report.end();
}

function isOfTarget({ setting }: Row): boolean {
  return setting === off || setting === all;
}

/** The same for all turns of a shape: what the first one drained decides. */
function offered(rows: readonly Row[], shape: Shape): number {
  const saturated = rows.find((row) => row.shape === shape && row.setting === off)?.saturated[0];
  return Math.round((saturated?.perSecond ?? 0) * offeredShare);
}

/** As a queue is drained, as information. */
async function drain(arena: Arena, collector: Collector, shape: Shape, setting: Setting, seconds: number): Promise<Turn> {
  const { ground, scrape } = await prepare(setting, collector);
  const over = new AbortController();
  const scraping = (async () => {
    while (!over.signal.aborted) {
      await scrape();
      await pause(windowMs.long, undefined, { signal: over.signal }).catch(() => undefined);
    }
  })();
  try {
    return await arena.drain(contenderOf("holdfast"), { messages: messagesOf(shape, eventsFor("holdfast", shape, seconds)), ground });
  } finally {
    over.abort();
    await scraping;
  }
}

function tell(report: Report, measured: readonly Shape[], rows: readonly Row[]): void {
  const micros = ({ pairs }: Row): Figure => figure(pairs, ({ on }) => on.clientMicros, 1);
  const beside = ({ pairs }: Row): Figure => figure(pairs, ({ off: { clientMicros } }) => clientMicros, 1);
  const drained = ({ saturated }: Row): Figure => figure(saturated, ({ clientMicros }) => clientMicros, 1);
  const rowOf = (shape: Shape, setting: Setting): Row => rows.find((row) => row.shape === shape && row.setting === setting)!;
  const added = (row: Row): Figure => ratio(micros(row), beside(row), 3);
  for (const shape of measured) {
    const own = rows.filter((row) => row.shape === shape);
    const what = shape.name === "no-op" ? "does nothing" : "has four steps with checkpoints";
    report.table({
      name: shape.name,
      title: `A skill that ${what}: CPU of the worker's process a message, beside that of a worker at the same time and rate with everything off`,
      columns: { setting: "", client: "µs", off: "everything off, µs", ratio: "ratio", perSecond: "messages/s" },
      rows: own
        .filter(({ setting }) => setting !== off)
        .map((row) => ({
          setting: row.setting.title,
          client: micros(row),
          off: beside(row),
          ratio: added(row),
          perSecond: figure(row.pairs, ({ on: { perSecond } }) => perSecond, 0),
        })),
    });
    const isDrained = own.every((row) => !isOfTarget(row) || row.saturated.length > 1);
    if (isDrained)
      report.table({
        name: `${shape.name}-saturated`,
        title: `For information: the same while a queue is drained, where worker, collector, scraper, broker and store compete for the machine's processors`,
        columns: { setting: "", client: "µs", ratio: "of everything off", perSecond: "messages/s" },
        rows: own.filter(isOfTarget).map((row) => ({
          setting: row.setting.title,
          client: drained(row),
          ratio: ratio(drained(row), drained(rowOf(shape, off)), 3),
          perSecond: figure(row.saturated, ({ perSecond }) => perSecond, 0),
        })),
      });
  }
  const seen = (of: (turn: PacedTurn) => number): number => rows.flatMap(({ pairs }) => pairs.map(({ on }) => on)).reduce((sum, turn) => sum + of(turn), 0);
  const [scrapes, exports] = [seen((turn) => turn.scrapes), seen((turn) => turn.exports)];
  report.remark(`While it was measured, metrics were scraped ${scrapes} times, and the collector took ${exports} requests.`);
  report.targets(
    ...measured.map((shape) => ({
      what: `${shape.name}: worker's CPU a message, all three / everything off`,
      found: added(rowOf(shape, all)),
      unit: "",
      bound: { atMost: boundOfAll },
    })),
  );
  report.guards(
    ...guardsOf(
      "Holdfast",
      rows.flatMap(({ pairs, saturated }) => [...pairs.flatMap(({ off: beside, on }) => [beside, on]), ...saturated].map(({ verdict }) => verdict)),
    ),
    { what: "settings that were not on: nobody scraped, or nothing was exported", wrong: Number(scrapes === 0) + Number(exports === 0) },
  );
}
