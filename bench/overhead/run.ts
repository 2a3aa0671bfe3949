import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { eventsFor, messagesOf, type Shape, shapes } from "../peers/work.ts";
import type { ContenderKey } from "../peers/names.ts";
import { type Arena, inArena, type Turn } from "../support/arena.ts";
import { contenderOf } from "../support/contenders.ts";
import { figure, median } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf } from "../support/verdict.ts";
import { type Stage, stages, timeByStage } from "./stages.ts";

export interface OverheadOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
}

interface Row {
  readonly title: string;
  readonly turns: Turn[];
  /** Microseconds a message, by round. */
  readonly profiles: ReadonlyMap<Stage, number>[];
}

const samplingMicros = 250;
const measured: readonly (readonly [ContenderKey, Shape["name"]])[] = [
  ["holdfast", "no-op"],
  ["holdfast", "steps"],
  ["holdfast-sqlite", "no-op"],
];

export async function run(options: OverheadOptions): Promise<number> {
  const { quick = false, rounds = quick ? 1 : 5 } = options;
  const report = new Report("overhead", options);
  const rows = measured.map(([key, shape]): Row & { readonly key: ContenderKey; readonly shape: Shape } => ({
    key,
    shape: shapes.find(({ name }) => name === shape)!,
    title: `${contenderOf(key).name}, ${shape}`,
    turns: [],
    profiles: [],
  }));
  await inArena({}, async (arena) => {
    for (let round = 1; round <= rounds; round += 1) {
      for (const { key, shape, title, turns, profiles } of rows) {
        showProgress(`round ${round} of ${rounds}: ${title}`);
        const messages = messagesOf(shape, eventsFor(key, shape, quick ? 1.5 : 4));
        turns.push(await arena.drain(contenderOf(key), { messages }));
        profiles.push(await profile(arena, key, messages, `${key}-${shape.name}-${round}`));
      }
    }
  });
  showProgress("");
  tell(report, rows);
  return report.end();
}

async function profile(arena: Arena, key: ContenderKey, messages: ReturnType<typeof messagesOf>, name: string): Promise<ReadonlyMap<Stage, number>> {
  const folder = join(arena.folder, `profile-${name}`);
  mkdirSync(folder);
  const env = { NODE_OPTIONS: `--cpu-prof --cpu-prof-interval=${samplingMicros} --cpu-prof-dir=${folder}` };
  const { counted } = await arena.drain(contenderOf(key), { messages, ground: { env } });
  // A profile is written when its process ends.
  await arena.vacated();
  const sums = timeByStage(folder, counted.fromMs, counted.toMs);
  return new Map([...sums].map(([stage, micros]) => [stage, micros / counted.messages]));
}

function tell(report: Report, rows: readonly Row[]): void {
  report.table({
    name: "machine",
    title: "What a message costs, µs of CPU, one thread",
    columns: { title: "", perSecond: "messages/s", client: "worker", redis: "Redis", broker: "broker", all: "the whole machine" },
    rows: rows.map(({ title, turns }) => ({
      title,
      perSecond: figure(turns, ({ perSecond }) => perSecond, 0),
      client: figure(turns, ({ clientMicros }) => clientMicros, 1),
      redis: figure(turns, ({ redisMicros }) => redisMicros, 1),
      broker: figure(turns, ({ brokerMicros }) => brokerMicros, 1),
      all: figure(turns, ({ clientMicros, redisMicros, brokerMicros }) => clientMicros + redisMicros + brokerMicros, 1),
    })),
  });
  report.table({
    name: "stages",
    title: "Of the worker, by the profiles of its threads, µs a message",
    columns: Object.fromEntries([["stage", "stage"], ...rows.map(({ title }, index) => [`row${index}`, title])]) as Record<string, string>,
    rows: stages.map((stage) => ({
      stage,
      ...Object.fromEntries(rows.map(({ profiles }, index) => [`row${index}`, figure(profiles, (one) => one.get(stage) ?? 0, 2)])),
    })),
  });
  report.chart({
    kind: "bars",
    title: "Cost of a message in the worker, by stage",
    unit: "µs",
    isStacked: true,
    labels: rows.map(({ title }) => title),
    series: stages.map((stage) => ({ name: stage, values: rows.map(({ profiles }) => median(profiles.map((one) => one.get(stage) ?? 0))) })),
  });
  const noOp = rows[0]!;
  report.targets(
    {
      what: "no-op, Redis: worker's CPU a message",
      found: figure(noOp.turns, ({ clientMicros }) => clientMicros, 1),
      unit: "µs",
      bound: { atMost: 60 },
      aim: 12,
    },
    {
      what: "no-op, Redis: the store's CPU a message",
      found: figure(noOp.turns, ({ redisMicros }) => redisMicros, 1),
      unit: "µs",
      bound: { atMost: 25 },
      aim: 5,
    },
    {
      what: "no-op, Redis: the whole machine's CPU a message",
      found: figure(noOp.turns, ({ clientMicros, redisMicros, brokerMicros }) => clientMicros + redisMicros + brokerMicros, 1),
      unit: "µs",
      bound: { atMost: 100 },
      aim: 22,
    },
  );
  report.guards(
    ...guardsOf(
      "Holdfast",
      rows.flatMap(({ turns }) => turns.map(({ verdict }) => verdict)),
    ),
  );
}
