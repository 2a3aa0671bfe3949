import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { ConfigInput } from "#runtime/core/config.ts";
import { eventsFor, messagesOf, type Shape, shapes } from "../peers/work.ts";
import { type Arena, inArena, type Turn } from "../support/arena.ts";
import { contenderOf } from "../support/contenders.ts";
import { type Figure, figure, ratio } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf } from "../support/verdict.ts";
import { type Collector, startCollector } from "./collector.ts";

export interface ObservabilityOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
}

interface Setting {
  readonly title: string;
  readonly isScraped?: boolean;
  readonly isTraced?: boolean;
  readonly logLevel?: ConfigInput["logLevel"];
}

const off: Setting = { title: "everything off" };
const all: Setting = { title: "all three", isScraped: true, isTraced: true, logLevel: "info" };
const settings: readonly Setting[] = [
  off,
  { title: "metrics, scraped every second", isScraped: true },
  { title: "traces at 1 %", isTraced: true },
  { title: "logs at info", logLevel: "info" },
  all,
];

const scrapeEveryMs = 1_000;
const turnSeconds = 4;
const quickTurnSeconds = 1.2;

interface Row {
  readonly shape: Shape;
  readonly setting: Setting;
  readonly turns: Turn[];
}

export async function run(options: ObservabilityOptions): Promise<number> {
  const { quick = false, rounds = quick ? 3 : 9 } = options;
  const report = new Report("observability", options);
  const measured = shapes.filter(({ name }) => name === "no-op" || (name === "steps" && !quick));
  const rows = measured.flatMap((shape) => settings.map((setting): Row => ({ shape, setting, turns: [] })));
  const seen = { scrapes: 0, exports: 0 };
  const collector = await startCollector();
  try {
    await inArena({ turnsMax: rows.length * rounds }, async (arena) => {
      for (let round = 1; round <= rounds; round += 1) {
        // Whoever comes first in one round comes last in the next: what drifts meets all alike.
        for (const { shape, setting, turns } of round % 2 === 1 ? rows : rows.toReversed()) {
          showProgress(`round ${round} of ${rounds}: ${shape.title}, ${setting.title}`);
          const messages = messagesOf(shape, eventsFor("holdfast", shape, quick ? quickTurnSeconds : turnSeconds));
          turns.push(await drain(arena, setting, messages, collector, seen));
        }
      }
    });
  } finally {
    await collector.stop();
  }
  showProgress("");
  tell(report, measured, rows, { ...seen, exports: collector.taken });
  return report.end();
}

async function drain(
  arena: Arena,
  { isScraped = false, isTraced = false, logLevel = "error" }: Setting,
  messages: ReturnType<typeof messagesOf>,
  collector: Collector,
  seen: { scrapes: number },
): Promise<Turn> {
  const port = isScraped ? await freePort() : undefined;
  const config = { logLevel, ...(port === undefined ? undefined : { admin: { port } }) };
  const env = isTraced ? { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.01" } : {};
  const over = new AbortController();
  const scraping = port === undefined ? undefined : scrape(port, over.signal, seen);
  try {
    return await arena.drain(contenderOf("holdfast"), { messages, ground: { config, env, logsToFile: true } });
  } finally {
    over.abort();
    await scraping;
  }
}

/** Until the worker is there nobody answers. */
async function scrape(port: number, over: AbortSignal, seen: { scrapes: number }): Promise<void> {
  while (!over.aborted) {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: over }).catch(() => undefined);
    const text = await answer?.text().catch(() => "");
    if (answer?.status === 200 && text !== "") seen.scrapes += 1;
    await pause(scrapeEveryMs, undefined, { signal: over }).catch(() => undefined);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((closed) => server.close(() => closed()));
  return port;
}

function tell(report: Report, measured: readonly Shape[], rows: readonly Row[], seen: { readonly scrapes: number; readonly exports: number }): void {
  const micros = ({ turns }: Row): Figure => figure(turns, ({ clientMicros }) => clientMicros, 1);
  const added = (shape: Shape, row: Row): Figure => ratio(micros(row), micros(rows.find((one) => one.shape === shape && one.setting === off)!), 3);
  for (const shape of measured) {
    report.table({
      name: shape.name,
      title: `A skill that ${shape.name === "no-op" ? "does nothing" : "has four steps with checkpoints"}: worker's CPU a message`,
      columns: { setting: "", client: "µs", ratio: "of everything off", perSecond: "messages/s" },
      rows: rows
        .filter((row) => row.shape === shape)
        .map((row) => ({
          setting: row.setting.title,
          client: micros(row),
          ratio: added(shape, row),
          perSecond: figure(row.turns, ({ perSecond }) => perSecond, 0),
        })),
    });
  }
  report.remark(`Metrics were scraped ${seen.scrapes} times; the collector took ${seen.exports} requests.`);
  report.targets(
    ...measured.map((shape) => ({
      what: `${shape.name}: worker's CPU a message, all three / everything off`,
      found: added(
        shape,
        rows.find((row) => row.shape === shape && row.setting === all)!,
      ),
      unit: "",
      bound: { atMost: 1.05 },
    })),
  );
  report.guards(
    ...guardsOf(
      "Holdfast",
      rows.flatMap(({ turns }) => turns.map(({ verdict }) => verdict)),
    ),
    { what: "settings that were not on: nobody scraped, or nothing was exported", wrong: Number(seen.scrapes === 0) + Number(seen.exports === 0) },
  );
}
