import type { ContenderKey } from "../peers/names.ts";
import { eventsFor, messagesOf, shapes } from "../peers/work.ts";
import { inArena, type Turn } from "../support/arena.ts";
import { contenderOf } from "../support/contenders.ts";
import { figure, ratio } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf } from "../support/verdict.ts";

export interface HeadOfLineOptions extends ReportOptions {
  readonly quick?: boolean;
}

const measured: readonly ContenderKey[] = ["holdfast", "subscribe-200", "receive-messages"];
const holdMs = 5_000;
const eventsMin = 12_000;
/** Whether the last few are there a moment sooner is another matter. */
const countedTo = 0.95;
/** Where in the queue the held message stands: after the warm-up, and with more behind it than any client takes on at once. */
const heldAt = 0.4;

export async function run(options: HeadOfLineOptions): Promise<number> {
  const { quick = false } = options;
  const report = new Report("head-of-line", options);
  const shape = shapes[0]!;
  const rows = await inArena({}, async (arena) => {
    const all: { readonly key: ContenderKey; readonly alone: Turn[]; readonly beside: Turn[] }[] = measured.map((key) => ({ key, alone: [], beside: [] }));
    for (let round = 1; round <= (quick ? 1 : 5); round += 1) {
      for (const { key, alone, beside } of all) {
        const contender = contenderOf(key);
        const events = Math.max(eventsMin, eventsFor(key, shape, quick ? 1.2 : 2));
        const messages = messagesOf(shape, events);
        showProgress(`${contender.name}, round ${round}: alone`);
        alone.push(await arena.drain(contender, { messages, countedTo }));
        showProgress(`${contender.name}, round ${round}: beside one that is held`);
        beside.push(await arena.drain(contender, { messages, countedTo, held: { place: Math.round(events * heldAt), waitMs: holdMs } }));
      }
    }
    return all;
  });
  showProgress("");
  const speed = (turns: readonly Turn[]) => figure(turns, ({ perSecond }) => perSecond, 0);
  report.table({
    name: "head-of-line",
    title: `The rest of a queue beside a message that is held for ${holdMs / 1_000} s, messages/s`,
    columns: { name: "", alone: "without it", beside: "beside it", share: "of it" },
    rows: rows.map(({ key, alone, beside }) => ({
      name: contenderOf(key).name,
      alone: speed(alone),
      beside: speed(beside),
      share: ratio(speed(beside), speed(alone), 2),
    })),
  });
  report.chart({
    kind: "bars",
    title: "Throughput beside one message that is held",
    unit: "of the rate without it",
    labels: rows.map(({ key }) => contenderOf(key).name),
    series: [{ name: "share", values: rows.map(({ alone, beside }) => beside[0]!.perSecond / alone[0]!.perSecond) }],
  });
  for (const { key, alone, beside } of rows) {
    const share = ratio(speed(beside), speed(alone), 2);
    if (key === "holdfast") {
      report.targets({ what: "Holdfast: rate beside a held message / without it", found: share, unit: "", bound: { atLeast: 0.8 }, aim: 0.99 });
      report.guards(
        ...guardsOf(
          "Holdfast",
          [...alone, ...beside].map(({ verdict }) => verdict),
        ),
      );
    } else report.ratio(`${contenderOf(key).name}: rate beside a held message / without it`, share);
  }
  return report.end();
}
