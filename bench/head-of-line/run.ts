import type { ContenderKey } from "../peers/names.ts";
import { eventsFor, messagesOf, shapes } from "../peers/work.ts";
import { type Arena, inArena, type Turn } from "../support/arena.ts";
import { contenderOf } from "../support/contenders.ts";
import { type Figure, figure, median, ratio } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf } from "../support/verdict.ts";

export interface HeadOfLineOptions extends ReportOptions {
  readonly quick?: boolean;
}

/** Each with the rounds of a quick run, and about the seconds of its turns: what stalls is told from what does not by one short one. */
const measured: readonly (readonly [ContenderKey, quickRounds: number, quickSeconds: number])[] = [
  ["holdfast", 2, 3],
  ["subscribe-200", 1, 1.5],
  ["receive-messages", 1, 1.5],
];
const fullSeconds = 3;
const fullRounds = 5;
const holdMs = 5_000;
const quickHoldMs = 3_000;
const eventsMin = 12_000;
/** Where in the queue the held message stands: after the warm-up, and with more behind it than any client takes on at once. */
const heldAt = 0.55;
/** Of the rate without it. Half tells what goes on from what waits, on any machine; nearly all is what is aimed at. */
const stalls = 0.5;
const goesOn = 0.95;

interface Row {
  readonly key: ContenderKey;
  readonly name: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly alone: Turn[];
  readonly beside: Turn[];
}

export async function run(options: HeadOfLineOptions): Promise<number> {
  const { quick = false } = options;
  const report = new Report("head-of-line", options);
  const waitMs = quick ? quickHoldMs : holdMs;
  const rows = await inArena({}, async (arena) => {
    const all = measured.map(([key, quickRounds, quickSeconds]): Row => ({
      key,
      name: contenderOf(key).name,
      rounds: quick ? quickRounds : fullRounds,
      seconds: quick ? quickSeconds : fullSeconds,
      alone: [],
      beside: [],
    }));
    for (let round = 1; round <= fullRounds; round += 1) for (const row of all) if (round <= row.rounds) await measure(arena, row, round, waitMs);
    return all;
  });
  showProgress("");
  tell(report, rows, waitMs);
  return report.end();
}

/** Which of the two comes first changes from round to round. */
async function measure(arena: Arena, { key, name, rounds, seconds, alone, beside }: Row, round: number, waitMs: number): Promise<void> {
  const shape = shapes[0]!;
  const events = Math.max(eventsMin, eventsFor(key, shape, seconds));
  const messages = messagesOf(shape, events);
  const held = { place: Math.round(events * heldAt), waitMs };
  const turns = [
    [alone, "alone", {}],
    [beside, "beside one that is held", { held }],
  ] as const;
  for (const [list, what, more] of round % 2 === 1 ? turns : turns.toReversed()) {
    showProgress(`${name}, round ${round} of ${rounds}: ${what}`);
    list.push(await arena.drain(contenderOf(key), { messages, ...more }));
  }
}

function tell(report: Report, rows: readonly Row[], waitMs: number): void {
  const speed = (turns: readonly Turn[]) => figure(turns, ({ perSecond }) => perSecond, 0);
  const shareOf = ({ alone, beside }: Row): Figure => ratio(speed(beside), speed(alone), 2);
  report.table({
    name: "head-of-line",
    title: `The rest of a queue beside a message that is held for ${waitMs / 1_000} s, messages/s`,
    columns: { name: "", alone: "without it", beside: "beside it", share: "of it" },
    rows: rows.map((row) => ({ name: row.name, alone: speed(row.alone), beside: speed(row.beside), share: shareOf(row) })),
  });
  report.chart({
    kind: "bars",
    title: "Throughput beside one message that is held",
    unit: "of the rate without it",
    labels: rows.map(({ name }) => name),
    series: [{ name: "share", values: rows.map((row) => median(shareOf(row).samples)) }],
  });
  for (const row of rows) {
    const what = `${row.name}: rate beside a held message / without it`;
    const found = shareOf(row);
    switch (row.key) {
      case "holdfast":
        report.gates({ what, found, unit: "", bound: { atLeast: stalls } });
        report.targets({ what: `${what}, as aimed at`, found, unit: "", bound: { atLeast: goesOn }, aim: 0.99 });
        report.guards(
          ...guardsOf(
            row.name,
            [...row.alone, ...row.beside].map(({ verdict }) => verdict),
          ),
        );
        break;
      case "receive-messages":
        report.gates({ what, found, unit: "", bound: { below: stalls } });
        break;
      default:
        report.ratio(what, found);
    }
  }
}
