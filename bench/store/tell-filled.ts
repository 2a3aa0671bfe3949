/** What was found while stores were filled, as tables, charts, ratios and a guard. */
import { type Figure, median, single } from "../support/figures.ts";
import type { Report } from "../support/report.ts";
import type { Target } from "../support/target.ts";

export interface Weight {
  readonly store: string;
  readonly steps: number;
  readonly bytes: number;
}

/** When so many finished events were in a store. */
export interface Mark {
  readonly events: number;
  /** Claimed and finished, several times. */
  readonly perSecond: readonly number[];
  /** CPU of the main thread, and the store's own, microseconds an event. */
  readonly main: number;
  readonly own: number;
}

export interface Filling {
  readonly store: string;
  readonly marks: readonly Mark[];
  /** Ids of finished events that the store knew no more. */
  readonly forgotten: readonly string[];
}

export function tellFilled(report: Report, weights: readonly Weight[], fillings: readonly Filling[], weighed: number): void {
  tables(report, weights, fillings, weighed);
  charts(report, weights, fillings);
  for (const { store, steps, bytes } of weights) {
    const most = steps === 0 ? bytesMax.get(store) : undefined;
    if (most !== undefined) report.targets({ what: `${store}: a finished event, kept for seven days`, found: single(bytes, 0), unit: "bytes", ...most });
  }
  for (const { store, marks, forgotten } of fillings) {
    const last = marks.at(-1)!;
    const first = marks.find(({ events }) => events === baseEvents && events < last.events) ?? marks[0]!;
    // Slices were timed one after the other: that two of them have the same number says nothing.
    const base = median(first.perSecond);
    report.targets({
      what: `${store}, claims and finishes: with ${count(last)} / with ${count(first)}`,
      found: { samples: last.perSecond.map((rate) => rate / base), digits: 2 },
      unit: "",
      bound: { atLeast: 0.5 },
      aim: 0.9,
    });
    report.guards({ what: `${store}: finished, and not known as done`, wrong: forgotten.length, examples: forgotten.slice(0, 3) });
  }
}

/** Of a finished event without steps. What SET NX takes for an id is the bound of Redis. */
const bytesMax: ReadonlyMap<string, Pick<Target, "bound" | "aim">> = new Map([
  ["SQLite file, own thread", { bound: { atMost: 96 } }],
  ["Redis, compact", { bound: { atMost: 129 }, aim: 48 }],
]);
/** What later marks are compared with. */
const baseEvents = 100_000;

function count({ events }: Mark): string {
  return events.toLocaleString("en");
}

function tables(report: Report, weights: readonly Weight[], fillings: readonly Filling[], weighed: number): void {
  report.table({
    name: "bytes",
    title: `What a finished event takes up, kept for seven days (of ${weighed.toLocaleString("en")})`,
    columns: { store: "store", steps: "steps", bytes: "bytes" },
    rows: weights.map(({ store, steps, bytes }) => ({ store, steps, bytes: single(bytes, 0) })),
  });
  report.table({
    name: "fill",
    title: "Claims and finishes while the store fills, each event once",
    columns: {
      store: "store",
      events: "finished events in it",
      perSecond: "events/s",
      main: "main thread CPU, µs an event",
      own: "store's own CPU, µs an event",
    },
    rows: fillings.flatMap(({ store, marks }) =>
      marks.map(({ events, perSecond, main, own }) => ({
        store,
        events,
        perSecond: { samples: perSecond, digits: 0 } satisfies Figure,
        main: single(main, 2),
        own: single(own, 2),
      })),
    ),
  });
}

function charts(report: Report, weights: readonly Weight[], fillings: readonly Filling[]): void {
  const stores = [...new Set(weights.map(({ store }) => store))];
  report.chart({
    kind: "bars",
    title: "What a finished event takes up",
    unit: "bytes",
    labels: stores,
    series: [...new Set(weights.map(({ steps }) => steps))].map((steps) => ({
      name: `${steps} steps`,
      values: stores.map((store) => weights.find((one) => one.store === store && one.steps === steps)!.bytes),
    })),
  });
  report.chart({
    kind: "lines",
    title: "Claims and finishes by how many finished events are kept",
    unit: "events/s",
    x: { title: "finished events", isLog: true },
    series: fillings.map(({ store, marks }) => ({ name: store, points: marks.map(({ events, perSecond }) => [events, median(perSecond)] as const) })),
  });
}
